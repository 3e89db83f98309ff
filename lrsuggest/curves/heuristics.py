"""Readings of a curve: each names a rate to train with, or says why it cannot.

A heuristic is a function of (Curve, Context). `HEURISTICS` holds every one by name, with its
source; `heuristic` registers a newcomer.
"""

import bisect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np

from lrsuggest.curves.curve import Curve, Floats
from lrsuggest.curves.smoothing import (
    Method,
    debiased_moving_average,
    noise,
    slope,
    smooth,
    usable,
    window,
)
from lrsuggest.errors import LrsuggestWarning, UserError

FEWEST_POINTS = 10


class Reason(Enum):
    """Why a reading abstains; the value is the sentence a person reads."""

    TOO_SHORT = f"The curve has fewer than {FEWEST_POINTS} usable points."
    NON_FINITE = "No loss on the curve is finite."
    FLAT = "The loss never fell below its noise: no rate on the curve changed it."
    RISING = "The loss only rose: every rate on the curve was too high, or the loss is negated."
    UNDEFINED = "The published formula has no answer on this curve."


@dataclass(frozen=True)
class Abstention:
    """A reading's answer where the curve supports no rate."""

    reason: Reason


OPTIMIZERS = ("adamw", "adam", "sgd")
STAGES = ("frozen", "unfrozen", "finetune", "scratch")


@dataclass(frozen=True)
class Context:
    """What is known beside the curve; each may be None.

    Attributes:
        optimizer: "adamw", "adam" or "sgd".
        stage: "frozen" (head only), "unfrozen" (after a frozen stage), "finetune" (pretrained,
            all trainable from the start) or "scratch".
        train_steps: optimizer steps planned for the training run.
        batch_size: examples per optimizer step.

    Raises:
        UserError: a name is unknown or a count is not positive.
    """

    optimizer: str | None = None
    stage: str | None = None
    train_steps: int | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("stage", self.stage, STAGES),
        ):
            if value is not None and value not in known:
                raise UserError(
                    f"{name} {value!r} is unknown; use one of {', '.join(known)}, or None"
                )
        for name, count in (("train_steps", self.train_steps), ("batch_size", self.batch_size)):
            if count is not None and count < 1:
                raise UserError(f"{name} must be at least 1, or None; got {count}")


Read = Callable[[Curve, Context], float | Abstention]
Origin = Literal["shape", "peer", "constant"]


@dataclass(frozen=True)
class Heuristic:
    """A reading with its name and source.

    Attributes:
        name: how tables call it.
        read: the function.
        source: the paper, page or release it comes from.
        origin: "shape" (ours, from the curve alone), "peer" (another library's, with that
            library's faults kept) or "constant".
    """

    name: str
    read: Read
    source: str
    origin: Origin

    def __call__(self, curve: Curve, context: Context | None = None) -> float | Abstention:
        """Read the curve; ours are clamped into the swept range, with a warning."""
        pick = self.read(curve, context or Context())
        if self.origin != "shape" or isinstance(pick, Abstention):
            return pick
        low, high = float(curve.lr[0]), float(curve.lr[-1])
        if not low <= pick <= high:
            warnings.warn(
                f"{self.name} points at {pick:.2g}, outside the swept {low:.2g} to {high:.2g}; "
                "the edge is given instead: sweep a wider range",
                LrsuggestWarning,
                stacklevel=2,
            )
        return min(max(pick, low), high)


HEURISTICS: dict[str, Heuristic] = {}


def heuristic(name: str, source: str, origin: Origin = "shape") -> Callable[[Read], Read]:
    """Register the decorated function in `HEURISTICS` under a name."""

    def register(read: Read) -> Read:
        HEURISTICS[name] = Heuristic(name, read, source, origin)
        return read

    return register


@dataclass(frozen=True)
class Descent:
    """The readable part of a curve that does fall.

    Attributes:
        lr: shape (m,).
        loss: shape (m,), smoothed.
        bottom: index of the minimum. It is always found on a Gaussian's smoothing: before the
            sharp rise of a blow-up a Savitzky-Golay filter undershoots, below anything measured.
    """

    lr: Floats
    loss: Floats
    bottom: int


def lowest(values: Floats) -> int:
    """Return the index of the minimum, the first of those within a millionth of the range.

    So that on a plateau rounding does not decide, and a*loss + b reads as loss does.
    """
    bottom = float(values.min())
    return int(np.argmax(values <= bottom + 1e-6 * (float(values.max()) - bottom)))


def descent(curve: Curve, method: Method = "savgol") -> Descent | Abstention:
    """Smooth the readable part of the curve, or say why nothing can be read from it.

    The fall must exceed five standard errors of a smoothed point, which curves of pure noise do
    in three of a hundred (simulated, 30 to 400 points). A parabola fitted to k points has 1.5 /
    sqrt(k) of the noise in its middle.
    """
    lr, loss = usable(curve)
    if len(curve) and not np.isfinite(curve.loss).any():
        return Abstention(Reason.NON_FINITE)
    if len(lr) < FEWEST_POINTS:
        blew_up = np.isfinite(curve.loss[~curve.skipped]).sum() >= FEWEST_POINTS
        return Abstention(Reason.RISING if blew_up else Reason.TOO_SHORT)
    calm = np.array(loss) if curve.smoothed else smooth(lr, loss, "gaussian")
    head = max(3, len(loss) // 10)
    start, bottom = float(np.median(calm[:head])), lowest(calm)
    error = 1.5 * noise(loss) / math.sqrt(1 if curve.smoothed else window(lr))
    threshold = max(5 * error, 1e-12 * float(np.abs(loss).max()))
    if bottom < head or start - calm[bottom] <= threshold:
        rose = float(np.median(calm[-head:])) - start > threshold
        return Abstention(Reason.RISING if rose else Reason.FLAT)
    if method != "gaussian" and not curve.smoothed:
        calm = smooth(lr, loss, method)
    return Descent(lr, calm, bottom)


def _steepest(curve: Curve, method: Method) -> float | Abstention:
    found = descent(curve, method)
    if isinstance(found, Abstention):
        return found
    # Past the minimum a slope is a wobble of the blow-up, not the descent; and within half a window
    # of the end the fit is no longer centred, its slopes are extrapolations.
    last = min(found.bottom, len(found.lr) - 1 - window(found.lr) // 2)
    before = slope(found.lr, found.loss)[: last + 1]
    return float(found.lr[lowest(before)])


@heuristic("steepest", "Howard, fast.ai course 2018, lesson 3; Savitzky-Golay on log rate")
def steepest(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate of the steepest descent before the minimum, Savitzky-Golay smoothed."""
    return _steepest(curve, "savgol")


@heuristic("steepest_gaussian", "Howard, fast.ai course 2018, lesson 3; Gaussian on log rate")
def steepest_gaussian(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate of the steepest descent before the minimum, Gaussian smoothed."""
    return _steepest(curve, "gaussian")


@heuristic("min_10", "Gugger, How Do You Find A Good Learning Rate, 2018; centred smoothing")
def min_10(curve: Curve, context: Context) -> float | Abstention:
    """Return a tenth of the rate at the smoothed minimum."""
    found = descent(curve)
    return found if isinstance(found, Abstention) else float(found.lr[found.bottom]) / 10


def _fastai_view(curve: Curve) -> tuple[Floats, Floats]:
    """The (lr, loss) that fastai 2.8 hands to its suggestion functions.

    The moving average is fastai's, the first tenth and the last five points are dropped, and what
    follows a NaN is cut off. A curve already smoothed was trimmed by the library that drew it.
    """
    lr, loss = curve.lr, curve.loss
    if not curve.smoothed:
        loss = debiased_moving_average(loss)
        lr, loss = lr[len(lr) // 10 : -5], loss[len(loss) // 10 : -5]
    nan = np.flatnonzero(np.isnan(loss))
    return (lr[: nan[0]], loss[: nan[0]]) if len(nan) else (lr, loss)


@heuristic("fastai_valley", "fastai 2.8.12, fastai/callback/schedule.py, valley", origin="peer")
def fastai_valley(curve: Curve, context: Context) -> float | Abstention:
    """Return fastai's default: two thirds along the longest decreasing subsequence.

    With length s, ending at the first index e that reaches it, the answer stands at index
    (e - s) + floor(s / 3) + floor(s / 6), which may be -1, the last rate; a curve that never
    falls (s = 1) gives its first. Found by patience sorting in O(n log n); fastai takes O(n^2).
    """
    lr, loss = _fastai_view(curve)
    if not len(lr):
        return Abstention(Reason.UNDEFINED)
    tops: list[float] = []  # tops[k]: the largest loss that ends a falling run of k + 1
    longest, end = 0, 0
    for index, value in enumerate(-loss):
        place = bisect.bisect_left(tops, value)
        tops[place : place + 1] = [value]
        if place + 1 > longest:
            longest, end = place + 1, index
    if longest == 1:
        return float(lr[0])
    return float(lr[(end - longest) + longest // 3 + longest // 6])


def _register_constants() -> None:
    """Register the grid of constants: 1e-4 to 1e-1, three per decade."""
    for third in range(10):
        rate = float(f"{10 ** (-4 + third / 3):.1g}")
        name = f"constant {rate:.0e}".replace("e-0", "e-")

        def read(curve: Curve, context: Context, rate: float = rate) -> float | Abstention:
            return rate

        HEURISTICS[name] = Heuristic(name, read, "a fixed rate, the one to beat", "constant")


_register_constants()


def read_all(
    curve: Curve, context: Context | None = None, *, constants: bool = False
) -> dict[str, float | Abstention]:
    """Return every registered reading of the curve by name, constants only if asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        return {
            name: each(curve, context)
            for name, each in HEURISTICS.items()
            if constants or each.origin != "constant"
        }


def is_rate(pick: float | Abstention) -> bool:
    """Say whether a reading gave a usable rate."""
    return not isinstance(pick, Abstention) and math.isfinite(pick) and pick > 0
