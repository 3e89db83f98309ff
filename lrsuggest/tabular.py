"""Tables of text as people and spreadsheets write them: one way to split and to read numbers."""

import csv
import io
import re
from collections.abc import Iterator

from lrsuggest.errors import UserError

_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*"')
_EXCEL = re.compile(r"sep=(.)", re.IGNORECASE)  # a first line by which Excel knows the delimiter
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def rows(
    text: str, where: object, *, delimiter: str | None = None, comments: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of every line that is not blank, cells without blanks around them.

    Args:
        text: the table, its lines ended by newlines.
        where: what a sentence calls the file.
        delimiter: None for the comma, semicolon or tab that the first line has most of.
        comments: whether lines that begin with # are left out.

    Raises:
        UserError: a quotation is not closed.
    """
    lines = text.split("\n")
    if comments:
        lines = ["" if line.lstrip().startswith("#") else line for line in lines]
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if excel := _EXCEL.fullmatch(lines[first].strip()):
        delimiter, lines[first] = excel[1], ""
        first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    unquoted = _QUOTED.sub("", lines[first])
    delimiter = delimiter or max(_DELIMITERS, key=unquoted.count)
    whole = "\n".join(lines)
    try:
        table = _split(whole, where, delimiter)
    except UserError:
        # Blanks between a closing quotation mark and the delimiter, which the reader minds.
        table = _split(re.sub(rf'"[ \t]+(?=$|{re.escape(delimiter)})', '"', whole, flags=re.M),
                       where, delimiter)  # fmt: skip
    yield from table


def _split(text: str, where: object, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return (line, cells) of the rows that are not blank."""
    table = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    found = []
    try:
        for row in table:
            cells = [cell.strip() for cell in row]
            if any(cells):
                found.append((table.line_num, cells))
    except csv.Error as error:
        raise UserError(f"{where}, line {table.line_num} is no CSV: {error}") from None
    return found


def fitted(cells: list[str], width: int) -> list[str]:
    """Return the cells without the empty ones that a trailing delimiter adds beyond the width."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells


def number(text: str) -> float:
    """Return the number that a cell holds; nan and inf are numbers, an empty cell is none.

    Raises:
        ValueError: it holds something else, 1_000 or 1,000 among them.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no number")
    return float(text)
