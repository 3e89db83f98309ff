"""Lightning's trainer and module (`lightning.pytorch` or `pytorch_lightning`) as a Learner.

Lightning's own loops count, log, validate, save checkpoints and stop, so the steps are made here
(lightning_steps.py), with the module's `training_step`, `configure_optimizers` and hooks, and the
trainer's loaders, precision, accumulation and clipping (lightning_trainer.py).
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrsuggest.adapters.lightning.fitter import Fitter, package
from lrsuggest.errors import UserError
from lrsuggest.training.inspection.checks import batches as checked_batches
from lrsuggest.training.inspection.checks import initialized
from lrsuggest.training.inspection.history import with_gradients
from lrsuggest.training.learner import Learner
from lrsuggest.training.snapshot import Snapshot


def owns(x: object) -> bool:
    """Say whether x is Lightning's: a trainer, a module, or a tuple that holds one of them."""
    parts = x if isinstance(x, tuple) else (x,)
    return any(package(part, name) for part in parts for name in ("Trainer", "LightningModule"))


@contextmanager
def borrowed(x: object, *, batches: Any = None, valid: Any = None) -> Iterator[Learner]:
    """Lend (trainer, module) as a Learner; afterwards everything of theirs is as it was, bitwise.

    Outside of `fit`, the hooks that prepare a fit run and `configure_optimizers` makes a new
    optimizer, as the next fit would; of the callbacks only those that freeze layers have a say.
    Nothing is logged and no file is written.

    Args:
        x: (trainer, module).
        batches: what `fit` would be given: a DataLoader, a collection of them, or a
            LightningDataModule; None where the module has a train_dataloader, or in `fit`.
        valid: likewise for validation, which is judged by the loss of training_step.

    Raises:
        UserError: Lightning would train this in a way that a range test cannot.
    """
    found = Fitter.of(x)
    initialized(found.module)
    for name, given in (("batches", batches), ("valid", valid)):
        if isinstance(given, list | tuple | Mapping) and not given:
            raise UserError(f"{name} is empty; give at least one batch")
        collection = isinstance(given, Mapping) or hasattr(given, "flattened")
        if not (given is None or collection or package(given, "LightningDataModule")):
            checked_batches(name, given)
    graded = with_gradients(found.module)
    with found.kept(batches, valid):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to say of the set-up, fit says
            learner = found.learner(batches, valid)
        learner.graded = graded
        with Snapshot(learner):
            yield learner


def set_lr(x: object, lr: float | slice) -> None:
    """Set the rate of the parameter group that has the largest; the others keep their ratios.

    In the middle of `fit` the optimizer's rates are set, and its schedulers are scaled to go on
    from there. Before it `module.lr` (or learning_rate, or either in hparams) is, from which
    configure_optimizers makes the rates.

    Args:
        x: (trainer, module).
        lr: the rate; in the middle of `fit` also a slice over the groups, as in fastai.

    Raises:
        UserError: configure_optimizers does not follow module.lr.
    """
    found = Fitter.of(x)
    if found.fitting:
        found.set_live(lr)
    elif isinstance(lr, slice):
        raise UserError(
            f"before fit there is one rate to set, not {lr}; give a number and let "
            "configure_optimizers make the groups' rates from module.lr"
        )
    else:
        found.set_attribute(lr)
