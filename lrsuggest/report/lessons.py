"""The part of the report that tells of lessons: verdicts, tables, and what was trained."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lrsuggest.curves.svg import figure
from lrsuggest.evidence.lessons import (
    TEST,
    Comparison,
    LessonEvidence,
    Trace,
    autopilot,
    branches,
)
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.report.pictures import predictions
from lrsuggest.report.text import rate

_COLOURS = {HAND_PICKED: "#E69F00", "suggested": "#0072B2"}


def spread(low: float, top: float) -> str:
    """Write a maximum rate, or a slice's two ends."""
    return rate(top) if math.isnan(low) else f"{rate(low)} to {rate(top)}"


def several(pairs: Sequence[tuple[float, float]]) -> str:
    """Write the rates of several seeds: one where all are the same, else each."""
    said = dict.fromkeys(spread(low, top) for low, top in pairs)
    return ", ".join(said)


def metric(mean: float, sd: float, n: int) -> str:
    """Write a metric as mean ± standard deviation (n)."""
    if math.isnan(mean):
        return f"diverged (n {n})"
    return f"{mean:.4f}{'' if math.isnan(sd) else f' ± {sd:.4f}'} (n {n})"


def verdict(against: Comparison | None) -> str:
    """Write a comparison: the difference, its interval, and what that allows to say."""
    if against is None:
        return ""
    if math.isnan(against.difference):
        return str(against.verdict)
    ends = f" [{against.low:+.4f}, {against.high:+.4f}]" if math.isfinite(against.low) else ""
    return f"{against.verdict} {against.difference:+.4f}{ends}".replace("-", "\N{MINUS SIGN}")


def strip(lessons: Sequence[LessonEvidence], absent: Sequence[str]) -> list[tuple[str, str]]:
    """Return what of CamVid, BIWI, sizes and fp16 was validated on real data, and what was not."""
    done = [each for each in lessons if len(each.chains)]

    def sizes(family: str) -> list[str]:
        mine = [e.stages[e.stages.number.isin(e.chains.number)] for e in done
                if e.facts["family"] == family]  # fmt: skip
        return list(dict.fromkeys(pd.concat(mine)["size"])) if mine else []

    said = []
    for family, name in (("camvid", "CamVid"), ("biwi", "BIWI")):
        held = ", ".join(sizes(family))
        why = next((line for line in absent if family in line.partition(":")[0]), "")
        lacking = "data not at hand" if why else "not in this suite"
        said.append((name, f"validated at {held} pixels" if held else f"not validated: {lacking}"))
    ladders = [e.name for e in done if e.stages["size"].nunique() > 1
               and (e.chains.number == e.stages.number.max()).any()]  # fmt: skip
    said.append(("Progressive sizes", ", ".join(ladders) or "not validated: no ladder was run"))
    half = [e.name for e in done if "fp16" in {*e.chains.precision, *e.stages.precision}]
    skipped = [e.name for e in lessons if "fp16" in e.facts["skipped"]]
    why = ("emulated on a CPU, several times slower, so left out" if skipped
           else "not in this suite")  # fmt: skip
    said.append(("fp16", ", ".join(half) or f"not validated: {why}"))
    return said


def trace_figure(name: str, traces: Sequence[Trace]) -> str:
    """Draw training and validation losses over the steps, and the rates below on their own axis."""
    with figure(name) as (axes, out):
        right = axes.twinx()
        for trace in traces:
            colour = _COLOURS[trace.pilot]
            steps = np.arange(1, len(trace.loss) + 1)
            axes.plot(steps, trace.loss, color=colour, lw=0.9, alpha=0.75,
                      label=f"training loss, {trace.pilot}")  # fmt: skip
            if trace.looks:
                axes.plot(*zip(*trace.looks, strict=True), "o", color=colour, mec="black", ms=6,
                          label=f"validation loss, {trace.pilot}")  # fmt: skip
            right.plot(steps, trace.lr, "--", color=colour, lw=1.2)
        finite = np.concatenate([t.loss[np.isfinite(t.loss)] for t in traces])
        if len(finite) and finite.min() > 0 and finite.max() > 8 * np.median(finite):
            axes.set_yscale("log")
        right.set_yscale("log")
        axes.plot([], [], "--", color="0.4", label="learning rate (right)")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss")
        right.set_ylabel("learning rate")
        axes.legend(fontsize=8, frameon=False)
    return out[0]


def _stage(lesson: LessonEvidence, row: Mapping[Any, Any], ident: str) -> dict[str, Any]:
    """What the template shows of one stage of a chain."""
    traces = [trace for trace in lesson.traces if trace.number == row["number"]]
    pilots = " and ".join(trace.pilot for trace in traces)
    return {
        **row,
        "pilots": pilots,
        "figure": Markup(trace_figure(f"{ident}-{row['number']}", traces)) if traces else None,
        "picture": predictions(traces),
    }


def section(index: int, lesson: LessonEvidence, tasks: Sequence[TaskEvidence]) -> dict[str, Any]:
    """What the template shows of one lesson."""
    ident = f"lesson{index}"
    names = {
        row["number"]: " ".join(filter(None, [f"{row['number']}.", row["size"], row["stage"]]))
        for row in lesson.stages.fillna("").to_dict("records")
    } | {TEST: "test split, once"}
    branch = branches(lesson, tasks)
    flown = autopilot(lesson) if len(lesson.chains) else pd.DataFrame()
    return {
        "id": ident,
        "lesson": lesson,
        "names": names,
        "stages": [
            _stage(lesson, row, ident) for row in lesson.stages.fillna("").to_dict("records")
        ],
        "branch": branch.to_dict("records") if len(branch) else [],
        "autopilot": flown.to_dict("records") if len(flown) else [],
        "skipped": lesson.facts["skipped"],
    }
