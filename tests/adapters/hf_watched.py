"""Hugging Face Trainers that note what they train with, and how they are compared."""

import dataclasses

import pytest
from everything import changes, everything
from learners import without_addresses

pytest.importorskip(
    "transformers", reason="transformers is missing: pip install 'lrsuggest[peers]'"
)
pytest.importorskip("accelerate", reason="accelerate is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf
from transformers import Trainer, TrainerCallback, TrainingArguments

from lrsuggest import suggest_lr

MARKS = [pytest.mark.usefixtures("one_thread", "little_garbage")]
EXAMPLES, LINES = hf.examples(), hf.examples(labelled=False)
NAMES = {field.name for field in dataclasses.fields(TrainingArguments)}


def make(folder, **settings):
    return hf.make(
        folder, **{"train_dataset": EXAMPLES, "per_device_train_batch_size": 4, **settings}
    )


def all_of(*objects):
    """What can be reached, but for Python's loggers, which note what they are asked, and texts."""
    return everything(*objects, ignore=("logger", "input_ids", "attention_mask"))


# Its name changed within transformers 5.
RECOMPUTE = max(("activation_checkpointing", "gradient_checkpointing"), key=NAMES.__contains__)
SETUPS = {
    "plain": dict,
    "sgd": lambda: {"optim": "sgd", "optim_args": "momentum=0.9"},
    "accumulate": lambda: {"gradient_accumulation_steps": 2},
    "writer": lambda: {
        "model": hf.writer(),
        "train_dataset": LINES,
        "gradient_accumulation_steps": 2,
    },
    "clip": lambda: {"max_grad_norm": 0.1},
    "bf16": lambda: {"bf16": True},
    "recompute": lambda: {RECOMPUTE: True, "label_smoothing_factor": 0.1},
}

setups = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)


class Watched(Trainer):
    """Notes each optimizer step's rates and the losses before it."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.losses, self.rates, self.plan = [], [], None
        self.add_callback(self.Notes(self))

    class Notes(TrainerCallback):
        def __init__(self, trainer):
            self.trainer = trainer

        def on_step_begin(self, args, state, control, optimizer, **_):
            if self.trainer.plan is not None:
                for group in optimizer.param_groups:
                    group["lr"] = float(
                        self.trainer.plan[min(state.global_step, len(self.trainer.plan) - 1)]
                    )
            self.trainer.losses.append(0.0)

        def on_pre_optimizer_step(self, args, state, control, optimizer, **_):
            self.trainer.rates.append([group["lr"] for group in optimizer.param_groups])

    def training_step(self, *arguments, **settings):
        loss = super().training_step(*arguments, **settings)
        self.losses and self.losses.append(self.losses.pop() + loss)
        return loss


def unchanged(trainer, *more, **settings):
    """Ask, and see that nothing has changed."""
    before = all_of(trainer, *more)
    found = suggest_lr(trainer, **settings)
    assert changes(before, all_of(trainer, *more)) == []
    return found


def state(trainer):
    """What training comes to, but for addresses."""
    return without_addresses(
        everything(
            trainer.model.state_dict(),
            trainer.optimizer.state_dict(),
            trainer.lr_scheduler.state_dict(),
            trainer.state.log_history[-1]["train_loss"],
        )
    )
