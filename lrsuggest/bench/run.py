"""From a suite to records: plan, prepare the data, run what is missing, collect."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lrsuggest.bench.engines import Order, run_jobs
from lrsuggest.bench.jobs import MEASURED, Job, Record
from lrsuggest.bench.store import Store
from lrsuggest.bench.suite import Entry, Suite
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import Context
from lrsuggest.curves.readings import rates, read_all
from lrsuggest.errors import UserError
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.tasks.data.catalog import Dataset, dataset, fingerprint, locate
from lrsuggest.tasks.data.readers import read
from lrsuggest.tasks.data.resident import Resident, atomic, cached
from lrsuggest.tasks.data.synthetic import write_street


class PlannedTask(msgspec.Struct, frozen=True):
    """One dataset at one stage and size, with the jobs planned for it.

    `jobs` are the sweeps and the grid; `extra` are runs at picks that fall outside the grid.
    """

    label: str
    dataset: Dataset
    stage: str
    size: tuple[int, int]
    batch: int
    steps: int
    jobs: tuple[Job, ...]
    prepared: str
    extra: tuple[Job, ...] = ()

    @property
    def all_jobs(self) -> tuple[Job, ...]:
        """Every job, sweeps first."""
        return self.jobs + self.extra


class Plan(msgspec.Struct, frozen=True):
    """What a run of a suite set out to do; kept as plan.json beside the records."""

    suite: str
    title: str
    command: str
    limit_s: float
    tasks: tuple[PlannedTask, ...]

    @property
    def jobs(self) -> list[Job]:
        """Every planned job once."""
        return list(dict.fromkeys(job for task in self.tasks for job in task.all_jobs))


def bars(console: Console) -> Progress:
    """Progress bars with counts and the time left; nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
    )  # fmt: skip


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
    if not entries:
        raise UserError(f"the suite {name} has nothing to run {have}; give --data a folder")
    folders = {entry.dataset: _folder(dataset(entry.dataset), root, out) for entry in entries}
    tasks = []
    with bars(console) as progress:
        for entry in entries:
            which = dataset(entry.dataset)
            print_of = fingerprint(folders[entry.dataset], out / "cache")
            for size in entry.sizes:
                path = out / "cache" / f"{which.name}-{print_of}-{size[0]}x{size[1]}.npz"
                _prepare(which, folders[entry.dataset], size, path, progress)
                tasks.append(
                    PlannedTask(
                        f"{which.name} {size[0]}x{size[1]} {entry.stage}", which, entry.stage, size,
                        entry.batch, entry.steps,
                        _jobs(entry, suite, which, print_of, size, device), str(path),
                    )
                )  # fmt: skip
    return Plan(name, suite.title, command, suite.limit_s, _distinct(tasks))


def _distinct(tasks: list[PlannedTask]) -> tuple[PlannedTask, ...]:
    """Tell tasks of one label apart by what differs: every table joins by it."""
    labels = [task.label for task in tasks]
    return tuple(
        msgspec.structs.replace(
            task, label=f"{task.label}, batch {task.batch}, {task.steps} steps, entry {index + 1}"
        )
        if labels.count(task.label) > 1
        else task
        for index, task in enumerate(tasks)
    )


def _folder(which: Dataset, root: Path | None, out: Path) -> Path | None:
    if which.synthetic:
        folder = out / "data" / which.name
        if not (folder / "codes.txt").exists():
            write_street(folder)
        return folder
    return locate(which, root)


def _prepare(
    which: Dataset, folder: Path | None, size: tuple[int, int], path: Path, progress: Progress
) -> None:
    """Read and resize a dataset once, unless that was done before.

    Raises:
        UserError: the data are damaged, or lack what the task needs.
    """
    if path.exists():
        return
    bar = progress.add_task(f"reading {which.name} at {size[0]}x{size[1]}", total=None)

    def tell(done: int, of: int) -> None:
        progress.update(bar, completed=done, total=of)

    def make() -> Resident:
        data = read(which.reader, folder, size, tell)
        if which.void and which.void not in data.classes:
            raise UserError(
                f"{folder}/codes.txt must name {which.void}, which the metric leaves out"
            )
        return data

    cached(path, make)


def _jobs(
    entry: Entry, suite: Suite, which: Dataset, print_of: str, size: tuple[int, int], device: str
) -> tuple[Job, ...]:
    common: dict[str, Any] = {
        "dataset": which.name, "fingerprint": print_of, "model": which.model,
        "optimizer": which.optimizer, "stage": entry.stage, "size": size, "batch": entry.batch,
        "precision": entry.precision, "device": device,
    }  # fmt: skip
    sweep = suite.sweep
    sweeps = [
        Job(kind="sweep", steps=sweep.steps, seed=s, rates=(sweep.start, sweep.end), **common)
        for s in range(sweep.seeds)
    ]
    runs = [
        Job(kind="one_cycle", steps=entry.steps, seed=s, rates=(rate,), **common)
        for rate in sorted(set(entry.rates))
        for s in range(entry.seeds)
    ]
    return (*sweeps, *runs)


def run_plan(plan: Plan, store: Store, out: Path, *, workers: int, console: Console) -> Plan:
    """Run every job that has no result yet; returns the plan with the runs it had to add.

    First the sweeps and the grids, then one-cycle runs at every contestant's pick that falls
    outside the measured rates. The plan is on disk before anything runs, so that whatever
    happens the report knows what is missing.
    """
    save_plan(plan, out)
    _run_missing(plan, [(t, t.jobs) for t in plan.tasks], store, workers, console)
    tasks = tuple(
        msgspec.structs.replace(task, extra=_outside_picks(task, store)) for task in plan.tasks
    )
    plan = msgspec.structs.replace(plan, tasks=tasks)
    save_plan(plan, out)
    _run_missing(plan, [(t, t.extra) for t in plan.tasks], store, workers, console)
    return plan


def _run_missing(
    plan: Plan,
    wanted: Sequence[tuple[PlannedTask, Sequence[Job]]],
    store: Store,
    workers: int,
    console: Console,
) -> None:
    orders: list[Order] = []
    for task, jobs in wanted:
        orders += [(j, Path(task.prepared)) for j in jobs if not store.measured(j)]
    orders = list({job.key: (job, path) for job, path in orders}.values())
    if not orders:
        return
    kept = len(plan.jobs) - len(orders)
    console.print(f"{len(orders)} runs to do, {kept} kept from before")
    with bars(console) as progress:
        bar = progress.add_task(plan.suite, total=len(orders))
        for done, record in enumerate(
            run_jobs(orders, workers=workers, limit_s=plan.limit_s), start=1
        ):
            store.put(record)
            progress.update(bar, completed=done, description=record.job.label)
            if not console.is_terminal:
                console.print(
                    f"[{done}/{len(orders)}] {record.job.label}: {record.status}, "
                    f"{record.seconds:.1f} s",
                    highlight=False, markup=False,
                )  # fmt: skip
            if record.status not in MEASURED:
                console.print(f"{record.job.label}: {record.status}: {record.error}", markup=False)


def _outside_picks(task: PlannedTask, store: Store) -> tuple[Job, ...]:
    """Return runs at the picks outside the grid; picks within 10 % share one."""
    grid = [job for job in task.jobs if job.kind == "one_cycle"]
    low, high = min(j.rates[0] for j in grid), max(j.rates[0] for j in grid)
    context = Context(task.dataset.optimizer, task.stage, task.steps, task.batch)
    picks = [pick.top for pick in task.dataset.hand_picked if pick.stage == task.stage]
    for curve in _curves(task, store):
        picks += rates(read_all(curve, context, constants=True)).values()
    wanted: list[float] = []
    for pick in sorted(p for p in picks if not low * 0.99 <= p <= high * 1.01):
        if not wanted or pick > wanted[-1] * 1.1:
            wanted.append(float(f"{pick:.2e}"))
    seeds = sorted({job.seed for job in grid})
    return tuple(
        msgspec.structs.replace(grid[0], rates=(rate,), seed=seed)
        for rate in wanted
        for seed in seeds
    )


def _curves(task: PlannedTask, store: Store) -> list[Curve]:
    records = [store.measured(job) for job in task.jobs if job.kind == "sweep"]
    return [record.curve.curve() for record in records if record and record.curve]


def save_plan(plan: Plan, out: Path) -> None:
    """Write plan.json."""
    with atomic(out / "plan.json") as file:
        file.write(msgspec.json.format(msgspec.json.encode(plan), indent=1))


def load_plan(out: Path) -> Plan:
    """Read plan.json.

    Raises:
        UserError: nothing was run into this folder.
    """
    try:
        return msgspec.json.decode((out / "plan.json").read_bytes(), type=Plan)
    except OSError:
        raise UserError(
            f"{out} holds no plan.json; run a suite into it first, or give --out another folder"
        ) from None
    except msgspec.DecodeError as error:
        raise UserError(f"{out / 'plan.json'} is damaged ({error}); run the suite again") from None


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
    starts = [r.start for r in records if r.start]
    runs = [r for r in records if r.job.kind == "one_cycle"]
    metric = next((k for r in runs for k in (r.end or {}) if k != "loss"), "")
    table = pd.DataFrame(
        [
            {
                "lr": r.job.rates[0],
                "seed": r.job.seed,
                "valid_loss": (r.end or {}).get("loss", np.inf),
                "value": (r.end or {}).get(metric, np.nan),
            }
            for r in runs
        ]
    )
    made = {name: {r.versions[name] for r in records} for r in records[:1] for name in r.versions}
    facts = {
        "model": task.dataset.model,
        "batch": str(task.batch),
        "steps a run": str(task.steps),
        "device": _each({r.job.device for r in records}),
        "precision": _each({r.job.precision for r in records}),
        "data": _each({r.job.fingerprint for r in records}),
        **{name: _each(values) for name, values in made.items()},
        "compute": f"{sum(r.seconds for r in records):.0f} s",
    }
    response = Response.from_runs(table, starts[0]["loss"]) if len(table) and starts else None
    return TaskEvidence(
        task.label, task.dataset.title, task.dataset.family, task.stage, task.dataset.optimizer,
        task.dataset.synthetic,
        tuple(r.curve.curve() for r in records if r.curve), response,
        tuple((p.top, p.where) for p in task.dataset.hand_picked if p.stage == task.stage),
        metric, table, facts, task.steps, task.batch,
    )  # fmt: skip
