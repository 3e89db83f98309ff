"""The part of the report that tells of lessons: verdicts, tables, and what was trained."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lrsuggest.curves.columns import Floats
from lrsuggest.evidence.lessons import SUGGESTED, TEST, LessonEvidence, Trace, autopilot, branches
from lrsuggest.evidence.paired import PairedComparison
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.report.figures.chains import trace_figure
from lrsuggest.report.figures.predictions import predictions
from lrsuggest.report.figures.svg import inline
from lrsuggest.report.text import listed, loss, rate, records


def spread(low: float, top: float) -> str:
    """Write a maximum rate, or a slice's two ends."""
    return rate(top) if math.isnan(low) else f"{rate(low)} to {rate(top)}"


_MANY = 3  # seeds whose rates are listed one by one


def several(pairs: Sequence[tuple[float, float]]) -> str:
    """Write the rates of several seeds: each, or of many the lowest and the highest."""
    said = list(dict.fromkeys(spread(low, top) for low, top in pairs))
    if len(pairs) <= _MANY or len(said) == 1:
        return ", ".join(said)
    least, most = (pick(pairs, key=lambda pair: pair[1]) for pick in (min, max))
    return f"{spread(*least)} … {spread(*most)} ({len(pairs)} seeds)"


def metric(per_seed: Floats) -> str:
    """Write a metric as mean ± standard deviation (n), and what diverged or is missing.

    Args:
        per_seed: shape (seeds,), infinite where a run diverged, NaN where there is none.
    """
    ended = per_seed[np.isfinite(per_seed)]
    sd = f" ± {ended.std(ddof=1):.4f}" if len(ended) > 1 else ""
    said = [f"{ended.mean():.4f}{sd} (n {len(ended)})"] if len(ended) else []
    diverged, missing = int(np.isinf(per_seed).sum()), int(np.isnan(per_seed).sum())
    said += [f"{diverged} diverged"] * bool(diverged) + [f"{missing} missing"] * bool(missing)
    return ", ".join(said)


def verdict(against: PairedComparison | None) -> str:
    """Write a comparison: the difference, its interval, and what that allows to say."""
    if against is None:
        return ""
    if math.isnan(against.difference) or against.missing:
        return str(against.outcome)
    ends = f" [{against.low:+.4f}, {against.high:+.4f}]" if math.isfinite(against.low) else ""
    return f"{against.outcome}, {against.difference:+.4f}{ends}".replace("-", "\N{MINUS SIGN}")


class Validated(NamedTuple):
    """Whether something was validated on real data: what, "yes", "in part" or "no", and with what.

    `said` names the lessons, or says why there are none.
    """

    what: str
    state: str
    said: str


def strip(lessons: Sequence[LessonEvidence], absent: Sequence[str]) -> list[Validated]:
    """Return what of CamVid, BIWI, sizes and fp16 was validated on real data, and what was not."""
    done = [each for each in lessons if _whole(each)]
    found = []
    for family, name in (("camvid", "CamVid"), ("biwi", "BIWI")):
        held = [
            f"{e.name} ({', '.join(dict.fromkeys(e.stages['size']))})"
            for e in done if e.family == family
        ]  # fmt: skip
        lacking = [line.partition(":")[0] for line in absent if line.startswith(family)]
        said = ["; ".join(held)] * bool(held)
        said += [f"data of {listed(lacking)} not at hand"] * bool(lacking)
        state = "no" if not held else "in part" if lacking else "yes"
        found.append(Validated(name, state, "; ".join(said) or "not in this suite, or not yet run"))
    ladders = [e.name for e in done if e.stages["size"].nunique() > 1]
    found.append(_either("progressive sizes", ladders, "no ladder of sizes was run"))
    half = [e.name for e in done if "fp16" in {*e.chains.precision, *e.stages.precision}]
    skipped = any("fp16" in e.skipped for e in lessons)
    why = "emulated on a CPU, several times slower" if skipped else "not in this suite"
    return [*found, _either("fp16", half, why)]


def _either(what: str, names: Sequence[str], otherwise: str) -> Validated:
    return Validated(what, "yes" if names else "no", "; ".join(names) or otherwise)


def _whole(lesson: LessonEvidence) -> bool:
    """Whether both pilots' chains went through to the last stage, once at least."""
    last = lesson.chains[lesson.chains.number == lesson.stages.number.max()]
    return {HAND_PICKED, SUGGESTED} <= set(last[last.status == "ok"].pilot)


def _looks(trace: Trace) -> str:
    """A chain's validation losses in words, the figure's twin."""
    said = ", ".join(f"{loss(value)} at step {step}" for step, value in trace.looks)
    return f"{trace.pilot}: {said or 'none'}; highest rate {rate(float(trace.lr.max()))}"


def _stage(lesson: LessonEvidence, row: Mapping[Any, Any], ident: str) -> dict[str, Any]:
    """What the template shows of one stage of a chain."""
    traces = [trace for trace in lesson.traces if trace.number == row["number"]]
    pilots = " and ".join(trace.pilot for trace in traces)
    return {
        **row,
        "pilots": pilots,
        "looks": [_looks(trace) for trace in traces],
        "figure": inline(
            trace_figure(f"{ident}-{row['number']}", traces),
            f"Losses and rates over the steps of the {pilots} chains; the validation losses "
            "stand below",
        )
        if traces
        else None,
        "picture": predictions(traces),
    }


def overview(lessons: Sequence[LessonEvidence]) -> dict[str, Any]:
    """Return how every lesson's whole chain ended, in fp32, and the count of verdicts."""
    rows = []
    for index, lesson in enumerate(lessons):
        flown = autopilot(lesson)
        last = flown[(flown.precision == "fp32") & (flown.number == lesson.stages.number.max())]
        rows += [{"id": f"lesson{index}", "lesson": lesson, **row} for row in records(last)]
    counts = Counter(str(row["against"].outcome) for row in rows)
    said = listed((f"{count} {verdict}" for verdict, count in counts.most_common()), 6)
    return {
        "rows": rows,
        "caption": f"Whole chains at suggested rates, against those at hand-picked ones: {said}."
        if rows
        else "No whole chain has come to its end yet.",
    }


def section(index: int, lesson: LessonEvidence, tasks: Sequence[TaskEvidence]) -> dict[str, Any]:
    """What the template shows of one lesson."""
    ident = f"lesson{index}"
    names = {
        row["number"]: " ".join(filter(None, [f"{row['number']}.", row["size"], row["stage"]]))
        for row in lesson.stages.fillna("").to_dict("records")
    } | {TEST: "test split, once"}
    branch = branches(lesson, tasks)
    flown = autopilot(lesson)
    return {
        "id": ident,
        "lesson": lesson,
        "names": names,
        "stages": [
            _stage(lesson, row, ident) for row in lesson.stages.fillna("").to_dict("records")
        ],
        "branch": records(branch),
        "autopilot": records(flown),
        "skipped": lesson.skipped,
        "formats": flown.precision.nunique() > 1,
        "memory": bool(flown.our_peak_mb.notna().any()),
    }
