"""Regret: what a rate costs against the best one, in shares of what training gains.

R(pick) = (V(pick) - V(best)) / (V(start) - V(best)), V the validation loss. The argmin of a noisy
grid is a lucky outlier, so the best rate is chosen on one half of the seeds and everything is
valued on the other, both ways, and negative values are kept.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Curve, Floats
from lrsuggest.curves.heuristics import Abstention
from lrsuggest.curves.readings import HEURISTICS, rates, read_all
from lrsuggest.curves.shapes import lowest
from lrsuggest.evidence.response import Response, TaskEvidence

DIVERGED = 1.5  # V(start) plus half the span
PEOPLES_CONSTANT = 3e-3  # what people pick in the median, where no other family has a say
HAND_PICKED = "hand-picked"
OUT_OF_FOLD = "constant, out of fold"
_NO_CURVE = Curve([], [])  # all that a constant needs


def _mean(losses: Floats, start: float, best: float) -> Floats:
    """Mean over seeds, (seeds, m) to (m,); a divergence, or worse, counts as start + half span."""
    ceiling = start + (DIVERGED - 1) * (start - best)
    return np.asarray(np.nanmean(np.minimum(losses, ceiling), axis=0))


def _value_of_best(losses: Floats, start: float) -> float:
    """Mean over seeds at the best rate, (seeds,), where a failed run counts as above.

    The failures' value depends on this mean V itself: with d failures among n runs,
    V = (sum of the others + d * (1.5 start - 0.5 V)) / n.
    """
    seen = losses[~np.isnan(losses)]
    failed = ~np.isfinite(seen)
    while True:
        d, n = int(failed.sum()), len(seen)
        value = float((seen[~failed].sum() + DIVERGED * d * start) / (n + (DIVERGED - 1) * d))
        more = failed | (seen > start + (DIVERGED - 1) * (start - value))
        if (more == failed).all() or value >= start:
            return value
        failed = more


def _halves(response: Response) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield (rates, losses to choose on, losses to value on), both ways round."""
    seen = ~np.isnan(response.loss)
    rows = np.flatnonzero(seen.any(axis=1))
    for first in (0, 1):
        choose, value = response.loss[rows[first::2]], response.loss[rows[1 - first :: 2]]
        both = (~np.isnan(choose)).any(axis=0) & (~np.isnan(value)).any(axis=0)
        yield response.rates[both], choose[:, both], value[:, both]


def regret(response: Response, pick: float) -> float:
    """Return the cross-fitted regret of a rate; 0 is the best measured, 1 is no training at all.

    Linear in log10 rate between measured rates; outside them the edge's value holds (see
    `outside`). A half on which the other's best rate trained no better than the start says
    nothing; NaN where that is so both ways.
    """
    values = []
    for measured, choose, value in _halves(response):
        if not len(measured):
            continue
        floor = float(np.min(np.where(np.isnan(choose), np.inf, choose)))
        if not floor < response.start:
            continue
        best = lowest(_mean(choose, response.start, floor))
        at_best = _value_of_best(value[:, best], response.start)
        span = response.start - at_best
        if not span > 1e-12 * abs(response.start):
            continue
        mean = _mean(value, response.start, at_best)
        at_pick = float(np.interp(np.log10(pick), np.log10(measured), mean))
        values.append((at_pick - at_best) / span)
    return float(np.mean(values)) if values else math.nan


def outside(response: Response, pick: float) -> bool:
    """Say whether a rate lies outside the measured ones, by more than a hundredth."""
    return not response.rates[0] * 0.99 <= pick <= response.rates[-1] * 1.01


def constants() -> list[str]:
    """Return the names of the registered constants."""
    return [name for name, each in HEURISTICS.items() if each.origin == "constant"]


def contest(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per real task, contestant and sweep seed.

    Columns: task, family, optimizer, stage, contestant, seed, pick (NaN for an abstention),
    abstained, outside, regret (NaN where nothing was learnt), note. An abstention is scored as
    the constant chosen out of fold.
    """
    rows = []
    for task in tasks:
        if task.synthetic or task.response is None or not task.response.ready:
            continue
        named: list[tuple[str, int, float | Abstention]] = [
            (HAND_PICKED, 0, rate) for rate, _ in task.hand_picked[:1]
        ]
        for seed, curve in enumerate(task.curves):
            named += [(k, seed, pick) for k, pick in read_all(curve, task.context).items()]
        named += [(name, 0, HEURISTICS[name](_NO_CURVE, task.context)) for name in constants()]
        for name, seed, pick in named:
            rate = rates({name: pick}).get(name, math.nan)
            rows.append(
                {
                    "task": task.label, "family": task.family, "optimizer": task.optimizer,
                    "stage": task.stage, "contestant": name, "seed": seed, "pick": rate,
                    "abstained": math.isnan(rate),
                    "outside": not math.isnan(rate) and outside(task.response, rate),
                    "regret": math.nan if math.isnan(rate) else regret(task.response, rate),
                    "note": "",
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table if table.empty else _with_out_of_fold(table, tasks)


def _with_out_of_fold(table: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Add the constant to beat, and score the abstentions with it.

    It is the grid's constant of least mean regret on the other families with the same optimizer
    and stage, each family weighing the same; where there is none, what people pick.
    """
    responses = {task.label: task.response for task in tasks}
    fixed = table[table.contestant.isin(constants())].dropna(subset=["regret"])
    added = []
    for label, here in table.groupby("task", sort=False):
        response = responses[str(label)]
        assert response is not None
        me = here.iloc[0]
        pool = fixed[
            (fixed.family != me.family)
            & (fixed.optimizer == me.optimizer)
            & (fixed.stage == me.stage)
        ]
        by_family = pool.groupby(["pick", "family"]).regret.mean().groupby("pick").mean()
        rate = float(by_family.idxmin()) if len(by_family) else PEOPLES_CONSTANT
        score = regret(response, rate)
        table.loc[(table.task == label) & table.abstained, "regret"] = score
        added.append(
            {
                **me[["task", "family", "optimizer", "stage"]].to_dict(),
                "contestant": OUT_OF_FOLD, "seed": 0, "pick": rate, "abstained": False,
                "outside": outside(response, rate), "regret": score,
                "note": f"chosen on {pool.family.nunique()} other families" if len(pool)
                else "no other family alike: what people pick",
            }
        )  # fmt: skip
    return pd.concat([table, pd.DataFrame(added)], ignore_index=True)


def ranking(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per contestant, best median first, those scored on every task before others.

    Columns: contestant, tasks and families (how many gave a regret), whole (whether that is
    every task), median, mean, worst (of the task means), abstained and outside (shares of its
    picks).
    """
    if table.empty:
        return pd.DataFrame()
    scored = table.dropna(subset=["regret"])
    if scored.empty:
        return pd.DataFrame()
    per_task = scored.groupby(["contestant", "task"]).regret.mean().groupby("contestant")
    by = scored.groupby("contestant")
    out = pd.DataFrame(
        {
            "tasks": per_task.size(),
            "families": by.family.nunique(),
            "whole": per_task.size() == scored.task.nunique(),
            "median": per_task.median(),
            "mean": per_task.mean(),
            "worst": per_task.max(),
            "abstained": by.abstained.mean(),
            "outside": by.outside.mean(),
        }
    )
    order = ["whole", "median", "mean"]
    return out.sort_values(order, ascending=[False, True, True]).reset_index()
