"""From a lesson's records to its rows of lessons.csv, stages.csv, chains.csv and named.csv."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from lrsuggest.bench.jobs.job import MEASURED, Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.plan.chains import all_named, nearest
from lrsuggest.bench.plan.follow import curves_of
from lrsuggest.bench.plan.plan import Chain, PlannedLesson, PlannedTask
from lrsuggest.evidence.lessons import TEST, Trace
from lrsuggest.tasks.data.catalog import CourseStage

Find = Callable[[Job], Record | None]
Row = dict[str, object]
Step = tuple[Job, Record | None]  # of a chain, as far as it came


def chain_rows(lesson: PlannedLesson, walks: Mapping[Chain, Sequence[Step]]) -> list[Row]:
    """Return the chains' runs and test looks as rows of chains.csv."""
    found = []
    for chain, walked in walks.items():
        for job, record in _made(walked):
            how = record.provenance
            found.append({
                "lesson": lesson.name, "pilot": chain.pilot, "precision": chain.precision,
                "seed": chain.seed, "number": _number(job), **_ends(job), "status": record.status,
                **_result(record), "seconds": how.seconds, "peak_mb": how.peak_mb,
                "format": job.precision,
            })  # fmt: skip
    return found


def traces(walks: Mapping[Chain, Sequence[Step]]) -> tuple[Trace, ...]:
    """Return how the runs of seed 0's chains in fp32 went, for the eye."""
    return tuple(
        _trace(chain, _number(job), job, record)
        for chain, walked in walks.items()
        if chain.seed == 0 and chain.precision == "fp32"
        for job, record in _made(walked)
        if job.kind == "run"
    )


def waiting(lesson: PlannedLesson, walks: Mapping[Chain, Sequence[Step]]) -> tuple[int, int]:
    """Return how many jobs the chains had to make, and how many of them wait for a missing one.

    What would have followed a divergence does not count.
    """
    planned = unreached = 0
    for chain, walked in walks.items():
        last, behind = walked[-1][1], lesson.length(chain) - len(walked)
        ended = last is not None and last.status in MEASURED  # in a divergence, if not at the end
        planned += len(walked) + (0 if ended else behind)
        unreached += 0 if ended else behind
    return planned, unreached


def named_rows(task: PlannedTask, stages: Sequence[PlannedTask], find: Find) -> list[Row]:
    """Return the runs of a stage's contestants as rows of named.csv.

    Args:
        task: the stage's.
        stages: all tasks of its lesson, in their order; none where it belongs to none.
        find: gives a job's record.
    """
    if task not in stages:
        return []
    number, found = 1 + stages.index(task), []
    for contestant, where, rates, job in _named(task, find):
        record = find(job)
        if record is not None and record.status in MEASURED:
            found.append({
                "lesson": task.lesson, "number": number, "contestant": contestant, "where": where,
                "lr": rates[-1], "low": rates[0] if len(rates) > 1 else np.nan, "seed": job.seed,
                **_result(record),
            })  # fmt: skip
    return found


def stage_rows(lesson: PlannedLesson, tasks: Sequence[PlannedTask]) -> list[Row]:
    """Return a lesson's stages as rows of stages.csv; its tasks are in their order, or none."""
    which = lesson.dataset
    return [
        {
            "lesson": lesson.name, "number": number,
            "task": tasks[number - 1].label if tasks else "", "stage": stage.stage,
            "size": "x".join(map(str, stage.size)), "batch": stage.batch, "epochs": stage.epochs,
            "steps": steps, "weight_decay": stage.weight_decay, "precision": stage.precision,
            "course": _course(which.stages[stage.course - 1]),
        }
        for number, (stage, steps) in enumerate(zip(lesson.stages, lesson.steps, strict=True), 1)
    ]  # fmt: skip


def lesson_row(
    lesson: PlannedLesson, tasks: Sequence[PlannedTask], walks: Mapping[Chain, Sequence[Step]]
) -> Row:
    """Return a lesson as a row of lessons.csv."""
    which = lesson.dataset
    made = [record for walked in walks.values() for _, record in _made(walked)]
    metric = next((k for r in made for k in (r.result.end or {}) if not k.startswith("loss")), "")
    versions = made[0].provenance.versions if made else {}
    return {
        "lesson": lesson.name, "title": which.title, "family": which.family, "model": which.model,
        "optimizer": which.optimizer, "schedule": lesson.schedule, "metric": metric,
        "margin": f"{lesson.margin:g}", "skipped": "; ".join(lesson.skipped),
        "seeds": str(len({job.seed for task in tasks[:1] for job in task.grid})),
        "chain_seeds": str(len({chain.seed for chain in lesson.chains})),
        "device": lesson.device, "fingerprint": lesson.fingerprint,
        "versions": " ".join(f"{k}={v}" for k, v in versions.items()),
    }  # fmt: skip


def _made(walked: Sequence[Step]) -> Iterator[tuple[Job, Record]]:
    """Yield a chain's runs and its test look that have a result."""
    for job, record in walked:
        if record is not None and job.kind != "sweep" and record.status in MEASURED:
            yield job, record


def _number(job: Job) -> int:
    """The stage a chain's job belongs to."""
    return TEST if job.kind == "test" else 1 + len(job.before or ())


def _course(stage: CourseStage) -> str:
    """What the course trained at this stage, in a few words."""
    size = "x".join(map(str, stage.size))
    epochs = f"{stage.epochs} epoch{'s' * (stage.epochs > 1)}" if stage.epochs else ""
    return ", ".join(filter(None, [stage.network, size, epochs]))


def _ends(job: Job) -> Row:
    """The maximum rate, and the lowest of a slice or NaN; of a test look neither."""
    top = job.rates[-1] if job.rates else np.nan
    return {"lr": top, "low": job.rates[0] if len(job.rates) > 1 else np.nan}


def _result(record: Record) -> Row:
    """Validation loss and metric; infinity and NaN after a divergence."""
    end = record.result.end or {}
    metric = next((v for k, v in end.items() if not k.startswith("loss")), np.nan)
    return {"loss": end.get("loss", np.inf), "value": metric}


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


def _named(task: PlannedTask, find: Find) -> list[tuple[str, str, tuple[float, ...], Job]]:
    """A stage's contestants: name, source, the rates they ran at, and the run of each seed."""
    runs = [job for job in task.all_jobs if job.kind == "run" and task.main(job)]
    measured = sorted({job.rates[0] for job in runs})
    seeds = sorted({job.seed for job in task.grid})
    found = []
    for each in all_named(task, curves_of(task, find)):
        near = nearest(each.rates[0], measured) if len(each.rates) == 1 else None
        rates = each.rates if near is None else (near,)
        for seed in seeds:
            job = msgspec.structs.replace(task.grid[0], rates=rates, seed=seed)
            found.append((each.name, each.where, rates, job))
    return found
