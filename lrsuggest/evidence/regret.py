"""Regret: what a rate costs against the best one, in shares of what training gains.

R(pick) = (V(pick) - V(best)) / (V(start) - V(best)), V the validation loss. The argmin of a noisy
grid is a lucky outlier, so the best rate is chosen on one half of the seeds and everything is
valued on the other, both ways, and negative values are kept.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Floats
from lrsuggest.curves.heuristics import Abstention, Context, is_rate
from lrsuggest.curves.readings import HEURISTICS, read_all
from lrsuggest.curves.shapes import lowest
from lrsuggest.evidence.response import Response, TaskEvidence

DIVERGED = 1.5  # V(start) plus half the span
PEOPLES_CONSTANT = 3e-3  # what people pick in the median, where no other family has a say
HAND_PICKED = "hand-picked"
OUT_OF_FOLD = "constant, out of fold"


def _mean(losses: Floats, start: float, best: float) -> Floats:
    """Mean over seeds, (seeds, m) to (m,); a divergence, or worse, counts as start + half span."""
    ceiling = start + (DIVERGED - 1) * (start - best)
    return np.asarray(np.nanmean(np.minimum(losses, ceiling), axis=0))


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
    `outside`). NaN where no rate trained better than the start.
    """
    values = []
    for rates, choose, value in _halves(response):
        floor = float(np.min(np.where(np.isnan(choose), np.inf, choose)))
        best = lowest(_mean(choose, response.start, floor))
        at_best = float(np.nanmean(value[:, best]))
        span = response.start - at_best
        if not (math.isfinite(span) and span > 0):
            return math.nan
        mean = _mean(value, response.start, at_best)
        at_pick = float(np.interp(np.log10(pick), np.log10(rates), mean))
        values.append((at_pick - at_best) / span)
    return float(np.mean(values))


def outside(response: Response, pick: float) -> bool:
    """Say whether a rate lies outside the measured ones, by more than a hundredth."""
    return not response.rates[0] * 0.99 <= pick <= response.rates[-1] * 1.01


def constants() -> list[str]:
    """Return the names of the registered constants."""
    return [name for name, each in HEURISTICS.items() if each.origin == "constant"]


def contest(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per real task, contestant and sweep seed.

    Columns: task, family, optimizer, stage, contestant, seed, pick (NaN for an abstention),
    abstained, outside, regret. An abstention is scored as the constant chosen out of fold.
    """
    rows = []
    for task in tasks:
        if task.synthetic or task.response is None or not task.response.ready:
            continue
        context = Context(optimizer=task.optimizer, stage=task.stage)
        named: list[tuple[str, int, float | Abstention]] = [
            (HAND_PICKED, 0, rate) for rate, _ in task.hand_picked[:1]
        ]
        for seed, curve in enumerate(task.curves):
            named += [(k, seed, pick) for k, pick in read_all(curve, context).items()]
        named += [
            (name, 0, HEURISTICS[name](task.curves[0], context))
            for name in constants()
            if task.curves
        ]
        for name, seed, pick in named:
            rate = float(pick) if not isinstance(pick, Abstention) and is_rate(pick) else math.nan
            rows.append(
                {
                    "task": task.label, "family": task.family, "optimizer": task.optimizer,
                    "stage": task.stage, "contestant": name, "seed": seed, "pick": rate,
                    "abstained": math.isnan(rate),
                    "outside": not math.isnan(rate) and outside(task.response, rate),
                    "regret": math.nan if math.isnan(rate) else regret(task.response, rate),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table if table.empty else _with_out_of_fold(table, tasks)


def _with_out_of_fold(table: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Add the constant to beat, and score the abstentions with it."""
    responses = {task.label: task.response for task in tasks}
    fixed = table[table.contestant.isin(constants())]
    added = []
    for label, here in table.groupby("task", sort=False):
        response = responses[str(label)]
        assert response is not None
        me = here.iloc[0]
        others = fixed[fixed.family != me.family]
        alike = others[(others.optimizer == me.optimizer) & (others.stage == me.stage)]
        pool = alike if len(alike) else others
        best = pool.groupby("pick").regret.mean().idxmin() if len(pool) else PEOPLES_CONSTANT
        rate = float(best)
        score = regret(response, rate)
        table.loc[(table.task == label) & table.abstained, "regret"] = score
        added.append(
            {
                **me[["task", "family", "optimizer", "stage"]].to_dict(),
                "contestant": OUT_OF_FOLD, "seed": 0, "pick": rate, "abstained": False,
                "outside": outside(response, rate), "regret": score,
            }
        )  # fmt: skip
    return pd.concat([table, pd.DataFrame(added)], ignore_index=True)


def ranking(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per contestant, best median first.

    Columns: contestant, tasks and families (how many it was scored on), median, mean, worst (of
    the task means), abstained and outside (shares of its picks).
    """
    if table.empty:
        return pd.DataFrame()
    per_task = table.groupby(["contestant", "task"]).regret.mean().groupby("contestant")
    by = table.groupby("contestant")
    out = pd.DataFrame(
        {
            "tasks": per_task.size(),
            "families": by.family.nunique(),
            "median": per_task.median(),
            "mean": per_task.mean(),
            "worst": per_task.max(),
            "abstained": by.abstained.mean(),
            "outside": by.outside.mean(),
        }
    )
    return out.sort_values(["median", "mean"]).reset_index()
