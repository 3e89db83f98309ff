"""Cases of fastai's Learner for the page of detection."""

import contextlib
import functools
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from detection_cases import Case, Looks
from detection_models import FIRST, REAL, SECOND, Network, body_of, examples, made
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastai.callback.schedule  # noqa: F401  (it patches the Learner)
    from fastai.callback.tracker import ReduceLROnPlateau
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastaiLoader
    from fastai.learner import Callback
    from fastai.learner import Learner as FastaiLearner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.optimizer import SGD, Adam, OptimWrapper, RMSProp

NET, RESNET = FIRST[0], FIRST[2]
LITE, SHUFFLE = REAL
DLA, DENSE = SECOND[1], SECOND[4]
Run = Callable[[Looks], None]
ADAMW, WENT_ON = {"optimizer": "adamw"}, {"continued": True}


def fastai_of(network: Network, *, trained: bool = False, **settings: Any) -> Any:
    """Return a fastai Learner in two layer groups, the head the second."""
    rows = examples(network)
    data = DataLoaders(FastaiLoader(rows, bs=16), FastaiLoader(rows[:32], bs=16))

    def split(model: nn.Module) -> list[list[Any]]:
        body = {id(p) for p in body_of(model, network.head)}
        weights = list(model.parameters())
        return [[p for p in weights if id(p) in body], [p for p in weights if id(p) not in body]]

    return FastaiLearner(data, made(network, trained), CrossEntropyLossFlat(), splitter=split,
                         lr=1e-3, **settings)  # fmt: skip


def quietly(x: Any, method: str, *args: Any, **settings: Any) -> None:
    """Train without a word."""
    with x.no_bar(), x.no_logging(), contextlib.redirect_stdout(io.StringIO()):
        getattr(x, method)(*args, **settings)


class Asks(Callback):  # type: ignore[misc]
    """Looks at the learner before a batch."""

    order = 70

    def __init__(self, look: Looks, at: int) -> None:
        self.look, self.at, self.count = look, at, 0

    def before_batch(self) -> None:
        """Look, once."""
        self.count += 1
        if self.count == self.at:
            self.look(self.learn)


def fastai_in(
    look: Looks, *, network: Network = NET, method: str = "fit", at: int = 5, **settings: Any
) -> None:
    """Look in the middle of a fit."""
    given = {"args": (2,), "how": {}, "trained": False, **settings}
    x = fastai_of(network, trained=given["trained"])
    asks = Asks(look, at)
    quietly(x, method, *given["args"], cbs=[asks, *given.get("cbs", ())], **given["how"])


def fastai_before(
    look: Looks, *, network: Network = NET, trained: bool = False, first: str = "", then: str = "",
    **settings: Any,
) -> None:  # fmt: skip
    """Look before a fit, or between two: after `first` ("freeze", "fit"), and `then`."""
    x = fastai_of(network, trained=trained, **settings)
    for step in (*first.split(), *then.split()):
        if step == "fit":
            quietly(x, "fit", 1)
        else:
            getattr(x, step)()
    look(x)


def of_fastai() -> list[Case]:
    """Return fastai's cases."""
    before, within = (functools.partial(functools.partial, f) for f in (fastai_before, fastai_in))
    new, tuned = {"stage": "scratch"}, {"stage": "finetune"}
    frozen, unfrozen = {"stage": "frozen"}, {"stage": "unfrozen"}
    torchs = functools.partial(OptimWrapper, opt=torch.optim.AdamW)
    cycle = {"schedule": "one_cycle", "total_steps": 28}
    found: list[tuple[str, dict[str, Any], Run]] = [
        ("new", new, before()),
        ("new, Adam", {"optimizer": "adam", **new},
         before(opt_func=functools.partial(Adam, decouple_wd=False))),
        ("new, SGD", {"optimizer": "sgd", **new},
         before(opt_func=functools.partial(SGD, mom=0.9))),
        ("new, RMSProp", {"optimizer": "rms_prop", **new}, before(opt_func=RMSProp)),
        ("new, torch's AdamW", new, before(opt_func=torchs)),
        ("trained body, all trainable", tuned, before(trained=True)),
        ("trained body, frozen", frozen, before(trained=True, first="freeze")),
        ("trained body, frozen and fitted", {**frozen, **WENT_ON},
         before(trained=True, first="freeze fit")),
        ("unfrozen after a frozen fit", {**unfrozen, **WENT_ON},
         before(trained=True, first="freeze fit", then="unfreeze")),
        ("unfrozen and fitted", {**unfrozen, **WENT_ON},
         before(trained=True, first="freeze fit", then="unfreeze fit")),
        ("fitted from scratch", {**new, **WENT_ON}, before(first="fit")),
        ("ImageNet body, frozen", frozen, before(network=LITE, trained=True, first="freeze")),
        ("ImageNet body, all trainable", tuned, before(network=LITE, trained=True)),
        ("ImageNet body, unfrozen", {**unfrozen, **WENT_ON},
         before(network=LITE, trained=True, first="freeze fit", then="unfreeze")),
        ("ImageNet body, unfrozen, torch's AdamW", {**unfrozen, **WENT_ON},
         before(network=LITE, trained=True, first="freeze fit", then="unfreeze",
                opt_func=torchs)),
        ("ResNet-18, new", new, before(network=RESNET)),
        ("before the first batch of fit_one_cycle",
         {**new, "schedule": "one_cycle", "total_steps": 32},
         within(method="fit_one_cycle", at=1)),
        ("in fit_one_cycle", {**new, **WENT_ON, **cycle}, within(method="fit_one_cycle")),
        ("in fit", {**new, **WENT_ON, "schedule": "constant", "total_steps": 28}, within()),
        ("in fit_flat_cos", {**new, **WENT_ON, "schedule": "ParamScheduler", "total_steps": 28},
         within(method="fit_flat_cos")),
        ("in fit_sgdr", {**new, **WENT_ON, "schedule": "ParamScheduler", "total_steps": 44},
         within(method="fit_sgdr", args=(2, 1))),
        ("in fit with ReduceLROnPlateau",
         {**new, **WENT_ON, "schedule": "ReduceLROnPlateau", "total_steps": 28},
         within(cbs=[ReduceLROnPlateau()])),
        ("in fit_one_cycle, trained body", {**tuned, **WENT_ON, **cycle},
         within(method="fit_one_cycle", network=SHUFFLE, trained=True)),
    ]  # fmt: skip
    second: list[tuple[str, dict[str, Any], Run]] = [
        ("DLA, new", new, before(network=DLA)),
        ("DLA, trained body, frozen", frozen, before(network=DLA, trained=True, first="freeze")),
        ("DLA, unfrozen after a frozen fit", {**unfrozen, **WENT_ON},
         before(network=DLA, trained=True, first="freeze fit", then="unfreeze")),
        ("DenseNet, trained body", tuned, before(network=DENSE, trained=True)),
        ("DLA, in fit_one_cycle", {**new, **WENT_ON, "schedule": "one_cycle", "total_steps": 41},
         within(network=DLA, method="fit_one_cycle", args=(3,), at=8)),
    ]  # fmt: skip
    return [
        Case(name, "fastai", {**ADAMW, **truth}, run, late)
        for late, many in ((False, found), (True, second))
        for name, truth, run in many
    ]
