"""What the teacher of the fast.ai course says of rates, held against the recorded tasks.

Each claim is counted in tasks, "k of n", with the interval of Wilson (J. American Statistical
Association 22, 1927). Tasks of one family are alike, so n says more than there is; the number of
families stands beside it. Costs are regrets: shares of what training gains. Where a heuristic
abstains, the claim about it is silent, and a task on which every sweep is silent does not count.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.columns import Floats
from lrsuggest.evidence.parse import traces
from lrsuggest.evidence.regret import regret, scorable
from lrsuggest.evidence.response import FINE, Response, TaskEvidence
from lrsuggest.evidence.studies.sensitivity import read_one
from lrsuggest.vocabulary import STAGES

LITTLE = (0.01, 0.5)  # a rise of the validation loss that is no noise, and still little; in spans
NEVER, DIPPED, WORSE, LOST = (
    "never rose", "a little worse, then better", "much worse, then better", "worse and stayed",
)  # fmt: skip

SLOPE = "the sharpest slope is fine"
BOTTOM = "the bottom is worse than a tenth of it"
BOTTOM_SURE = "the bottom is worse, by more than the noise"
EITHER = "the better of min/10 and min/100 is fine"
SECOND = "min/100 is better than min/10"
SLICE_10, SLICE_100 = "hi/10 to hi is better than hi", "hi/100 to hi is better than hi"
FIFTH = "unfrozen, a fifth of the frozen rate is fine"
DIP_FINE = "where validation dips, the rate is fine"
DIP_BETTER = "where validation dips, the rate is better"
DIP_BETTER_NEAR = "where validation dips, the rate is better than those a decade below"
DIP_BEST = "at the best rate validation dips"

_NOT_MEASURED = {
    "the eye finds the sharpest slope": "nobody marked these curves; heuristics stand for the eye",
    "lo is hi/200": "slices are compared at ratios of 10 and 100 only",
    "the larger size wants a smaller rate": "what goes on to a larger size has other weights too",
    "sizes much under 64x64 do not help": "nothing was trained with and without its small sizes",
    "half precision is no worse": "no task was trained in two precisions",
}


def _picks(task: TaskEvidence, name: str) -> Floats:
    """One heuristic's rate on each sweep, NaN where it abstains."""
    return np.array([read_one(name, curve, task.context) for curve in task.curves])


def _regrets(task: TaskEvidence, picks: Floats) -> Floats:
    assert task.response is not None
    return np.array([math.nan if math.isnan(p) else regret(task.response, p) for p in picks])


def _of_heuristics(task: TaskEvidence) -> Iterator[tuple[str, float, bool]]:
    """Yield (claim, figure, whether it holds) for what is said of the curve."""
    assert task.response is not None
    slope = _regrets(task, _picks(task, "steepest_gaussian"))
    slope = slope[~np.isnan(slope)]
    if len(slope):
        yield SLOPE, slope.mean(), bool(slope.mean() <= FINE and slope.max() <= 1)
    tenth = _picks(task, "min_10")
    one, bottom = _regrets(task, tenth), _regrets(task, 10 * tenth)
    two = _regrets(task, tenth / 10)
    seen = ~np.isnan(one)
    if not seen.any():
        return
    worse = float((bottom - one)[seen].mean())
    yield BOTTOM, worse, worse > 0
    yield BOTTOM_SURE, worse, worse > 2 * task.response.error
    better = float(np.minimum(one, two)[seen].mean())
    yield EITHER, better, better <= FINE
    gap = float((two - one)[seen].mean())
    yield SECOND, gap, gap < 0


def slices(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per task and slice of rates (lr/ratio, lr) that was trained.

    Columns: task, family, stage, lr, ratio, seeds (runs of the slice), plain (regret of lr for
    every layer), slice (regret of the slice, valued as any rate), gain (plain less slice:
    positive is in favour of the slice).
    """
    rows = []
    for task in scorable(tasks):
        runs = task.runs[task.runs.part == "slice"] if len(task.runs) else task.runs
        assert task.response is not None
        for _, each in runs.groupby(["lr", "low"]) if len(runs) else ():
            lr, low = float(each.lr.iloc[0]), float(each.low.iloc[0])
            plain, cost = regret(task.response, lr), _cost(task.response, each)
            rows.append(
                {
                    "task": task.label, "family": task.family, "stage": task.stage, "lr": lr,
                    "ratio": round(lr / low, 2), "seeds": len(each), "plain": plain, "slice": cost,
                    "gain": plain - cost,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _cost(measured: Response, runs: pd.DataFrame) -> float:
    """Regret of runs beside the grid: each half values them on its own seeds, as any rate."""
    losses = dict(zip(runs.seed, runs.loss.astype(float), strict=True))
    return measured.regret_of(np.array([losses.get(seed, math.nan) for seed in measured.seeds]))


def _sitting(task: TaskEvidence) -> tuple[object, ...]:
    """Everything but the stage."""
    return task.title, task.size, task.model, task.optimizer, task.batch, task.schedule


def _of_stages(tasks: Sequence[TaskEvidence]) -> Iterator[tuple[TaskEvidence, str, float, bool]]:
    """Yield (task, claim, figure, whether it holds) for the slices and the fifth."""
    table, named = slices(tasks), {task.label: task for task in tasks}
    for ratio, claim in ((10, SLICE_10), (100, SLICE_100)):
        chosen = table[table.ratio == ratio] if len(table) else table
        for label, gain in chosen.groupby("task").gain.mean().items() if len(chosen) else ():
            yield named[str(label)], claim, float(gain), bool(gain > 0)
    frozen = {_sitting(task): task for task in tasks if task.stage == "frozen"}
    for task in tasks:
        before = frozen.get(_sitting(task)) if task.stage == "unfrozen" else None
        found = _picks(before, "steepest_gaussian") / 5 if before else np.array([])
        cost = _regrets(task, found)
        if not np.isnan(cost).all():
            yield task, FIFTH, float(np.nanmean(cost)), bool(np.nanmean(cost) <= FINE)


def dips(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per run whose validation loss was looked at midway: the grid's first seed.

    A trace begins at the checkpoint's loss; a span is that less the lowest final loss of the
    task's traces. The loss has risen where a look exceeds the lowest loss before it by more than
    a hundredth of a span. The shape of a trace is "never rose"; "a little worse, then better" (it
    has risen, by at most half a span each time, and the final loss is below the level it rose
    from, every time); "much worse, then better" (the same with a greater rise); or "worse and
    stayed", also where the run diverged. Those that diverged before the first look have no trace.

    Columns: task, family, stage, lr, shape, regret (of that rate over all seeds).
    """
    rows = []
    for task in scorable(tasks):
        seen = list(traces(task.runs)) if len(task.runs) else []
        ends = [looks[-1][1] for _, looks in seen if looks and looks[-1][0] == task.steps]
        assert task.response is not None
        start = task.response.start
        span = start - min(ends, default=math.inf)
        for lr, looks in seen if span > 0 else ():
            trace = np.array([start, *(loss for _, loss in looks)])
            whole = looks[-1][0] == task.steps
            rows.append(
                {
                    "task": task.label, "family": task.family, "stage": task.stage, "lr": lr,
                    "shape": _shape(trace, span) if whole else LOST,
                    "regret": regret(task.response, lr),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _shape(trace: Floats, span: float) -> str:
    before = np.minimum.accumulate(trace)[:-1]
    rises = (trace[1:] - before) / span
    rose = rises > LITTLE[0]
    if not rose.any():
        return NEVER
    if not (np.isfinite(trace).all() and trace[-1] < before[rose].min()):
        return LOST
    return DIPPED if rises.max() <= LITTLE[1] else WORSE


def _of_dips(runs: pd.DataFrame) -> Iterator[tuple[str, float, bool]]:
    """Yield (claim, figure, whether it holds) of one task's traces."""
    dipped, never = runs[runs["shape"] == DIPPED], runs[runs["shape"] == NEVER]
    best = runs.sort_values(["regret", "lr"])["shape"].iloc[0]
    yield DIP_BEST, math.nan, best == DIPPED
    if dipped.empty:
        return
    cost = float(dipped.regret.mean())
    yield DIP_FINE, cost, cost <= FINE
    low = float(dipped.lr.min())
    near = never[(never.lr < low) & (never.lr >= low / 10 * 0.99)]
    for claim, others in ((DIP_BETTER, never), (DIP_BETTER_NEAR, near)):
        if len(others):
            gap = cost - float(others.regret.mean())
            yield claim, gap, gap < 0


def judgements(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per claim and task that can judge it.

    Columns: claim, task, family, stage, figure, held. What the figure is and when a claim holds
    (means are over sweeps, regrets cross-fitted as anywhere):

    - the sharpest slope is fine: steepest_gaussian's mean regret, at most .05, and no sweep's
      pick above 1, which is no training at all.
    - the bottom is worse than a tenth of it: regret at 10 x min_10 less that at min_10, above 0;
      or above two standard errors of the task. Beyond the measured rates the edge's value holds,
      which flatters the bottom.
    - the better of min/10 and min/100 is fine: mean of the lesser regret on each sweep, at most
      .05. min/100 is better: its regret less that of min/10, below 0.
    - slices: mean `gain` of that ratio in `slices`, above 0.
    - a fifth of the frozen rate: regret, unfrozen, of a fifth of steepest_gaussian's picks on the
      frozen stage of the same dataset and size, at most .05.
    - where validation dips: of the rates whose trace goes "a little worse, then better" in
      `dips`, the mean regret, at most .05; that less the mean regret of all rates that never
      rose, or of those up to a decade below the lowest that dips, below 0. At the best rate:
      whether the trace of the rate with least regret goes so; no figure.
    """
    rows: list[tuple[str, TaskEvidence, float, bool]] = []
    judged = [task for task in scorable(tasks) if task.response and task.response.halves]
    for task in judged:
        rows += [(claim, task, figure, held) for claim, figure, held in _of_heuristics(task)]
    rows += [(claim, task, figure, held) for task, claim, figure, held in _of_stages(judged)]
    named, seen = {task.label: task for task in judged}, dips(judged)
    for label, runs in seen.groupby("task", sort=False) if len(seen) else ():
        rows += [(claim, named[str(label)], figure, held) for claim, figure, held in _of_dips(runs)]
    return pd.DataFrame(
        [
            {
                "claim": claim, "task": task.label, "family": task.family, "stage": task.stage,
                "figure": figure, "held": held,
            }
            for claim, task, figure, held in rows
        ],
        columns=["claim", "task", "family", "stage", "figure", "held"],
    )  # fmt: skip


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share k of n."""
    from scipy.stats import binomtest  # slow to import

    found = binomtest(k, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def claims(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per claim and stage, and "all" of the stages together.

    Columns: claim, stage, k and n (it holds on k of n tasks), families, share with low and high
    (Wilson's 95 % interval), median and mean (of the figure, see `judgements`).
    """
    told, rows = judgements(tasks), []
    for claim, here in told.groupby("claim", sort=False):
        for stage in ("all", *STAGES):
            part = here if stage == "all" else here[here.stage == stage]
            if len(part):
                k, n = int(part.held.sum()), len(part)
                low, high = wilson(k, n)
                rows.append(
                    {
                        "claim": claim, "stage": stage, "k": k, "n": n,
                        "families": part.family.nunique(), "share": k / n, "low": low,
                        "high": high, "median": part.figure.median(), "mean": part.figure.mean(),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def unjudged(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per claim that nothing measured speaks to, with the reason.

    Columns: claim, reason.
    """
    lacking = {
        **dict.fromkeys((SLICE_10, SLICE_100), "no such slice of rates was trained"),
        FIFTH: "no unfrozen task has its frozen stage beside it",
    }
    told = set(judgements(tasks).claim)
    reasons = {claim: why for claim, why in lacking.items() if claim not in told} | _NOT_MEASURED
    return pd.DataFrame(list(reasons.items()), columns=["claim", "reason"])
