"""What a report and a score are made from: an output folder's records, or exported tables."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lrsuggest.bench.commands.folder import holds_tables
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.bench.tables import Collected, to_tables
from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.tables import Tables
from lrsuggest.report.about import Story


class Evidence(NamedTuple):
    """What `lrsuggest.report.page.render` takes, in its order."""

    tasks: list[TaskEvidence]
    story: Story
    lessons: list[LessonEvidence]
    stages: list[TaskEvidence]


def gather(where: Path, command: str = "", *, traces: bool = True) -> Evidence:
    """Return the evidence of an output folder, or of a folder of exported tables.

    Args:
        where: the folder.
        command: how the report is asked for, told where the folder holds tables; records know
            what they were run with.
        traces: whether the traces of lessons' chains are wanted.

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
    return evidence(to_tables(load_plan(where), Store(where), traces=traces))


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
