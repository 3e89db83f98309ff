"""From a suite to jobs: prepare the data, list what is to be run, and what follows from results."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lrsuggest.bench.jobs import Job
from lrsuggest.bench.suite import Entry, Refine, Suite, Sweep
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import Dataset, dataset, fingerprint, locate
from lrsuggest.tasks.data.readers import read
from lrsuggest.tasks.data.resident import Resident, atomic, cached
from lrsuggest.tasks.data.synthetic import write_street

_LOOKS = 5  # evaluations of the first seed's runs, where a finer grid is wanted too
FRESH = 100  # seeds from here on never chose what they value


class PlannedTask(msgspec.Struct, frozen=True):
    """One dataset at one stage and size, with the jobs planned for it.

    `jobs` are the sweeps and the grids; `extra` are runs that follow from their results: at picks
    outside the grid, and around its best rate.
    """

    label: str
    dataset: Dataset
    stage: str
    size: tuple[int, ...]
    batch: int
    steps: int
    jobs: tuple[Job, ...]
    prepared: str
    sweep: Sweep
    schedule: str = "one_cycle"
    held_out: bool = False
    refine: Refine | None = None
    slices: tuple[float, ...] = ()
    chase: bool = True
    extra: tuple[Job, ...] = ()

    @property
    def grid(self) -> list[Job]:
        """The runs of the first grid, at full length, with what was added at its ends."""
        return [job for job in self.jobs if job.kind == "run" and job.steps == self.steps]

    def main(self, job: Job) -> bool:
        """Say whether a job is the range test that heuristics are judged on, or a plain run."""
        if job.kind == "sweep":
            return (job.steps, job.rates) == (self.sweep.steps, (self.sweep.start, self.sweep.end))
        return job.steps == self.steps and len(job.rates) == 1

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
            which = entry.which
            print_of = fingerprint(folders[entry.dataset], out / "cache")
            for size in entry.sizes:
                name_of = "-".join([which.name, print_of, _by(size)])
                path = out / "cache" / f"{name_of}.npz"
                _prepare(which, folders[entry.dataset], size, path, progress)
                tasks.append(
                    PlannedTask(
                        " ".join(filter(None, [which.name, _by(size), entry.stage])), which,
                        entry.stage, size, entry.batch, entry.steps,
                        _jobs(entry, suite, which, print_of, size, device), str(path), suite.sweep,
                        entry.schedule, which.family in suite.held_out, _refine(entry, suite),
                        entry.slices, suite.chase,
                    )
                )  # fmt: skip
    return Plan(name, suite.title, command, suite.limit_s, _distinct(tasks))


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


def _folder(which: Dataset, root: Path | None, out: Path) -> Path | None:
    if which.synthetic:
        folder = out / "data" / which.name
        if not (folder / "codes.txt").exists():
            write_street(folder)
        return folder
    return locate(which, root)


def _prepare(
    which: Dataset, folder: Path | None, size: tuple[int, ...], path: Path, progress: Progress
) -> None:
    """Read and resize a dataset once, unless that was done before.

    Raises:
        UserError: the data are damaged, or lack what the task needs.
    """
    if path.exists():
        return
    bar = progress.add_task(f"reading {which.name} {_by(size)}", total=None)

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
    entry: Entry, suite: Suite, which: Dataset, print_of: str, size: tuple[int, ...], device: str
) -> tuple[Job, ...]:
    common: dict[str, Any] = {
        "dataset": which.name, "fingerprint": print_of, "model": which.model,
        "optimizer": which.optimizer, "stage": entry.stage, "before": entry.before, "size": size,
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


def chased(task: PlannedTask, picks: Sequence[float]) -> tuple[Job, ...]:
    """Return runs at the picks outside the grid; picks within 10 % share one."""
    grid = task.grid
    low, high = min(j.rates[0] for j in grid), max(j.rates[0] for j in grid)
    wanted: list[float] = []
    for pick in sorted(p for p in picks if not low * 0.99 <= p <= high * 1.01):
        if not wanted or pick > wanted[-1] * 1.1:
            wanted.append(float(f"{pick:.2e}"))
    seeds = sorted({job.seed for job in grid})
    return tuple(
        msgspec.structs.replace(grid[0], rates=(rate,), seed=seed, looks=1)
        for rate, seed in product(wanted, seeds)
    )


def extended(task: PlannedTask, best: float) -> tuple[Job, ...]:
    """Return three more rates where the best one stands at an end of those measured so far."""
    grid = task.grid
    low, high = min(j.rates[0] for j in grid), max(j.rates[0] for j in grid)
    if low < best < high:
        return ()
    towards = 1 if best == high else -1
    rates = [float(f"{best * 10 ** (towards * k / 3):.2g}") for k in (1, 2, 3)]
    seeds = sorted({job.seed for job in grid})
    return tuple(
        msgspec.structs.replace(grid[0], rates=(rate,), seed=seed, looks=1)
        for rate, seed in product(rates, seeds)
    )


def refined(task: PlannedTask, best: float) -> tuple[Job, ...]:
    """Return fresh runs around the best rate of the grid, and the slices to try there."""
    if task.refine is None:
        return ()
    places = np.arange(task.refine.rates) - task.refine.rates // 2
    rates = [float(f"{best * 10 ** (place * task.refine.step):.3g}") for place in places]
    top = [best, float(f"{best * 10**0.5:.3g}")]
    slices = [(rate / ratio, rate) for rate in top for ratio in task.slices]
    if slices and top[1] not in rates:
        rates.append(top[1])  # what the slice is compared with
    seeds = range(FRESH, FRESH + task.refine.seeds)
    return tuple(
        msgspec.structs.replace(task.grid[0], rates=each, seed=seed, looks=1)
        for each in [*((rate,) for rate in rates), *slices]
        for seed in seeds
    )


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
