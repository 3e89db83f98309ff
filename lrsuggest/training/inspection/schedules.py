"""What schedule of the rate is set for a training, and how many steps it plans."""

import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrsuggest.training.restore.attributes import attribute, own
from lrsuggest.vocabulary import Schedule

# Transformers' names of schedules, and of the functions that make them, without what all have.
_NAMES: dict[str, Schedule] = {
    "linear": "linear",
    "linear_schedule_with_warmup": "linear",
    "cosine": "cosine",
    "cosine_schedule_with_warmup": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "constant_schedule_with_warmup": "constant",
}
_NEAR = 0.02  # of the highest rate: how far a rate may lie from the schedule it is said to follow


@dataclass(frozen=True)
class Scheduled:
    """A schedule that is set for a training.

    Attributes:
        name: as in the vocabulary, None for one that no recorded task had.
        called: what it is called, where it has another name or none there.
        steps: that it has in all, None where it does not tell.
        done: steps of it that are made.
        each: what a step of it is: "step", of the optimizer; "epoch"; None where not known.
    """

    name: Schedule | None
    called: str
    steps: int | None = None
    done: int = 0
    each: str | None = None

    @property
    def to_come(self) -> int | None:
        """Optimizer steps that it still has, None where that is not certain."""
        left = (self.steps or 0) - self.done
        return left if left > 0 and self.each == "step" else None


def of(scheduler: Any) -> Scheduled:
    """Return what a torch scheduler is, by its class; one of several by what is no warm-up."""
    scheduler = attribute(scheduler, "scheduler") or scheduler  # within accelerate's
    kind, held = type(scheduler).__name__, own(scheduler)
    done = max(0, int(held.get("last_epoch") or 0))
    if kind == "OneCycleLR":
        return Scheduled("one_cycle", kind, int(held["total_steps"]), done, "step")
    if kind == "CosineAnnealingLR":
        return Scheduled("cosine", kind, int(held["T_max"]), done)
    if kind == "LinearLR":
        rises = held["end_factor"] >= held["start_factor"]
        name: Schedule = "constant" if rises else "linear"
        return Scheduled(name, kind, None if rises else int(held["total_iters"]), done)
    if kind == "PolynomialLR" and held["power"] == 1:
        return Scheduled("linear", kind, int(held["total_iters"]), done)
    if kind == "ConstantLR":
        return Scheduled("constant", kind, None, done)
    if kind == "LambdaLR":
        return _of_lambdas(held.get("lr_lambdas") or [], done)
    parts = held.get("_schedulers")
    if parts:
        main = [each for each in parts if not _warms_up(each)] or parts[-1:]
        found = of(main[0])
        if len(main) > 1:
            return Scheduled(None, kind, None, done)
        before = held.get("_milestones") or [0]
        steps = found.steps and found.steps + int(before[-1])
        return replace(found, called=kind, steps=steps, done=done or found.done)
    return Scheduled(None, kind, None, done)


def _of_lambdas(functions: Iterable[Any], done: int) -> Scheduled:
    """Return what a LambdaLR is, where its functions are transformers'."""
    found = []
    for function in functions:
        given: dict[str, Any] = {}
        while isinstance(function, functools.partial):
            given, function = {**function.keywords, **given}, function.func
        name = getattr(function, "__name__", "")
        if (getattr(function, "__module__", "") or "").partition(".")[0] != "transformers":
            return Scheduled(None, "LambdaLR", None, done)
        said = name.removeprefix("_get_").removesuffix("_lambda").removesuffix("_lr")
        steps, half = given.get("num_training_steps"), given.get("num_cycles", 0.5) == 0.5
        known = _named(said, given) if half else None
        found.append(Scheduled(known, said, steps, done, "step"))
    same = len({each.name for each in found}) == 1
    return found[0] if same else Scheduled(None, "LambdaLR", None, done)


def _warms_up(scheduler: Any) -> bool:
    """Whether a scheduler only takes the rate up to what it then is."""
    kind, held = type(scheduler).__name__, own(scheduler)
    if kind == "LinearLR":
        return bool(held["start_factor"] < held["end_factor"])
    return kind == "ConstantLR" and held["factor"] < 1


def by_name(name: str, given: Mapping[str, Any]) -> Scheduled:
    """Return what transformers' name of a schedule means, with the settings given beside it."""
    half = given.get("num_cycles", 0.5) == 0.5
    return Scheduled(_named(name, {"power": 1, **given}) if half else None, name)


def _named(name: str, given: Mapping[str, Any]) -> Schedule | None:
    """Return the schedule that transformers calls by a name."""
    if name.startswith("polynomial") and given.get("power") == 1:
        return "linear"
    return _NAMES.get(name)


def attached(optimizer: Any) -> Scheduled | None:
    """Return the schedule that a scheduler over an optimizer makes; None where none shows.

    An optimizer does not hold its scheduler, but for what a one-cycle notes in the groups. So it
    is looked for by the names that hold it in the functions that led here, in the objects that
    those have, and in their modules.
    """
    groups = optimizer.param_groups
    if not any("initial_lr" in group for group in groups):
        return None
    over = {id(each): each for each in _named_over(optimizer)}
    for each in list(over.values()):
        for part in own(each).get("_schedulers") or ():
            over.pop(id(part), None)
    found = [of(each) for each in over.values()]
    main = [each for each in found if each.name != "constant"] or found
    if len(main) == 1:
        return _counted(main[0], optimizer)
    if all({"initial_lr", "max_lr", "min_lr"} <= set(group) for group in groups):
        return Scheduled("one_cycle", "OneCycleLR")
    return None


def _counted(found: Scheduled, optimizer: Any) -> Scheduled:
    """Say that a schedule steps with its optimizer, where both have made as many steps."""
    if found.each is not None or found.done < 2:
        return found
    counts = {
        float(state["step"])
        for state in optimizer.state.values()
        if isinstance(state, dict) and "step" in state
    }
    return replace(found, each="step") if counts == {float(found.done)} else found


def _named_over(optimizer: Any) -> Iterator[Any]:
    """Yield the schedulers over an optimizer that the functions further up have a name for."""
    from torch.optim.lr_scheduler import LRScheduler

    frame = sys._getframe(1)
    modules: dict[int, dict[str, Any]] = {}
    while frame.f_back is not None:
        frame = frame.f_back
        modules[id(frame.f_globals)] = frame.f_globals
        for each in list(frame.f_locals.values()):
            yield from _over(optimizer, LRScheduler, each)
            for inner in list(own(each).values()):
                yield from _over(optimizer, LRScheduler, inner)
    for names in modules.values():
        for each in list(names.values()):
            yield from _over(optimizer, LRScheduler, each)


def _over(optimizer: Any, kind: type, thing: Any) -> Iterator[Any]:
    """Yield what is a scheduler over an optimizer: the thing itself, or those it lists."""
    for each in thing if type(thing) in (list, tuple) else (thing,):
        if issubclass(type(each), kind) and own(each).get("optimizer") is optimizer:
            yield each


def by_shape(rate_at: Callable[[float], Any]) -> Schedule | None:
    """Return what a schedule is by the rates that it sets; None for one of another shape.

    Args:
        rate_at: the rate, or the groups' rates, at a share of the training from 0 to 1.
    """
    share, rates = _followed(rate_at)
    top = rates.max()
    if not top > 0 or not np.isfinite(rates).all():
        return None
    rates = rates / top
    if np.ptp(rates) <= _NEAR:
        return "constant"
    peak = int(np.flatnonzero(rates >= 1 - 1e-9)[0])
    flat = int(np.count_nonzero(rates >= 1 - 1e-9))
    if flat > 3 and peak == 0:
        return None  # stays first, and falls late
    after = (share[peak:] - share[peak]) / max(share[-1] - share[peak], 1e-9)
    down = rates[peak:]
    for name, shape in (("linear", 1 - after), ("cosine", (1 + np.cos(math.pi * after)) / 2)):
        fits = np.abs(down - (down[-1] + (1 - down[-1]) * shape)).max() <= _NEAR
        if fits and peak and name == "cosine" and rates[0] <= 0.5 and _by_cosine(rates[: peak + 1]):
            return "one_cycle"
        if fits:
            return name  # type: ignore[return-value]
    return None


def highest(rate_at: Callable[[float], Any]) -> float:
    """Return the highest rate that such a schedule sets."""
    return float(_followed(rate_at)[1].max())


def _followed(rate_at: Callable[[float], Any]) -> tuple[Any, Any]:
    """Return shares of a training, and the largest rate of any group at each."""
    share = np.linspace(0, 1, 201)
    rates = [float(np.max(np.asarray(rate_at(float(at)), dtype=float))) for at in share]
    return share, np.array(rates)


def _by_cosine(rates: Any) -> bool:
    """Whether rates rise along half a cosine, as a one-cycle's do, and not along a line."""
    shape = (1 - np.cos(math.pi * np.linspace(0, 1, len(rates)))) / 2
    return bool(np.abs(rates - (rates[0] + (rates[-1] - rates[0]) * shape)).max() <= 2 * _NEAR)
