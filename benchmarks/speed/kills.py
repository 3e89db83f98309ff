"""Kills a run at random moments until nothing is left to kill, and compares what it ends with.

    python benchmarks/speed/kills.py --kills 50 --to benchmarks/recorded/kills

A small suite on scikit-learn's digits is run once undisturbed. Then the same command is run again
and again in fresh folders, two workers each; at random moments the driver, or a worker, gets
SIGKILL. After a driver's death the same command is given again. Every folder that came to its end
is compared with the undisturbed one: the same jobs, each with an equal `result`, nothing run twice
but what was in flight, nothing damaged or left over.

Only here, a start-up file (kills/sitecustomize.py, by way of PYTHONPATH) makes two moments long
enough to be hit and visible: a record is written in two halves with a pause between, with another
pause before it takes its place, and a marker stands there meanwhile; a worker holds a marker while
a job is in flight. The program itself knows nothing of this.
"""

import argparse
import contextlib
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

from lrsuggest.bench.engines.work import versions
from lrsuggest.bench.jobs.record import decode

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
title = "Kills"
chase = false
[sweep]
start = 1e-4
steps = 60
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = STEPS
rates = [3e-3, 1e-2, 3e-2, 1e-1, 1.0]
seeds = 3
"""
STEPS = 400
WORKERS = 2
SETTLE_S = 2.0  # by then no child of a killed driver may be running


@dataclass(frozen=True)
class Kill:
    """One kill: of whom, and what it fell into.

    `after_s` is counted from the command's start, `in_flight` are jobs at work, `in_write` says
    whether a record was being written, `records` how many were whole, `left_running` how many
    children lived on two seconds after their driver's death.
    """

    number: int
    victim: str
    after_s: float
    in_flight: int
    in_write: str
    records: int
    left_running: int


class Run:
    """The command in a folder, with the markers that the start-up file sets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.marks = folder, folder / "marks"
        self.records = folder / "out" / "records"
        self.marks.mkdir(parents=True, exist_ok=True)
        for mark in self.marks.iterdir():
            mark.unlink()
        (folder / "kills.toml").write_text(SUITE.replace("STEPS", str(STEPS)))
        here = [str(Path(__file__).with_suffix("")), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lrsuggest.bench", "run", "kills.toml", "--out", "out",
             "--workers", str(WORKERS)],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ":".join(filter(None, here)),
                 "LRSUGGEST_MARKS": str(self.marks)},
        )  # fmt: skip

    def workers(self) -> list[psutil.Process]:
        """Return the children that do jobs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def kin(self) -> list[psutil.Process]:
        """Return every process below the driver."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def in_flight(self) -> int:
        """Return how many jobs are at work."""
        return len(list(self.marks.glob("job-*")))

    def in_write(self) -> str:
        """Return the half of a record's write that is going on, or ""."""
        for half in ("first half", "second half"):
            if (self.marks / half).exists():
                return half
        return ""

    def whole(self) -> dict[str, bytes]:
        """Return the records that are in place, by name."""
        return {path.name: path.read_bytes() for path in self.records.glob("*.json")}


def wait_for_moment(run: Run, dice: random.Random) -> bool:
    """Wait for a random moment, every third time one inside a write; False if the run ended."""
    if dice.random() < 0.2:
        until = run.began + dice.uniform(0.1, 4.0)  # the start, imports and planning included
        wanted = ""
    else:
        while run.process.poll() is None and not run.in_flight():
            time.sleep(0.01)
        until = time.monotonic() + dice.uniform(0.0, 3.0)
        wanted = dice.choice(["first half", "second half", "", ""])
    while run.process.poll() is None:
        if time.monotonic() >= until and (not wanted or run.in_write() == wanted):
            return True
        time.sleep(0.003)
    return False


def strike(run: Run, number: int, dice: random.Random) -> Kill:
    """Kill the driver or a worker, and see what becomes of the rest."""
    workers, kin = run.workers(), run.kin()
    victim = "worker" if workers and number % 5 in (0, 2) else "driver"
    kill = Kill(
        number, victim, round(time.monotonic() - run.began, 2), run.in_flight(), run.in_write(),
        len(run.whole()), 0,
    )  # fmt: skip
    if victim == "worker":
        struck = dice.choice(workers)
        (run.marks / f"job-{struck.pid}").unlink(missing_ok=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            struck.kill()
        return kill
    run.process.kill()
    run.process.communicate()
    left = psutil.wait_procs(kin, timeout=SETTLE_S)[1]
    running = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return Kill(**{**asdict(kill), "left_running": len(running)})


def finish(run: Run, tries: int = 3) -> dict[str, bytes]:
    """Wait for a run's end; returns its records.

    A job whose worker was killed at every attempt has no result: the same command tries it again,
    three times in all.

    Raises:
        AssertionError: it failed, or left something behind.
    """
    error = run.process.communicate()[1].decode()
    if run.process.returncode == 1 and tries > 1:
        return finish(Run(run.folder), tries - 1)
    assert run.process.returncode == 0, error
    left = [path.name for path in run.records.iterdir() if path.suffix != ".json"]
    assert not left, f"left behind: {left}"
    assert not (run.folder / "out" / "quarantine").exists(), "a record was damaged"
    return run.whole()


def kill_until(wanted: int, seed: int, place: Path) -> tuple[list[Kill], int]:
    """Kill so many times, folder after folder; returns the kills and how many folders ended equal.

    Raises:
        AssertionError: a folder ended with other results, or ran a finished job again.
    """
    dice, kills, folders = random.Random(seed), list[Kill](), 0
    reference = {k: decode(v).result for k, v in finish(Run(place / "undisturbed")).items()}
    while len(kills) < wanted:
        run, before = Run(place / f"killed-{folders}"), dict[str, bytes]()
        while len(kills) < wanted and wait_for_moment(run, dice):
            kills.append(strike(run, len(kills) + 1, dice))
            print(*asdict(kills[-1]).values(), sep=", ", flush=True)
            assert not kills[-1].left_running, "children outlived their driver"
            if kills[-1].victim == "driver":
                now = run.whole()
                assert {**now, **before} == now, "a finished job was run again"
                before, run = now, Run(run.folder)
        ended = finish(run)
        assert {**ended, **before} == ended, "a finished job was run again"
        assert {k: decode(v).result for k, v in ended.items()} == reference, "other results"
        folders += 1
    return kills, folders


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, help="folder for kills.csv")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        kills, folders = kill_until(told.kills, told.seed, Path(place))
    print(
        f"{len(kills)} kills, {sum(k.in_flight > 0 for k in kills)} with a job in flight, "
        f"{sum(k.in_write != '' for k in kills)} inside a write, "
        f"{sum(k.victim == 'driver' for k in kills)} of the driver; "
        f"{folders} folders ended equal to the undisturbed one"
    )
    if told.to:
        told.to.mkdir(parents=True, exist_ok=True)
        made = " ".join(f"{k}={v}" for k, v in sorted(versions().items()))
        with open(told.to / "kills.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*(field.name for field in fields(Kill)), "versions"])
            rows.writerows([*asdict(kill).values(), made] for kill in kills)
