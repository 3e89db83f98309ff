"""What a report is made from: an output folder's records, or a folder of exported tables."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console

from lrsuggest.bench.collect import collect, collect_lessons, strays
from lrsuggest.bench.export import keys_of, naive, run_row
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import PlannedTask, load_plan
from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.evidence import lessons as lesson_tables
from lrsuggest.evidence import tables
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.files import atomic
from lrsuggest.report.about import Lost, Story
from lrsuggest.report.compare import Comparison, Side, render_comparison
from lrsuggest.report.page import render


class Gathered(NamedTuple):
    """What `lrsuggest.report.page.render` takes, in its order."""

    tasks: list[TaskEvidence]
    story: Story
    lessons: list[LessonEvidence]
    stages: list[TaskEvidence]


def holds_tables(folder: Path) -> bool:
    """Say whether a folder holds tables that `export` wrote, and no records they were made of."""
    return (folder / "tasks.csv").is_file() and not (folder / "plan.json").is_file()


def gather(where: Path, command: str = "") -> Gathered:
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
    return from_records(where)


def from_records(out: Path) -> Gathered:
    """Return the evidence of an output folder, rebuilt from its records."""
    plan, store = load_plan(out), Store(out)
    tasks, failed = collect(plan, store)
    lessons, lost = collect_lessons(plan, store)
    failed += [record or job for job, record in lost]
    story = Story(
        plan.title,
        plan.command,
        len(plan.jobs) + sum(lesson.planned for lesson in lessons),
        tuple(
            Lost(each.job.label, each.status, each.provenance.error or "")
            if isinstance(each, Record)
            else Lost(each.label, "missing")
            for each in failed
        ),
        plan.absent,
        sum(lesson.unreached for lesson in lessons),
        suite=plan.suite,
        stray=len(strays(plan, store)),
        kept=str(store.folder),
    )
    whole = [_whole(*pair, store) for pair in zip(tasks, plan.tasks, strict=True)]
    return Gathered(whole, story, lessons, [])


def _whole(task: TaskEvidence, planned: PlannedTask, store: Store) -> TaskEvidence:
    """Add to a task what recorded tables have too: every run, every range test, and their keys."""
    found = [record for job in planned.all_jobs if (record := store.measured(job))]
    tests = sorted((r for r in found if r.result.curve), key=lambda r: not planned.main(r.job))
    rows = [run_row(planned, record) for record in found if not record.result.curve]
    runs = pd.DataFrame(rows, columns=list(tables.RUNS)).replace("", np.nan)
    numbers = [name for name in tables.RUNS if name not in ("task", "part", "looks")]
    start = next((r.result.start for r in found if r.result.start), {}) or {}
    return replace(
        task,
        runs=runs.assign(**{name: pd.to_numeric(runs[name]) for name in numbers}),
        variants=tuple(
            (r.job.rates[0], r.job.rates[1], r.job.steps, r.job.seed, r.result.curve.curve())
            for r in tests
            if r.result.curve
        ),
        starts=(start.get("loss_probe", np.nan), start.get("loss_score", np.nan)),
        keys=tuple(keys_of(planned, found).items()),
        naive=naive(planned, store) if found else np.nan,
    )


def _from_tables(folder: Path, command: str) -> Gathered:
    """Return the evidence of exported tables; lessons may lie beside them or in lessons/."""
    tasks = tables.load(folder)
    lessons: list[LessonEvidence] = []
    stages: list[TaskEvidence] = []
    for home in (folder, folder / "lessons"):
        if (home / "lessons.csv").is_file():
            lessons = lesson_tables.load(home)
            stages = [] if home == folder else tables.load(home)
            break
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
    return Gathered(tasks, story, lessons, stages)


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


def write(found: Gathered, path: Path, console: Console) -> None:
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


def compare(before: Gathered, after: Gathered, command: str, path: Path, console: Console) -> None:
    """Write what got better or worse from one to the other, and print the gist."""
    found = Comparison.of(
        Side(before.story.kept or before.story.title, before.tasks, before.lessons),
        Side(after.story.kept or after.story.title, after.tasks, after.lessons),
    )
    for line in found.lines:
        console.print(line, highlight=False, markup=False)
    _put(render_comparison(found, command), path, console)


def report(args: argparse.Namespace, command: str, console: Console) -> bool:
    """Write a comparison, or the report of exported tables; False where neither was asked for.

    Args:
        args: suite (a folder of tables, where it is one), compare (two folders, or None) and out.
        command: what was asked for, in words.
        console: where to say what was written.
    """
    out = getattr(args, "out", None)
    if args.compare:
        if args.suite is not None:
            raise UserError(
                f"--compare takes its two folders and nothing beside them: leave {args.suite} out"
            )
        before, after = (gather(Path(name), command) for name in args.compare)
        compare(before, after, command, Path(out or "reports") / "compare.html", console)
        return True
    folder = Path(args.suite or "quick")
    if not holds_tables(folder):
        return False
    name = folder.resolve().name
    path = Path(out) / "report.html" if out else Path("reports") / f"{name}.html"
    write(gather(folder, command), path, console)
    return True
