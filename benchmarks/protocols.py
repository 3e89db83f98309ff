"""Compares one suite measured twice by two versions of what a job does (PROTOCOL).

    python benchmarks/protocols.py OLD NEW

OLD and NEW are output folders of `run`. Two versions may round otherwise; then a run's end differs
as it does between machines, but not on average, and by no more than between seeds. For each task:
pairs of runs that differ in the protocol alone; the mean difference of their log10 final losses
with its 95 % t interval; the median size of that difference, beside its median size between two
seeds of one protocol. A run that diverged in one of both is counted apart. Last: by how many
decades the suggested rate moved, from range tests of the same seed.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from scipy import stats

from lrsuggest import Abstention
from lrsuggest.bench.collect import collect
from lrsuggest.bench.jobs import Job, Record
from lrsuggest.bench.planned import load_plan
from lrsuggest.bench.store import Store
from lrsuggest.curves.consensus import consensus


def records(out: Path) -> dict[Job, Record]:
    """Return a folder's results by job, whatever its protocol."""
    store = Store(out)
    found = ((job, store.measured(job)) for job in load_plan(out).jobs)
    return {msgspec.structs.replace(job, protocol=0): record for job, record in found if record}


def row(runs: dict[tuple[float, int], tuple[Record, Record]]) -> Iterator[str]:
    """Yield a task's cells: pairs, diverged in one, mean and interval, sizes of differences."""
    ends = {at: [each.result.end.get("loss") for each in both] for at, both in runs.items()}
    whole = {at: np.log10(both) for at, both in ends.items() if None not in both}
    moved = np.array([new - old for old, new in whole.values()])
    mean = moved.mean()
    half = stats.t.ppf(0.975, len(moved) - 1) * moved.std(ddof=1) / len(moved) ** 0.5
    seeds = [
        abs(whole[a][version] - whole[b][version])
        for a, b in combinations(whole, 2) if a[0] == b[0] for version in (0, 1)
    ]  # fmt: skip
    yield str(len(whole))
    yield str(sum(both.count(None) == 1 for both in ends.values()))
    yield f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"
    yield f"{np.median(abs(moved)):.4f}"
    yield f"{np.median(seeds):.4f}"


def picks(out: Path) -> dict[tuple[str, int], float]:
    """Return the log10 rate that consensus picks from each range test, by task and test."""
    found = {}
    for task in collect(load_plan(out), Store(out))[0]:
        for number, curve in enumerate(task.curves):
            if not isinstance(rate := consensus(curve, task.context), Abstention):
                found[task.label, number] = float(np.log10(rate))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    told = parser.parse_args()
    old, new = records(told.old), records(told.new)
    tasks: dict[str, dict[tuple[float, int], tuple[Record, Record]]] = defaultdict(dict)
    for job in old.keys() & new.keys():
        if job.kind == "run":
            label = f"{job.dataset} {'x'.join(map(str, job.size))} {job.stage}"
            tasks[label][job.rates[-1], job.seed] = old[job], new[job]
    print("| task | pairs | diverged in one | mean difference, decades | median size | "
          "between seeds |\n|---|---|---|---|---|---|")  # fmt: skip
    for label in sorted(tasks):
        print(f"| {label} |", " | ".join(row(tasks[label])), "|")
    before, after = picks(told.old), picks(told.new)
    moved = np.array([after[at] - before[at] for at in before.keys() & after.keys()])
    print(f"suggested rate: {len(moved)} range tests, moved by {moved.mean():+.3f} decades on "
          f"average, {abs(moved).max():.3f} at most")  # fmt: skip


if __name__ == "__main__":
    main()
