"""What a comparison of two contestants, seed by seed, allows to say."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

FEWEST = 3  # seeds under which nothing is said of which is better


class Outcome(StrEnum):
    """What the interval of the difference allows to say, the margin being fixed beforehand."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WITHIN = "worse within the margin"
    WORSE = "worse"
    UNDECIDED = "undecided"
    MISSING = "not measured"


@dataclass(frozen=True)
class PairedComparison:
    """Ours against theirs, in the metric's units, positive where ours is better.

    `low` and `high` are the 95 % t interval of the mean over the n seeds that both ended. `lost`
    counts the divergences of ours and of theirs, `missing` the seeds without a run of either.
    """

    difference: float
    low: float
    high: float
    n: int
    outcome: Outcome
    lost: tuple[int, int] = (0, 0)
    missing: int = 0


def compare(ours: ArrayLike, theirs: ArrayLike, *, margin: float, higher: bool) -> PairedComparison:
    """Compare two contestants seed by seed.

    "Not worse" wants the interval's lower end above -margin; where the whole interval lies between
    that and 0 it is "worse within the margin". "Better" wants it above 0, "worse" its upper end
    below -margin. Under three seeds that both ended, or with an interval that reaches across
    -margin, nothing is decided, though it may all lie below 0. Whoever diverges more
    often cannot be better: ours is then worse, theirs leaves the claim to the other seeds. One run
    that is missing, and nothing is said.

    Args:
        ours: shape (n,), a metric per seed; infinite where the run diverged, NaN where it is
            missing.
        theirs: the same seeds in the same order.
        margin: in the metric's units.
        higher: whether more is better.
    """
    mine, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    missing = int((np.isnan(mine) | np.isnan(other)).sum())
    lost = int(np.isinf(mine).sum()), int(np.isinf(other).sum())
    both = np.isfinite(mine) & np.isfinite(other)
    gain = (mine[both] - other[both]) * (1 if higher else -1)
    n = len(gain)
    mean = float(gain.mean()) if n else math.nan
    half = math.inf
    if n > 1:
        from scipy import stats

        half = float(stats.t.ppf(0.975, n - 1) * gain.std(ddof=1) / math.sqrt(n))
    low, high = mean - half, mean + half
    outcome = Outcome.UNDECIDED
    if missing:
        outcome = Outcome.MISSING
    elif n >= FEWEST or (len(mine) >= FEWEST and lost[0] > lost[1]):
        if lost[0] > lost[1] or high < -margin:
            outcome = Outcome.WORSE
        elif low > 0:
            outcome = Outcome.BETTER
        elif low > -margin:
            outcome = Outcome.WITHIN if high < 0 else Outcome.NOT_WORSE
    return PairedComparison(mean, low, high, n, outcome, lost, missing)
