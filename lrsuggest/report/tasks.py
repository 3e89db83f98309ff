"""The part of the report on one task: figure, contestants, numbers and how they were made."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.display.drawing import marks
from lrsuggest.curves.display.svg import glyph
from lrsuggest.curves.heuristics.all import HEURISTICS, rates, read_all
from lrsuggest.evidence.regret import regret
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.statistics import RESOLVED
from lrsuggest.report.figures.overview import slug
from lrsuggest.report.figures.svg import inline, painted
from lrsuggest.report.figures.task import near, task_figure
from lrsuggest.report.text import kind, rate, several


def glyphs() -> Markup:
    """Return every heuristic's mark once, for the tables to refer to."""
    read = {name: 1.0 for name, each in HEURISTICS.items() if each.origin != "constant"}
    said = []
    for mark, colour, name in marks(read):
        inner = painted(glyph(mark, colour)).partition(">")[2].removesuffix("</svg>")
        said.append(f'<symbol id="g-{slug(name)}" viewBox="-6.5 -6.5 13 13">{inner}</symbol>')
    return Markup('<svg width="0" height="0" aria-hidden="true">' + "".join(said) + "</svg>")


def _picks(task: TaskEvidence) -> dict[str, float]:
    """Each heuristic's pick, the geometric mean over sweep seeds."""
    found: dict[str, list[float]] = {}
    for curve in task.curves:
        for name, pick in rates(read_all(curve, task.context)).items():
            found.setdefault(name, []).append(pick)
    return {name: float(np.exp(np.mean(np.log(picks)))) for name, picks in found.items()}


def _contestants(here: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per contestant, least regret first."""
    rows = []
    for name, group in here.groupby("contestant", sort=False) if len(here) else ():
        picks = group.pick.dropna().to_numpy(float)
        lost = int(group.abstained.sum())
        notes = [group.note.iloc[0]] * bool(group.note.iloc[0])
        notes += [f"abstained {lost} of {len(group)}"] * bool(lost)
        notes += ["outside the measured rates"] * bool(group.outside.any())
        notes += ["diverged"] * bool(group.diverged.any())
        rows.append(
            {
                "contestant": name, "kind": kind(str(name)), "slug": slug(str(name)),
                "marked": name in HEURISTICS and HEURISTICS[str(name)].origin != "constant",
                "pick": float(np.exp(np.log(picks).mean())) if len(picks) else math.nan,
                "picks": _span(picks), "regret": float(group.regret.mean()),
                "note": "; ".join(notes),
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: (math.isnan(row["regret"]), row["regret"]))


def _span(picks: Floats) -> str:
    """Name the ends of several picks, nothing where they are one."""
    if not len(picks) or rate(picks.min()) == rate(picks.max()):
        return ""
    return f"{rate(picks.min())} to {rate(picks.max())}"


def _numbers(task: TaskEvidence) -> list[dict[str, Any]]:
    """A row per measured rate: what its runs came to."""
    response = task.response
    assert response is not None
    rows = []
    for column, lr in enumerate(response.rates):
        losses = response.loss[:, column]
        ended = losses[np.isfinite(losses)]
        mine = task.metrics[np.isclose(task.metrics.lr, lr)] if len(task.metrics) else None
        values = np.array([]) if mine is None else mine["value"].dropna().to_numpy(float)
        rows.append(
            {
                "lr": lr, "runs": int((~np.isnan(losses)).sum()),
                "mean": float(ended.mean()) if len(ended) else math.nan,
                "low": float(ended.min()) if len(ended) else math.nan,
                "high": float(ended.max()) if len(ended) else math.nan,
                "diverged": int(np.isinf(losses).sum()),
                "missing": int(np.isnan(losses).sum()),
                "metric": float(values.mean()) if len(values) else math.nan,
                "regret": regret(response, lr),
            }
        )  # fmt: skip
    return rows


def _caption(task: TaskEvidence, response: Response | None, rows: Sequence[Any]) -> str:
    """How to read the figure, from what it shows."""
    said = []
    if task.curves:
        said.append(
            f"Top: the first of {several(len(task.curves), 'range test')}, grey as measured, dark "
            f"smoothed. {task.curves[0].ended.sentence}"
        )
    said.append(
        "Middle: what each heuristic picks, the geometric mean over range tests; height says "
        "nothing, it keeps marks apart."
    )
    if response is None:
        said.append("No response: two seeds at two rates and the loss before training are needed.")
        return " ".join(said)
    said.append(
        "Bottom: every dot is a whole run with that maximum rate, the line their mean, the grey "
        "band their range; the dashed line is the loss before training, and dots on the upper "
        "edge diverged or ended worse."
    )
    band = near(response)
    if band:
        inside = [r["contestant"] for r in rows if r["marked"] and band[0] / 1.01 <= r["pick"]
                  <= band[1] * 1.01]  # fmt: skip
        said.append(
            f"Shaded: the rates around the best that cost at most .05, {rate(band[0])} to "
            f"{rate(band[1])}; {len(inside)} of {sum(r['marked'] for r in rows)} heuristics pick "
            "among them."
        )
    return " ".join(said)


def _facts(task: TaskEvidence) -> dict[str, str]:
    """How a task was measured, by name; what is not known is left out."""
    told = {
        "model": task.model, "batch": str(task.batch or ""), "steps a run": str(task.steps or ""),
        "device": ", ".join(task.device), "precision": ", ".join(task.precision),
        "data": ", ".join(task.data),
        **{name: ", ".join(values) for name, values in task.versions.items()},
        "compute": "" if math.isnan(task.seconds) else f"{task.seconds:.0f} s",
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def section(
    index: int, task: TaskEvidence, table: pd.DataFrame, where: Mapping[str, str]
) -> dict[str, Any]:
    """What the template shows of one task.

    Args:
        index: its place in the report.
        task: what was measured.
        table: the contest.
        where: sources of hand-picked rates by dataset title and rate, where the task has none.
    """
    response = task.response if task.response and task.response.ready else None
    here = table[table.task == task.label] if len(table) else table
    rows = _contestants(here)
    halves = response.halves if response else ()
    error = response.error if response else math.nan
    best = float(np.exp(np.mean([math.log(half.best) for half in halves]))) if halves else math.nan
    hand_picked = [
        (lr, said or where.get(f"{task.title} {rate(lr)}", "")) for lr, said in task.hand_picked
    ]
    picks = _picks(task)
    return {
        "task": task,
        "id": f"task{index}",
        "jobs": task.keys,
        "facts": _facts(task),
        "figure": inline(
            task_figure(f"t{index}", task, picks),
            f"{task.label}: range test, picks and response over the same rates; the tables below "
            "have the numbers",
        )
        if task.curves or response
        else None,
        "best": best,
        "error": error,
        "resolved": error <= RESOLVED,
        "rows": rows,
        "winner": next((r for r in rows if r["marked"]), None),
        "numbers": _numbers(task) if task.response is not None else [],
        "hand_picked": hand_picked,
        "caption": _caption(task, response, rows),
    }
