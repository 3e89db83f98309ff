"""Lessons: what hand-picked and suggested rates were worth, stage by stage and as whole chains.

*Branch*: at each stage every contestant trains from the same checkpoint with the same data orders.
*Autopilot*: whole chains at suggested rates, found anew at each stage, beside whole chains at
hand-picked ones, seed by seed in the same data orders. Tables only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lrsuggest.curves.curve import Floats
from lrsuggest.errors import UserError
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import Response, TaskEvidence

SUGGESTED = "suggested"
FEWEST = 3  # seeds under which nothing is said of which is better
LESSONS = (
    "lesson", "title", "family", "model", "optimizer", "schedule", "metric", "margin", "skipped",
    "device", "fingerprint", "versions",
)  # fmt: skip
STAGES = (
    "lesson", "number", "task", "stage", "size", "batch", "epochs", "steps", "weight_decay",
    "precision",
)  # fmt: skip
CHAINS = (
    "lesson", "pilot", "precision", "seed", "number", "lr", "low", "status", "loss", "value",
    "seconds", "peak_mb",
)  # fmt: skip
NAMED = ("lesson", "number", "contestant", "where", "lr", "low", "seed", "loss", "value")
TEST = 0  # stage number of the one look at the test split


class Verdict(StrEnum):
    """What the interval of the difference allows to say, the margin being fixed beforehand."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Comparison:
    """Ours against theirs, in the metric's units, positive where ours is better.

    `low` and `high` are the 95 % t interval of the mean over the n seeds that both ended.
    """

    difference: float
    low: float
    high: float
    n: int
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Trace:
    """One stage of a chain as it was trained, for the eye.

    Attributes:
        pilot: whose rates.
        number: of the stage, 1 is the first.
        lr: shape (n,), the largest group's rate at each optimizer step.
        loss: shape (n,), training loss before each step.
        looks: (step, validation loss).
        shown: a compressed .npz with a few validation inputs, targets and outputs, or None.
    """

    pilot: str
    number: int
    lr: Floats
    loss: Floats
    looks: tuple[tuple[int, float], ...]
    shown: bytes | None = None


@dataclass(frozen=True, eq=False)
class LessonEvidence:
    """All that was measured of one lesson, but for its stages' responses.

    Attributes:
        facts: what LESSONS names, as text.
        stages: columns STAGES, a stage a row.
        chains: columns CHAINS, a stage of a chain a row, number 0 the look at the test split;
            `low` is empty without a slice, `loss` infinite and `value` empty after a divergence.
        named: columns NAMED, a run of a contestant at a stage a row; one whose rate lies within
            10 % of another's shares that one's runs.
        traces: of seed 0's chains in fp32.
        planned: how many range tests, runs and test looks its chains had to make; what would have
            followed a divergence does not count.
        unreached: how many of them wait for one that has no result.
    """

    facts: Mapping[str, str]
    stages: pd.DataFrame
    chains: pd.DataFrame
    named: pd.DataFrame
    traces: tuple[Trace, ...] = ()
    planned: int = 0
    unreached: int = 0

    @property
    def name(self) -> str:
        """The lesson's name."""
        return self.facts["lesson"]

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better; errors are better low."""
        return self.facts["metric"] == "accuracy"

    @property
    def margin(self) -> float:
        """How much worse still counts as not worse."""
        return float(self.facts["margin"])


def compare(ours: ArrayLike, theirs: ArrayLike, *, margin: float, higher: bool) -> Comparison:
    """Compare two contestants seed by seed.

    "Not worse" wants the interval's lower end above -margin, "better" above 0, "worse" its upper
    end below -margin; under three seeds, or with the interval in between, it is undecided. Whoever
    diverged more often is worse, whatever the others gave.

    Args:
        ours: shape (n,), a metric per seed, NaN where the run diverged.
        theirs: the same seeds in the same order.
        margin: in the metric's units.
        higher: whether more is better.
    """
    mine, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    both = np.isfinite(mine) & np.isfinite(other)
    gain = (mine - other)[both] * (1 if higher else -1)
    n = len(gain)
    mean = float(gain.mean()) if n else math.nan
    half = math.inf
    if n > 1:
        from scipy import stats

        half = float(stats.t.ppf(0.975, n - 1) * gain.std(ddof=1) / math.sqrt(n))
    low, high = mean - half, mean + half
    lost = int(np.isnan(mine).sum()) - int(np.isnan(other).sum())
    verdict = Verdict.UNDECIDED
    if lost:
        verdict = Verdict.WORSE if lost > 0 else Verdict.NOT_WORSE
    elif n >= FEWEST:
        if high < -margin:
            verdict = Verdict.WORSE
        elif low > 0:
            verdict = Verdict.BETTER
        elif low > -margin:
            verdict = Verdict.NOT_WORSE
    return Comparison(mean, low, high, n, verdict)


def _by_seed(rows: pd.DataFrame, seeds: Sequence[int], column: str = "value") -> Floats:
    found = rows.set_index("seed")[column].reindex(list(seeds))
    return np.asarray(found, np.float64)


def branches(lesson: LessonEvidence, tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per stage and named contestant: its rate, metric, regret, and a comparison.

    Columns: number, contestant, where, lr, low, n (runs that ended), diverged, mean and sd (of the
    metric), loss, regret, and `against`, a Comparison with the hand-picked rate (None for itself).
    """
    responses: dict[str, Response | None] = {task.label: task.response for task in tasks}
    labels = lesson.stages.set_index("number").task
    rows = []
    for number, stage in lesson.named.groupby("number", sort=True):
        seeds = sorted(stage.seed.unique())
        theirs = _by_seed(stage[stage.contestant == HAND_PICKED], seeds)
        response = responses.get(labels[number])
        for name, here in stage.groupby("contestant", sort=False):
            values = _by_seed(here, seeds)
            losses = _by_seed(here, seeds, "loss")
            fits = response is not None and response.ready and len(response.loss) == len(losses)
            rows.append(
                {
                    "number": number, "contestant": name, "where": here["where"].iloc[0],
                    "lr": here.lr.iloc[0], "low": here.low.iloc[0],
                    "n": int(np.isfinite(values).sum()), "diverged": int(np.isinf(losses).sum()),
                    **_spread(values), "loss": float(np.mean(losses)),
                    "regret": response.regret_of(losses) if fits and response else math.nan,
                    "against": None if name == HAND_PICKED else compare(
                        values, theirs, margin=lesson.margin, higher=lesson.higher),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _spread(values: Floats) -> dict[str, float]:
    ended = values[np.isfinite(values)]
    return {
        "mean": float(ended.mean()) if len(ended) else math.nan,
        "sd": float(ended.std(ddof=1)) if len(ended) > 1 else math.nan,
    }


def autopilot(lesson: LessonEvidence) -> pd.DataFrame:
    """Return a row per number format and stage: both chains' rates and metrics, and a comparison.

    Columns: precision, number (0 is the test split, after the last stage), theirs and ours (rates,
    a tuple of (low or NaN, maximum) per seed), n, their_mean, their_sd, our_mean, our_sd,
    their_seconds, our_seconds (medians), our_peak_mb and `against`, a Comparison. A chain that
    diverged at a stage has diverged at all that follow.
    """
    rows = []
    last = int(lesson.stages.number.max())
    their_rows = lesson.chains[lesson.chains.pilot == HAND_PICKED]
    for precision, ours in lesson.chains[lesson.chains.pilot == SUGGESTED].groupby(
        "precision", sort=False
    ):
        seeds = sorted(set(ours.seed) & set(their_rows.seed))
        numbers = [*range(1, last + 1), *([TEST] if (lesson.chains.number == TEST).any() else [])]
        for number in numbers:
            mine, other = (each[each.number == number] for each in (ours, their_rows))
            if not len(mine) and not len(other):
                continue
            values, theirs = (_by_seed(each, seeds) for each in (mine, other))
            rows.append(
                {
                    "precision": precision, "number": number, "theirs": _rates(other),
                    "ours": _rates(mine), "n": int((~np.isnan(values)).sum()),
                    **{f"their_{k}": v for k, v in _spread(theirs).items()},
                    **{f"our_{k}": v for k, v in _spread(values).items()},
                    "their_seconds": float(other.seconds.median()),
                    "our_seconds": float(mine.seconds.median()),
                    "our_peak_mb": float(mine.peak_mb.max()),
                    "against": compare(
                        values, theirs, margin=lesson.margin, higher=lesson.higher),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _rates(rows: pd.DataFrame) -> tuple[tuple[float, float], ...]:
    pairs = rows.sort_values("seed")[["low", "lr"]].to_numpy(float)
    return tuple((float(low), float(top)) for low, top in pairs)


def load(folder: Path) -> list[LessonEvidence]:
    """Load recorded lessons: lessons.csv, stages.csv, chains.csv and named.csv.

    Raises:
        UserError: the folder holds no such tables.
    """
    try:
        facts = pd.read_csv(folder / "lessons.csv", dtype=str, keep_default_na=False)
        stages, chains, named = (
            pd.read_csv(folder / f"{name}.csv", keep_default_na=True)
            for name in ("stages", "chains", "named")
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no recorded lessons ({error}); give the folder of lessons.csv, "
            "stages.csv, chains.csv and named.csv"
        ) from None
    named["where"] = named["where"].fillna("")
    return [
        LessonEvidence(
            {str(k): str(v) for k, v in row.items()},
            *(each[each.lesson == row["lesson"]] for each in (stages, chains, named)),
        )
        for row in facts.to_dict("records")
    ]
