"""What a caller asks of range tests and probes: refused when it is made, not when it is used."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lrsuggest.curves.arguments import number, truth, whole
from lrsuggest.curves.columns import Floats
from lrsuggest.errors import UserError

_START, _END, FURTHEST = 1e-7, 10.0, 1e3  # of a sweep whose range the caller leaves to us
# docs/candidates.md, "How long a sweep": with 30 or 50 steps a pick costs more than twice as much,
# on trainings of 40 steps as on those of 480.
_STEPS = 100
FEWEST_STEPS = 10  # of a probe


def grid(start_lr: float, end_lr: float, num_iter: int, furthest: float | None = None) -> Floats:
    """Return a range test's rates: so many from start to end, then in the same ratio to furthest.

    Returns:
        shape (num_iter,) or more, rising; none but the first `num_iter` exceeds `furthest`.

    Raises:
        UserError: the range or the number of steps cannot be used.
    """
    start, end = number("start_lr", start_lr), number("end_lr", end_lr)
    steps = whole("num_iter", num_iter, 2)
    if not start < end:
        raise UserError(f"the range must satisfy 0 < start_lr < end_lr; got {start:g} to {end:g}")
    rates = np.geomspace(start, end, steps)
    if furthest is None:
        return rates
    if number("furthest", furthest) < end:
        raise UserError(f"furthest must be at least end_lr; got {furthest:g} and {end:g}")
    step = math.log(end / start) / (steps - 1)
    more = math.floor(math.log(furthest / end) / step + 1e-9)
    return np.append(rates, np.minimum(end * np.exp(step * np.arange(1, more + 1)), furthest))


@dataclass(frozen=True, repr=False)
class RangeTest:
    """How a learning rate range test is made; None leaves a value to `suggest_lr`.

    Attributes:
        start_lr: the first rate, by default 1e-7.
        end_lr: the last rate. By default 10, and where the loss has not blown up by then the test
            goes on, in the same ratio a step, until it does or the rate is 1,000.
        num_iter: optimizer steps from `start_lr` to `end_lr`, by default 100 however short the
            training is: fewer tell less.
        repeats: tests over other data orders (seed, seed + 1, ...; without a seed the present
            order first, then orders drawn from the present random state), pooled to one curve; a
            noisy loss needs some three to five.
        gain: whether to see of each step beside the loss what `Curve.measured` has (see `lr_find`).

    Raises:
        UserError: a value cannot be used.
    """

    start_lr: float | None = None
    end_lr: float | None = None
    num_iter: int | None = None
    repeats: int = 1
    gain: bool = True

    def __post_init__(self) -> None:
        found: dict[str, Any] = {
            name: number(name, value)
            for name, value in (("start_lr", self.start_lr), ("end_lr", self.end_lr))
            if value is not None
        }
        if self.num_iter is not None:
            found["num_iter"] = whole("num_iter", self.num_iter, 2)
        found["repeats"] = whole("repeats", self.repeats, 1)
        truth("gain", self.gain)
        for name, value in found.items():
            object.__setattr__(self, name, value)
        grid(**self.settled())

    def __repr__(self) -> str:
        """Show what was given."""
        named = ((field, getattr(self, field.name)) for field in fields(self))
        given = (f"{field.name}={value}" for field, value in named if value != field.default)
        return f"RangeTest({', '.join(given)})"

    def settled(self) -> dict[str, Any]:
        """Return what `grid` and `lr_find` are told."""
        return {
            "start_lr": _START if self.start_lr is None else self.start_lr,
            "end_lr": _END if self.end_lr is None else self.end_lr,
            "num_iter": _STEPS if self.num_iter is None else self.num_iter,
            "furthest": FURTHEST if self.end_lr is None else None,
        }


@dataclass(frozen=True)
class Probes:
    """Short runs after the range test, which try the rates that it makes plausible.

    Attributes:
        number: how many.
        steps: optimizer steps of each; by default total_steps // number, so that all together cost
            at most one training, or what one range test costs if total_steps is unknown.

    Raises:
        UserError: a value cannot be used.
    """

    number: int
    steps: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", whole("the number of probes", self.number, 1))
        if self.steps is not None:
            steps = whole("the steps of a probe", self.steps, FEWEST_STEPS)
            object.__setattr__(self, "steps", steps)
