"""A fastai optimizer seen as the torch optimizer that sweeps and snapshots work with."""

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

from torch import Tensor

from lrsuggest.training.inspection.optimizers import Kind, odd
from lrsuggest.vocabulary import Optimizer


def kinds(thing: object) -> set[str]:
    """Return the names of an object's class and of all classes above it."""
    return {kind.__name__ for kind in type(thing).__mro__}


class Group(MutableMapping[str, Any]):
    """One layer group's hypers, live; fastai's `mom` (Adam's first beta too) is `momentum`.

    Args:
        hypers: the group's dict in `opt.hypers`.
    """

    def __init__(self, hypers: dict[str, Any]) -> None:
        self._hypers = hypers

    def __getitem__(self, name: str) -> Any:
        return self._hypers[_theirs(name)]

    def __setitem__(self, name: str, value: Any) -> None:
        self._hypers[_theirs(name)] = value

    def __delitem__(self, name: str) -> None:
        del self._hypers[_theirs(name)]

    def __iter__(self) -> Iterator[str]:
        return ("momentum" if name == "mom" else name for name in list(self._hypers))

    def __len__(self) -> int:
        return len(self._hypers)


def _theirs(name: str) -> str:
    return "mom" if name == "momentum" else name


class FastaiOptimizer:
    """What is asked of a torch optimizer, answered by one of fastai's own.

    Args:
        opt: a `fastai.optimizer.Optimizer`; an OptimWrapper holds a torch optimizer already.
    """

    def __init__(self, opt: Any) -> None:
        self.state: dict[Tensor, dict[str, Any]] = opt.state
        self.param_groups = [Group(hypers) for hypers in opt.hypers]
        self._parameters = [p for group in opt.param_lists for p in group]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None


def kind_of(opt: Any) -> Kind:
    """Return what a fastai optimizer is.

    An optimizer of fastai's is told by the functions its step is made of; its Adam decouples the
    weight decay unless told otherwise.
    """
    if type(opt).__name__ != "Optimizer":  # Lookahead, or a person's own
        return Kind(None, type(opt).__name__)
    steps = {getattr(step, "func", step).__name__ for step in opt.cbs}
    if "adam_step" in steps:
        name: Optimizer = "adamw" if "weight_decay" in steps else "adam"
        settings = [{"betas": (hypers.get("mom", 0.0),), **hypers} for hypers in opt.hypers]
        return Kind(name, odd(name, settings))
    if not steps & {"sgd_step", "momentum_step"}:
        made = sorted(step.removesuffix("_step") for step in steps if step.endswith("_step"))
        return Kind(None, " and ".join(made) or "an optimizer of its own")
    return Kind("sgd", odd("sgd", [{"momentum": hypers.get("mom", 0.0)} for hypers in opt.hypers]))


@contextlib.contextmanager
def pace_kept(opt: Any) -> Iterator[None]:
    """Keep what a Lookahead holds beside its optimizer's state: its count and its slow weights."""
    if "Lookahead" not in kinds(opt):
        yield
        return
    count, slow_weights = opt.count, opt.slow_weights
    contents = [(t, t.clone()) for group in slow_weights or () for t in group]
    try:
        yield
    finally:
        opt.count, opt.slow_weights = count, slow_weights
        for tensor, content in contents:
            tensor.copy_(content)
