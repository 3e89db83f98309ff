"""From a plan to records: run what is missing, add what follows from the results."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from lrsuggest.bench.engines.engine import Engine
from lrsuggest.bench.jobs.job import MEASURED, Job, Order
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.chains import chain_file, walk
from lrsuggest.bench.plan.follow import _beyond, _following
from lrsuggest.bench.plan.plan import (
    Plan,
    PlannedLesson,
    PlannedTask,
    carried,
    load_plan,
    save_plan,
)
from lrsuggest.bench.plan.prepare import bars
from lrsuggest.errors import UserError

_EXTENSIONS = 3  # of a grid, by a decade each


def run_plan(plan: Plan, store: Store, out: Path, *, engine: Engine, console: Console) -> Plan:
    """Run every job that has no result yet; returns the plan with the runs it had to add.

    First the suite's entries, then one lesson after the other. The plan is on disk before anything
    runs, so that whatever happens the report knows what is missing; what an earlier call added to
    a task stays in it until this one has come as far.
    """
    before: tuple[PlannedTask, ...] = ()
    with contextlib.suppress(UserError):  # none there, or none that can be read
        before = load_plan(out).tasks
    save_plan(carried(plan, before), out)
    for name in ("", *(lesson.name for lesson in plan.lessons)):
        for lesson in (each for each in plan.lessons if each.name == name):
            _run_chains(plan, lesson, store, out / "cache", engine, console)
        plan = _run_tasks(plan, name, before, store, out, engine, console)
        before = tuple(task for task in before if task.lesson != name)
    return plan


def _run_chains(
    plan: Plan, lesson: PlannedLesson, store: Store, cache: Path, engine: Engine, console: Console
) -> None:
    """Train a lesson's chains, all of them one job further at a time.

    They come before the responses, which begin with what the hand-picked chain keeps.
    """
    tried = set[Job]()
    while True:
        ends = [walk(lesson, chain, store.measured)[-1] for chain in lesson.chains]
        # What failed once is not tried again in this call; the report says how it failed.
        todo = [job for job, record in ends if record is None and job not in tried]
        if not todo:
            return
        tried.update(todo)
        _run_orders(
            [
                Order(job, cache / chain_file(lesson, job), keep=job.kind == "run")
                for job in dict.fromkeys(todo)
            ],
            plan, f"{lesson.name}, chains", store, engine, console,
        )  # fmt: skip


def _run_tasks(
    plan: Plan, lesson: str, before: Sequence[PlannedTask], store: Store, out: Path,
    engine: Engine, console: Console,
) -> Plan:  # fmt: skip
    """Run the responses of a lesson's stages, or of the suite's entries ("").

    First the sweeps and the grids, which a refined suite extends while the best rate stands at an
    end; then what follows from them: runs around the best rate, at contestants' own rates, and at
    every contestant's pick that falls outside the measured rates.
    """

    def changed(change: Callable[[PlannedTask], PlannedTask]) -> Plan:
        tasks = tuple(change(t) if t.lesson == lesson else t for t in plan.tasks)
        return msgspec.structs.replace(plan, tasks=tasks)

    tried = set[Job]()  # what failed once is not tried again in this call

    def run(jobs: Callable[[PlannedTask], tuple[Job, ...]]) -> None:
        here = [task for task in plan.tasks if task.lesson == lesson]
        orders = [
            Order(job, Path(task.prepared))
            for task in here
            for job in jobs(task)
            if job not in tried and not store.measured(job)
        ]
        tried.update(order.job for order in orders)
        _run_orders(orders, plan, lesson or plan.suite, store, engine, console)

    for extension in range(1 + _EXTENSIONS):
        run(lambda task: task.jobs)
        longer = changed(
            lambda task: msgspec.structs.replace(task, jobs=task.jobs + _beyond(task, store))
        )
        if longer == plan or extension == _EXTENSIONS:
            break
        plan = longer
        save_plan(carried(plan, before), out)
    plan = changed(lambda task: msgspec.structs.replace(task, extra=_following(task, store)))
    save_plan(carried(plan, [task for task in before if task.lesson != lesson]), out)
    run(lambda task: task.extra)
    return plan


def _run_orders(
    orders: Sequence[Order], plan: Plan, what: str, store: Store, engine: Engine, console: Console
) -> None:
    orders = list({order.job.key: order for order in orders}.values())
    if not orders:
        return
    console.print(f"{what}: {len(orders)} runs to do", highlight=False, markup=False)
    with bars(console) as progress:
        bar = progress.add_task(what, total=len(orders))
        for done, outcome in enumerate(
            engine.run(orders, lambda order: plan.limit_of(order.job.kind)), start=1
        ):
            record = outcome.record
            store.put(record, outcome.log)
            progress.update(bar, completed=done, description=record.job.label)
            how = record.provenance
            if not console.is_terminal:
                console.print(
                    f"[{done}/{len(orders)}] {record.job.label}: {record.status}, "
                    f"{how.seconds:.1f} s",
                    highlight=False, markup=False,
                )  # fmt: skip
            if record.status not in MEASURED:
                console.print(f"{record.job.label}: {record.status}: {how.error}", markup=False)
