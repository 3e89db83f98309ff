"""What an optimizer is, by its class and settings, within whatever wraps it."""

import re
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast

import torch

from lrsuggest.training.inspection.bytecode import code_of, names_in, plain, sets_rate, steps_of
from lrsuggest.training.restore.attributes import attribute, own
from lrsuggest.vocabulary import Optimizer

# Ways to compute one and the same update, which stand in many a class's name.
_SAME_UPDATE = re.compile(
    r"(?:paged|fused|cpu|deepspeed|foreach|distributed|dist|legacy)*"
    r"(adamw|adam|sgd)"
    r"(?:legacy|32bit|8bit|4bit|fp8)*"
)
_WRITES = re.compile(
    r"copy_|(?:_foreach_)?(?:add|sub|mul|div|addcmul|addcdiv|lerp|clamp|sign|sqrt|neg|fill"
    r"|masked_fill)_"
)
# They hand on every step as it is, or scale and gather gradients around it.
_TRANSPARENT = {
    "AcceleratedOptimizer", "OptimWrapper", "AmpOptimWrapper", "LightningOptimizer",
    "ZeroRedundancyOptimizer", "_NamedOptimizer", "HybridParallelOptimizer",
}  # fmt: skip
_MOMENTUM = 0.8, 0.97  # around the .9 of the recorded SGD, between the .85 and .95 of a one-cycle
_COARSE = 1e-3  # an eps from which on Adam's steps are no longer of the rate's size
_ODD_FLAGS = {
    "maximize": "maximize", "caution": "caution",
    "corrected_weight_decay": "corrected weight decay",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What an optimizer is.

    Attributes:
        name: "adamw", "adam" or "sgd", None for any other.
        unrecorded: what it is called where no recorded task trained with its like, else None.
    """

    name: Optimizer | None
    unrecorded: str | None = None


def kind_of(optimizer: Any) -> Kind:
    """Return what an optimizer is, by its class and those above it, within whatever wraps it.

    A wrapper, or a class that makes its step from AdamW's, Adam's or SGD's, goes by that name; if
    its code writes to tensors too (Lookahead, SAM) it is another optimizer than the recorded
    ones all the same.
    """
    over: list[str] = []
    seen: set[int] = set()
    sets: str | None = None
    while id(optimizer) not in seen:
        seen.add(id(optimizer))
        kind = type(optimizer)
        sets = sets or sets_rate(optimizer)
        inner = _inner(optimizer)
        if inner is None or id(inner) in seen:
            break
        if kind.__name__ not in _TRANSPARENT and _writes(kind):
            over.append(kind.__name__)
        optimizer = inner
    found = _class_of(optimizer)
    if over:
        said = " over ".join([*over, found.unrecorded or type(optimizer).__name__])
        found = Kind(found.name, said)
    return Kind(found.name, sets) if sets else found


def _inner(optimizer: Any) -> Any:
    """Return the optimizer within another, None where there is none or more than one."""
    inner = {
        id(value): value
        for value in own(optimizer).values()
        if value is not optimizer and _steps(value)
    }
    return next(iter(inner.values())) if len(inner) == 1 else None


def _steps(thing: Any, depth: int = 3) -> bool:
    """Say whether something steps as an optimizer does: it has groups, or hands on to what has."""
    if isinstance(thing, torch.optim.Optimizer):
        return True
    if not callable(attribute(thing, "step")):
        return False
    if attribute(thing, "param_groups") is not None:
        return True
    return depth > 0 and any(_steps(each, depth - 1) for each in own(thing).values())


def _class_of(optimizer: Any) -> Kind:
    """Return what an optimizer that wraps no other is."""
    made = type(optimizer)
    for kind in made.__mro__:
        said = _SAME_UPDATE.fullmatch(kind.__name__.lower().replace("_", ""))
        if said is None:
            if _steps_otherwise(kind):
                break
            continue
        name = cast(Optimizer, said[1])
        groups = [dict(group) for group in optimizer.param_groups]
        if name == "adam" and any(
            group.get("decoupled_weight_decay") or attribute(optimizer, "adam_w_mode")
            for group in groups
        ):
            name = "adamw"
        if any(_writes(each) for each in made.__mro__[: made.__mro__.index(kind)]):
            return Kind(name, made.__name__)
        hooks = (own(optimizer).get("_optimizer_step_pre_hooks") or {}).values()
        if any(_code_writes(hook) for hook in hooks):
            return Kind(name, f"{made.__name__} with a hook that changes tensors")
        return Kind(name, odd(name, groups))
    return Kind(None, made.__name__)


def odd(name: str, groups: list[dict[str, Any]]) -> str | None:
    """Say in what an optimizer's settings differ from the recorded ones; None for in nothing.

    Args:
        name: "adamw", "adam" or "sgd".
        groups: the settings of each group, by torch's names.
    """
    title = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}[name]
    for flag, said in _ODD_FLAGS.items():
        if any(group.get(flag) for group in groups):
            return f"{title} with {said}"
    if name == "sgd":
        if any(group.get("nesterov") for group in groups):
            return "SGD with Nesterov momentum"
        momenta = [float(group["momentum"]) for group in groups if "momentum" in group]
        if not momenta or not any(momenta):
            return "SGD without momentum"
        if any(group.get("dampening") for group in groups):
            return "SGD with dampening"
        said = "momentum"
    else:
        coarse = [eps for group in groups if (eps := float(group.get("eps") or 0)) >= _COARSE]
        if coarse:
            return f"{title} with an eps of {coarse[0]:g}"
        momenta = [float(betas[0]) for group in groups if (betas := group.get("betas"))]
        said = "a first beta of"
    odd = [each for each in momenta if not _MOMENTUM[0] <= each <= _MOMENTUM[1]]
    return f"{title} with {said} {odd[0]:g}" if odd else None


def _steps_otherwise(kind: type) -> bool:
    """Whether a class has a step of its own that does not lead to that of a class above it."""
    step = plain(vars(kind).get("step"))
    if not isinstance(step, FunctionType) or not step.__qualname__.startswith(
        f"{kind.__qualname__}."
    ):
        return False  # torch hangs its hooks into the class, round the step inherited
    names = set(names_in(step.__code__))
    above = {each.__name__ for each in kind.__mro__[1:]} - {"object", "Optimizer"}
    return "step" not in names or not names & {"super", *above}


def _writes(kind: type) -> bool:
    """Whether the code of a class, without that of those above it, writes to tensors."""
    return any(map(_code_writes, vars(kind).values()))


def _code_writes(value: Any) -> bool:
    """Whether a function, if it is one, writes to tensors, or puts others in a weight's place."""
    code = code_of(value)
    if code is None:
        return False
    return any(map(_WRITES.fullmatch, names_in(code))) or any(
        step.opname == "STORE_ATTR" and step.argval in ("grad", "data") for step in steps_of(code)
    )
