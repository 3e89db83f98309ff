"""From a suite to jobs: prepare the data, list what is to be run, and what follows from results."""

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from lrsuggest.bench.jobs.job import Job, data_file
from lrsuggest.bench.plan.chains import plan_lesson
from lrsuggest.bench.plan.plan import Plan, PlannedLesson, PlannedTask
from lrsuggest.bench.plan.prepare import bars, folder_of, prepare
from lrsuggest.bench.plan.suite import Entry, Refine, Suite
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import Dataset, dataset, fingerprint
from lrsuggest.tasks.lesson import Leg

_FROZEN_SEED = 999  # else what follows with its seed would meet the same batches in the same order
_LOOKS = 5  # evaluations of the first seed's runs, where a finer grid is wanted too


def make_plan(
    name: str,
    suite: Suite,
    root: Path | None,
    out: Path,
    *,
    device: str,
    console: Console,
    command: str,
) -> Plan:
    """Prepare every dataset a suite wants and list the jobs.

    Raises:
        UserError: a dataset is missing or damaged.
    """
    have = "with data" if root else "without data"
    entries = [entry for entry in suite.entry if entry.only in (None, have)]
    if not entries and not suite.lesson:
        raise UserError(f"the suite {name} has nothing to run {have}; give --data a folder")
    names = {entry.dataset for entry in entries}
    folders = {each: folder_of(dataset(each), root, out) for each in sorted(names)}
    absent: list[str] = []
    for lesson in suite.lesson:
        try:
            folders[lesson.dataset] = folder_of(dataset(lesson.dataset), root, out)
        except UserError as error:
            absent.append(f"{lesson.label}: {error}")
    at_hand = [lesson for lesson in suite.lesson if lesson.dataset in folders]
    if not entries and not at_hand:
        raise UserError(f"no lesson of the suite {name} has its data at hand: {absent[0]}")
    for said in absent:
        console.print(f"left out: {said}", highlight=False, markup=False)
    tasks: list[PlannedTask] = []
    lessons: list[PlannedLesson] = []
    with bars(console) as progress:
        for entry in entries:
            which = entry.which
            print_of = fingerprint(folders[entry.dataset], out / "cache", which.packages)
            for size in entry.sizes:
                path = out / "cache" / data_file(which.name, print_of, size)
                prepare(which, folders[entry.dataset], size, path, progress)
                tasks.append(
                    PlannedTask(
                        label=" ".join(filter(None, [which.name, _by(size), entry.stage])),
                        dataset=which,
                        stage=entry.stage,
                        size=size,
                        batch=entry.batch,
                        steps=entry.steps,
                        jobs=_jobs(entry, suite, which, print_of, size, device),
                        prepared=str(path),
                        sweep=suite.sweep,
                        schedule=entry.schedule,
                        held_out=which.family in suite.held_out,
                        refine=_refine(entry, suite),
                        slices=entry.slices,
                        chase=suite.chase,
                    )
                )
        for lesson in at_hand:
            more, planned = plan_lesson(
                lesson, suite, folders[lesson.dataset], out / "cache", device, progress
            )
            tasks += more
            lessons.append(planned)
    return Plan(
        suite=name,
        title=suite.title,
        command=command,
        limit_s=suite.limit_s,
        tasks=_distinct(tasks),
        lessons=tuple(lessons),
        absent=tuple(absent),
        limits_s=suite.limits_s,
    )


def _refine(entry: Entry, suite: Suite) -> Refine | None:
    if suite.refine is None or entry.refine_seeds is None:
        return suite.refine
    return msgspec.structs.replace(suite.refine, seeds=entry.refine_seeds)


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def _distinct(tasks: list[PlannedTask]) -> tuple[PlannedTask, ...]:
    """Tell tasks of one label apart by what differs: every table joins by it."""
    labels = [task.label for task in tasks]
    told: list[PlannedTask] = []
    for index, task in enumerate(tasks):
        if labels.count(task.label) > 1:
            words = [task.dataset.model, task.dataset.optimizer, f"{task.steps} steps"]
            words += [f"batch {task.batch}"] + (["constant"] if task.schedule == "constant" else [])
            label = f"{task.label}, {', '.join(words)}"
            if label in (each.label for each in told):
                label += f", entry {index + 1}"
            task = msgspec.structs.replace(task, label=label)
        told.append(task)
    return tuple(told)


def _jobs(
    entry: Entry, suite: Suite, which: Dataset, print_of: str, size: tuple[int, ...], device: str
) -> tuple[Job, ...]:
    before = None
    if entry.before is not None:
        steps, rate = entry.before
        before = (Leg("frozen", size, entry.batch, steps, _FROZEN_SEED, (rate,)),)
    common: dict[str, Any] = {
        "dataset": which.name, "fingerprint": print_of, "model": which.model,
        "optimizer": which.optimizer, "stage": entry.stage, "before": before, "size": size,
        "batch": entry.batch, "precision": entry.precision, "device": device,
    }  # fmt: skip
    sweeps = [
        Job(kind="sweep", steps=sweep.steps, seed=seed, rates=(sweep.start, sweep.end), **common)
        for sweep in (suite.sweep, *(suite.variants if entry.vary else ()))
        for seed in range(sweep.seeds)
    ]
    lengths = [(entry.steps, entry.seeds)]
    if suite.probe:
        lengths.append((max(4, entry.steps // suite.probe.shorter), suite.probe.seeds))
    runs = [
        Job(
            kind="run", steps=steps, seed=seed, rates=(rate,), schedule=entry.schedule,
            looks=_LOOKS if (steps, seed) == (entry.steps, 0) and suite.refine else 1, **common,
        )
        for steps, seeds in lengths
        for rate, seed in product(suite.rates_of(entry), range(seeds))
    ]  # fmt: skip
    return (*sweeps, *runs)
