"""How the consensus got its constants: a small regularised fit, judged on families it never saw.

The loss of a rule is the mean over families of its strict regret and half the square root of it, so
that neither one disaster nor a hundred trifles rule alone, plus a penalty for leaving the plain
start values. How strong that penalty is, is chosen inside each fold, on the fold's own families.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.consensus import (
    COLUMNS,
    RULE,
    Rule,
    Table,
    interval,
    known,
    place,
    told,
)
from lrsuggest.curves.heuristics.landmarks import landmarks
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.evidence.regret import OUT_OF_FOLD, Reader, contest, regret, scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.resources import shipped

PENALTIES = (0.003, 0.01, 0.03, 0.1)
UNSEEN = "consensus, out of fold"
CLEAR = 0.1  # tasks whose strict error exceeds this teach nothing but noise
_GRID = np.linspace(-9, 3, 601)  # log10 rates at which regret is tabulated
_SCALES = {"steps": 0.3, "frozen": 0.3, "pretrained": 0.3, "clarity": 0.5}
_PLAIN = Rule()
ENDS = ("below", "above", "doubt")
NAMES = tuple(each.name for each in fields(Rule) if each.name not in (*ENDS, "constant"))
_START = np.array([getattr(_PLAIN, name) for name in NAMES])
_SCALE = np.array([_SCALES.get(name, 0.5) for name in NAMES])


@dataclass(frozen=True, eq=False)
class Examples:
    """Curves with what the rule is told of them, and what any rate costs their tasks.

    Attributes:
        told: COLUMNS, each (n,).
        best: (n,), log10 of the task's best rate, both halves' mean.
        cost: (n, len(grid)), R + sqrt(R) / 2 at each tabulated rate, R the strict regret.
        task: (n,), index of the task.
        family: (n,), family names.
        weight: (n,), every family weighs the same, every task within it, every curve within that.
    """

    told: Table
    best: NDArray[np.float64]
    cost: NDArray[np.float64]
    task: NDArray[np.int64]
    family: NDArray[np.str_]
    weight: NDArray[np.float64]

    def loss(self, picks: NDArray[np.float64]) -> float:
        """Weighted mean cost of log10 rates, shape (n,)."""
        at = np.clip((picks - _GRID[0]) / (_GRID[1] - _GRID[0]), 0, len(_GRID) - 1.001)
        low = at.astype(int)
        rows = np.arange(len(low))
        part = at - low
        cost = self.cost[rows, low] * (1 - part) + self.cost[rows, low + 1] * part
        return float((self.weight * cost).sum())

    def take(self, chosen: NDArray[np.bool_]) -> "Examples":
        """Return some of the examples, weighed anew."""
        return Examples(
            {k: v[chosen] for k, v in self.told.items()}, self.best[chosen], self.cost[chosen],
            self.task[chosen], self.family[chosen], _weigh(self.task[chosen], self.family[chosen]),
        )  # fmt: skip


def _weigh(task: NDArray[np.int64], family: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return 1 / (families * tasks of the family * curves of the task)."""
    curves = {t: np.sum(task == t) for t in np.unique(task)}
    tasks = {f: len(np.unique(task[family == f])) for f in np.unique(family)}
    return np.array(
        [1 / (len(tasks) * tasks[f] * curves[t]) for t, f in zip(task, family, strict=True)]
    )


def _tell(curve: Curve, context: Context) -> dict[str, float] | Abstention:
    found = landmarks(curve)
    return found if isinstance(found, Abstention) else known(found, context)


def examples(
    tasks: Sequence[TaskEvidence],
    tell: Callable[[Curve, Context], dict[str, float] | Abstention] = _tell,
) -> Examples:
    """Read every curve of every task whose rates can be told apart.

    The schedule is not told: the shipped constants were fitted without it, and the step for a
    constant rate is measured on pairs of tasks instead (see `schedules.shifts`).

    Args:
        tasks: what was measured.
        tell: what is told of a curve, by name; by default what the consensus is told.
    """
    rows, bests, costs, which, families = [], [], [], [], []
    for index, task in enumerate(scorable(tasks)):
        response = task.strict
        assert response is not None
        if not response.error <= CLEAR:
            continue
        strict = np.clip([regret(response, 10**x) for x in _GRID], 0, 1.5)
        cost = strict + np.sqrt(strict) / 2
        for curve in task.curves:
            found = tell(curve, replace(task.context, schedule=None))
            if isinstance(found, Abstention):
                continue
            rows.append(found)
            bests.append(np.mean([math.log10(half.best) for half in response.halves]))
            costs.append(cost)
            which.append(index)
            families.append(task.family)
    table = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else COLUMNS)}
    task_of, family_of = np.array(which), np.array(families)
    return Examples(
        table, np.array(bests), np.array(costs), task_of, family_of, _weigh(task_of, family_of)
    )


def fit(seen: Examples, penalty: float) -> Rule:
    """Return the rule of least penalised loss on these examples.

    A quarter of the curves are shown without their context too, for a person may not give it.
    """
    from scipy.optimize import minimize

    bare = {
        **seen.told,
        "steps": np.zeros_like(seen.told["steps"]),
        "sgd": np.full_like(seen.told["sgd"], np.nan),
        "frozen": np.zeros_like(seen.told["frozen"]),
        "pretrained": np.zeros_like(seen.told["pretrained"]),
    }

    def loss(moved: NDArray[np.float64]) -> float:
        rule = Rule(*(_START + moved * _SCALE))
        with_context, without = (seen.loss(place(rule, each)) for each in (seen.told, bare))
        return 0.75 * with_context + 0.25 * without + penalty * float((moved**2).sum())

    best = minimize(loss, np.zeros(len(NAMES)), method="Powell", options={"maxiter": 20})
    return Rule(*(float(x) for x in np.round(_START + best.x * _SCALE, 3)))


MISS = 2 / 0.2  # what a decade beyond an 80 % interval costs


def interval_scores(
    low: NDArray[np.float64], high: NDArray[np.float64], best: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the interval score of each 80 % interval, in decades; less is better.

    Its width, and ten times how far the best rate lies outside (Gneiting and Raftery, JASA
    102(477), 2007). All are log10 rates of shape (n,).
    """
    missed = np.maximum(low - best, 0) + np.maximum(best - high, 0)
    return np.asarray(high - low + MISS * missed)


def calibrate(rule: Rule, seen: Examples) -> Rule:
    """Return the rule with the ends of its interval set to the least mean interval score."""
    from scipy.optimize import minimize

    def score(ends: NDArray[np.float64]) -> float:
        low, _, high = interval(replace(rule, **dict(zip(ENDS, ends, strict=True))), seen.told)
        return float((seen.weight * interval_scores(low, high, seen.best)).sum())

    start = [getattr(rule, name) for name in ENDS]
    found = minimize(score, start, method="Nelder-Mead", options={"maxiter": 400})
    ends = {name: max(0.0, round(float(x), 3)) for name, x in zip(ENDS, found.x, strict=True)}
    return replace(rule, **ends)


def folds(family: NDArray[np.str_], k: int, seed: int = 0) -> Iterator[NDArray[np.bool_]]:
    """Yield k masks that together hold out every family once."""
    names = np.random.default_rng(seed).permutation(np.unique(family))
    for part in np.array_split(names, min(k, len(names))):
        yield np.isin(family, part)


def choose_penalty(seen: Examples, k: int = 4) -> float:
    """Return the penalty of least loss on families left out, of PENALTIES."""
    held = list(folds(seen.family, k))
    totals = []
    for penalty in PENALTIES:
        parts = [
            seen.take(out).loss(place(fit(seen.take(~out), penalty), seen.take(out).told))
            for out in held
        ]
        totals.append(float(np.mean(parts)))
    return PENALTIES[int(np.argmin(totals))]


def finished(seen: Examples) -> tuple[Rule, float]:
    """Choose a penalty, fit with it and calibrate the interval; returns rule and penalty."""
    penalty = choose_penalty(seen)
    return calibrate(fit(seen, penalty), seen), penalty


def nested(seen: Examples) -> dict[str, tuple[Rule, float]]:
    """Return for each family the rule made without it, and the penalty chosen without it."""
    names = np.unique(seen.family)
    return {str(name): finished(seen.take(seen.family != name)) for name in names}


def fold_reader(rules: Mapping[str, Rule]) -> Reader:
    """Return a contestant that reads each task by the rule made without its family.

    A family that no rule was made without was not tuned on: there the shipped rule stands.
    """

    def read(task: TaskEvidence, curve: Curve) -> float | Abstention:
        table = told(curve, task.context)
        if isinstance(table, Abstention):
            return table
        return float(10 ** place(rules.get(task.family, RULE), table)[0])

    return read


def _best_rates(tasks: Sequence[TaskEvidence]) -> list[tuple[TaskEvidence, float]]:
    """Return the tasks whose rates can be told apart, each with log10 of its best rate."""
    return [
        (t, float(np.mean([math.log10(half.best) for half in t.response.halves])))
        for t in scorable(tasks)
        if t.response and t.response.halves and t.response.error <= CLEAR
    ]


_INTERVALS = [
    "task", "family", "contestant", "low", "high", "best", "covered", "width", "score",
]  # fmt: skip


def intervals(
    tasks: Sequence[TaskEvidence], rules: Mapping[str, Rule], others: Sequence[TaskEvidence] = ()
) -> pd.DataFrame:
    """Return a row per task, range test and contestant with its 80 % interval, in log10 rates.

    Columns: task, family, contestant ("consensus" by the rule made without the family, or the
    constant out of fold with the tenth and ninetieth percentile of how far the best rates of other
    families' tasks with the same optimizer lie from it), low, high, best, covered, width, score
    (see `interval_scores`). Tasks whose rates cannot be told apart are left out.

    Args:
        tasks: what was measured.
        rules: the rule made without each family; the shipped one stands where there is none.
        others: where the constant and its interval come from; without any, the tasks themselves.
    """
    seen, pool = _best_rates(tasks), _best_rates(others or tasks)
    if not seen:
        return pd.DataFrame(columns=_INTERVALS)
    table = contest([task for task, _ in seen], others=others or tasks)
    constant = table[table.contestant == OUT_OF_FOLD].set_index("task").pick
    rows = []
    for task, best in seen:
        away = [(t, rate) for t, rate in pool if t.family != task.family]
        alike = [rate for t, rate in away if t.optimizer == task.optimizer]
        alike = alike or [rate for _, rate in away]
        middle = math.log10(float(constant[task.label]))
        ends = np.quantile(np.array(alike) - middle, [0.1, 0.9]) if alike else (-1, 1)
        found = [(OUT_OF_FOLD, middle + ends[0], middle + ends[1])]
        for curve in task.curves:
            row = told(curve, task.context)
            if not isinstance(row, Abstention):
                low, _, high = interval(rules.get(task.family, RULE), row)[:, 0]
                found.append(("consensus", low, high))
        rows += [
            {"task": task.label, "family": task.family, "contestant": name, "low": low,
             "high": high, "best": best}
            for name, low, high in found
        ]  # fmt: skip
    table = pd.DataFrame(rows)
    low, high, at = (table[k].to_numpy(float) for k in ("low", "high", "best"))
    return table.assign(covered=(low <= at) & (at <= high), width=high - low,
                        score=interval_scores(low, high, at))  # fmt: skip


def write_folds(rules: Mapping[str, Rule], path: Path) -> None:
    """Write the rule that was fitted without each family, a family a row."""
    rows = [{"family": name, **asdict(rule)} for name, rule in rules.items()]
    pd.DataFrame(rows).to_csv(path, index=False)


def read_folds(path: Path | None = None) -> dict[str, Rule]:
    """Read what `write_folds` wrote, by default the shipped table; empty if there is none."""
    try:
        table = pd.read_csv(path or shipped("benchmarks/recorded/consensus_folds.csv"))
    except FileNotFoundError:
        return {}
    rows = table.set_index("family").to_dict("index")
    return {str(name): Rule(**{str(k): v for k, v in row.items()}) for name, row in rows.items()}
