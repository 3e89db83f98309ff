"""From records to evidence: a suite's tasks and its lessons."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from lrsuggest.bench.jobs.job import MEASURED, Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.chains import all_named, nearest, walk
from lrsuggest.bench.plan.follow import curves_of
from lrsuggest.bench.plan.plan import Chain, Plan, PlannedLesson, PlannedTask
from lrsuggest.evidence.lessons import CHAINS, NAMED, STAGES, TEST, LessonEvidence, Trace
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.tasks.data.catalog import CourseStage


def collect(plan: Plan, store: Store) -> tuple[list[TaskEvidence], list[Record | Job]]:
    """Return the evidence of every task, and the jobs without a result.

    A failed job comes as its record, one never run as the job itself.
    """
    evidence, failed = [], []
    for task in plan.tasks:
        found = {job: store.get(job) for job in task.all_jobs}
        failed += [r or job for job, r in found.items() if r is None or r.status not in MEASURED]
        good = [r for r in found.values() if r and r.status in MEASURED]
        evidence.append(_evidence(task, good))
    return evidence, failed


def _each(values: set[str]) -> str:
    """Every distinct value: a mixture must be seen."""
    return ", ".join(sorted(values))


def _evidence(task: PlannedTask, records: Sequence[Record]) -> TaskEvidence:
    starts = [r.result.start for r in records if r.result.start]
    curves = [r.result.curve.curve() for r in records if r.result.curve and task.main(r.job)]
    runs = [r for r in records if r.job.kind == "run" and task.main(r.job)]
    ends = [*starts, *(r.result.end for r in runs if r.result.end)]
    metric = next((name for each in ends for name in each if not name.startswith("loss")), "")
    table = pd.DataFrame(
        [
            {
                "lr": r.job.rates[0],
                "seed": r.job.seed,
                "valid_loss": (r.result.end or {}).get("loss", np.inf),
                "value": (r.result.end or {}).get(metric, np.nan),
            }
            for r in runs
        ]
    )
    response = Response.from_runs(table, starts[0]["loss"]) if len(table) and starts else None
    return TaskEvidence(
        task.label, task.dataset.title, task.dataset.family, task.stage, task.dataset.optimizer,
        task.dataset.synthetic,
        tuple(curves), response, hand_picked(task),
        metric, table[["lr", "seed", "value"]] if len(table) else table, facts_of(task, records),
        task.steps, task.batch, task.schedule, task.dataset.model, task.dataset.kind,
        task.held_out,
    )  # fmt: skip


def facts_of(task: PlannedTask, records: Sequence[Record]) -> dict[str, str]:
    """Return what a reader may want to know of how a task was measured, by name."""
    told = [r.provenance for r in records]
    names = dict.fromkeys(name for each in told for name in each.versions)
    made = {name: {each.versions.get(name, "not recorded") for each in told} for name in names}
    return {
        "model": task.dataset.model,
        "batch": str(task.batch),
        "steps a run": str(task.steps),
        "device": _each({r.job.device for r in records}),
        "precision": _each({r.job.precision for r in records}),
        "data": _each({r.job.fingerprint for r in records}),
        **{name: _each(values) for name, values in made.items()},
        "compute": f"{sum(each.seconds for each in told):.0f} s",
    }


def hand_picked(task: PlannedTask) -> tuple[tuple[float, str], ...]:
    """Return what people chose for a task, with its source.

    Of a lesson's stage only the one to compare with, and no slice: that has runs of its own.
    """
    if task.lesson:
        return tuple(
            (each.rates[0], each.where)
            for each in task.named
            if each.name == HAND_PICKED and len(each.rates) == 1
        )
    return tuple((p.top, p.where) for p in task.dataset.picked(task.stage))


def collect_lessons(
    plan: Plan, store: Store
) -> tuple[list[LessonEvidence], list[tuple[Job, Record | None]]]:
    """Return the evidence of every lesson, and the jobs of its chains without a result."""
    found, failed = [], []
    for lesson in plan.lessons:
        walks = {chain: walk(lesson, chain, store.get) for chain in lesson.chains}
        failed += [
            (job, record)
            for walked in walks.values()
            for job, record in walked
            if record is None or record.status not in MEASURED
        ]
        tasks = [task for task in plan.tasks if task.lesson == lesson.name]
        found.append(_lesson(lesson, walks, tasks, store))
    return found, failed


def strays(plan: Plan, store: Store) -> list[str]:
    """Return the keys of the records that belong to no planned run."""
    known = {job.key for task in plan.tasks for job in task.all_jobs}
    for lesson in plan.lessons:
        for chain in lesson.chains:
            known |= {job.key for job, _ in walk(lesson, chain, store.get)}
    return sorted({path.stem for path in store.folder.glob("*.json")} - known)


def _lesson(
    lesson: PlannedLesson,
    walks: dict[Chain, list[tuple[Job, Record | None]]],
    tasks: Sequence[PlannedTask],
    store: Store,
) -> LessonEvidence:
    name = lesson.name
    chains, traces, made = [], [], list[Record]()
    planned = unreached = 0
    for chain, walked in walks.items():
        last, behind = walked[-1][1], lesson.length(chain) - len(walked)
        ended = last is not None and last.status in MEASURED  # in a divergence, if not at the end
        planned += len(walked) + (0 if ended else behind)
        unreached += 0 if ended else behind
        for job, record in walked:
            if record is None or job.kind == "sweep" or record.status not in MEASURED:
                continue
            made.append(record)
            how = record.provenance
            number = TEST if job.kind == "test" else 1 + len(job.before or ())
            chains.append(
                (name, chain.pilot, chain.precision, chain.seed, number, *_ends(job), record.status,
                 *_result(record), how.seconds, how.peak_mb, job.precision)
            )  # fmt: skip
            if chain.seed == 0 and chain.precision == "fp32" and job.kind == "run":
                traces.append(_trace(chain, number, job, record))
    named = []
    for number, task in enumerate(tasks, 1):
        for contestant, where, rates, job in _named(task, store):
            if record := store.measured(job):
                low = rates[0] if len(rates) > 1 else np.nan
                named.append(
                    (name, number, contestant, where, rates[-1], low, job.seed, *_result(record))
                )
    which = lesson.dataset
    stages = [
        (name, number, tasks[number - 1].label if tasks else "", stage.stage,
         "x".join(map(str, stage.size)), stage.batch, stage.epochs, steps, stage.weight_decay,
         stage.precision, _course(which.stages[stage.course - 1]))
        for number, (stage, steps) in enumerate(zip(lesson.stages, lesson.steps, strict=True), 1)
    ]  # fmt: skip
    metric = next((k for r in made for k in (r.result.end or {}) if not k.startswith("loss")), "")
    versions = made[0].provenance.versions if made else {}
    facts = {
        "lesson": name, "title": which.title, "family": which.family, "model": which.model,
        "optimizer": which.optimizer, "schedule": lesson.schedule, "metric": metric,
        "margin": f"{lesson.margin:g}", "skipped": "; ".join(lesson.skipped),
        "seeds": str(len({job.seed for task in tasks[:1] for job in task.grid})),
        "chain_seeds": str(len({chain.seed for chain in lesson.chains})),
        "device": lesson.device, "fingerprint": lesson.fingerprint,
        "versions": " ".join(f"{k}={v}" for k, v in versions.items()),
    }  # fmt: skip
    return LessonEvidence(
        facts, pd.DataFrame(stages, columns=list(STAGES)),
        pd.DataFrame(chains, columns=list(CHAINS)), pd.DataFrame(named, columns=list(NAMED)),
        tuple(traces), planned, unreached,
    )  # fmt: skip


def _course(stage: CourseStage) -> str:
    """What the course trained at this stage, in a few words."""
    size = "x".join(map(str, stage.size))
    epochs = f"{stage.epochs} epoch{'s' * (stage.epochs > 1)}" if stage.epochs else ""
    return ", ".join(filter(None, [stage.network, size, epochs]))


def _ends(job: Job) -> tuple[float, float]:
    """The maximum rate, and the lowest of a slice or NaN; of a test look neither."""
    if not job.rates:
        return np.nan, np.nan
    return job.rates[-1], job.rates[0] if len(job.rates) > 1 else np.nan


def _result(record: Record) -> tuple[float, float]:
    """Validation loss and metric; infinity and NaN after a divergence."""
    end = record.result.end or {}
    metric = next((v for k, v in end.items() if not k.startswith("loss")), np.nan)
    return end.get("loss", np.inf), metric


def _trace(chain: Chain, number: int, job: Job, record: Record) -> Trace:
    from lrsuggest.training.one_cycle import schedule  # loads torch

    share = schedule(job.steps)[0] if job.schedule == "one_cycle" else np.ones(job.steps)
    result = record.result
    losses = [np.nan if x is None else x for x in result.losses or []]
    looks = [*result.trace, *([(job.steps, result.end["loss"])] if result.end else [])]
    return Trace(
        chain.pilot, number, job.rates[-1] * share[: len(losses)], np.array(losses), tuple(looks),
        result.shown,
    )  # fmt: skip


def _named(task: PlannedTask, store: Store) -> list[tuple[str, str, tuple[float, ...], Job]]:
    """A stage's contestants: name, source, the rates they ran at, and the run of each seed."""
    runs = [job for job in task.all_jobs if job.kind == "run" and task.main(job)]
    measured = sorted({job.rates[0] for job in runs})
    seeds = sorted({job.seed for job in task.grid})
    found = []
    for each in all_named(task, curves_of(task, store)):
        near = nearest(each.rates[0], measured) if len(each.rates) == 1 else None
        rates = each.rates if near is None else (near,)
        for seed in seeds:
            job = msgspec.structs.replace(task.grid[0], rates=rates, seed=seed)
            found.append((each.name, each.where, rates, job))
    return found
