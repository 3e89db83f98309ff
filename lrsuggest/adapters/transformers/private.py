"""What is used of transformers and accelerate beside what their documentation tells to call."""

from lrsuggest.training.restore.private import Private

TRANSFORMERS = Private(
    "transformers",
    "transformers 5.24.0 with accelerate 1.15.0",
    held=(
        "accelerator.prepare_model",
        "_prepare_inputs",
        "compute_loss_context_manager",
        "create_optimizer",
        "get_batch_samples",
        "get_eval_dataloader",
        "get_train_dataloader",
        "training_step",
    ),
)
