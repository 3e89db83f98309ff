"""Smoothing on the logarithm of the rate, without the lag of a moving average.

A moving average looks back only: after a step in the loss it shows half of the fall 1.9 decades
late (beta .98, 100 steps over 8 decades), so every slope read from it sits at too high a rate.
The filters here are centred. Their widths are in decades, so a heuristic means the same whatever
the number of steps.
"""

from typing import Literal

import numpy as np

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve

Method = Literal["savgol", "gaussian", "robust"]

_SAVGOL_DECADES = 1.0  # window of the Savitzky-Golay filter, end to end
_GAUSSIAN_DECADES = 0.25  # standard deviation of the Gaussian
_MEDIAN_DECADES = 0.5  # window of the running median, end to end


def window(lr: Floats) -> int:
    """Return how many points the Savitzky-Golay filter takes in: a decade's, odd, at least 5.

    Args:
        lr: shape (n,), rising, n >= 5.
    """
    spacing = float(np.log10(lr[-1] / lr[0])) / (len(lr) - 1)
    wanted = 2 * max(2, round(_SAVGOL_DECADES / spacing / 2)) + 1
    return min(wanted, len(lr) - 1 + len(lr) % 2)


def smooth(lr: Floats, loss: Floats, method: Method = "savgol") -> Floats:
    """Return the losses smoothed over log10 rate, shape (n,).

    "savgol" fits a parabola in a window of one decade (Savitzky and Golay, Analytical Chemistry
    36(8), 1964) and so keeps the place and depth of a minimum; "gaussian" averages with a
    standard deviation of a quarter decade; "robust" takes a running median over half a
    decade first, so that spikes do not count. Unevenly spaced rates are first put on an even grid.
    Under five points nothing is smoothed.

    Args:
        lr: shape (n,), rising.
        loss: shape (n,), finite.
        method: the filter.
    """
    from scipy import ndimage, signal  # 0.7 s that not every command needs

    if len(lr) < 5:
        return np.array(loss)
    x = np.log10(lr)
    even = np.linspace(x[0], x[-1], len(x))
    spacing = even[1] - even[0]
    is_even = bool(np.abs(x - even).max() < 0.01 * spacing)
    y = loss if is_even else np.interp(even, x, loss)
    if method == "savgol":
        out = signal.savgol_filter(y, window(lr), polyorder=2, mode="interp")
    else:
        if method == "robust":
            points = 2 * max(1, round(_MEDIAN_DECADES / spacing / 2)) + 1
            y = ndimage.median_filter(y, points, mode="nearest")
        out = ndimage.gaussian_filter1d(y, _GAUSSIAN_DECADES / spacing, mode="nearest")
    return np.asarray(out if is_even else np.interp(x, even, out), dtype=np.float64)


def slope(lr: Floats, loss: Floats) -> Floats:
    """Return d loss / d log10(lr) at each rate, shape (n,), by central differences."""
    return np.asarray(np.gradient(loss, np.log10(lr)))


def usable(curve: Curve) -> tuple[Floats, Floats]:
    """Return the part of the curve that can be read: (lr, loss), shapes (m,), all finite.

    Steps the optimizer skipped are dropped: they saw no update. The curve is cut at its first
    non-finite loss, and where, past its minimum, the loss has risen back above the start: what
    follows a blow-up says nothing of the rates before it. The level of the start is the median of
    the first tenth of the points; the rise is taken on a running median of three, so that one
    spike is not a blow-up. Both commute with a*loss + b, a > 0.
    """
    from scipy import ndimage

    lr, loss = curve.lr[~curve.skipped], curve.loss[~curve.skipped]
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        lr, loss = lr[: bad[0]], loss[: bad[0]]
    if len(loss) < 3:
        return lr, loss
    calm = ndimage.median_filter(loss, 3, mode="nearest")
    head = max(3, len(loss) // 10)
    start = float(np.median(loss[:head]))
    bottom = int(np.argmin(calm))
    blown = np.flatnonzero(calm[bottom:] > start)
    if len(blown) and bottom >= head:  # with the minimum in the head, nothing ever fell
        end = bottom + int(blown[0])
        lr, loss = lr[:end], loss[:end]
    return lr, loss


def noise(loss: Floats) -> float:
    """Return the standard deviation of the step-to-step noise, in the loss's units.

    From the median absolute second difference, which a smooth trend hardly moves; 1.4826 makes it
    a standard deviation under normal noise, sqrt(6) is the second difference's own factor.
    """
    if len(loss) < 4:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(loss, 2))) / np.sqrt(6))
