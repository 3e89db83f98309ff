"""Agreement with people: how far a rate lies from the one an author picked off the same curve.

The error of a pick is |log10(rate / the author's maximum rate)|, in decades. Some authors left
dozens of picks and some one, so every mean, median and share here weighs each author the same, and
an author's own picks alike. What has to be beaten is a constant fitted to everybody but the author
at hand. benchmarks/recorded/PEOPLE.md says where the picks come from.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pandas as pd

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import rates, read_all
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.errors import UserError
from lrsuggest.evidence.regret import PEOPLES_CONSTANT
from lrsuggest.evidence.statistics import draws
from lrsuggest.resources import shipped
from lrsuggest.vocabulary import Stage

CONSTANT = "constant, leave one author out"
STAGE_CONSTANT = "constant per stage, leave one author out"
ANOTHER = "another person"
SPLITS = ("dev", "held_out")
GRID = np.logspace(-6, 0, 61)  # wider than the registered constants: unfrozen picks lie below those
FIRST_TENTH = 11  # of the 100 points of a curve: 10 steps of the 95 that fastai 2 draws

# "custom" and "partial" tell too little of what was trained.
_STAGE_TOLD: dict[str, Stage] = {"frozen": "frozen", "unfrozen": "unfrozen", "scratch": "scratch"}


@dataclass(frozen=True, eq=False)
class PersonPick:
    """A rate somebody chose, and the curve it was chosen from.

    Attributes:
        id: the curve's name in the recorded tables.
        author: who chose.
        source: repository, commit, notebook and cell.
        dataset: as the notebook names it.
        task: what was learnt, such as "image classification".
        stage: "frozen", "unfrozen", "scratch", "custom" (whole model, no freeze call seen) or
            "partial".
        lr: the maximum rate then trained with.
        curve: what was drawn, smoothed and trimmed by the library that drew it.
        batch_size: examples per step where known.
        lr_low: where the author's slice of rates began, None if there was none.
        printed: what the tool itself printed, by the tool's names.
        split: "dev" or "held_out"; nothing may be tuned on the second.
    """

    id: str
    author: str
    source: str
    dataset: str
    task: str
    stage: str
    lr: float
    curve: Curve
    batch_size: int | None = None
    lr_low: float | None = None
    printed: Mapping[str, float] = field(default_factory=dict)
    split: str = "dev"

    @property
    def context(self) -> Context:
        """What a heuristic is told beside the curve; the optimizer and the steps are not known."""
        return Context(stage=_STAGE_TOLD.get(self.stage), batch_size=self.batch_size)


def people(split: str | None = "dev", *, as_drawn: bool = True) -> list[PersonPick]:
    """Return the recorded picks of the "dev" or the "held_out" authors, or with None all.

    Args:
        split: whose picks.
        as_drawn: with False the curves that fastai 2 drew lose their first tenth, which it draws
            but its own suggestions skip: the average there is over a few batches only.

    Raises:
        UserError: there is no such split.
        FileNotFoundError: the installation lacks the recorded tables.
    """
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}, or None")
    table = pd.read_csv(shipped("benchmarks/recorded/people_picks.csv"), dtype={"printed": str})
    table = table.fillna({"printed": ""})
    points = pd.read_csv(shipped("benchmarks/recorded/people_curves.csv"))
    if not as_drawn:
        skipping = points.curve_id.isin(table.id[table.library == "fastai2"])
        points = points[~skipping | (points.groupby("curve_id").cumcount() >= FIRST_TENTH)]
    curves = {
        str(name): Curve(each.lr.to_numpy(), each.loss.to_numpy(), smoothed=True)
        for name, each in points.groupby("curve_id")
    }
    return [
        PersonPick(
            id=row["id"],
            author=row["author"],
            source=row["source"],
            dataset=row["dataset"],
            task=row["task"],
            stage=row["stage"],
            lr=row["human_lr_hi"],
            curve=curves[row["id"]],
            batch_size=None if math.isnan(row["batch_size"]) else int(row["batch_size"]),
            lr_low=None if math.isnan(row["human_lr_lo"]) else row["human_lr_lo"],
            printed={
                name: float(rate)
                for name, rate in (pair.split("=") for pair in row["printed"].split())
            },
            split=row["split"],
        )
        for row in table.to_dict("records")
        if split in (None, row["split"])
    ]


def error(rate: float, picked: float) -> float:
    """Return |log10(rate / picked)|, in decades."""
    return abs(math.log10(rate / picked))


def left_out(pool: Sequence[PersonPick], author: str, stage: str | None = None) -> float:
    """Return the constant nearest to everybody's picks but one author's.

    That is the rate of `GRID` (ten a decade) with the least mean error, authors weighing the same;
    of several equally good, the middle one.

    Args:
        pool: whose picks to fit.
        author: who is left out.
        stage: only picks at this stage count; where nobody else has one, all of them do.
    """
    others = sorted(
        (p.author, p.lr) for p in pool if p.author != author and stage in (None, p.stage)
    )
    if not others:
        return PEOPLES_CONSTANT if stage is None else left_out(pool, author)
    cost = np.zeros(len(GRID))
    for _, theirs in groupby(others, key=lambda pair: pair[0]):
        picked = np.array([lr for _, lr in theirs])
        cost += np.abs(np.log10(GRID[:, None] / picked)).mean(axis=1)
    best = np.flatnonzero(cost <= cost.min() + 1e-9)
    return float(GRID[best[len(best) // 2]])


def _contestants(
    person: PersonPick, pool: Sequence[PersonPick]
) -> Iterator[tuple[str, float | Abstention]]:
    yield from read_all(person.curve, person.context, constants=True).items()
    for other in pool:
        alike = (other.dataset, other.task, other.stage) == (
            person.dataset, person.task, person.stage
        )  # fmt: skip
        if alike and other.author != person.author:
            yield ANOTHER, other.lr


def errors(picks: Sequence[PersonPick], pool: Sequence[PersonPick] | None = None) -> pd.DataFrame:
    """Return a row per pick and contestant.

    Columns: id, author, stage, contestant, rate, abstained, error (decades), and of the two
    constants to beat, on the same pick, constant_error and stage_constant_error. An abstention is
    scored as the constant that leaves its author out. "another person" is every pick by somebody
    else on the same dataset, task and stage: what one person's rate says of another's.

    Args:
        picks: what to score on.
        pool: whose picks the constants are fitted to and the other people come from, those of the
            author at hand always left out; by default `picks` themselves.
    """
    pool = picks if pool is None else pool
    keys = {(p.author, stage) for p in picks for stage in (None, p.stage)}
    constants = {key: left_out(pool, *key) for key in keys}
    rows = []
    for person in picks:
        one, per_stage = constants[person.author, None], constants[person.author, person.stage]
        named = [(CONSTANT, one), (STAGE_CONSTANT, per_stage), *_contestants(person, pool)]
        for name, pick in named:
            usable = rates({name: pick}).get(name)
            rate = one if usable is None else usable
            rows.append(
                {
                    "id": person.id, "author": person.author, "stage": person.stage,
                    "contestant": name, "rate": rate, "abstained": usable is None,
                    "error": error(rate, person.lr),
                    "constant_error": error(one, person.lr),
                    "stage_constant_error": error(per_stage, person.lr),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def gain(mine: Floats, opponent: Floats) -> tuple[float, float, float]:
    """Return by what share the mean error is below the opponent's, with a 95 % interval.

    Authors are resampled, both errors of an author together; the opponent is not fitted anew in
    each resample. Under two authors, or against an opponent without error, there is no interval.

    Args:
        mine: shape (authors,), each author's mean error.
        opponent: shape (authors,), the opponent's on the same picks.

    Returns:
        The gain, then the interval's ends; .15 is an error 15 % smaller, negative is a larger one.
    """
    value = 1 - mine.mean() / opponent.mean() if opponent.any() else math.nan
    if len(mine) < 2 or math.isnan(value):
        return float(value), math.nan, math.nan
    drawn = draws(len(mine))
    theirs = drawn @ opponent
    some = theirs > 0
    low, high = np.quantile(1 - (drawn @ mine)[some] / theirs[some], [0.025, 0.975])
    return float(value), float(low), float(high)


def weighted_median(values: Floats, weights: Floats) -> float:
    """Return the value with half the weight on either side; between two, their mean."""
    order = np.argsort(values, kind="stable")
    ranked, share = values[order], np.cumsum(weights[order]) / weights.sum()
    low, high = np.searchsorted(share, [0.5 - 1e-9, 0.5 + 1e-9])
    return float(ranked[low] + ranked[min(high, len(ranked) - 1)]) / 2


def _score(here: pd.DataFrame) -> dict[str, float]:
    """Score one contestant."""
    weight = 1 / here.groupby("author").author.transform("size").to_numpy(float)
    off = here.error.to_numpy(float)
    by_author = here.groupby("author")[["error", "constant_error", "stage_constant_error"]].mean()
    mine, one, per_stage = by_author.to_numpy(float).T
    out = {
        "picks": here.id.nunique(),
        "authors": len(by_author),
        "mean": float(mine.mean()),
        "median": weighted_median(off, weight),
        "within_2": float(np.average(off <= math.log10(2) + 1e-9, weights=weight)),
        "within_3": float(np.average(off <= math.log10(3) + 1e-9, weights=weight)),
        "abstained": float(np.average(here.abstained.to_numpy(float), weights=weight)),
    }
    for name, opponent in (("gain", one), ("stage_gain", per_stage)):
        out[name], out[f"{name}_low"], out[f"{name}_high"] = gain(mine, opponent)
    return out


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return pd.DataFrame()
    by = table.groupby("contestant")
    out = pd.DataFrame([{"contestant": name, **_score(here)} for name, here in by])
    # A mean over fewer picks is not comparable, so those come after the others.
    fewer = out.picks < table.id.nunique()
    order = out.assign(fewer=fewer).sort_values(["fewer", "mean", "contestant"]).index
    return out.loc[order].reset_index(drop=True)


def agreement(
    picks: Sequence[PersonPick], pool: Sequence[PersonPick] | None = None
) -> pd.DataFrame:
    """Return a row per contestant, least mean error first; "another person", on fewer picks, last.

    Columns: contestant, picks, authors, mean and median (error in decades), within_2 and within_3
    (shares no further off than that factor), abstained (share), gain (reduction of the mean error
    against the constant that leaves the author out), gain_low and gain_high (its 95 % interval),
    and the same against the constant per stage: stage_gain, stage_gain_low, stage_gain_high.

    Args:
        picks: what to score on, such as `people("held_out")`.
        pool: see `errors`; `people(None)` lets the constants learn from every other author.
    """
    return _scores(errors(picks, pool))


def by_stage(picks: Sequence[PersonPick], pool: Sequence[PersonPick] | None = None) -> pd.DataFrame:
    """Return `agreement` within each stage, with the column stage in front."""
    pool, parts = picks if pool is None else pool, []
    for stage in sorted({p.stage for p in picks}):
        here = _scores(errors([p for p in picks if p.stage == stage], pool))
        here.insert(0, "stage", stage)
        parts.append(here)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
