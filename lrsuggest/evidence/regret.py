"""Regret: what a rate costs against the best one, in shares of what training gains.

R(pick) = (V(pick) - V(best)) / (V(start) - V(best)), V the validation loss. The argmin of a noisy
grid is a lucky outlier, so the best rate is chosen on one half of the seeds and everything is
valued on the other, both ways, and negative values are kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS, rates, read_all
from lrsuggest.curves.heuristics.registry import Abstention
from lrsuggest.evidence.response import Response, TaskEvidence

PEOPLES_CONSTANT = 3e-3  # what people pick in the median, where no other family has a say
HAND_PICKED = "hand-picked"
OUT_OF_FOLD = "constant, out of fold"
Picks = list[tuple[str, int, float | Abstention]]  # contestant, sweep seed, pick
Reader = Callable[[TaskEvidence, Curve], float | Abstention]
_NO_CURVE = Curve([], [])  # all that a constant needs


def regret(response: Response, pick: float) -> float:
    """Return the cross-fitted regret of a rate; 0 is the best measured, 1 is no training at all.

    Linear in log10 rate between measured rates; outside them the edge's value holds (see
    `outside`). A half on which the other's best rate trained no better than the start says
    nothing; NaN where that is so both ways.
    """
    values = [half.regret(pick) for half in response.halves]
    return float(np.mean(values)) if values else math.nan


def outside(response: Response, pick: float) -> bool:
    """Say whether a rate lies outside the measured ones, by more than a hundredth."""
    return not response.rates[0] * 0.99 <= pick <= response.rates[-1] * 1.01


def constants() -> list[str]:
    """Return the names of the registered constants."""
    return [name for name, each in HEURISTICS.items() if each.origin == "constant"]


def scorable(tasks: Sequence[TaskEvidence]) -> list[TaskEvidence]:
    """Return the real tasks with a response that regret can be taken from."""
    return [t for t in tasks if not t.synthetic and t.response is not None and t.response.ready]


def rankable(tasks: Sequence[TaskEvidence]) -> list[TaskEvidence]:
    """Return the scorable tasks on which contestants can be told apart.

    They have a range test to read, and something was learnt; any other has no regret of anybody's,
    or of constants alone, which would then be the only ones scored on every task.
    """
    return [t for t in scorable(tasks) if t.curves and t.response and t.response.halves]


def contest(
    tasks: Sequence[TaskEvidence],
    extra: Mapping[str, Reader] | None = None,
    others: Sequence[TaskEvidence] = (),
) -> pd.DataFrame:
    """Return a row per real task, contestant and sweep seed.

    Columns: task, family, kind, optimizer, stage, schedule, steps, contestant, seed, pick (NaN for
    an abstention), abstained, outside, regret (NaN where nothing was learnt), strict (the same
    against the best constant prediction where that is below the start), diverged (whether the pick
    counts worse than no training), note. An abstention is scored as the constant out of fold.

    Args:
        tasks: what was measured.
        extra: contestants beside the registered ones that may know which task they read, such
            as a rule fitted without its family.
        others: where the constant out of fold is chosen; without any, on the tasks themselves.
    """
    rows = []
    for task in scorable(tasks):
        named: Picks = [(HAND_PICKED, 0, rate) for rate, _ in task.hand_picked[:1]]
        for seed, curve in enumerate(task.curves):
            picks = read_all(curve, task.context)
            picks |= {name: read_it(task, curve) for name, read_it in (extra or {}).items()}
            named += [(name, seed, pick) for name, pick in picks.items()]
        rows += _rows(task, named + _constant_picks(task))
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    elsewhere = [row for task in scorable(others) for row in _rows(task, _constant_picks(task))]
    return _with_out_of_fold(table, tasks, pd.DataFrame(elsewhere) if elsewhere else table)


def _constant_picks(task: TaskEvidence) -> Picks:
    return [(name, 0, HEURISTICS[name](_NO_CURVE, task.context)) for name in constants()]


def _rows(task: TaskEvidence, named: Picks) -> list[dict[str, object]]:
    return [
        {
            **_facts(task), "contestant": name, "seed": seed,
            **_scored(task, rates({name: pick}).get(name, math.nan)), "note": "",
        }
        for name, seed, pick in named
    ]  # fmt: skip


def _facts(task: TaskEvidence) -> dict[str, object]:
    return {
        "task": task.label, "family": task.family, "kind": task.kind, "optimizer": task.optimizer,
        "stage": task.stage, "schedule": task.schedule, "steps": task.steps,
    }  # fmt: skip


def _scored(task: TaskEvidence, pick: float) -> dict[str, object]:
    assert task.response is not None
    assert task.strict is not None
    none = math.isnan(pick)
    cost = math.nan if none else regret(task.response, pick)
    return {
        "pick": pick, "abstained": none, "outside": not none and outside(task.response, pick),
        "regret": cost, "strict": math.nan if none else regret(task.strict, pick),
        "diverged": cost > 1,
    }  # fmt: skip


def out_of_fold(task: TaskEvidence, fixed: pd.DataFrame) -> tuple[float, str]:
    """Return the constant of least mean regret on the other families, and what it rests on.

    Families weigh the same. Those with the same optimizer and stage count; where there is none,
    those with the same optimizer, or at last all; without any, what people pick.

    Args:
        task: the one the constant is for.
        fixed: the constants' rows of a contest, without gaps.
    """
    others = fixed[fixed.family != task.family]
    optimizer, stage = others.optimizer == task.optimizer, others.stage == task.stage
    for said, chosen in (
        ("alike", optimizer & stage),
        ("with the same optimizer", optimizer),
        ("of any kind", others.family == others.family),
    ):
        pool = others[chosen]
        if len(pool):
            by_family = pool.groupby(["pick", "family"]).regret.mean().groupby("pick").mean()
            best = by_family.sort_values(kind="stable").index[0]
            return float(best), f"on {pool.family.nunique()} other families {said}"
    return PEOPLES_CONSTANT, "no other family: what people pick"


def _with_out_of_fold(
    table: pd.DataFrame, tasks: Sequence[TaskEvidence], pool: pd.DataFrame
) -> pd.DataFrame:
    """Add the constant to beat, chosen on the pool, and score the abstentions with it."""
    fixed = pool[pool.contestant.isin(constants())].dropna(subset=["regret"])
    added = []
    for task in scorable(tasks):
        rate, note = out_of_fold(task, fixed)
        score = _scored(task, rate)
        fallen = (table.task == task.label) & table.abstained
        for column in ("regret", "strict", "diverged"):
            table[column] = table[column].mask(fallen, score[column])
        added.append(
            {**_facts(task), "contestant": OUT_OF_FOLD, "seed": 0, **score, "note": note}
        )  # fmt: skip
    return pd.concat([table, pd.DataFrame(added)], ignore_index=True)
