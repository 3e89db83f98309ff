"""Our heuristics of a curve's shape, and the constants they have to beat.

None depends on the loss's scale or offset, and all scale with the rate (constants excepted).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lrsuggest.curves.columns import Ended, Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.reasons import FEWEST_POINTS, Reason
from lrsuggest.curves.heuristics.registry import Abstention, Context, heuristic
from lrsuggest.curves.smoothing import Method, noise, slope, smooth, usable, window


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


@lru_cache(maxsize=16)  # nine heuristics of one curve ask for the same
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
        seen = curve.loss[~curve.skipped]
        blew_up = len(seen) >= FEWEST_POINTS and bool(np.isfinite(seen[: len(lr) + 1]).all())
        return Abstention(Reason.RISING if blew_up else Reason.TOO_SHORT)
    calm = np.array(loss) if curve.smoothed else smooth(lr, loss, "gaussian")
    head = max(3, len(loss) // 10)
    start, bottom = float(np.median(calm[:head])), lowest(calm)
    error = 1.5 * noise(loss) / math.sqrt(1 if curve.smoothed else window(lr))
    threshold = max(5 * error, 1e-12 * float(np.abs(loss).max()))
    if bottom < head or start - calm[bottom] <= threshold:
        if float(np.median(calm[-head:])) - start > threshold:
            return Abstention(Reason.RISING)
        quiet = noise(loss) <= 1e-6 * float(np.abs(loss).max())
        return Abstention(Reason.FLAT if quiet else Reason.NOISE)
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


@heuristic("steepest_robust", "Howard, fast.ai course 2018, lesson 3; median, then Gaussian")
def steepest_robust(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate of the steepest descent before the minimum, spikes taken out."""
    return _steepest(curve, "robust")


def _minimum(curve: Curve) -> float | Abstention:
    """The rate at the smoothed minimum, unless that is where the sweep happened to end."""
    found = descent(curve)
    if isinstance(found, Abstention):
        return found
    swept_out = found.lr[-1] == curve.lr[-1] and curve.ended == Ended.COMPLETED
    if swept_out and not curve.smoothed and found.bottom >= len(found.lr) - 2:
        return Abstention(Reason.EDGE)
    return float(found.lr[found.bottom])


@heuristic("min_10", "Gugger, How Do You Find A Good Learning Rate, 2018; centred smoothing")
def min_10(curve: Curve, context: Context) -> float | Abstention:
    """Return a tenth of the rate at the smoothed minimum."""
    at = _minimum(curve)
    return at if isinstance(at, Abstention) else at / 10


@heuristic("min_100", "Howard, fast.ai course 2018: another 10x smaller; centred smoothing")
def min_100(curve: Curve, context: Context) -> float | Abstention:
    """Return a hundredth of the rate at the smoothed minimum."""
    at = _minimum(curve)
    return at if isinstance(at, Abstention) else at / 100


@heuristic("steepest_min_10", "the geometric mean of the two rules of the fast.ai course")
def steepest_min_10(curve: Curve, context: Context) -> float | Abstention:
    """Return the geometric mean of steepest_gaussian and min_10."""
    slope_at, minimum = _steepest(curve, "gaussian"), _minimum(curve)
    if isinstance(slope_at, Abstention):
        return slope_at
    return minimum if isinstance(minimum, Abstention) else math.sqrt(slope_at * minimum / 10)


@heuristic("blow_up_30", "Smith, arXiv:1803.09820: below the rate of divergence; a thirtieth")
def blow_up_30(curve: Curve, context: Context) -> float | Abstention:
    """Return a thirtieth of the rate at which the loss has risen back to its start."""
    found = descent(curve)
    if isinstance(found, Abstention):
        return found
    beyond = curve.lr[curve.lr > found.lr[-1]]
    return float(beyond[0]) / 30 if len(beyond) else Abstention(Reason.NO_BLOW_UP)


@heuristic("teacher", "Howard, fast.ai course 2018: head by the steepest slope, body by min / 10")
def teacher(curve: Curve, context: Context) -> float | Abstention:
    """Return steepest_gaussian, or min_10 where a pretrained body trains."""
    if context.stage in ("unfrozen", "finetune"):
        return min_10(curve, context)
    return _steepest(curve, "gaussian")
