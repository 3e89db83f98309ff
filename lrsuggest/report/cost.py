"""The part of the report on what cheaper measurements are worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lrsuggest.evidence.consensus_fit import intervals, read_folds
from lrsuggest.evidence.contested import evidence
from lrsuggest.evidence.regret import scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.studies.probe_replay import probed
from lrsuggest.evidence.studies.sensitivity import by_proxy, fidelity, replicates
from lrsuggest.report.figures.overview import cost_figure
from lrsuggest.report.figures.svg import inline
from lrsuggest.report.text import number, percent, records

_READINGS = ("consensus", "min_10", "steepest_gaussian", "fastai_minimum")
_SWEEPS = (1, 3, 5)


def cost(tasks: Sequence[TaskEvidence]) -> dict[str, Any] | None:
    """Return what a range test, more of them, short runs and intervals cost and are worth."""
    real = scorable(tasks)
    if not real:
        return None
    with_runs = [task for task in real if len(task.runs)]
    proxies = fidelity(with_runs)
    more = replicates(real, _READINGS, _SWEEPS)
    return {
        "steps": _steps(real),
        "proxies": records(by_proxy(proxies)) if len(proxies) else [],
        "replicates": records(more[more.how == "picks"]) if len(more) else [],
        "intervals": _intervals(real),
        "probes": _probes(with_runs),
    }


def _steps(tasks: Sequence[TaskEvidence]) -> dict[str, Any] | None:
    """Steps of a range test beside those of a run, over tasks."""
    pairs = [
        (float(np.median([len(curve) for curve in task.curves])), task.steps)
        for task in tasks
        if task.curves and task.steps
    ]
    if not pairs:
        return None
    test, run = np.array(pairs, float).T
    share = float(np.median(test / run))
    return {
        "tasks": len(pairs), "test": float(np.median(test)), "most": float(test.max()),
        "run": float(np.median(run)), "share": share,
        "said": (
            f"A range test took {np.median(test):.0f} optimizer steps on the median task, "
            f"{test.max():.0f} at most, and no validation pass. The training runs here have "
            f"{np.median(run):.0f} steps in the median, so it cost {percent(share)} of one; it is "
            f"no longer before a longer training: {percent(float(np.median(test)) / 2000)} of "
            "2,000 steps."
        ),
    }  # fmt: skip


def _intervals(tasks: Sequence[TaskEvidence]) -> list[dict[str, Any]]:
    """How often the 80 % intervals hold the best rate, and how wide they are."""
    if len({task.family for task in tasks}) < 2:
        return []
    found = intervals(tasks, read_folds(), evidence())
    if found.empty:
        return []
    per_task = found.groupby(["contestant", "task"])[["covered", "width", "score"]].mean()
    rows = per_task.groupby("contestant").mean().reset_index()
    rows["tasks"] = found.groupby("contestant").task.nunique().to_numpy()
    return records(rows)


def _probes(tasks: Sequence[TaskEvidence]) -> dict[str, Any] | None:
    """What short runs from the same snapshot buy, as figure and table."""
    found = probed(tasks, read_folds())
    if found.empty:
        return None
    by_task = found.groupby(["probes", "cost", "task"])[["regret", "oracle"]].mean()
    rows: list[dict[str, Any]] = []
    for (probes, price), here in by_task.groupby(["probes", "cost"]):
        rows.append(
            {
                "probes": probes, "cost": price, "median": here.regret.median(),
                "mean": here.regret.mean(), "p90": here.regret.quantile(0.9),
                "oracle": here.oracle.mean(),
            }
        )  # fmt: skip
    none, most = rows[0], rows[-1]
    return {
        "figure": inline(
            cost_figure("probes", found),
            "Regret against what probes cost: mean, median and 90th percentile; the same numbers "
            "as in the table",
        ),
        "rows": rows,
        "tasks": found.task.nunique(),
        "caption": (
            f"Without a probe the mean regret is {number(none['mean'])}; {most['probes']} probes "
            f"bring it to {number(most['mean'])} for the price of {most['cost']:g} full runs. "
            f"The dotted line, {number(none['oracle'])}, is what full runs on half of the seeds "
            "would attain."
        ),
    }
