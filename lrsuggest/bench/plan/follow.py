"""What follows from results: runs beyond the grid, around its best rate, and at the picks."""

from collections.abc import Callable, Sequence
from itertools import product

import msgspec
import numpy as np

from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.chains import (
    all_named,
    named_runs,
)
from lrsuggest.bench.plan.plan import (
    PlannedTask,
)
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import rates, read_all
from lrsuggest.curves.heuristics.registry import Context

FRESH = 100  # seeds from here on never chose what they value


def curves_of(task: PlannedTask, find: Callable[[Job], Record | None]) -> list[Curve]:
    """Return the range tests of a task that heuristics are judged on; `find` gives a result."""
    jobs = [job for job in task.jobs if job.kind == "sweep" and task.main(job)]
    results = [record.result for job in jobs if (record := find(job))]
    return [result.curve.curve() for result in results if result.curve]


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


def _beyond(task: PlannedTask, store: Store) -> tuple[Job, ...]:
    """Return runs beyond the grid where its best rate stands at an end."""
    best = _best(task, store) if task.refine else None
    return () if best is None else extended(task, best)


def _following(task: PlannedTask, store: Store) -> tuple[Job, ...]:
    """Return the runs that follow from the results of a task's first ones."""
    if not task.grid:
        return ()
    curves = curves_of(task, store.measured)
    picks: list[float] = []
    if task.chase:
        context = Context(task.dataset.optimizer, task.stage, task.steps, task.batch, task.schedule)
        for curve in curves:
            # A lesson's runs are long; there the constants beyond the grid take the edge's value.
            picks += rates(read_all(curve, context, constants=not task.lesson)).values()
    if task.lesson:
        named = named_runs(task, all_named(task, curves))
        return tuple(dict.fromkeys((*named, *chased(task, picks))))
    if task.chase:
        picks += [pick.top for pick in task.dataset.picked(task.stage)]
    jobs = chased(task, picks)
    best = _best(task, store)
    return jobs if best is None else jobs + refined(task, best)


def _best(task: PlannedTask, store: Store) -> float | None:
    """The grid's rate of least mean loss among those where no run diverged, if there is one."""
    found: dict[float, list[float]] = {}
    for job in task.grid:
        if record := store.measured(job):
            found.setdefault(job.rates[0], []).append((record.result.end or {}).get("loss", np.inf))
    means = {rate: float(np.mean(losses)) for rate, losses in found.items()}
    best = min(means, key=means.__getitem__, default=None)
    return best if best is not None and np.isfinite(means[best]) else None
