"""Landmarks of a range test: places on the curve that no single heuristic owns.

All are rates, none depends on the loss's scale or offset, and each is taken from a Gaussian
smoothing on log rate, which does not lag. Unlike the heuristics in shapes.py they are given even
where noise hides much of the descent; how far it does is told beside them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lrsuggest.curves.columns import Ended, Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.reasons import FEWEST_POINTS, Reason
from lrsuggest.curves.heuristics.registry import Abstention
from lrsuggest.curves.smoothing import noise, smooth

_DONE = 0.9  # share of the fall after which little is left to gain
_LOST = 0.5  # share of the fall still held where the rise is half done
_HEAD_DECADES = 1.0  # of the sweep that show where the loss starts
UNSEEN = -9.0
_NOISE_LIMIT = 3.0  # standard deviations of one step's loss that make a blow-up
_STAYS = 2  # steps at the end: one is taken for an outlier


@dataclass(frozen=True)
class Landmarks:
    """Places on one curve, as log10 rates.

    Attributes:
        descended: where nine tenths of the whole fall are done, for the last time before the
            minimum.
        bottom: the minimum.
        rising: past the minimum, where half of the fall is lost again; the blow-up if never.
        blow_up: the first rate from which on the loss stays above its start by more than noise. A
            curve that ends before that is taken to blow up at its next step: it may well have
            been stopped or cut there.
        clarity: log10 of the fall over one step's noise; under about 0 the fall is hard to see,
            and at `UNSEEN` there was none: then only the blow-up means anything.
    """

    descended: float
    bottom: float
    rising: float
    blow_up: float
    clarity: float


@lru_cache(maxsize=16)  # several rules ask for the same curve's
def landmarks(curve: Curve) -> Landmarks | Abstention:
    """Find the landmarks, or say why there are none.

    A curve that rises within its first decade has none, nor one that never moves; noise is no
    reason, nor is a loss that stays level and then rises, as that of a trained network does: how
    high it may go is told all the same. What follows a blow-up changes nothing.
    """
    found = _measure(curve)
    if isinstance(found, Abstention):
        return found
    lr, loss, calm, end = found.lr, found.loss, found.calm, found.end
    x = np.log10(lr)
    if end < FEWEST_POINTS or x[end - 1] - x[0] < _HEAD_DECADES:
        return Abstention(Reason.RISING)
    blow_up = float(x[end]) if end < len(x) else float(2 * x[-1] - x[-2])
    x, loss = x[:end], loss[:end]
    smoothed = loss if curve.smoothed else smooth(lr[:end], loss, "gaussian")
    bottom = int(np.argmin(smoothed))
    fall = found.start - float(smoothed[bottom])
    if bottom < found.head or not fall > found.tiny:
        if np.ptp(calm) <= found.tiny:
            return Abstention(Reason.FLAT)
        return Landmarks(float(x[bottom]), float(x[bottom]), blow_up, blow_up, UNSEEN)
    before = np.flatnonzero(smoothed[: bottom + 1] > found.start - _DONE * fall)
    after = np.flatnonzero(smoothed[bottom:] > found.start - _LOST * fall)
    return Landmarks(
        descended=float(x[before[-1]]) if len(before) else float(x[0]),
        bottom=float(x[bottom]),
        rising=float(x[bottom + after[0]]) if len(after) else blow_up,
        blow_up=blow_up,
        clarity=float(np.log10(fall / found.step)),
    )


def blows_up(curve: Curve) -> bool:
    """Say whether the highest useful rate was seen.

    It was where the test ended for a blow-up or met a loss that is not finite, or where the loss
    stays above its start by more than noise at the curve's end, in two steps at least.
    """
    if curve.ended in (Ended.DIVERGED, Ended.NON_FINITE) or not np.isfinite(curve.loss).all():
        return True
    found = _measure(curve)
    return not isinstance(found, Abstention) and found.end <= len(found.loss) - _STAYS


@dataclass(frozen=True)
class _Measured:
    """The steps that were made, up to the first loss that is not finite.

    Attributes:
        lr: their rates.
        loss: their losses.
        calm: the median of each loss and its neighbours.
        head: how many of them show where the loss starts.
        start: their median.
        tiny: a difference that is none.
        step: standard deviation of one step's loss.
        end: from which step on the loss stays above its start by more than noise.
    """

    lr: Floats
    loss: Floats
    calm: Floats
    head: int
    start: float
    tiny: float
    step: float
    end: int


def _measure(curve: Curve) -> _Measured | Abstention:
    from scipy import ndimage

    lr, loss = curve.lr[~curve.skipped], curve.loss[~curve.skipped]
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        lr, loss = lr[: bad[0]], loss[: bad[0]]
    if len(curve) and not np.isfinite(curve.loss).any():
        return Abstention(Reason.NON_FINITE)
    if len(lr) < FEWEST_POINTS:
        return Abstention(Reason.TOO_SHORT)
    x = np.log10(lr)
    # In decades, not as a share of the points: more points at the end move nothing.
    head = max(FEWEST_POINTS, int(np.searchsorted(x, x[0] + _HEAD_DECADES)))
    start = float(np.median(loss[:head]))
    calm = ndimage.median_filter(loss, 3, mode="nearest")
    lowest = int(np.argmin(calm))
    tiny = 1e-9 * float(np.abs(loss[: max(head, lowest + 1)]).max())
    step = max(noise(loss[: max(head, lowest + 1)]), tiny)
    below = np.flatnonzero(calm <= start + _NOISE_LIMIT * step)
    end = int(below[-1]) + 1 if len(below) else 0
    return _Measured(lr, loss, calm, head, start, tiny, step, end)
