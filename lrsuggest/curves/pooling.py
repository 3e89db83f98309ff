"""Several range tests of one learner as one curve, so that a lucky batch decides nothing."""

from collections.abc import Sequence

import numpy as np

from lrsuggest.curves.columns import Ended, Floats, Measured
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError


def _measured(curve: Curve) -> int:
    """Return how many points count: up to the first non-finite loss, that one included."""
    bad = np.flatnonzero(~np.isfinite(curve.loss))
    return int(bad[0]) + 1 if len(bad) else len(curve)


def _level(curve: Curve) -> float:
    """Return the level of the start: the median of the first tenth, at least three points."""
    head = curve.loss[: max(3, len(curve) // 10)]
    head = head[np.isfinite(head)]
    return float(np.median(head)) if len(head) else 0.0


def pool(curves: Sequence[Curve]) -> Curve:
    """Return the pointwise median of several range tests over the same rates.

    Each curve is centred on its own start level first, so that sweeps of different levels do not
    take turns at being the median; the median level is added back. The pooled test ends where
    the sweep of (lower) median length ends, and as that one did. Beyond its own end, a sweep that
    blew up counts as above all others, or the survivors alone would be heard; one whose data ran
    out does not count there. A step is marked skipped where more than half skipped it. What was
    seen of each step is pooled likewise, step by step. One curve is handed back as it is.

    The median of k sweeps of normal noise has about 1.25 / sqrt(k) of the noise of one.

    Args:
        curves: at least one, each a prefix of the same grid of rates, all smoothed or none.

    Raises:
        UserError: there are none, or their rates or smoothing differ.
    """
    if not curves:
        raise UserError("there are no curves to pool; give at least one")
    if len(curves) == 1:
        return curves[0]
    if len({curve.smoothed for curve in curves}) > 1:
        raise UserError("some of the curves are smoothed and some are not; pool either kind alone")
    grid = max(curves, key=len).lr
    for number, curve in enumerate(curves):
        if not np.allclose(curve.lr, grid[: len(curve)], rtol=1e-6, atol=0):
            raise UserError(
                f"curves can be pooled over the same rates only; curve {number} departs from the "
                "others': sweep all from the same start to the same end in as many steps"
            )
    ends = [_measured(curve) for curve in curves]
    median = sorted(range(len(curves)), key=lambda k: ends[k])[(len(curves) - 1) // 2]
    length, ended = ends[median], curves[median].ended
    levels = [_level(curve) for curve in curves]
    table = np.array(
        [_row(*each, length) for each in zip(curves, ends, levels, strict=True)], dtype=np.float64
    )
    skips = np.array([np.append(c.skipped, np.zeros(len(grid), bool))[:length] for c in curves])
    loss = np.nanmedian(table, axis=0) + np.median(levels) if length else np.array([])
    return Curve(
        grid[:length],
        loss,
        smoothed=curves[0].smoothed,
        skipped=skips.sum(axis=0) > len(curves) / 2,
        ended=ended,
        measured=_seen(curves, loss),
    )


def _seen(curves: Sequence[Curve], loss: Floats) -> Measured | None:
    """Return the medians of what was seen of each step, the falls below the pooled losses.

    None where one of the curves has nothing of the kind, or other groups.
    """
    seen = [curve.measured for curve in curves if curve.measured is not None]
    if len(seen) < len(curves) or len({each.groups for each in seen}) > 1 or not len(loss):
        return None
    falls = [curve.loss - each.loss_after for curve, each in zip(curves, seen, strict=True)]
    sizes = (
        _median([getattr(each, name) for each in seen], len(loss))
        for name in ("slope", "step_norm", "weight_norm")
    )
    return Measured(loss - _median(falls, len(loss)), *sizes)


def _median(columns: Sequence[Floats], length: int) -> Floats:
    """Return the median of each step's values, those that are none left out; NaN of none."""
    table = np.full((len(columns), length, *columns[0].shape[1:]), np.nan)
    for row, column in zip(table, columns, strict=True):
        row[: len(column)] = column[:length]
    known = np.isfinite(table).any(axis=0)
    found = np.full(table.shape[1:], np.nan)
    found[known] = np.nanmedian(np.where(np.isfinite(table), table, np.nan)[:, known], axis=0)
    return found


def _row(curve: Curve, end: int, level: float, length: int) -> Floats:
    """Return one sweep's centred losses, shape (length,): inf once it blew up, NaN unmeasured."""
    blew_up = curve.ended in (Ended.DIVERGED, Ended.NON_FINITE) or end < len(curve)
    row = np.full(length, np.inf if blew_up else np.nan)
    seen = min(end, length)
    row[:seen] = np.where(np.isfinite(curve.loss[:seen]), curve.loss[:seen] - level, np.inf)
    return row
