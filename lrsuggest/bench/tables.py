"""From records to the recorded tables: each record is read once, whatever is made of them then."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from lrsuggest.bench.jobs.job import GAINS, MEASURED, Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.chains import walk
from lrsuggest.bench.plan.plan import Plan, PlannedTask
from lrsuggest.bench.rows import lesson as of_lesson
from lrsuggest.bench.rows import task as of_task
from lrsuggest.evidence.lessons import Trace
from lrsuggest.evidence.tables import Builder, Tables
from lrsuggest.report.about import Lost, Story

_OF_LESSONS = ("lessons", "stages", "chains", "named")


class Collected(NamedTuple):
    """What an output folder's records say.

    Attributes:
        tables: all that was measured.
        story: what was planned, and what came of it.
        traces: by lesson, how its chains went: what no table holds.
    """

    tables: Tables
    story: Story
    traces: Mapping[str, tuple[Trace, ...]]


def to_tables(plan: Plan, store: Store, *, traces: bool = True) -> Collected:
    """Make tables of an output folder's records, a task of which is in memory at a time.

    Range tests come with the ones that heuristics are judged on first. A task of which nothing
    was measured is in tasks.csv all the same: the plan says what counts.

    Args:
        plan: what was to be run.
        store: the records.
        traces: whether chains' traces are wanted, whose schedules load torch.
    """
    gains = ["gains"] if any(job.protocol == GAINS for job in plan.jobs) else []
    made = Builder("tasks", "sweeps", "runs", *gains, *(_OF_LESSONS if plan.lessons else ()))
    lost, traced, known = dict[Job, Lost](), dict[str, tuple[Trace, ...]](), set[str]()
    planned, unreached = len(plan.jobs), 0
    for task in plan.tasks:
        found = {job: store.get(job) for job in task.all_jobs}
        known |= {job.key for job in found}
        lost |= {job: _lost(job, record) for job, record in found.items() if not _measured(record)}
        results = [record for record in found.values() if record and _measured(record)]
        naive = of_task.naive(task, store) if results else math.nan
        made.add("tasks", of_task.task_row(task, results, naive))
        for record in sorted(results, key=lambda record: not task.main(record.job)):
            if record.result.curve and of_task.gained(record):
                made.add("gains", of_task.gain_row(task, record))
            elif record.result.curve:
                made.add("sweeps", of_task.sweep_row(task, record))
        for record in results:
            if not record.result.curve:
                made.add("runs", of_task.run_row(task, record))
        for row in of_lesson.named_rows(task, _stages(plan, task.lesson), found.get):
            made.add("named", row)
    for lesson in plan.lessons:
        walks = {chain: walk(lesson, chain, store.get) for chain in lesson.chains}
        steps = dict(step for walked in walks.values() for step in walked)
        known |= {job.key for job in steps}
        lost |= {job: _lost(job, record) for job, record in steps.items() if not _measured(record)}
        of_all, waiting = of_lesson.waiting(lesson, walks)
        planned, unreached = planned + of_all, unreached + waiting
        traced[lesson.name] = of_lesson.traces(walks) if traces else ()
        stages = _stages(plan, lesson.name)
        made.add("lessons", of_lesson.lesson_row(lesson, stages, walks))
        for name, rows in (
            ("stages", of_lesson.stage_rows(lesson, stages)),
            ("chains", of_lesson.chain_rows(lesson, walks)),
        ):
            for row in rows:
                made.add(name, row)
    story = Story(
        plan.title,
        plan.command,
        planned,
        tuple(lost.values()),
        plan.absent,
        unreached,
        suite=plan.suite,
        stray=len({path.stem for path in store.folder.glob("*.json")} - known),
        kept=str(store.folder),
    )
    return Collected(made.tables(), story, traced)


def _stages(plan: Plan, lesson: str) -> list[PlannedTask]:
    """A lesson's tasks, in the order of its stages."""
    return [task for task in plan.tasks if lesson and task.lesson == lesson]


def _measured(record: Record | None) -> bool:
    return record is not None and record.status in MEASURED


def _lost(job: Job, record: Record | None) -> Lost:
    """Say how a planned run without a result ended."""
    if record is None:
        return Lost(job.label, "missing")
    return Lost(record.job.label, record.status, record.provenance.error or "")
