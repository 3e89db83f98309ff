"""Judges heuristics on recorded tables and prints how they did; loads no torch."""

import argparse
import contextlib
import importlib.util
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.registry import Abstention, Context, Read
from lrsuggest.errors import UserError
from lrsuggest.evidence.contested import by_schedule, contested, left_out, of, rests_on
from lrsuggest.evidence.regret import rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.files import output
from lrsuggest.resources import shipped


def score(args: argparse.Namespace, console: Console) -> int:
    """Judge the registered heuristics and a person's own."""
    files, where = asked(args)
    new = [name for file in files for name in register(file)]
    if args.humans:
        split = {"held-out": "held_out", "all": None}.get(args.families, args.families)
        print_people(split, console, new)
        return 0
    # Opened first: that it cannot be written is to be told before the contest.
    with output(args.csv) if args.csv else contextlib.nullcontext() as file:
        table = print_regret(judged(where, args.families), console, new)
        if file and table.empty:
            raise UserError(f"there is no ranking to write, so {args.csv} is left as it is")
        if file:
            file.write(table.to_csv(index=False).encode())
    return 0


def asked(args: argparse.Namespace) -> tuple[list[Path], Path | None]:
    """Return the files that register heuristics, and the folder to judge on or None.

    Args:
        args: what the command line holds.

    Raises:
        UserError: it asks for two things that do not go together; nothing is left out unsaid.
    """
    out = getattr(args, "out", None)
    files = [Path(file) for file in args.files if file.endswith(".py")]
    folders = [_folder(file) for file in args.files if not file.endswith(".py")]
    folders += [Path(out)] if out else []
    if len(folders) > 1:
        raise UserError(f"score judges on one folder; got {folders[0]} and {folders[1]}")
    if args.humans and folders:
        raise UserError(
            f"--humans judges by what people picked off recorded curves; leave {folders[0]}, or "
            "leave --humans"
        )
    if args.humans and args.csv:
        raise UserError("--csv writes the contest, which --humans does not hold; leave one of them")
    if folders and args.families == "confirm":
        raise UserError(
            f"--families confirm is evidence of the package's own; leave it, or leave {folders[0]}"
        )
    return files, folders[0] if folders else None


def _folder(name: str) -> Path:
    """Return an output folder, or a folder of exported tables, by its path or its suite's name."""
    if any((Path(name) / each).is_file() for each in ("plan.json", "tasks.csv")):
        return Path(name)
    if Path(name).is_file() and not name.endswith(".toml"):
        raise UserError(f"{name} is a file; give the folder it lies in, or a file that ends in .py")
    if Path(name).is_dir() and len(Path(name).parts) > 1:
        return Path(name)
    return Path("reports") / Path(name).stem


def register(path: Path) -> list[str]:
    """Run a person's file and return the names of the heuristics it registered.

    Raises:
        UserError: the file is missing, raises, or registers nothing.
    """
    before = dict(HEURISTICS)
    spec = importlib.util.spec_from_file_location(f"_newcomer_{path.stem}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise UserError(f"{path} does not exist; give a Python file that registers a heuristic")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    beside = str(path.resolve().parent)
    if beside not in sys.path:  # what lies beside the file can be imported, as by `python my.py`
        sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    new = [name for name, each in HEURISTICS.items() if before.get(name) is not each]
    if not new:
        raise UserError(
            f"{path} registers no heuristic; decorate a function (curve, context) -> rate with "
            '@heuristic("name", "source") from lrsuggest'
        )
    replaced = [name for name in new if name in before]
    if replaced:
        HEURISTICS.update(before)
        raise UserError(f"{path} registers {replaced[0]!r}, which there is; choose another name")
    for name in new:
        HEURISTICS[name] = replace(HEURISTICS[name], read=_told(name, HEURISTICS[name].read))
    return new


def _told(name: str, read: Read) -> Read:
    """Turn what a newcomer's heuristic raises into a sentence."""

    def careful(curve: Curve, context: Context) -> float | Abstention:
        try:
            return read(curve, context)
        except (Exception, SystemExit) as error:
            raise UserError(
                f"the heuristic {name} fails on a curve of {len(curve)} points: "
                f"{type(error).__name__}: {error}; return an Abstention where there is no answer"
            ) from None

    return careful


def judged(out: Path | None, families: str) -> list[TaskEvidence]:
    """Return the tasks to judge on.

    They are an output folder's, or without one what was recorded with the package: all families,
    the "dev" ones or those marked as "held-out", or those of "confirm", measured after the
    consensus was frozen.

    Raises:
        UserError: the folder holds no run, or none of such families.
    """
    held_out = {"dev": False, "held-out": True}.get(families)
    if out is None:
        from lrsuggest.evidence.tables import load

        if families == "confirm":
            return load(shipped("benchmarks/recorded/confirm"))
        return load(held_out=held_out)
    from lrsuggest.bench.commands.evidence import gather

    tasks = [
        t for t in gather(out, traces=False).tasks if held_out is None or t.held_out is held_out
    ]
    if held_out is not None and not tasks:
        raise UserError(f"{out} has no task of --families {families}; leave it to judge on all")
    return tasks


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def print_regret(
    tasks: Sequence[TaskEvidence], console: Console, newcomers: Sequence[str] = ()
) -> pd.DataFrame:
    """Print the table of regrets, a newcomer's rows in bold; returns the contest behind it.

    Tasks of another schedule than most have a table of their own, as in the report.
    """
    table = contested(tasks)
    if table.empty:
        console.print("nothing was measured on real data, so there is no ranking")
        return table
    out = left_out(tasks)
    for place, here in enumerate(by_schedule(tasks).values()):
        part = of(table, here)
        if part.empty:
            continue
        if place:
            console.print()
        console.print(_ranking(part, here, newcomers))
        console.print(f"Regret on {rests_on(here)}.", highlight=False)
    if out:
        said = f"Left out, for there is nothing to rank by: {', '.join(out)}."
        console.print(said, highlight=False, markup=False)
    if not rankable(tasks):
        console.print("there is no ranking")
        return table
    console.print(
        "0 is the best rate measured, 1 no training at all. Strict: against the best constant "
        "prediction, where that is better than the untrained network. Intervals resample "
        "families. The constant out of fold is chosen on the other families of the evidence.",
        highlight=False,
    )
    return table


def _ranking(part: pd.DataFrame, tasks: Sequence[TaskEvidence], newcomers: Sequence[str]) -> Table:
    from lrsuggest.evidence.statistics import summary

    rows = summary(part, tasks)
    strict = summary(part, tasks, "strict").set_index("contestant")
    shown = Table(
        Column("contestant", no_wrap=True), "tasks", "median [95 %]", "mean [95 %]", "p90",
        "worst", "in noise", "diverged", "abstained", "outside", "strict median", "strict mean",
        box=None,
    )  # fmt: skip
    for row in rows.to_dict("records"):
        ends = [f"{_number(row[k])} [{_number(row[f'{k}_low'])}, {_number(row[f'{k}_high'])}]"
                for k in ("median", "mean")]  # fmt: skip
        shown.add_row(
            Text(str(row["contestant"])), str(row["tasks"]), *ends, _number(row["p90"]),
            _number(row["worst"]), _share(row["within_noise"]), _share(row["diverged"]),
            _share(row["abstained"]), _share(row["outside"]),
            *(_number(strict[k].get(row["contestant"], math.nan)) for k in ("median", "mean")),
            style="bold" if row["contestant"] in newcomers else None,
        )  # fmt: skip
    return shown


def print_people(split: str | None, console: Console, newcomers: Sequence[str] = ()) -> None:
    """Print how far each heuristic lies from what people picked off the same curves."""
    from lrsuggest.evidence.studies.people import agreement, people

    if split == "confirm":
        raise UserError("nobody picked from the curves of confirm; leave --humans or --families")
    found = agreement(people(split, as_drawn=False), pool=people(None, as_drawn=False))
    shown = Table(
        Column("contestant", no_wrap=True), "picks", "authors", "mean", "median", "within 2x",
        "within 3x", "abstained", "gain on constant [95 %]", "gain on stage's constant [95 %]",
        box=None,
    )  # fmt: skip
    for row in found.to_dict("records"):
        gains = [f"{_number(row[k])} [{_number(row[f'{k}_low'])}, {_number(row[f'{k}_high'])}]"
                 for k in ("gain", "stage_gain")]  # fmt: skip
        shown.add_row(
            Text(str(row["contestant"])), str(row["picks"]), str(row["authors"]),
            _number(row["mean"]), _number(row["median"]),
            _share(row["within_2"]), _share(row["within_3"]), _share(row["abstained"]), *gains,
            style="bold" if row["contestant"] in newcomers else None,
        )  # fmt: skip
    console.print("Errors in decades, |log10(rate / picked rate)|; every author weighs the same.")
    console.print(shown)
