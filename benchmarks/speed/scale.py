"""Times the store, a finished run, `score`, `export` and the report on very many records.

    python benchmarks/speed/scale.py --records 100000 --csv benchmarks/recorded/scale/scale.csv
    python benchmarks/speed/scale.py --against ../before --repeats 5   # another source tree

The records are synthetic (a parabola with noise, in the shape of digits' runs) and are written to a
temporary folder; each command is a process of its own, with its wall time and its peak of resident
memory.
"""

import argparse
import contextlib
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil

from lrsuggest.bench.engines.work import versions
from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.jobs.record import Provenance, Record, RecordedCurve, Result, encode
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import Plan, PlannedTask, load_plan, save_plan
from lrsuggest.bench.plan.suite import Sweep
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.readers.images import read_digits
from lrsuggest.tasks.data.resident import cached
from lrsuggest.testing import simulated

RATES, SWEEPS, STEPS = 20, 20, 60
PUTS = 300  # real writes that are timed, each forced to the disk


def jobs(task: int, seeds: int) -> list[Job]:
    """Return a task's range tests and its grid."""
    common = {
        "dataset": "digits", "fingerprint": f"{task:016x}", "model": "small_cnn",
        "optimizer": "sgd", "stage": "scratch", "size": (8, 8), "batch": 64,
    }  # fmt: skip
    sweeps = [
        Job(kind="sweep", steps=100, seed=seed, rates=(1e-7, 10.0), **common)
        for seed in range(SWEEPS)
    ]
    runs = [
        Job(kind="run", steps=STEPS, seed=seed, rates=(float(rate),), **common)
        for rate in np.geomspace(1e-4, 1.0, RATES)
        for seed in range(seeds)
    ]
    return sweeps + runs


def record(job: Job, rng: np.random.Generator, how: Provenance) -> Record:
    """Return what might have come of a job."""
    if job.kind == "sweep":
        from lrsuggest import Curve

        curve = Curve(*simulated(100, 1e-1, 2.0, 0.02, job.seed))
        start = {"loss": 2.3, "accuracy": 0.1, "loss_probe": 2.3, "loss_score": 2.3}
        return Record(job, Result("ok", start, curve=RecordedCurve.of(curve)), how)
    loss = float(0.2 + 0.1 * np.log10(job.rates[0] / 1e-2) ** 2 + rng.normal(0, 0.01))
    end = {"loss": loss, "accuracy": 0.9, "loss_probe": loss, "loss_score": loss}
    return Record(job, Result("ok", end=end, losses=rng.normal(loss, 0.1, STEPS).tolist()), how)


def fill(out: Path, records: int, tasks: int) -> int:
    """Write a plan and its records; returns how many there are."""
    seeds = max(2, records // tasks // RATES - SWEEPS // RATES)
    rng, planned, written = np.random.default_rng(0), [], 0
    store = Store(out)
    how = Provenance(1.0, in_steps=0.9, versions=versions(), host="h", cpu="c", threads=1)
    prepared = out / "cache" / "digits.npz"
    cached(prepared, lambda: read_digits(None, (8, 8)))
    for task in range(tasks):
        mine = jobs(task, seeds)
        family = msgspec.structs.replace(dataset("digits"), family=f"family {task % 20}")
        planned.append(
            PlannedTask(
                label=f"task {task}",
                dataset=family,
                stage="scratch",
                size=(8, 8),
                batch=64,
                steps=STEPS,
                jobs=tuple(mine),
                prepared=str(prepared),
                sweep=Sweep(seeds=SWEEPS),
                chase=False,
            )
        )
        for job in mine:
            # As Store.put writes them, but without forcing each to the disk.
            (store.folder / f"{job.key}.json").write_bytes(encode(record(job, rng, how)))
            written += 1
    save_plan(Plan("scale", "Scale", "benchmarks/speed/scale.py", 600.0, tuple(planned)), out)
    return written


def measured(what: str, *command: str, source: Path | None = None) -> tuple[str, float, float]:
    """Run a command; returns what it was, wall seconds, and its peak memory in MB.

    Args:
        what: its name in the table.
        command: what Python is to run.
        source: a tree whose package it runs, None for the one that is installed.

    Raises:
        RuntimeError: it failed.
    """
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL,
        env={**os.environ, **({"PYTHONPATH": str(source)} if source else {})},
    )  # fmt: skip
    while process.poll() is None:  # the system's own maximum begins with this process's size
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"{what} ended with {process.returncode}")
    return what, time.perf_counter() - began, peak / 2**20


FINISHED = """
import sys
from pathlib import Path
from rich.console import Console
from lrsuggest.bench.engines.local import Local
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.run import run_plan
from lrsuggest.bench.jobs.store import Store
out = Path(sys.argv[1])
with Local(1) as engine:
    run_plan(load_plan(out), Store(out, print), out, engine=engine, console=Console(quiet=True))
"""


def measure(records: int, tasks: int) -> list[tuple[str, float, float]]:
    """Fill a folder and time everything on it; a row each, see `measured`."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        written = fill(out, records, tasks)
        size = sum(path.stat().st_size for path in (out / "records").iterdir()) / 2**20
        print(f"{written} records of {tasks} tasks, {size:.0f} MB", flush=True)
        store, plan = Store(out), load_plan(out)
        some = [store.get(job) for job in plan.jobs[:PUTS]]
        os.sync()  # else the first write waits for all those above
        began = time.perf_counter()
        for each in some:
            store.put(each)
        put = (time.perf_counter() - began) / PUTS
        began = time.perf_counter()
        for job in plan.jobs[: 10 * PUTS]:
            store.get(job)
        get = (time.perf_counter() - began) / min(len(plan.jobs), 10 * PUTS)
        command, to = ("-m", "lrsuggest.bench"), ("--out", str(out))
        return [
            ("records", written, 0.0),
            ("put, one record", put, 0.0),
            ("get, one record", get, 0.0),
            measured("run, nothing to do", "-c", FINISHED, str(out)),
            measured("export", *command, "export", "--to", str(out / "tables"), *to),
            measured("score", *command, "score", *to),
            measured("report", *command, "report", *to),
        ]


def compared(records: int, tasks: int, other: Path, repeats: int) -> list[tuple[str, float, float]]:
    """Time the commands on one folder with another source tree and with this one, in turn.

    Returns:
        A row each: what, and by which factor this tree's median time and peak are the other's.
    """
    ours = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        print(f"{fill(out, records, tasks)} records of {tasks} tasks", flush=True)
        rows = []
        for what, more in (
            ("export", ("--to", str(out / "tables"))),
            ("score", ()),
            ("report", ()),
        ):
            command = ("-m", "lrsuggest.bench", what, *more, "--out", str(out))
            seen: dict[Path, list[tuple[float, float]]] = {other: [], ours: []}
            for _ in range(repeats):
                for source, each in seen.items():
                    each.append(measured(what, *command, source=source)[1:])
            before, after = (np.median(each, axis=0) for each in seen.values())
            print(f"{what:10} {before[0]:8.2f} s {before[1]:6.0f} MB before, "
                  f"{after[0]:8.2f} s {after[1]:6.0f} MB after", flush=True)  # fmt: skip
            rows.append((what, *(after / before)))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--csv", type=Path, help="file for the table")
    parser.add_argument("--against", type=Path, help="another source tree, to be compared with")
    parser.add_argument("--repeats", type=int, default=5, help="times each, with --against")
    told = parser.parse_args()
    if told.against:
        against = told.against.resolve()
        for row in compared(told.records, told.tasks, against, told.repeats):
            print("{:10} time x {:.2f}, memory x {:.2f}".format(*row))
        sys.exit()
    rows = measure(told.records, told.tasks)
    for what, seconds, peak in rows:
        print(f"{what:20} {seconds:12.4g} {peak:8.0f} MB" if peak else f"{what:20} {seconds:12.4g}")
    if told.csv:
        told.csv.parent.mkdir(parents=True, exist_ok=True)
        with open(told.csv, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["what", "seconds", "peak_mb"])
            table.writerows((what, f"{s:.4g}", f"{peak:.0f}") for what, s, peak in rows)
