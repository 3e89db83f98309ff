"""What is used of Lightning that Lightning does not promise to keep, or may move."""

from lrsuggest.training.restore.private import Private

LIGHTNING = Private(
    "Lightning",
    "pytorch-lightning or lightning 2.6.6",
    (
        "callbacks:BaseFinetuning",
        "callbacks:Callback",
        "core.datamodule:LightningDataModule",
        "core.optimizer:_MockOptimizer",
        "loggers.logger:DummyLogger",
        "loggers.logger:Logger",
        "loops.utilities:_parse_loop_limits",
        "profilers.profiler:Profiler",
        "strategies:SingleDeviceStrategy",
        "trainer.call:_call_callback_hooks",
        "trainer.call:_call_configure_model",
        "trainer.call:_call_setup_hook",
        "trainer.configuration_validator:_verify_loop_configurations",
        "trainer.connectors.data_connector:_request_dataloader",
        "trainer.connectors.data_connector:_resolve_overfit_batches",
        "trainer.states:RunningStage",
        "trainer.states:TrainerFn",
        "trainer.states:TrainerStatus",
        "utilities.combined_loader:CombinedLoader",
        "utilities.parsing:lightning_getattr",
        "utilities.parsing:lightning_hasattr",
        "utilities.parsing:lightning_setattr",
    ),
    (
        "_current_fx_name",
        "_on_before_batch_transfer",
        "_data_connector.attach_data",
        "_data_connector.prepare_data",
        "fit_loop._combined_loader",
        "fit_loop._data_source.is_defined",
        "fit_loop.epoch_loop.val_loop._combined_loader",
        "strategy._lightning_module",
    ),
)
