"""Lessons: what hand-picked and suggested rates were worth, stage by stage and as whole chains.

*Branch*: at each stage every contestant trains from the same checkpoint with the same data orders.
*Autopilot*: whole chains at suggested rates, found anew at each stage, beside whole chains at
hand-picked ones, seed by seed in the same data orders. Tables only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lrsuggest.curves.columns import Floats
from lrsuggest.evidence.paired import compare
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import Response, TaskEvidence

SUGGESTED = "suggested"
LESSONS = (
    "lesson", "title", "family", "model", "optimizer", "schedule", "metric", "margin", "skipped",
    "seeds", "chain_seeds", "device", "fingerprint", "versions",
)  # fmt: skip
STAGES = (
    "lesson", "number", "task", "stage", "size", "batch", "epochs", "steps", "weight_decay",
    "precision", "course",
)  # fmt: skip
CHAINS = (
    "lesson", "pilot", "precision", "seed", "number", "lr", "low", "status", "loss", "value",
    "seconds", "peak_mb", "format",
)  # fmt: skip
NAMED = ("lesson", "number", "contestant", "where", "lr", "low", "seed", "loss", "value")
TEST = 0  # stage number of the one look at the test split


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


@dataclass(frozen=True, eq=False, kw_only=True)
class LessonEvidence:
    """All that was measured of one lesson, but for its stages' responses.

    Attributes:
        name: of the lesson.
        title: the dataset's.
        family: the dataset's.
        model: as datasets.toml names it.
        optimizer: its name.
        schedule: of the rate at every stage.
        metric: name of what is compared, "" where nothing was measured.
        margin: how much worse, in the metric's units, still counts as not worse.
        stages: columns STAGES, a stage a row.
        chains: columns CHAINS, a stage of a chain a row, number 0 the look at the test split;
            `low` is empty without a slice, `loss` infinite and `value` empty after a divergence.
        named: columns NAMED, a run of a contestant at a stage a row; one whose rate lies within
            10 % of another's shares that one's runs.
        seeds: how many seeds the stages' contestants have.
        chain_seeds: how many seeds the chains have.
        skipped: what was asked for and not worth running, in words.
        device: class of device.
        fingerprint: digest of the data's files.
        versions: what they ran with, in words.
        traces: of seed 0's chains in fp32; tables hold none.
    """

    name: str
    title: str
    family: str
    model: str
    optimizer: str
    schedule: str
    metric: str
    margin: float
    stages: pd.DataFrame
    chains: pd.DataFrame
    named: pd.DataFrame
    seeds: int = 1
    chain_seeds: int = 1
    skipped: str = ""
    device: str = ""
    fingerprint: str = ""
    versions: str = ""
    traces: tuple[Trace, ...] = ()

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better; errors are better low."""
        return self.metric == "accuracy"


def _by_seed(rows: pd.DataFrame, seeds: Sequence[int], number: int | None = None) -> Floats:
    """Return the metric of each seed: infinite once it has diverged, NaN where there is no run.

    With a stage's number the rows are a chain's, which has diverged at every stage after the one
    it diverged at.
    """
    found = np.full(len(seeds), np.nan)
    for at, seed in enumerate(seeds):
        mine = rows[rows.seed == seed]
        here = mine if number is None else mine[mine.number == number]
        if np.isinf(mine.loss).any():
            ended = len(here) and np.isfinite(here.loss).all()
            found[at] = here["value"].iloc[0] if ended else np.inf
        elif len(here):
            found[at] = here["value"].iloc[0]
    return found


def branches(lesson: LessonEvidence, tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per stage and named contestant: its rate, metric, regret, and a comparison.

    Columns: number, contestant, where, lr, low, per_seed (metrics, as `compare` takes them), n,
    mean and sd (of those that ended), loss, regret, error (the stage's standard error in regret)
    and `against`, a PairedComparison with the hand-picked rate (None for itself).
    """
    columns = ["number", "contestant", "where", "lr", "low", "per_seed", "n", "mean", "sd", "loss",
               "regret", "error", "against"]  # fmt: skip
    responses: dict[str, Response | None] = {task.label: task.response for task in tasks}
    labels = lesson.stages.set_index("number").task
    rows = []
    for number, stage in lesson.named.groupby("number", sort=True):
        seeds = range(lesson.seeds)
        theirs = _by_seed(stage[stage.contestant == HAND_PICKED], seeds)
        response = responses.get(labels[number])
        for name, here in stage.groupby("contestant", sort=False):
            values = _by_seed(here, seeds)
            losses = here.set_index("seed").loss.reindex(list(seeds)).to_numpy(float)
            fits = response is not None and response.ready and len(response.loss) == len(losses)
            rows.append(
                {
                    "number": number, "contestant": name, "where": here["where"].iloc[0],
                    "lr": here.lr.iloc[0], "low": here.low.iloc[0], "per_seed": values,
                    **_spread(values), "loss": float(np.nanmean(losses)),
                    "regret": response.regret_of(losses) if fits and response else math.nan,
                    "error": response.error if fits and response else math.nan,
                    "against": None if name == HAND_PICKED else compare(
                        values, theirs, margin=lesson.margin, higher=lesson.higher),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _spread(values: Floats) -> dict[str, float]:
    ended = values[np.isfinite(values)]
    return {
        "n": len(ended),
        "mean": float(ended.mean()) if len(ended) else math.nan,
        "sd": float(ended.std(ddof=1)) if len(ended) > 1 else math.nan,
    }


def autopilot(lesson: LessonEvidence) -> pd.DataFrame:
    """Return a row per number format and stage: both chains' rates and metrics, and comparisons.

    Columns: precision, number (0 is the test split, after the last stage), their_rates and
    our_rates (a tuple of (low or NaN, maximum) per seed), their_values and our_values (a metric per
    seed, as `compare` takes them), n, mean, sd (of those that ended), seconds (median of a run) and
    peak_mb (most), each with their_ and our_, `against`, a PairedComparison with the hand-picked
    chains, and `in_fp32`, one of ours with our own in fp32 (None for that itself).
    """
    each_side = ("rates", "values", "n", "mean", "sd", "seconds", "peak_mb")
    sides = [f"{who}_{what}" for who in ("their", "our") for what in each_side]
    columns = ["precision", "number", *sides, "against", "in_fp32"]
    rows = []
    seeds = range(lesson.chain_seeds)
    flown = dict(iter(lesson.chains.groupby(["pilot", "precision"], sort=False)))
    none = lesson.chains.iloc[:0]
    theirs = flown.get((HAND_PICKED, "fp32"), none)
    numbers = [*lesson.stages.number, *([TEST] if (lesson.chains.number == TEST).any() else [])]
    for (pilot, precision), ours in flown.items():
        if pilot != SUGGESTED:
            continue
        for number in numbers:
            values = _by_seed(ours, seeds, number)
            row: dict[str, object] = {"precision": precision, "number": number}
            for who, each in (("their", theirs), ("our", ours)):
                here = each[each.number == number]
                metric = _by_seed(each, seeds, number)
                row |= {
                    f"{who}_rates": _rates(here), f"{who}_values": metric,
                    **{f"{who}_{k}": v for k, v in _spread(metric).items()},
                    f"{who}_seconds": float(here.seconds.median()),
                    f"{who}_peak_mb": float(here.peak_mb.max()),
                }  # fmt: skip
            plain = _by_seed(flown.get((SUGGESTED, "fp32"), none), seeds, number)
            against, in_fp32 = (
                compare(values, each, margin=lesson.margin, higher=lesson.higher)
                for each in (_by_seed(theirs, seeds, number), plain)
            )
            row |= {"against": against, "in_fp32": None if precision == "fp32" else in_fp32}
            rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def _rates(rows: pd.DataFrame) -> tuple[tuple[float, float], ...]:
    pairs = rows.sort_values("seed")[["low", "lr"]].to_numpy(float)
    return tuple((float(low), float(top)) for low, top in pairs)
