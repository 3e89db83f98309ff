"""One offline HTML page from tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from lrsuggest.curves.readings import HEURISTICS, rates, read_all
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.regret import HAND_PICKED, OUT_OF_FOLD, constants, contest, scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import finalists, ranks, summary
from lrsuggest.evidence.tuning import UNSEEN, fold_reader, read_folds
from lrsuggest.report import lessons as lesson_part
from lrsuggest.report.figures import critical_difference_figure, curve_figure, response_figure
from lrsuggest.report.text import number, rate

_FEWEST_FAMILIES = 6


@dataclass(frozen=True)
class Story:
    """What a report is about, beside its tables.

    Attributes:
        title: the suite's title.
        command: what was run.
        planned: how many runs were planned.
        failed: a line for each run without a result.
        absent: a line for each lesson whose data were not at hand.
        unreached: how many runs wait for one of the failed.
    """

    title: str
    command: str
    planned: int
    failed: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unreached: int = 0

    @property
    def measured(self) -> int:
        """How many planned runs have a result."""
        return self.planned - len(self.failed) - self.unreached


def _picks(task: TaskEvidence) -> dict[str, float]:
    """Each reading's pick, the geometric mean over sweep seeds."""
    found: dict[str, list[float]] = {}
    for curve in task.curves:
        for name, pick in rates(read_all(curve, task.context)).items():
            found.setdefault(name, []).append(pick)
    return {name: float(np.exp(np.mean(np.log(picks)))) for name, picks in found.items()}


def _section(index: int, task: TaskEvidence, table: pd.DataFrame) -> dict[str, Any]:
    """What the template shows of one task."""
    picks = _picks(task)
    here = table[table.task == task.label] if len(table) else table
    rows = []
    for name, group in here.groupby("contestant", sort=False) if len(here) else ():
        regrets = group.regret.to_numpy(float)
        rows.append(
            {
                "contestant": name,
                "origin": origin(str(name)),
                "picks": ", ".join(rate(p) for p in group.pick),
                "regret": float(np.mean(regrets)),
                "low": float(np.min(regrets)),
                "high": float(np.max(regrets)),
                "outside": bool(group.outside.any()),
                "abstained": bool(group.abstained.any()),
                "note": group.note.iloc[0],
            }
        )
    numbers = []
    if task.response is not None:
        for column, lr in enumerate(task.response.rates):
            losses = task.response.loss[:, column]
            values = task.metrics[np.isclose(task.metrics.lr, lr)].value
            numbers.append(
                {
                    "lr": lr,
                    "losses": [_loss(x) for x in losses],
                    "metrics": [number(x) for x in values],
                }
            )
    name = f"task{index}"
    first = rates(read_all(task.curves[0], task.context)) if task.curves else {}
    return {
        "task": task,
        "id": name,
        "curve": Markup(curve_figure(f"{name}-curve", task.curves[0], first))
        if task.curves
        else None,
        "response": Markup(response_figure(f"{name}-response", task, picks))
        if task.response is not None and task.response.ready
        else None,
        "rows": sorted(rows, key=lambda row: (math.isnan(row["regret"]), row["regret"])),
        "numbers": numbers,
        "picks": picks,
        "best": float(task.response.rates[int(np.argmin(np.nanmean(task.response.loss, axis=0)))])
        if task.response is not None and task.response.ready
        else math.nan,
    }


def _loss(value: float) -> str:
    if math.isnan(value):
        return "missing"
    return f"{value:.4g}" if math.isfinite(value) else "diverged"


def origin(contestant: str) -> str:
    """Say in a word where a contestant comes from."""
    if contestant in (HAND_PICKED, OUT_OF_FOLD):
        return "person" if contestant == HAND_PICKED else "constant"
    if contestant == UNSEEN:
        return "ours"
    held = HEURISTICS.get(contestant)
    if held is None:
        return ""
    return held.origin if held.origin in ("peer", "constant") else "ours"


def alerts(tasks: Sequence[TaskEvidence], story: Story) -> list[str]:
    """Return what a reader must know before believing any number."""
    said = []
    real = [task for task in tasks if not task.synthetic]
    families = {task.family for task in real}
    drawn = [task.label for task in tasks if task.synthetic]
    if drawn:
        said.append(
            f"Synthetic data: {', '.join(drawn)}. They show that the machinery runs; they are in "
            "no ranking, regret or verdict."
        )
    if len(families) < _FEWEST_FAMILIES:
        said.append(
            f"Only {len(families)} {'family' if len(families) == 1 else 'families'} of real data: "
            "a look at the curves, too few to say which heuristic is best."
        )
    if story.measured < story.planned:
        lacking = story.planned - story.measured
        said.append(f"{lacking} of {story.planned} planned runs have no result.")
    if any(task.family in read_folds() for task in real):
        said.append(
            'The consensus was fitted on families among these; "consensus, out of fold" is the '
            "rule made without each. Suggested rates are the shipped rule's."
        )
    elsewhere = [task.label for task in real if task.hand_picked]
    if elsewhere:
        said.append(
            "The hand-picked rates were chosen elsewhere, mostly for other networks, sizes and "
            "lengths than those here (named in each section)."
        )
    return said


def leader(ranked: pd.DataFrame) -> dict[Any, Any] | None:
    """Return the contestant with the lowest median that anybody could have used, or None.

    A constant of the grid is chosen in hindsight, so it does not count, nor does the consensus on
    families it was fitted on, nor one that was not scored on every task.
    """
    if ranked.empty:
        return None
    unfair = [*constants(), *(["consensus"] if UNSEEN in set(ranked.contestant) else [])]
    fair = ranked[ranked.whole & ~ranked.contestant.isin(unfair)]
    return dict(fair.to_dict("records")[0]) if len(fair) else None


def render(
    tasks: Sequence[TaskEvidence], story: Story, lessons: Sequence[LessonEvidence] = ()
) -> str:
    """Return the report as one HTML document that needs nothing else."""
    # The consensus was fitted on these families, so the rule made without each stands beside it.
    folds = read_folds()
    tuned_on = any(task.family in folds for task in tasks)
    table = contest(tasks, {UNSEEN: fold_reader(folds)} if tuned_on else None)
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({n: _template(n) for n in ("report.html", "lessons.html")}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        rate=rate,
        number=number,
        origin=origin,
        several=lesson_part.several,
        verdict=lesson_part.verdict,
        metric=lesson_part.metric,
    )
    environment.globals.update(spread=lesson_part.spread)
    ranked = summary(table, tasks)
    measured = scorable(tasks)
    families = {task.family for task in measured}
    return environment.get_template("report.html").render(
        story=story,
        alerts=alerts(tasks, story),
        ranking=ranked.to_dict("records"),
        sections=[_section(i, task, table) for i, task in enumerate(tasks)],
        measured=measured,
        families=len(families),
        difference=_difference(table) if len(families) >= _FEWEST_FAMILIES else None,
        leader=leader(ranked) if len(families) >= _FEWEST_FAMILIES else None,
        lessons=[lesson_part.section(i, each, tasks) for i, each in enumerate(lessons)],
        strip=lesson_part.strip(lessons, story.absent),
    )


def _difference(table: pd.DataFrame) -> Markup:
    """Draw who can be told from whom."""
    return Markup(critical_difference_figure("difference", *ranks(table, finalists(table))))


def _template(name: str) -> str:
    return (files("lrsuggest.report") / "templates" / name).read_text("utf-8")
