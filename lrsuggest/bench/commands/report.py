"""What a report is made from: an output folder's records, or a folder of exported tables."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lrsuggest.bench.commands.folder import holds_tables, output_folder
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.bench.tables import Collected, to_tables
from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError, printable
from lrsuggest.evidence.lessons import TEST, LessonEvidence, autopilot
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.tables import Tables
from lrsuggest.files import atomic
from lrsuggest.report.about import Story
from lrsuggest.report.compare import Comparison, Side, render_comparison
from lrsuggest.report.lessons import metric, verdict
from lrsuggest.report.page import render


class Evidence(NamedTuple):
    """What `lrsuggest.report.page.render` takes, in its order."""

    tasks: list[TaskEvidence]
    story: Story
    lessons: list[LessonEvidence]
    stages: list[TaskEvidence]


def gather(where: Path, command: str = "") -> Evidence:
    """Return the evidence of an output folder, or of a folder of exported tables.

    Args:
        where: the folder.
        command: how the report is asked for, told where the folder holds tables; records know
            what they were run with.

    Raises:
        UserError: the folder holds neither.
    """
    if holds_tables(where):
        return _from_tables(where, command)
    if not (where / "plan.json").is_file():
        raise UserError(
            f"{where} holds neither plan.json nor tasks.csv; give the output folder of a suite "
            "that was run, or a folder of exported tables"
        )
    return evidence(to_tables(load_plan(where), Store(where)))


def evidence(collected: Collected) -> Evidence:
    """Return the evidence of an output folder, made from the tables of its records."""
    lessons = [
        replace(lesson, traces=collected.traces[lesson.name])
        for lesson in collected.tables.lessons()
    ]
    return Evidence(collected.tables.tasks(), collected.story, lessons, [])


def _from_tables(folder: Path, command: str) -> Evidence:
    """Return the evidence of exported tables; lessons may lie beside them or in lessons/."""
    tables = Tables.read(folder)
    tasks, lessons = tables.tasks(), tables.lessons()
    stages: list[TaskEvidence] = []
    if not lessons and (folder / "lessons" / "lessons.csv").is_file():
        beside = Tables.read(folder / "lessons")
        lessons, stages = beside.lessons(), beside.tasks()
    runs = sum(len(task.runs) + len(task.variants) for task in [*tasks, *stages])
    story = Story(
        _title(folder),
        command,
        None,
        absent=_absent(lessons),
        suite=str(folder),
        recorded=runs + sum(len(lesson.chains) for lesson in lessons),
        kept=str(folder),
    )
    return Evidence(tasks, story, lessons, stages)


def _title(folder: Path) -> str:
    """The heading of the tables' own README, or the folder's name."""
    page = folder / "README.md"
    try:
        text = decode(read_bytes(page), page, "") if page.is_file() else ""
    except (UserError, OSError):
        text = ""  # the tables are what counts
    first = text.partition("\n")[0].rstrip()
    return first.removeprefix("# ") if first.startswith("# ") else f"Tables in {folder.name}"


def _absent(lessons: list[LessonEvidence]) -> tuple[str, ...]:
    """The shipped suite's lessons that the tables lack: what those do not say themselves."""
    held = {lesson.name for lesson in lessons}
    wanted = load_suite("lessons").lesson
    if not held & {each.label for each in wanted}:
        return ()
    return tuple(
        f"{each.label}: not among the recorded lessons" for each in wanted if each.label not in held
    )


def write(found: Evidence, path: Path, console: Console) -> None:
    """Write the report and say where it is."""
    _put(render(*found), path, console)


def _put(page: str, path: Path, console: Console) -> None:
    try:
        with atomic(path) as file:
            file.write(page.encode())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); give another --out"
        ) from None
    console.print(f"report: {path}", highlight=False, markup=False)


def compare(before: Evidence, after: Evidence, command: str, path: Path, console: Console) -> None:
    """Write what got better or worse from one to the other, and print the gist."""
    found = Comparison.of(
        Side(before.story.kept or before.story.title, before.tasks, before.lessons),
        Side(after.story.kept or after.story.title, after.tasks, after.lessons),
    )
    for line in found.lines:
        console.print(line, highlight=False, markup=False)
    _put(render_comparison(found, command), path, console)


def report(args: argparse.Namespace, words: Sequence[str], console: Console) -> int:
    """Write a comparison, or the report of an output folder or of exported tables.

    Args:
        args: suite (a suite's name, an output folder or a folder of tables), compare (two folders,
            or None) and out.
        words: the command's arguments, for the page.
        console: where to say what was written.

    Returns:
        1 where a planned run has no result, else 0.
    """
    out = getattr(args, "out", None)
    command = f"python -m lrsuggest.bench {printable(' '.join(words))}"
    if args.compare:
        if args.suite is not None:
            raise UserError(
                f"--compare takes its two folders and nothing beside them: leave {args.suite} out"
            )
        before, after = (gather(Path(name), command) for name in args.compare)
        compare(before, after, command, Path(out or "reports") / "compare.html", console)
        return 0
    folder = Path(args.suite or "quick")
    if holds_tables(folder):
        name = folder.resolve().name
        path = Path(out) / "report.html" if out else Path("reports") / f"{name}.html"
        write(gather(folder, command), path, console)
        return 0
    where = output_folder(args)
    collected = to_tables(load_plan(where), Store(where))
    found = evidence(collected)
    write(found, where / "report.html", console)
    if found.lessons:
        print_lessons(found.lessons, console)
    return told(collected.story, console)


def told(story: Story, console: Console) -> int:
    """Say how many planned runs have a result; returns 1 where one has none, else 0."""
    console.print(
        f"{story.measured} of {story.planned} planned runs have a result", highlight=False
    )
    return 1 if story.failed else 0


def print_lessons(lessons: Sequence[LessonEvidence], console: Console) -> None:
    """Print every lesson's whole chains, at suggested rates beside hand-picked ones."""
    shown = Table(
        Column("lesson", no_wrap=True), "after stage", "format", "metric", "hand-picked",
        "suggested", "verdict, 95 %", "seconds a run", "peak MB", box=None,
    )  # fmt: skip
    for lesson in (each for each in lessons if len(each.chains)):
        for row in autopilot(lesson).to_dict("records"):
            peak = row["our_peak_mb"]
            shown.add_row(
                Text(lesson.name), "test split" if row["number"] == TEST else str(row["number"]),
                row["precision"], lesson.metric.replace("_", " "),
                metric(row["their_values"]), metric(row["our_values"]), verdict(row["against"]),
                f"{row['their_seconds']:.1f} and {row['our_seconds']:.1f}",
                "" if math.isnan(peak) else f"{row['their_peak_mb']:.0f} and {peak:.0f}",
            )  # fmt: skip
    console.print(shown)
