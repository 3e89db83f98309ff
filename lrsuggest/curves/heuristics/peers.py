"""What other learning rate finders record and answer, with their faults kept.

Each peer is two functions: what its own loop would have recorded of these raw losses (its
smoothing and its stop rule), and what it reads from that. Arithmetic is in the peer's own
precision. Where the peer raises or answers None, the heuristic abstains.

Releases: fastai 2.8.12 (callback/schedule.py, learner.py), fastai 1.0.61 (basic_train.py),
pytorch-lightning 2.6.6 (tuner/lr_finder.py), torch-lr-finder 0.2.2 (lr_finder.py),
pytorch-ignite 0.5.5 (handlers/lr_finder.py).
"""

import bisect
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Abstention, Context, heuristic

Singles = NDArray[np.float32]
_UNDEFINED = Abstention(Reason.UNDEFINED)


def fastai_record(loss: Floats) -> Floats:
    """Return what fastai records: average with beta .98, debiased; stops above 4 x its best."""
    average, best, out = np.float32(0), math.inf, []
    for count, value in enumerate(loss.astype(np.float32), start=1):
        # torch.lerp's own form, which decides the last bit.
        average = average - (average - value) * np.float32(1 - 0.98)
        smooth = float(average / np.float32(1 - 0.98**count))
        out.append(smooth)
        best = min(best, smooth) if smooth == smooth else best
        if smooth > 4 * best:
            break
    return np.array(out)


def lightning_record(loss: Floats) -> Floats:
    """Return what Lightning records: beta .98, debiased by one step too many, 4 x its best."""
    average = best = 0.0
    out: list[float] = []
    for step, value in enumerate(loss.tolist(), start=1):
        average = 0.98 * average + (1 - 0.98) * value
        smooth = average / (1 - 0.98 ** (step + 1))
        out.append(smooth)
        if step > 1 and smooth > 4 * best:
            break
        if smooth < best or step == 1:
            best = smooth
    return np.array(out)


def twentieth_record(loss: Floats) -> Floats:
    """Return what torch-lr-finder and ignite record: .05 new + .95 old; 5 x their best."""
    out: list[float] = []
    best = math.inf
    for value in loss.tolist():
        smooth = 0.05 * value + (1 - 0.05) * out[-1] if out else value
        # The first value is the best so far whatever it is, NaN included.
        best = smooth if not out or smooth < best else best
        out.append(smooth)
        if smooth > 5 * best:
            break
    return np.array(out)


def recorded(
    curve: Curve, record: Callable[[Floats], Floats], first: int, last: int
) -> tuple[Floats, Floats]:
    """Return (lr, loss) as the peer reads them, `first` points dropped and all from `last` on.

    A curve that another library smoothed was also trimmed by it, and is taken as it is.
    """
    if curve.smoothed:
        return curve.lr, curve.loss
    loss = record(curve.loss)
    lr = curve.lr[: len(loss)]
    end = len(loss) + last
    return lr[first : max(end, 0)], loss[first : max(end, 0)]


def _fastai(curve: Curve) -> tuple[Singles, Singles]:
    """What fastai hands to its suggestion functions: [steps // 10 : -5], cut at the first NaN."""
    lr, loss = recorded(curve, fastai_record, len(curve) // 10, -5)
    nan = np.flatnonzero(np.isnan(loss))
    end = int(nan[0]) if len(nan) else len(loss)
    return lr[:end].astype(np.float32), loss[:end].astype(np.float32)


@heuristic("fastai_minimum", "fastai 2.8.12, callback/schedule.py, minimum", origin="peer")
def fastai_minimum(curve: Curve, context: Context) -> float | Abstention:
    """Return a tenth of the rate at the lowest recorded loss."""
    lr, loss = _fastai(curve)
    return float(lr[int(np.argmin(loss))]) / 10 if len(lr) else _UNDEFINED


@heuristic("fastai_steep", "fastai 2.8.12, callback/schedule.py, steep", origin="peer")
def fastai_steep(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate where the forward difference over log rate is lowest."""
    lr, loss = _fastai(curve)
    if len(lr) < 2:
        return _UNDEFINED
    return float(lr[int(np.argmin(np.diff(loss) / np.diff(np.log(lr))))])


@heuristic("fastai_valley", "fastai 2.8.12, callback/schedule.py, valley", origin="peer")
def fastai_valley(curve: Curve, context: Context) -> float | Abstention:
    """Return fastai's default: two thirds along the longest decreasing subsequence.

    With length s, ending at the first index e that reaches it, the answer stands at index
    (e - s) + floor(s / 3) + floor(s / 6), which may be -1, the last rate; a curve that never
    falls (s = 1) gives its first. Found by patience sorting in O(n log n); fastai takes O(n^2).
    """
    lr, loss = _fastai(curve)
    if not len(lr):
        return _UNDEFINED
    tops: list[float] = []  # tops[k]: the largest loss that ends a falling run of k + 1
    longest, end = 0, 0
    for index, value in enumerate((-loss).tolist()):
        place = bisect.bisect_left(tops, value)
        tops[place : place + 1] = [value]
        if place + 1 > longest:
            longest, end = place + 1, index
    if longest == 1:
        return float(lr[0])
    return float(lr[(end - longest) + longest // 3 + longest // 6])


@heuristic("fastai_slide", "fastai 2.8.12, callback/schedule.py, slide", origin="peer")
def fastai_slide(curve: Curve, context: Context) -> float | Abstention:
    """Walk left from the end until the gradient changes by at most .005 over 15 points."""
    lr, loss = _fastai(curve)
    if len(lr) < 16:
        return _UNDEFINED
    grad = np.gradient(loss)
    right, left = -1, -16
    pick = lr[left]
    while left >= -len(loss) and abs(grad[right] - grad[left]) > 0.005:
        pick = lr[left]
        right, left = right - 1, left - 1
    return float(pick)


@heuristic("fastai1_gradient", "fastai 1.0.61, basic_train.py, Recorder.plot", origin="peer")
def fastai1_gradient(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate at the lowest gradient by index, points [10 : -5]."""
    lr, loss = recorded(curve, fastai_record, 10, -5)
    return float(lr[int(np.argmin(np.gradient(loss)))]) if len(lr) >= 2 else _UNDEFINED


@heuristic("lightning", "pytorch-lightning 2.6.6, tuner/lr_finder.py, suggestion", origin="peer")
def lightning(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate at the lowest gradient over the linear rate, points [10 : -1], finite."""
    lr, loss = recorded(curve, lightning_record, 10, -1)
    single, finite = loss.astype(np.float32), np.isfinite(loss.astype(np.float32))
    if finite.sum() < 2:
        return _UNDEFINED
    grad = np.gradient(single[finite], lr.astype(np.float32)[finite])
    return float(lr[finite][int(np.argmin(grad))])


@heuristic("torch_lr_finder", "torch-lr-finder 0.2.2, lr_finder.py, plot", origin="peer")
def torch_lr_finder(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate at the lowest gradient by index, points [10 : -5], at least 17 recorded."""
    lr, loss = recorded(curve, twentieth_record, 10, -5)
    if len(lr) < 2:
        return _UNDEFINED
    return float(lr[int(np.argmin(np.gradient(loss)))])


@heuristic("ignite", "pytorch-ignite 0.5.5, handlers/lr_finder.py, lr_suggestion", origin="peer")
def ignite(curve: Curve, context: Context) -> float | Abstention:
    """Return the rate at the lowest central difference before the minimum, untrimmed.

    Ignite's recorded rate is one step ahead of the one it used; here the used one is answered.
    """
    lr, loss = recorded(curve, twentieth_record, 0, 0)
    single = loss.astype(np.float32)
    if not len(single):
        return _UNDEFINED
    before = single[: int(np.argmin(single)) + 1]
    if len(before) < 3:
        return _UNDEFINED
    central = np.float32(0.5) * (before[2:] - before[:-2])
    return float(lr[int(np.argmin(central)) + 1])
