"""Where steps stop winning what their slopes promise: what only a sweep of ours can tell.

At a small rate a step wins on its own batch what the slope along it says, at the best rate along a
parabola half of that, and beyond twice that rate nothing (see `Curve.gain`).
"""

from dataclasses import dataclass

import numpy as np

from lrsuggest.curves.curve import Curve

_HALF, _QUARTER = 0.5, 0.25
_DECADES = 0.56  # over which a median is taken, but of three steps at least
_FEWEST = 10
_MOST = 2.0  # a gain beyond this either way says no more than this


@dataclass(frozen=True)
class Gains:
    """What the steps of a sweep tell beside its losses.

    Attributes:
        half: log10 of the last rate at which a step wins more than half of what its slope
            promises.
        quarter: the same of a quarter.
        reach: log10 of the weights' size over that of a step at a rate of 1, in the first third
            of the sweep.
    """

    half: float
    quarter: float
    reach: float


def gains(curve: Curve) -> Gains | None:
    """Read them from a curve; None where it has no such columns, or nothing to tell."""
    from scipy import ndimage

    if curve.measured is None or curve.gain is None:
        return None
    x, total = np.log10(curve.lr), curve.measured.total
    seen = np.isfinite(curve.gain)
    if seen.sum() < _FEWEST:
        return None
    x, gain = x[seen], np.clip(curve.gain[seen], -_MOST, _MOST)
    width = max(3, 2 * round(_DECADES / max(curve.step_decades, 1e-9) / 2) + 1)
    calm = ndimage.median_filter(gain, width, mode="nearest")
    half, quarter = (np.flatnonzero(calm > share) for share in (_HALF, _QUARTER))
    third = slice(len(curve) // 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.log10(total["weight_norm"] * curve.lr / total["step_norm"])[third]
    reach = reach[np.isfinite(reach)]
    if not len(half) or not len(reach):
        return None
    return Gains(float(x[half[-1]]), float(x[quarter[-1]]), float(np.median(reach)))
