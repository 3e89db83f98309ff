"""Runs a suite from the command line: one driver per folder, stopped by a signal, gone on with."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lrsuggest.bench.commands.folder import told
from lrsuggest.bench.commands.machine import cores
from lrsuggest.bench.engines.cluster import Cluster
from lrsuggest.bench.engines.engine import Engine
from lrsuggest.bench.engines.local import Local
from lrsuggest.bench.jobs.lock import driving, stoppable
from lrsuggest.bench.jobs.store import Store, writing
from lrsuggest.bench.plan.make import make_plan
from lrsuggest.bench.plan.plan import Plan, load_plan
from lrsuggest.bench.plan.suite import Suite, load
from lrsuggest.bench.plan.sweeps import sweeps_only
from lrsuggest.bench.run import run_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.errors import UserError, printable
from lrsuggest.tasks.data.catalog import data_root


def run(args: argparse.Namespace, words: Sequence[str], console: Console) -> int:
    """Run a suite; without a command "quick", and then its report.

    Args:
        args: command, and where given suite, data, out, workers, scheduler and device.
        words: the command's arguments, for the report.
        console: what is told goes here.

    Returns:
        1 where a planned run has no result, else 0.
    """
    name = getattr(args, "suite", None) or "quick"
    only = getattr(args, "only", None)
    folder = Path(name).stem + (f"-{only}" if only else "")
    out = Path(getattr(args, "out", None) or Path("reports") / folder)
    plan = drive(
        name, load(name), data_root(getattr(args, "data", None)), out,
        workers=getattr(args, "workers", None), scheduler=getattr(args, "scheduler", None),
        device=getattr(args, "device", "cpu"), only=only, words=words,
        console=console,
    )  # fmt: skip
    collected = to_tables(plan, Store(out), traces=args.command is None)
    if args.command is None:  # what draws a page takes seconds to import
        from lrsuggest.bench.commands.evidence import evidence
        from lrsuggest.bench.commands.report import write
        from lrsuggest.bench.commands.score import print_regret

        found = evidence(collected)
        write(found, out / "report.html", console)
        print_regret(found.tasks, console)
    return told(collected.story, console)


def drive(
    name: str, suite: Suite, root: Path | None, out: Path, *, workers: int | None,
    scheduler: str | None, device: str, words: Sequence[str], console: Console,
    only: str | None = None,
) -> Plan:  # fmt: skip
    """Run what a suite has no result for yet; returns its plan.

    Args:
        name: the suite's.
        suite: what to run.
        root: folder of the datasets.
        out: output folder; no other driver may hold it.
        workers: runs at a time; None for one per core this process may use, one on a GPU.
        scheduler: address of a dask scheduler whose workers do the runs instead.
        device: "cpu" or "cuda".
        words: the command's arguments, for the report.
        console: what is told goes here.
        only: "sweeps" for range tests alone, at several lengths; None for all there is.

    Raises:
        UserError: a value cannot be used, or the folder cannot.
        Stopped: a signal came; what had ended is kept.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers must be at least 1; got {workers}")
    if scheduler == "":
        raise UserError(
            "--scheduler is empty; give an address like tcp://HOST:8786 or leave it out"
        )
    if scheduler and workers:
        raise UserError("--workers is for runs here; with --scheduler the cluster has its own")
    if printable(str(out)) != str(out):
        raise UserError(f"the name of the output folder {out} is no UTF-8; give another --out")
    if device == "cuda" and not scheduler:
        import torch

        if not torch.cuda.is_available():
            raise UserError("--device cuda: torch sees no CUDA device here; leave --device out")

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    slots = workers or (1 if device == "cuda" else cores())
    made: Engine = Cluster(scheduler, tell) if scheduler else Local(slots)
    with stoppable(), driving(out), made as engine:
        store = Store(out, tell)
        store.tidy()
        command = printable(" ".join(["python -m lrsuggest.bench", *words]))
        with writing(out / "cache"):
            plan = make_plan(
                name, suite, root, out, device=device, console=console, command=command
            )
        if only:
            _refuse_whole(out)
            plan = sweeps_only(plan)
        return run_plan(plan, store, out, engine=engine, console=console)


def _refuse_whole(out: Path) -> None:
    """Refuse a folder whose plan has more than range tests: the plan would be lost.

    Raises:
        UserError: it is such.
    """
    if (out / "plan.json").is_file() and any(job.kind != "sweep" for job in load_plan(out).jobs):
        raise UserError(
            f"{out} holds a suite's training runs, and --only sweeps makes none: give --out "
            "another folder"
        )


def resume(argv: Sequence[str] | None) -> str:
    """Return the command that goes on from where this one was stopped, as a shell takes it."""
    if argv is None:
        return shlex.join(sys.orig_argv)
    return shlex.join(["python", "-m", "lrsuggest.bench", *argv])
