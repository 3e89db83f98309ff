"""Compares one suite measured twice by two versions of what a job does (PROTOCOL).

    python benchmarks/speed/protocols.py OLD NEW

OLD and NEW are output folders of `run`. Two versions may round otherwise; then a run's end differs
as it does between machines, but not on average, and by no more than between seeds. For each task:
pairs of runs that differ in the protocol alone; how many diverged in one of both; the mean
difference of the others' log10 final losses with its 95 % t interval; the median size of that
difference, beside its median size between two seeds of one protocol. The last row takes each
task's mean as one value. Below: by how many decades the rate moved that consensus picks from range
tests of the same seed.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import stats

from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.curves.heuristics.consensus import consensus
from lrsuggest.curves.heuristics.registry import Abstention


class Measured(NamedTuple):
    """A task of one folder: its results by job without protocol, seed and looks, and by seed."""

    records: dict[tuple[Job, int], Record]
    picks: dict[int, float | None]  # log10 rate by the range test's seed, None for an abstention


def measured(out: Path) -> dict[str, Measured]:
    """Return a folder's tasks by label."""
    plan, store = load_plan(out), Store(out)
    contexts = {task.label: task.context for task in to_tables(plan, store).tables.tasks()}
    found = {}
    for task in plan.tasks:
        results = {job: record for job in task.all_jobs if (record := store.measured(job))}
        picks = {
            job.seed: consensus(record.result.curve.curve(), contexts[task.label])
            for job, record in results.items()
            if job.kind == "sweep" and task.main(job) and record.result.curve
        }
        found[task.label] = Measured(
            {
                (msgspec.structs.replace(job, protocol=0, seed=0, looks=1), job.seed): record
                for job, record in results.items() if job.kind == "run"
            },
            {seed: None if isinstance(pick, Abstention) else float(np.log10(pick))
             for seed, pick in picks.items()},
        )  # fmt: skip
    return found


def interval(values: list[float]) -> str:
    """Write a mean with its 95 % t interval."""
    if len(values) < 2:
        return "too few"
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / len(values) ** 0.5
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def cells(old: Measured, new: Measured, means: list[float]) -> Iterator[str]:
    """Yield a task's cells; its mean difference is appended to `means`."""
    ends = {
        at: [each.records[at].result.end.get("loss") for each in (old, new)]
        for at in old.records if at in new.records
    }  # fmt: skip
    whole = {at: np.log10(both) for at, both in ends.items() if None not in both}
    moved = [float(after - before) for before, after in whole.values()]
    seeds = [
        abs(whole[a][version] - whole[b][version])
        for a, b in combinations(whole, 2) if a[0] == b[0] for version in (0, 1)
    ]  # fmt: skip
    means += [float(np.mean(moved))] if moved else []
    yield str(len(whole))
    yield str(sum(both.count(None) == 1 for both in ends.values()))
    yield interval(moved)
    yield f"{np.median(np.abs(moved)):.4f}" if moved else ""
    yield f"{np.median(seeds):.4f}" if seeds else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    told = parser.parse_args()
    old, new = measured(told.old), measured(told.new)
    both = [label for label in old if label in new]
    print("| task | pairs | diverged in one | mean difference, decades | median size | "
          "between seeds |\n|---|---|---|---|---|---|")  # fmt: skip
    means: list[float] = []
    for label in both:
        print(f"| {label} |", " | ".join(cells(old[label], new[label], means)), "|")
    print(f"| {len(means)} tasks | | | {interval(means)} | | |")
    picks = [
        (old[label].picks[seed], new[label].picks[seed])
        for label in both for seed in old[label].picks if seed in new[label].picks
    ]  # fmt: skip
    moved = [after - before for before, after in picks if before is not None and after is not None]
    only = sum((before is None) != (after is None) for before, after in picks)
    most = max(map(abs, moved), default=0.0)
    print(f"rate suggested: {len(moved)} range tests, moved by {interval(moved)} decades, by "
          f"{most:.3f} at most; abstained in one of both: {only}")  # fmt: skip


if __name__ == "__main__":
    main()
