"""One offline HTML page from tables."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from lrsuggest.evidence.contested import by_schedule, contested, left_out, of, rests_on
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.regret import rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import summary
from lrsuggest.report import cost, people, provenance, ranking, teacher
from lrsuggest.report import lessons as lesson_part
from lrsuggest.report import tasks as task_part
from lrsuggest.report.about import FEWEST_FAMILIES, Story, alerts
from lrsuggest.report.figures.overview import slug
from lrsuggest.report.text import (
    KINDS,
    exact,
    kind,
    listed,
    loss,
    number,
    percent,
    rate,
    several,
    signed,
)

_TEMPLATES = files("lrsuggest.report") / "templates"


def environment() -> jinja2.Environment:
    """Return the templates with the filters they use; everything is escaped."""
    held = {each.name: each.read_text("utf-8") for each in _TEMPLATES.iterdir()}
    made = jinja2.Environment(
        loader=jinja2.DictLoader(held),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(
        rate=rate, number=number, signed=signed, exact=exact, percent=percent, loss=loss,
        kind=kind, listed=listed, counted=several, slug=slug, several=lesson_part.several,
        metric=lesson_part.metric, verdict=lesson_part.verdict,
    )  # fmt: skip
    # Ours, and free of what would end their element.
    plain = {name: Markup(held[name]) for name in ("style.css", "script.js")}
    made.globals.update(spread=lesson_part.spread, kinds=KINDS, plain=plain, oracle=ranking.ORACLE)
    return made


def render(
    tasks: Sequence[TaskEvidence],
    story: Story,
    lessons: Sequence[LessonEvidence] = (),
    stages: Sequence[TaskEvidence] = (),
) -> str:
    """Return the report as one HTML document that needs nothing else.

    Args:
        tasks: what is ranked.
        story: what was run, and what came of the runs that are not in the tasks.
        lessons: what was trained stage by stage.
        stages: the responses of the lessons' stages, where they are not among the tasks.
    """
    template = environment().get_template("report.html")
    return template.render(**_ranked(tasks), **_rest(tasks, story, lessons, stages))


def _ranked(tasks: Sequence[TaskEvidence]) -> dict[str, Any]:
    """What comes of the contest."""
    whole = contested(tasks)
    groups = list(by_schedule(tasks).values())
    here = groups[0] if groups else []
    table = of(whole, here)
    ranked = summary(table, here)
    verdict = ranking.judge(table, ranked, here)
    measured = rankable(here)
    enough = len({task.family for task in measured}) >= FEWEST_FAMILIES
    where = provenance.sources()
    return {
        "verdict": verdict,
        "picture": ranking.small_picture(ranked, verdict),
        "ranking": ranking.rows_of(table, ranked, here),
        "rests_on": rests_on(here),
        "left_out": left_out(tasks),
        "others": [ranking.another(of(whole, each), each) for each in groups[1:]],
        "by_kind": ranking.by_kind(table, here),
        "profile": ranking.profile(table, ranked, verdict) if len(ranked) else None,
        "difference": ranking.difference(table) if enough else None,
        "heat": ranking.heat(whole, ranked, tasks),
        "measured": len(measured),
        "families": len({task.family for task in measured}),
        "sections": [task_part.section(i, each, whole, where) for i, each in enumerate(tasks)],
        "task_kinds": sorted({task.kind for task in tasks if task.kind}),
        "glyphs": task_part.glyphs(),
        "downloads": provenance.downloads(whole, ranked, tasks),
    }


def _rest(
    tasks: Sequence[TaskEvidence],
    story: Story,
    lessons: Sequence[LessonEvidence],
    stages: Sequence[TaskEvidence],
) -> dict[str, Any]:
    """What does not."""
    both = [*tasks, *stages]
    return {
        "story": story,
        "alerts": alerts(tasks, story, lessons),
        "strip": lesson_part.strip(lessons, story.absent),
        "teacher": teacher.teacher(tasks),
        "lessons": [lesson_part.section(i, each, both) for i, each in enumerate(lessons)],
        "overview": lesson_part.overview(lessons),
        "cost": cost.cost(tasks),
        "human": people.human(),
        "citations": provenance.citations(both, lessons),
        "heuristics": provenance.heuristics(),
        "methods": provenance.METHODS,
        "about": provenance.about(tasks, stages, story),
        "fingerprints": provenance.fingerprints(both),
    }
