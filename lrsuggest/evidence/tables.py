"""The recorded tables: every measured run and curve, so that any heuristic is judged in seconds.

CSV files: tasks.csv (a task a row), sweeps.csv (a range test a row, its losses in one field) and
runs.csv (a training run a row); of lessons also lessons.csv, stages.csv, chains.csv and named.csv.
benchmarks/recorded/README.md says what the columns mean. All evidence is made from these: an output
folder's records become such tables first, also where they are not written.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lrsuggest.errors import UserError
from lrsuggest.evidence.cells import (
    as_text,
    check_gains,
    check_runs,
    check_sweeps,
    check_tasks,
    read_text,
)
from lrsuggest.evidence.lessons import CHAINS, LESSONS, NAMED, STAGES, LessonEvidence
from lrsuggest.evidence.parse import flag, lesson, task
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.files import output
from lrsuggest.resources import shipped

TASKS = (
    "task", "title", "family", "kind", "model", "optimizer", "stage", "schedule", "size", "batch",
    "steps", "start", "start_probe", "start_score", "naive", "metric", "held_out", "hand_picked",
    "fingerprint", "device", "versions", "seconds",
)  # fmt: skip
LATER = {  # what old tables lack
    "synthetic": "0", "precision": "", "hand_picked_where": "", "keys": "", "sweep": "",
}  # fmt: skip
PARTS = ("grid", "fine", "short", "slice")  # of a task's runs
SWEEPS = ("task", "seed", "start", "end", "steps", "ended", "losses")
LATER_OF_SWEEPS = {"skipped": ""}  # likewise
GAINS = (
    "task", "seed", "start", "end", "furthest", "steps", "protocol", "ended", "losses", "skipped",
    "falls", "slopes", "step_norms", "weight_norms",
)  # fmt: skip
RUNS = (
    "task", "part", "lr", "low", "seed", "steps", "loss", "loss_probe", "loss_score", "metric",
    "looks", "seconds",
)  # fmt: skip
COLUMNS = {
    "tasks": (*TASKS, *LATER), "sweeps": (*SWEEPS, *LATER_OF_SWEEPS), "runs": RUNS,
    "gains": GAINS, "lessons": LESSONS, "stages": STAGES, "chains": CHAINS, "named": NAMED,
}  # fmt: skip
_OF_TASKS, _OF_LESSONS = ("tasks", "sweeps", "runs"), ("lessons", "stages", "chains", "named")


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables as CSV text, by name: those of tasks, those of lessons, or both.

    Attributes:
        texts: a table's text by a name in COLUMNS.
        folder: where they lie, None where they were not read from files.
    """

    texts: Mapping[str, str]
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path) -> "Tables":
        """Read the tables of tasks in a folder, and those of lessons that lie beside them.

        Raises:
            UserError: the folder holds no such tables, or a cell in them is none.
        """
        texts = _texts(folder, _OF_TASKS, "no recorded tables")
        if (folder / "gains.csv").is_file():
            texts |= _texts(folder, ("gains",), "no table of gains")
        _check(folder, texts)
        if (folder / "lessons.csv").is_file():
            texts |= _texts(folder, _OF_LESSONS, "no recorded lessons")
        return cls(texts, folder)

    @property
    def held(self) -> int:
        """How many range tests, runs and stages of chains they hold."""
        names = ("sweeps", "gains", "runs", "chains")
        texts = (self.texts.get(name, "\n") for name in names)
        return sum(text.count("\n") - 1 for text in texts)

    def write(self, folder: Path) -> None:
        """Write them into a folder, in place of those there.

        Raises:
            UserError: it cannot be written.
        """
        for name, text in self.texts.items():
            with output(folder / f"{name}.csv", folders=True) as file:
                file.write(text.encode())

    def tasks(self, held_out: bool | None = None) -> list[TaskEvidence]:
        """Return the evidence of every task.

        Args:
            held_out: True for those marked as held out, False for the others, None for all.

        Raises:
            UserError: a value cannot be read.
        """
        where = self.folder / "tasks.csv" if self.folder else "the tables"
        sweeps = pd.read_csv(
            io.StringIO(self.texts["sweeps"]), keep_default_na=False,
            dtype={"task": str, "skipped": str},
        )  # fmt: skip
        runs = pd.read_csv(io.StringIO(self.texts["runs"]), dtype={"task": str, "looks": str})
        gains = pd.read_csv(
            io.StringIO(self.texts.get("gains", ",".join(GAINS))), keep_default_na=False,
            dtype=dict.fromkeys(("task", *GAINS[8:]), str),
        )  # fmt: skip
        tables = (sweeps, runs, gains)
        parts = [(dict(list(each.groupby("task"))), each.iloc[:0]) for each in tables]
        found = []
        for each in as_text(self.texts["tasks"]).to_dict("records"):
            row = {**LATER, **{str(name): str(value) for name, value in each.items()}}
            try:
                if held_out is None or flag(row["held_out"]) is held_out:
                    mine = (of.get(row["task"], none) for of, none in parts)
                    found.append(task(row, *mine))
            except UserError as error:
                raise UserError(f"{where}, task {row['task']!r}: {error}") from None
            except (ValueError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{where}: of the task {row['task']!r} a value cannot be read ({error}); "
                    "export the tables again"
                ) from None
        return found

    def lessons(self) -> list[LessonEvidence]:
        """Return the evidence of every lesson, none where there are no tables of lessons.

        Raises:
            UserError: a table cannot be read.
        """
        if "lessons" not in self.texts:
            return []
        where = self.folder / "lessons.csv" if self.folder else "the tables"
        try:
            stages, chains, named = (
                pd.read_csv(io.StringIO(self.texts[name])) for name in _OF_LESSONS[1:]
            )
        except ValueError as error:
            raise UserError(f"{self.folder} holds no recorded lessons ({error})") from None
        named["where"] = named["where"].fillna("")
        found = []
        for each in as_text(self.texts["lessons"]).to_dict("records"):
            row = {str(name): str(value) for name, value in each.items()}
            mine = (each[each.lesson == row["lesson"]] for each in (stages, chains, named))
            try:
                found.append(lesson(row, *mine))
            except ValueError as error:
                raise UserError(
                    f"{where}: of the lesson {row['lesson']!r} a value cannot be read ({error}); "
                    "export the tables again"
                ) from None
        return found


class Builder:
    """Makes tables row by row, as text from the first, which takes a tenth of rows' memory.

    Args:
        names: which tables, of COLUMNS.
    """

    def __init__(self, *names: str) -> None:
        self._texts = {name: io.StringIO() for name in names}
        self._writers = {
            name: csv.DictWriter(text, COLUMNS[name], lineterminator="\n")
            for name, text in self._texts.items()
        }
        for writer in self._writers.values():
            writer.writeheader()

    def add(self, name: str, row: Mapping[str, object]) -> None:
        """Write a row: a float in six digits, NaN and None as nothing."""
        self._writers[name].writerow({key: _cell(value) for key, value in row.items()})

    def tables(self) -> Tables:
        """Return what was added."""
        return Tables({name: text.getvalue() for name, text in self._texts.items()})


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def load(folder: Path | None = None, *, held_out: bool | None = None) -> list[TaskEvidence]:
    """Load the recorded tasks.

    Args:
        folder: where the tables lie; None for those shipped with the package.
        held_out: False for the families that the first consensus was tuned on, True for the
            four it was scored on once, None for all.

    Raises:
        UserError: the folder holds no such tables.
    """
    return Tables.read(folder or shipped("benchmarks/recorded")).tasks(held_out)


def load_lessons(folder: Path) -> list[LessonEvidence]:
    """Load recorded lessons: lessons.csv, stages.csv, chains.csv and named.csv.

    Raises:
        UserError: the folder holds no such tables.
    """
    return Tables(_texts(folder, _OF_LESSONS, "no recorded lessons"), folder).lessons()


def _texts(folder: Path, names: Sequence[str], lacks: str) -> dict[str, str]:
    """Read some tables of a folder; those columns that older tables lack may be absent."""
    later = {*LATER, *LATER_OF_SWEEPS}
    try:
        return {
            name: read_text(folder / f"{name}.csv", [c for c in COLUMNS[name] if c not in later])
            for name in names
        }
    except UserError:
        raise
    except (OSError, ValueError) as error:
        files = [f"{name}.csv" for name in names]
        raise UserError(
            f"{folder} holds {lacks} ({error}); give the folder of {', '.join(files[:-1])} and "
            f"{files[-1]}"
        ) from None


def _check(folder: Path, texts: Mapping[str, str]) -> None:
    """Refuse tables of tasks that do not belong together, or with a cell that is none.

    Raises:
        UserError: they are such.
    """
    try:
        tasks, sweeps, runs = (as_text(texts[name]) for name in _OF_TASKS)
        gains = as_text(texts.get("gains", ",".join(GAINS)))
    except ValueError as error:
        raise UserError(
            f"{folder} holds no recorded tables ({error}); give the folder of tasks.csv, "
            "sweeps.csv and runs.csv"
        ) from None
    if not len(tasks) or not (len(sweeps) or len(runs) or len(gains)):
        what = "task" if not len(tasks) else "range test and no run"
        raise UserError(f"the tables in {folder} hold no {what}; export them again")
    if tasks.task.duplicated().any():
        twice = tasks.task[tasks.task.duplicated()].iloc[0]
        raise UserError(f"{folder / 'tasks.csv'} has the task {twice!r} twice; export it again")
    for name, table in (("sweeps", sweeps), ("runs", runs), ("gains", gains)):
        strange = table.task[~table.task.isin(tasks.task)]
        if len(strange):
            raise UserError(
                f"{folder / f'{name}.csv'} has a row of the task {strange.iloc[0]!r}, which is not "
                "in tasks.csv; export them again"
            )
    if not runs.part.isin(PARTS).all():
        part = runs.part[~runs.part.isin(PARTS)].iloc[0]
        raise UserError(
            f"{folder / 'runs.csv'}: column part, {part!r}, is none of {', '.join(PARTS)}"
        )
    check_tasks(folder / "tasks.csv", tasks)
    check_sweeps(folder / "sweeps.csv", sweeps)
    check_runs(folder / "runs.csv", runs)
    check_gains(folder / "gains.csv", gains)
