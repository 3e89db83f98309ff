"""Lightning's trainer, set up for a sweep as for a fit, or met in the middle of one.

Before a fit the trainer is set up for one as `Trainer._run` does it (pytorch-lightning 2.6,
trainer/trainer.py); in the middle of one, the live optimizer and loaders serve.
"""

import inspect
import math
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lrsuggest.adapters.lightning.learner import (
    PRECISIONS,
    Batches,
    LightningLearner,
    planned_steps,
)
from lrsuggest.adapters.lightning.private import LIGHTNING
from lrsuggest.adapters.schedulers import planned, set_rates
from lrsuggest.curves.arguments import a, shown
from lrsuggest.errors import UserError
from lrsuggest.training.inspection.checks import FROZEN
from lrsuggest.training.restore.kept import Kept

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")
_START_HOOKS = ("on_fit_start", "on_train_start", "on_train_epoch_start")
_EACH_ALONE = (
    "ask for each optimizer alone, with lrsuggest's Learner(network, None, batches, its optimizer, "
    "forward=lambda network, batch: its loss)"
)
_RATE_NAMES = ("lr", "learning_rate")  # those that Lightning's own finder looks for


def package(part: object, name: str) -> str | None:
    """Return the package whose class of this name the part is an instance of."""
    for home in _PACKAGES:
        kind = getattr(sys.modules.get(home), name, None)
        if kind is not None and isinstance(part, kind):
            return home
    return None


@dataclass(frozen=True)
class Fitter:
    """A trainer and its module.

    Attributes:
        trainer: Lightning's Trainer.
        module: the LightningModule.
        home: the package that both come from.
        callbacks: the trainer's, of which a sweep runs those that freeze layers.
    """

    trainer: Any
    module: Any
    home: str
    callbacks: tuple[Any, ...] = ()

    @classmethod
    def of(cls, x: object) -> "Fitter":
        """Take (trainer, module) apart.

        Raises:
            UserError: it is not that, or it trains in a way that is not supported.
        """
        pair = x if isinstance(x, tuple) else (x,)
        if len(pair) != 2 or not (home := package(pair[0], "Trainer")):
            given = ", ".join(
                shown(part) if isinstance(part, type) else type(part).__name__ for part in pair
            )
            raise UserError(f"Lightning's objects are given as (trainer, module); got ({given})")
        if type(pair[1]).__name__ == "OptimizedModule":  # its class takes a second to import
            raise UserError("torch.compile is not supported; give the module as it was before it")
        if package(pair[1], "LightningModule") != home:
            raise UserError(
                f"the trainer is from {home}, {a(pair[1])} is no "
                "LightningModule of that package; take both from one"
            )
        LIGHTNING.check(*pair, home=home)
        found = cls(*pair, home, tuple(pair[0].callbacks))
        found._refuse()
        return found

    def _part(self, name: str) -> Any:
        """Return a part of the package, one of `LIGHTNING.names`."""
        return LIGHTNING.get(name, self.home)

    def _refuse(self) -> None:
        """Raise UserError for what cannot be swept."""
        trainer, module = self.trainer, self.module
        if not isinstance(trainer.strategy, self._part("strategies:SingleDeviceStrategy")):
            raise UserError(
                f"{type(trainer.strategy).__name__} may train on several devices, and a range "
                "test runs on one; ask with a Trainer(devices=1)"
            )
        if not module.automatic_optimization:
            raise UserError(
                f"{type(module).__name__} optimizes by hand (automatic_optimization=False), so "
                f"there is no step that could be swept; {_EACH_ALONE}"
            )
        if trainer.precision not in PRECISIONS:
            raise UserError(
                f"precision={trainer.precision!r} is not supported; use one of "
                f"{', '.join(PRECISIONS)}"
            )
        if "dataloader_iter" in inspect.signature(module.training_step).parameters:
            raise UserError("training_step(dataloader_iter) is not supported; let it take a batch")
        if trainer.state.status == "running" and not trainer.training:
            raise UserError(
                f"the trainer is in its stage {trainer.state.stage.value!r}; ask in a hook of "
                "training, such as on_train_epoch_start"
            )
        if self.fitting and trainer.lightning_module is not module:
            raise UserError(
                f"the trainer is fitting another {type(trainer.lightning_module).__name__}; give "
                "the module that it fits"
            )
        if self.fitting and not trainer.optimizers:
            raise UserError("fit has no optimizer yet; ask in on_fit_start or a later hook")

    @property
    def fitting(self) -> bool:
        """Whether the trainer is in the middle of `fit`."""
        return bool(self.trainer.state.fn == "fit" and self.trainer.state.status == "running")

    def kept(self, *more: object) -> Kept:
        """Return what puts back all but the learner's own state."""
        freezing = (vars(each) for each in self._freezing())  # the only callbacks that will run
        return Kept(
            self.trainer, *freezing, model=self.module, data=more, closed=self._bystanders()
        )

    def _bystanders(self) -> tuple[type, ...]:
        """Return the classes of what only watches a training."""
        names = ("callbacks:Callback", "loggers.logger:Logger", "profilers.profiler:Profiler")
        return tuple(self._part(name) for name in names)

    def _freezing(self) -> list[Any]:
        """Return the callbacks that freeze layers."""
        kind = self._part("callbacks:BaseFinetuning")
        return [each for each in self.trainer.callbacks if isinstance(each, kind)]

    def learner(self, batches: Any, valid: Any) -> LightningLearner:
        """Set the trainer up, if it is not in the middle of `fit`, and build the Learner."""
        trainer, module, loop = self.trainer, self.module, self.trainer.fit_loop
        live, epochs, hook = self.fitting, trainer.max_epochs, module._current_fx_name
        if not live:
            self._planned()
        self._silence()
        if not live:
            self._begin(batches)
        drawn = self._combined(loop, batches if live else None, "max_size_cycle")
        if drawn is None:
            raise UserError(
                f"{type(module).__name__} has no train_dataloader; give batches=, a DataLoader or "
                "a LightningDataModule"
            )
        if trainer.overfit_batches > 0:
            stage = self._part("trainer.states:RunningStage").TRAINING
            self._part("trainer.connectors.data_connector:_resolve_overfit_batches")(drawn, stage)
        train = Batches(trainer, module, drawn, trainer.limit_train_batches)
        if not live:
            # From here on configure_optimizers can ask the trainer for the length of the training.
            loop._combined_loader, loop.max_batches = drawn, train.length
            self._set_up_strategy()
        ahead: tuple[str, ...] = _START_HOOKS
        if live:
            ahead = ahead[ahead.index(hook) :] if hook in ahead else ()
        for name in ahead:
            if not live:
                self._part("trainer.call:_call_callback_hooks")(trainer, name)
            if not _in_progress(getattr(module, name)):
                getattr(module, name)()
        held_out = self._combined(loop.epoch_loop.val_loop, valid, "sequential")
        limit = trainer.limit_val_batches
        learner = LightningLearner(
            trainer, module, train,
            Batches(trainer, module, held_out, limit) if held_out is not None and limit else None,
            planned_steps(trainer, epochs, train.length, trainer.global_step if live else 0), live,
        )  # fmt: skip
        learner.also, learner.closed = (trainer,), self._bystanders()
        learner.callbacks = self.callbacks
        return learner

    def _planned(self) -> None:
        """Raise UserError where the trainer is to make no step."""
        for name in ("max_epochs", "max_steps", "limit_train_batches"):
            if getattr(self.trainer, name) == 0:
                raise UserError(
                    f"the trainer plans no training step, {name}=0: plan at least one, or leave "
                    f"{name} out"
                )

    def _silence(self) -> None:
        """Let `self.log` do nothing, and loggers take in what they are told and forget it."""
        for part in self.module.modules():
            if package(part, "LightningModule"):
                vars(part).update(log=_say_nothing, log_dict=_say_nothing)
        if self.trainer.loggers:
            self.trainer.loggers = [self._part("loggers.logger:DummyLogger")()]

    def _begin(self, batches: Any) -> None:
        """Do what `fit` does up to the point where it asks for loaders and optimizers."""
        trainer, module = self.trainer, self.module
        trainer.callbacks = self._freezing()
        self._begin_state()
        whole = isinstance(batches, self._part("core.datamodule:LightningDataModule"))
        trainer._data_connector.attach_data(
            module,
            train_dataloaders=None if whole else batches,
            datamodule=batches if whole else None,
        )
        trainer.strategy.connect(module)
        self._part("trainer.configuration_validator:_verify_loop_configurations")(trainer)
        trainer.strategy.setup_environment()
        trainer._data_connector.prepare_data()
        self._part("trainer.call:_call_setup_hook")(trainer)
        self._part("trainer.call:_call_configure_model")(trainer)

    def _begin_state(self) -> None:
        """Let the trainer be in `fit`, as its first lines and those of `_run` do."""
        trainer, loop = self.trainer, self.trainer.fit_loop
        trainer.strategy._lightning_module = self.module
        trainer.state.fn = self._part("trainer.states:TrainerFn").FITTING
        trainer.state.status = self._part("trainer.states:TrainerStatus").RUNNING
        trainer.training = True
        trainer.should_stop = False
        loop.min_epochs, loop.max_epochs = self._part("loops.utilities:_parse_loop_limits")(
            trainer.min_steps, trainer.max_steps, trainer.min_epochs, trainer.max_epochs, trainer
        )

    def _set_up_strategy(self) -> None:
        """Move the module to its device and let configure_optimizers make the optimizer."""
        none = (
            "configure_optimizers must return one optimizer, such as "
            "torch.optim.AdamW(self.parameters(), lr=self.lr)"
        )
        try:
            self.trainer.strategy.setup(self.trainer)
        except ValueError as error:
            if "empty parameter list" not in str(error):
                raise
            raise UserError(f"configure_optimizers finds no weight that trains: {FROZEN}") from None
        except RuntimeError as error:
            if "multiple optimizers" not in str(error):
                raise
            raise UserError(
                "configure_optimizers returns several optimizers, and a range test sweeps one; "
                f"return one with a parameter group for each, or {_EACH_ALONE}"
            ) from None
        except Exception as error:
            lightnings = traceback.extract_tb(error.__traceback__)[-1].filename
            reads = lightnings.endswith(str(Path("core", "optimizer.py")))
            if not (reads and ("nknown configuration" in str(error) or type(error) is KeyError)):
                raise
            raise UserError(none) from error
        made = self.trainer.optimizers
        if len(made) != 1 or isinstance(made[0], self._part("core.optimizer:_MockOptimizer")):
            raise UserError(f"{none}; it returns none")
        (optimizer,) = made
        if isinstance(optimizer, torch.optim.LBFGS):
            raise UserError(
                f"{type(optimizer).__name__} takes no steps that could be swept; let "
                "configure_optimizers return SGD, Adam or another that needs no closure"
            )

    def _combined(self, loop: Any, given: Any, mode: str) -> Any:
        """Return the CombinedLoader over what is given, or what a loop has or would ask for."""
        kind = self._part("utilities.combined_loader:CombinedLoader")
        if isinstance(given, self._part("core.datamodule:LightningDataModule")):
            raise UserError(
                f"give loaders of the {type(given).__name__} here: a datamodule is for batches "
                "before fit"
            )
        if given is None and loop._combined_loader is not None:
            return loop._combined_loader
        if given is None and loop._data_source.is_defined():
            request = self._part("trainer.connectors.data_connector:_request_dataloader")
            given = request(loop._data_source)
        if given is None or (isinstance(given, list) and not given):
            return None
        return given if isinstance(given, kind) else kind(given, mode)

    def set_live(self, lr: float | slice) -> None:
        """Set the rates of the optimizer at work."""
        (optimizer,) = self.trainer.optimizers
        schedulers = [each.scheduler for each in self.trainer.lr_scheduler_configs]
        set_rates(optimizer, schedulers, *planned(lr, self.module, optimizer))

    def set_attribute(self, lr: float) -> None:
        """Set the attribute that configure_optimizers reads, so that the largest rate is lr."""
        module = self.module
        has, get, put = (
            self._part(f"utilities.parsing:lightning_{what}attr") for what in ("has", "get", "set")
        )
        name = next((name for name in _RATE_NAMES if has(module, name)), None)
        if name is None:
            raise UserError(
                f"{type(module).__name__} has neither lr nor learning_rate, in itself or its "
                "hparams; let configure_optimizers read one of them"
            )
        before = get(module, name)
        try:
            put(module, name, lr)
            put(module, name, lr * lr / self._asked())  # a group may have a multiple of it
            asked = self._asked()
        except BaseException:
            put(module, name, before)
            raise
        if not math.isclose(asked, lr, rel_tol=1e-6):
            put(module, name, before)
            raise UserError(
                f"configure_optimizers asks for {asked:g} whatever {name} is; let it read "
                f"self.{name}"
            )

    def _asked(self) -> float:
        """Return the largest rate that configure_optimizers gives a group."""
        trainer, module, loop = self.trainer, self.module, self.trainer.fit_loop
        with self.kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._silence()
            self._begin_state()
            module.trainer = trainer
            # A scheduler may ask for the length of the training: that does not move its maximum.
            loader = self._part("utilities.combined_loader:CombinedLoader")
            loop._combined_loader, loop.max_batches = loader([range(1)]), 1
            trainer.strategy.setup_optimizers(trainer)
            return max(planned(1.0, module, trainer.optimizers[0])[0])


def _say_nothing(*_: Any, **__: Any) -> None:
    """Stands for LightningModule.log."""


def _in_progress(method: Any) -> bool:
    """Whether a method is running further up, so that it is not for us to call."""
    code, frame = method.__func__.__code__, inspect.currentframe()
    while frame is not None:
        if frame.f_code is code and method.__self__ in frame.f_locals.values():
            return True
        frame = frame.f_back
    return False
