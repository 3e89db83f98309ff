"""Measures what the benchmark costs beside the training.

    python benchmarks/speed/harness.py --data DIR

Real jobs of some seconds each are run one after another in one child process, as `run` does, each
record written. What of the wall time is not the jobs' own is the harness: orders, records, logs,
the forced write to disk. Of the jobs' own time, `in_steps` is what their training steps took; the
rest is making the model, and evaluations. Then as many workers as there are cores run the same
jobs, and the share of all cores' time inside steps is told. The first job of every process, which
waits for the imports, is not counted.
"""

import argparse
import csv
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from lrsuggest.bench.engines.local import Local
from lrsuggest.bench.engines.work import versions
from lrsuggest.bench.jobs.job import Job, Order, data_file
from lrsuggest.bench.jobs.store import Store
from lrsuggest.tasks.data.catalog import data_root, dataset, fingerprint, locate
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.resident import cached

KINDS = {  # dataset, and what tells its kinds apart: stage, size, batch, steps
    "digits": ("scratch", (8, 8), 64, 3000),
    "camvid11": ("frozen", (48, 64), 8, 40),
    "camvid11 lesson": ("frozen", (48, 64), 8, 90),
    "face_landmarks": ("frozen", (64, 64), 16, 40),
}


def order(name: str, seed: int, out: Path, root: Path | None, steps: int | None = None) -> Order:
    """Return a run of a dataset, prepared before."""
    stage, size, batch, usual = KINDS[name]
    which = dataset(name := name.split()[0])
    folder = locate(which, root)
    print_of = fingerprint(folder, out / "cache")
    path = out / "cache" / data_file(name, print_of, size)
    cached(path, lambda: read(which.need_reader(), folder, size, lambda done, of: None, "valid"))
    job = Job(
        kind="run", dataset=name, fingerprint=print_of, model=which.model,
        optimizer=which.optimizer, stage=stage, size=size, batch=batch, steps=steps or usual,
        seed=seed, rates=(1e-3,),
    )  # fmt: skip
    return Order(job, path)


def timed(orders: list[Order], warm: list[Order], workers: int, out: Path) -> dict[str, float]:
    """Run orders; returns seconds: the whole, the jobs, their steps, and what is beside a job."""
    store = Store(out)
    with Local(workers) as engine:
        list(engine.run(warm, lambda order: 600))
        began = last = time.perf_counter()
        jobs, steps, rest = [], [], []
        for outcome in engine.run(orders, lambda order: 600):
            store.put(outcome.record, outcome.log)
            assert outcome.record.status == "ok", outcome
            how = outcome.record.provenance
            now = time.perf_counter()
            rest.append(now - last - how.seconds)
            last = now
            jobs.append(how.seconds)
            steps.append(how.seconds * (how.in_steps or 0.0))
        return {
            "wall": last - began, "jobs": sum(jobs), "steps": sum(steps),
            "rest": float(np.median(rest)), "worst": max(rest),
        }  # fmt: skip


def measure(name: str, root: Path | None, repeats: int, steps: int | None) -> dict[str, object]:
    """Return the row of a kind of job."""
    with tempfile.TemporaryDirectory() as place:
        out, cores = Path(place), os.cpu_count() or 1
        orders = [order(name, seed, out, root, steps) for seed in range(repeats)]
        warm = [order(name, 1000 + seed, out, root, 4) for seed in range(cores)]
        alone = timed(orders, warm[:1], 1, out)
        full = timed(orders, warm, cores, out)
    return {
        "kind": name, "steps": steps or KINDS[name][-1], "jobs": repeats,
        "seconds_a_job": round(alone["jobs"] / repeats, 2),
        "overhead_ms": round(1000 * alone["rest"], 1),
        "worst_ms": round(1000 * alone["worst"], 1),
        "overhead_share": round(1 - alone["jobs"] / alone["wall"], 4),
        "in_steps": round(alone["steps"] / alone["jobs"], 3),
        "cores_in_steps": round(full["steps"] / (cores * full["wall"]), 3),
        "cores": cores, "cpu": platform.processor() or platform.machine(),
        "versions": " ".join(f"{k}={v}" for k, v in sorted(versions().items())),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds camvid11/ and face_landmarks/")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--steps", type=int, help="of every job, for a quick look")
    parser.add_argument("--csv", type=Path, help="file for the table")
    told = parser.parse_args()
    rows = []
    for name in told.only:
        rows.append(measure(name, data_root(told.data), told.repeats, told.steps))
        print(*(f"{k}={v}" for k, v in rows[-1].items()), flush=True)
    if told.csv:
        told.csv.parent.mkdir(parents=True, exist_ok=True)
        with open(told.csv, "w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
