"""Cases of Lightning's trainer and module for the page of detection."""

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from detection_cases import Case, Looks
from detection_models import FIRST, REAL, SECOND, Network, body_of, examples, hold, loss_of, made
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import DataLoader

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import BackboneFinetuning

NET = FIRST[0]
LITE, SHUFFLE = REAL
DLA, DENSE = SECOND[1], SECOND[4]
Run = Callable[[Looks], None]
ADAMW, WENT_ON = {"optimizer": "adamw"}, {"continued": True}
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Module(pl.LightningModule):
    """A network with the optimizer and the schedule that it is given."""

    def __init__(self, model: nn.Module, schedule: Any = None, make: Any = torch.optim.AdamW,
                 interval: str = "step", look: Looks | None = None) -> None:  # fmt: skip
        super().__init__()
        self.model, self.schedule, self.make, self.interval = model, schedule, make, interval
        self.look = look

    @property
    def backbone(self) -> Any:
        """The body, by the name that BackboneFinetuning looks for."""
        return self.model[0]  # type: ignore[index]

    def training_step(self, batch: Any, index: int) -> Any:
        """Return the loss."""
        return loss_of(self.model, batch)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Look at the sixth batch."""
        if self.look is not None and index == 5:
            look, self.look = self.look, None
            look((self.trainer, self))

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with a scheduler if there is one."""
        optimizer = self.make((p for p in self.parameters() if p.requires_grad), lr=1e-3)
        if self.schedule is None:
            return optimizer
        scheduler = {"scheduler": self.schedule(optimizer), "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": {**scheduler, "monitor": "loss"}}


class Warms(Module):
    """Sets the rate in its own optimizer_step."""

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None
    ) -> None:
        """Step, warmed up."""
        optimizer.step(closure=closure)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, self.trainer.global_step / 100)


def trainer_of(**settings: Any) -> Any:
    """Return a silent trainer of two epochs."""
    given = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_epochs": 2,
             "enable_progress_bar": False, "enable_model_summary": False, **settings}  # fmt: skip
    return pl.Trainer(**given)


def lightning(
    look: Looks, *, network: Network = NET, trained: bool = False, held: bool = False,
    kind: type[Module] = Module, when: str = "before", trainer: dict[str, Any] | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Look before a fit, in its middle, after it, or once unfrozen after it."""
    model = made(network, trained)
    hold(body_of(model, network.head), held)
    module = kind(model, look=look if when == "middle" else None, **settings)
    fitter, batches = trainer_of(**(trainer or {})), DataLoader(examples(network), 16)
    if when != "before":
        fitter.fit(module, batches)
    if when == "unfrozen":
        hold(model.parameters(), False)
    if when != "middle":
        look((fitter, module), batches=batches)


def of_lightning() -> list[Case]:
    """Return Lightning's cases."""
    on = functools.partial(functools.partial, lightning)
    two = {"schedule": "constant", "total_steps": 32}
    cycle = functools.partial(schedulers.OneCycleLR, max_lr=1e-2, total_steps=32)
    cosine = functools.partial(schedulers.CosineAnnealingLR, T_max=32)
    line = functools.partial(schedulers.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=32)
    new, tuned = {"stage": "scratch"}, {"stage": "finetune"}
    frozen, unfrozen = {"stage": "frozen"}, {"stage": "unfrozen"}

    def warmed(optimizer: Any) -> Any:
        parts = [schedulers.LinearLR(optimizer, 0.1, total_iters=5), cosine(optimizer)]
        return schedulers.SequentialLR(optimizer, parts, [5])

    found: list[tuple[str, dict[str, Any], Run]] = [
        ("new, no scheduler", {**new, **two}, on()),
        ("new, SGD", {"optimizer": "sgd", **new, **two},
         on(make=functools.partial(torch.optim.SGD, momentum=0.9))),
        ("new, RMSprop", {"optimizer": "RMSprop", **new, **two}, on(make=torch.optim.RMSprop)),
        ("one-cycle", {**new, **two, "schedule": "one_cycle"}, on(schedule=cycle)),
        ("cosine by the step", {**new, **two, "schedule": "cosine"}, on(schedule=cosine)),
        ("cosine by the epoch", {**new, **two, "schedule": "cosine"},
         on(schedule=functools.partial(cosine, T_max=2), interval="epoch")),
        ("a line down", {**new, **two, "schedule": "linear"}, on(schedule=line)),
        ("a warm-up and a cosine", {**new, **two, "schedule": "cosine"}, on(schedule=warmed)),
        ("steps down", {**new, **two, "schedule": "StepLR"},
         on(schedule=functools.partial(schedulers.StepLR, step_size=1), interval="epoch")),
        ("on a plateau", {**new, **two, "schedule": "ReduceLROnPlateau"},
         on(schedule=schedulers.ReduceLROnPlateau, interval="epoch")),
        ("a warm-up in its own optimizer_step", {**new, "total_steps": 32}, on(kind=Warms)),
        ("no end, one-cycle", {**new, "schedule": "one_cycle", "total_steps": 32},
         on(schedule=cycle, trainer={"max_epochs": -1})),
        ("50 steps", {**new, "schedule": "constant", "total_steps": 50},
         on(trainer={"max_epochs": -1, "max_steps": 50})),
        ("two batches a step", {**new, "schedule": "constant", "total_steps": 16},
         on(trainer={"accumulate_grad_batches": 2})),
        ("trained body", {**tuned, **two}, on(trained=True)),
        ("trained body held", {**frozen, **two}, on(trained=True, held=True)),
        ("ImageNet body", {**tuned, **two}, on(network=LITE, trained=True)),
        ("ImageNet body, BackboneFinetuning", {**frozen, **two},
         on(network=LITE, trained=True, trainer={"callbacks": [BackboneFinetuning(5)]})),
        ("in its middle, one-cycle",
         {**new, **WENT_ON, "schedule": "one_cycle", "total_steps": 27},
         on(when="middle", schedule=functools.partial(cycle, max_lr=1e-3))),
        ("in its middle, SGD",
         {"optimizer": "sgd", **new, **WENT_ON, "schedule": "constant", "total_steps": 27},
         on(when="middle", make=functools.partial(torch.optim.SGD, momentum=0.9))),
        ("in its middle, real weights",
         {**tuned, **WENT_ON, "schedule": "constant", "total_steps": 27},
         on(network=SHUFFLE, trained=True, when="middle")),
        ("fitted from scratch", {**new, **WENT_ON, **two}, on(when="after")),
        ("fitted, real weights", {**tuned, **WENT_ON, **two},
         on(network=SHUFFLE, trained=True, when="after")),
        ("ImageNet body held, fitted, unfrozen", {**unfrozen, **WENT_ON, **two},
         on(network=LITE, trained=True, held=True, when="unfrozen")),
    ]  # fmt: skip
    second: list[tuple[str, dict[str, Any], Run]] = [
        ("DLA, new, exponential", {**new, **two, "schedule": "ExponentialLR"},
         on(network=DLA, schedule=functools.partial(schedulers.ExponentialLR, gamma=0.9))),
        ("DenseNet, trained body held", {**frozen, **two},
         on(network=DENSE, trained=True, held=True)),
        ("DLA, trained body, polynomial",
         {**tuned, **two, "schedule": "linear"},
         on(network=DLA, trained=True,
            schedule=functools.partial(schedulers.PolynomialLR, total_iters=32))),
        ("DLA, in its middle, Adam",
         {"optimizer": "adam", **new, **WENT_ON, "schedule": "constant", "total_steps": 27},
         on(network=DLA, when="middle", make=torch.optim.Adam)),
    ]  # fmt: skip
    return [
        Case(name, "Lightning", {**ADAMW, **truth}, run, late)
        for late, many in ((False, found), (True, second))
        for name, truth, run in many
    ]
