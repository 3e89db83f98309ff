"""Files of rows as frames: read strictly, so that a slip in a cell is named and not trained on."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.decoding import decode
from lrsuggest.errors import UserError
from lrsuggest.tabular import (
    DECIMAL_COMMA,
    Comments,
    fitted,
    is_number,
    number,
    rows,
    spreadsheet_error,
)
from lrsuggest.tasks.data.sources import read_file

_RESTORE = "restore it from its source"
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "<na>", "?"}
_INDEX = re.compile(r"(Unnamed: \d+(\.\d+)*|index|level_\d+)?")  # as pandas names it
_MOSTLY = 0.5  # above this share of numbers a column is one of numbers
_WITH_UNIT = re.compile(r"(.*\d)\s*([A-Za-zµ°²³/%]{1,5})")
_NAMES = 12  # as many different numbers with a unit may be names, such as 4wd and 2wd
_MOST_FLOAT = float(np.finfo(np.float32).max)


def read_cells(
    path: Path,
    content: bytes | None = None,
    *,
    names: Sequence[str] | None = None,
    delimiter: str | None = None,
) -> pd.DataFrame:
    """Read a file of rows as text; the frame's index holds the lines.

    An index that pandas or R wrote as a first column is left out, each where it was written more
    than once. Lines above a header that begin with # and are no rows are comments.

    Args:
        path: the file, or what a sentence calls it.
        content: its bytes.
        names: those of the columns of a file without a header, in small letters; a header that it
            has all the same gives their order, or is left out.
        delimiter: None for the one that the first line has most of.

    Raises:
        UserError: it is missing or no text, a row is longer or shorter than the header, or two
            columns have one name.
    """
    content = read_file(path, _RESTORE) if content is None else content
    text = decode(content, path, _RESTORE)
    above: Comments = "above" if names is None else "none"
    table = list(rows(text, path, delimiter=delimiter, comments=above))
    if not table:
        raise UserError(f"{path} has no rows; {_RESTORE}")
    if names is None:
        header = _header(path, table.pop(0)[1])
    else:
        header = list(names)
        first = [cell.casefold() for cell in fitted(table[0][1], len(header))]
        if sorted(first) == sorted(header):
            table.pop(0)
            header = first
        elif len(table) > 1 and _is_header(first, table[1][1]):
            moved = [n for n, held in zip(first, header, strict=False) if n in names and n != held]
            if moved:
                raise UserError(f"{path} has its column {moved[0]} in another place; {_RESTORE}")
            table.pop(0)
    cells = []
    for line, row in table:
        row = fitted(row, len(header))
        if len(row) != len(header):
            if len(row) == len(header) + 1 and _counts([held[0] for _, held in table]):
                raise UserError(
                    f"{path} has an index as its first column, beside its {len(header)} columns; "
                    "take it away (pandas: index=False)"
                )
            hint = "write numbers with a point, not a comma, or " if len(row) > len(header) else ""
            raise UserError(
                f"{path}, line {line} has {len(row)} values, but there are {len(header)} columns; "
                f"{hint}{_RESTORE}"
            )
        cells.append(row)
    if not cells:
        raise UserError(f"{path} has a header but no rows; {_RESTORE}")
    frame = pd.DataFrame(cells, columns=header, index=[line for line, _ in table], dtype=object)
    while names is None and frame.shape[1] > 1 and _INDEX.fullmatch(frame.columns[0]):
        held = str(frame.columns[0])
        named = held.startswith(("index", "level"))
        if not _counts(frame[held].tolist(), (0,) if named else (0, 1)):
            if named:
                break  # a column of its own
            called = f" ({held})" if held else ""
            raise UserError(
                f"{path} has a first column without a name{called}; name it or take it away"
            )
        frame = frame.iloc[:, 1:]
    return frame


def _counts(cells: Sequence[str], starts: Sequence[int] = (0, 1)) -> bool:
    """Say whether cells count from 0 or 1, as an index does; a header's cell may stand above."""
    if cells and _INDEX.fullmatch(cells[0]):
        cells = cells[1:]
    return any(list(cells) == [str(k + start) for k in range(len(cells))] for start in starts)


def _header(path: Path, cells: list[str]) -> list[str]:
    """Return the names of the columns."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    folded = [name.casefold() for name in cells]
    for name in cells[1:]:
        if not name:
            raise UserError(f"{path} has a column without a name; name it or take it away")
        if folded.count(name.casefold()) > 1:
            raise UserError(f"{path} has two columns {name}; leave one of them")
    return cells


def _is_header(first: list[str], second: list[str]) -> bool:
    """Say whether a first row holds names where the second holds numbers."""
    return not any(map(is_number, first)) and any(map(is_number, second))


def column(frame: pd.DataFrame, name: str, path: Path) -> str:
    """Return a column's name as the file spells it; capitals do not count.

    Raises:
        UserError: there is no such column.
    """
    for held in frame.columns:
        if str(held).casefold() == name.casefold():
            return str(held)
    raise UserError(f"{path} has no column {name}; {_RESTORE}")


def numbers(
    frame: pd.DataFrame, name: str, path: Path, *, above: float = -np.inf, whole: bool = False
) -> NDArray[np.float64]:
    """Return a column of targets, shape (n,): each finite, also in single precision.

    Args:
        frame: of text, from `read_cells`.
        name: the column's.
        path: what a sentence calls the file.
        above: every value is to be greater.
        whole: whether every value is to be a whole number.

    Raises:
        UserError: a value is not so; the sentence names its line.
    """
    values = []
    for line, cell in frame[column(frame, name, path)].items():
        where = f"{path}, line {line}: {name}"
        try:
            value = number(cell)
        except ValueError:
            _refuse(where, cell)
        if not abs(value) <= _MOST_FLOAT:
            raise UserError(f"{where} must be finite; it is {cell}; mend it or take the row away")
        if not value > above or (whole and not value.is_integer()):
            kind = "a whole number" if whole else "a number"
            raise UserError(f"{where} must be {kind} above {above:g}; it is {cell}; mend it or "
                            "take the row away")  # fmt: skip
        values.append(value)
    return np.array(values)


def _refuse(where: str, cell: str) -> None:
    """Say what is wrong with a cell that should hold a number.

    Raises:
        UserError: always.
    """
    held = repr(cell[:40]) if cell else "empty"
    mend = "mend it or take the row away"
    if DECIMAL_COMMA.fullmatch(cell):
        mend = f"write {cell.replace(',', '.')} for a decimal comma, {cell.replace(',', '')} for "
        mend += "a comma between thousands"
    raise UserError(f"{where} is not a number; it is {held}; {mend}")


def labels(frame: pd.DataFrame, name: str, path: Path) -> pd.Series:
    """Return a column of classes as text.

    Raises:
        UserError: one is missing; the sentence names its line.
    """
    held = frame[column(frame, name, path)]
    for line, cell in held.items():
        if cell.casefold() in _MISSING or spreadsheet_error(cell):
            raise UserError(
                f"{path}, line {line}: {name} is missing; it is {cell!r}; give the class or take "
                "the row away"
            )
    _check_spelling(held, f"{path}: {name}")
    return held


def _check_spelling(cells: pd.Series, where: str) -> None:
    """Refuse one number, or one word, written in two ways, for that would be two classes.

    Raises:
        UserError: there is one.
    """
    check_words(cells.unique(), where)
    spelt: dict[float, str] = {}
    for cell in cells.unique():
        bare = cell.strip("'\"")
        if is_number(bare) and (other := spelt.setdefault(number(bare), cell)) != cell:
            raise UserError(
                f"{where} holds {other!r} and {cell!r}, one number in two spellings; write it in "
                "one way"
            )


def check_words(words: Iterable[str], where: str) -> None:
    """Refuse one word in capitals and not, or with other blanks within it.

    Single letters may well be two classes.

    Raises:
        UserError: there is one.
    """
    spelt: dict[str, str] = {}
    for word in words:
        folded = " ".join(unicodedata.normalize("NFKC", word).casefold().split())
        if len(word) > 1 and (other := spelt.setdefault(folded, word)) != word:
            raise UserError(
                f"{where} holds {other!r} and {word!r}, one word in two spellings; write it in "
                "one way"
            )


def features(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return columns of text as pandas reads them: numbers with gaps, or categories.

    Raises:
        UserError: a column of numbers holds something else or an infinity, or a column is empty.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(range(frame.shape[1]))
    out.writerows(frame.itertuples(index=False, name=None))
    text.seek(0)
    read = pd.read_csv(text, low_memory=False, skip_blank_lines=False)
    read.columns, read.index = frame.columns, frame.index
    for name in frame.columns:
        values = read[name]
        if values.isna().all():
            raise UserError(f"{path}: the column {name} is empty; take it away")
        if pd.api.types.is_bool_dtype(values):
            continue
        if pd.api.types.is_numeric_dtype(values):
            endless = ~np.isfinite(values.to_numpy(float)) & ~values.isna().to_numpy()
            if endless.any():
                line = frame.index[endless][0]
                raise UserError(f"{path}, line {line}: {name} must be finite; it is "
                                f"{frame[name][line]}; mend it or leave it empty")  # fmt: skip
        else:
            _check_categories(frame[name][~values.isna()], str(name), path)
    return read


def _check_categories(cells: pd.Series, name: str, path: Path) -> None:
    """Refuse a column that was meant to hold numbers: one slip would make it categories."""
    for line, cell in cells.items():
        if spreadsheet_error(cell):
            raise UserError(f"{path}, line {line}: {name} holds {cell}, an error of a spreadsheet; "
                            "mend it or leave it empty")  # fmt: skip
    if unit := _unit(cells):
        raise UserError(
            f"{path}: {name} holds numbers with the unit {unit!r}; write the numbers alone"
        )
    meant = [_looks_like_number(cell) for cell in cells]
    if sum(meant) <= _MOSTLY * len(meant):
        check_words(cells.unique(), f"{path}: {name}")
        return
    for line, cell in cells.items():
        if not is_number(cell):
            _refuse(f"{path}, line {line}: {name}", cell)


def _unit(cells: pd.Series) -> str | None:
    """Return the unit behind every number of a column; None for few numbers, which may be names."""
    parts = [_WITH_UNIT.fullmatch(cell.strip()) for cell in cells.unique()]
    units = {part[2] if part and is_number(part[1]) else "" for part in parts}
    return units.pop() if len(parts) > _NAMES and len(units) == 1 else None


def _looks_like_number(cell: str) -> bool:
    """Say whether a cell is a number, perhaps with signs that people put between its digits."""
    return is_number(cell.strip("%$€£ ").translate(str.maketrans("", "", ",_ '’\xa0")))
