"""Tables as other hands may leave them: read as text, and every column checked at once."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.curves.columns import Ended
from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.vocabulary import KINDS

Flags = NDArray[np.bool_]
_MEND = "export the tables again"
_NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan)"
_LOOKS = rf"(?:\d+:{_NUMBER}(?: \d+:{_NUMBER})*)?"
_PLACES = r"(?:\d+(?: \d+)*)?"
_LOSSES = rf"(?:{_NUMBER}(?: {_NUMBER})*)?"


def read_text(path: Path, columns: Sequence[str]) -> str:
    """Return a table's text, the columns being there, each once.

    Raises:
        OSError: it cannot be read.
        UserError: it is no text, only stands for a file, or lacks a column or has one twice.
    """
    text = decode(read_bytes(path), path, _MEND)
    header = next(csv.reader([text.partition("\n")[0]]), [])
    for name in columns:
        if name not in header:
            raise UserError(f"{path} has no column {name!r}; {_MEND}")
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path} has the column {name!r} twice; {_MEND}")
    return text


def as_text(text: str) -> pd.DataFrame:
    """Return a table with every cell as it is written."""
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def check_tasks(path: Path, table: pd.DataFrame) -> None:
    """Refuse tasks.csv where a cell is none that a record can hold; raises UserError."""
    kinds = table.kind.isin(KINDS).to_numpy(bool)
    _check(path, table, "kind", kinds, f"none of {', '.join(KINDS)}")
    _check(path, table, "family", ~_blank(table.family), "empty")
    for name in ("steps", "batch"):
        _check(path, table, name, _whole(table[name], 1), "no whole number above 0")
    for name in ("start", "start_probe", "start_score", "naive"):
        fits = _blank(table[name]) | np.isfinite(_numbers(table[name]))
        _check(path, table, name, fits, "no finite number")
    rates = table.hand_picked.str.split().explode().fillna("1").rename("hand_picked")
    right = pd.Series(_rates(rates), rates.index).groupby(level=0, sort=False).all()
    _check(path, table, "hand_picked", right.to_numpy(bool), "no rate")


def check_sweeps(path: Path, table: pd.DataFrame) -> None:
    """Refuse sweeps.csv where a cell is none that a range test can have; raises UserError."""
    for name in ("start", "end"):
        _check(path, table, name, _rates(table[name]), "no rate")
    rises = _numbers(table.end) > _numbers(table.start)
    _check(path, table, "end", rises, "not above its start")
    _check(path, table, "seed", _whole(table.seed, 0), "no whole number")
    _check(path, table, "steps", _whole(table.steps, 1), "no whole number above 0")
    ends = table.ended.isin([each.value for each in Ended]).to_numpy(bool)
    _check(path, table, "ended", ends, f"none of {', '.join(Ended)}")
    _check(path, table, "losses", _like(table.losses, _LOSSES), "no list of losses")
    _check(
        path,
        table,
        "steps",
        _lengths(table.losses) <= _numbers(table.steps),
        "below its number of losses",
    )
    if "skipped" in table:
        _check(path, table, "skipped", _like(table.skipped, _PLACES), "no list of steps")
    _check_once(path, table, ("task", "seed", "start", "end", "steps"))


def check_gains(path: Path, table: pd.DataFrame) -> None:
    """Refuse gains.csv where a cell is none that a range test can have; raises UserError."""
    for name in ("start", "end", "furthest"):
        _check(path, table, name, _rates(table[name]), "no rate")
    _check(path, table, "end", _numbers(table.end) > _numbers(table.start), "not above its start")
    for name, least in (("seed", 0), ("steps", 2), ("protocol", 1)):
        _check(path, table, name, _whole(table[name], least), f"no whole number from {least}")
    ends = table.ended.isin([each.value for each in Ended]).to_numpy(bool)
    _check(path, table, "ended", ends, f"none of {', '.join(Ended)}")
    _check(path, table, "skipped", _like(table.skipped, _PLACES), "no list of steps")
    held = _lengths(table.losses)
    for name in ("losses", "falls", "slopes", "step_norms", "weight_norms"):
        _check(path, table, name, _like(table[name], _LOSSES), "no list of numbers")
        fits = np.isin(_lengths(table[name]), 0) | (_lengths(table[name]) == held)
        _check(path, table, name, fits, "not as long as the losses")
    _check_once(path, table, ("task", "seed", "start", "end", "steps", "protocol"))


def check_runs(path: Path, table: pd.DataFrame) -> None:
    """Refuse runs.csv where a cell is none that a run can have; raises UserError.

    A loss is finite, or infinite where the run diverged; the metric is empty there.
    """
    low = _numbers(table.low)
    _check(path, table, "lr", _rates(table.lr), "no rate")
    fits = _blank(table.low) | (_rates(table.low) & (low <= _numbers(table.lr)))
    _check(path, table, "low", fits, "no rate up to lr")
    _check(path, table, "seed", _whole(table.seed, 0), "no whole number")
    _check(path, table, "steps", _whole(table.steps, 1), "no whole number above 0")
    for name in ("loss", "loss_probe", "loss_score"):
        _check(path, table, name, _numbers(table[name]) > -np.inf, "no loss")
    for name in ("metric", "seconds"):
        fits = _blank(table[name]) | np.isfinite(_numbers(table[name]))
        _check(path, table, name, fits, "no finite number")
    _check(path, table, "looks", _like(table.looks, _LOOKS), "no list of step:loss")
    _check_once(path, table, ("task", "part", "lr", "low", "seed", "steps"))


def _numbers(cells: pd.Series) -> NDArray[np.float64]:
    """Return the numbers that cells hold, NaN for what is none."""
    return np.asarray(pd.to_numeric(cells, errors="coerce"), np.float64)


def _rates(cells: pd.Series) -> Flags:
    found = _numbers(cells)
    return np.asarray((found > 0) & np.isfinite(found))


def _lengths(cells: pd.Series) -> NDArray[np.int64]:
    """Return how many words each cell holds."""
    return np.array([len(each.split()) for each in cells], np.int64)


def _whole(cells: pd.Series, least: int) -> Flags:
    found = _numbers(cells)
    return np.asarray(np.isfinite(found) & (found >= least) & (found == np.floor(found)))


def _blank(cells: pd.Series) -> Flags:
    return cells.str.strip().str.lower().isin(["", "nan"]).to_numpy(bool)


def _like(cells: pd.Series, pattern: str) -> Flags:
    return cells.str.fullmatch(pattern).to_numpy(bool)


def _check(path: Path, table: pd.DataFrame, name: str, fits: Flags, what: str) -> None:
    """Name the first cell of a column that does not fit.

    Raises:
        UserError: there is one.
    """
    if not fits.all():
        row = table.iloc[int(np.flatnonzero(~fits)[0])]
        raise UserError(
            f"{path}: of the task {row['task']!r} a value cannot be read: column {name} has a "
            f"value that is {what}, {str(row[name])[:40]!r}; {_MEND}"
        )


def _check_once(path: Path, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a row that is there twice, as where two exports were put together.

    Raises:
        UserError: there is one.
    """
    twice = table.duplicated(list(names))
    if twice.any():
        row = table[twice].iloc[0]
        told = ", ".join(f"{name} {row[name]}" for name in names[1:] if row[name])
        raise UserError(f"{path} has a row of the task {row['task']!r} twice ({told}); {_MEND}")
