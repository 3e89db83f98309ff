"""What a report is made from: an output folder's records, or a folder of exported tables."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lrsuggest.bench.commands.evidence import Evidence, evidence, gather
from lrsuggest.bench.commands.folder import holds_tables, output_folder, told
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.errors import UserError, printable
from lrsuggest.evidence.lessons import TEST, LessonEvidence, autopilot
from lrsuggest.files import atomic
from lrsuggest.report.compare import Comparison, Side, render_comparison
from lrsuggest.report.lessons import metric, verdict
from lrsuggest.report.page import render


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
