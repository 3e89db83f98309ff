"""Tables of text as people and spreadsheets write them: one way to split and to read numbers."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Literal

from lrsuggest.errors import UserError

_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*"')
_EXCEL = re.compile(r"sep=(.)", re.IGNORECASE)  # a first line by which Excel knows the delimiter
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_ERRORS = {"#n/a", "#num!", "#div/0!", "#value!", "#ref!", "#name?", "#null!", "#spill!", "#calc!"}
Comments = Literal["none", "above", "anywhere"]
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def rows(
    text: str, where: object, *, delimiter: str | None = None, comments: Comments = "none"
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of every line that is not blank, cells without blanks around them.

    Args:
        text: the table, its lines ended by newlines.
        where: what a sentence calls the file.
        delimiter: None for the comma, semicolon or tab that the header has most of.
        comments: where lines that begin with # are left out, "above" the header or "anywhere"; one
            that has as many cells as the header and numbers among them, or begins with a word of a
            spreadsheet such as #N/A, is a row all the same; so are names above numbers. With
            "anywhere" blanks may divide such numbers, as numpy writes them.

    Raises:
        UserError: a quotation is not closed.
    """
    lines = text.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if excel := _EXCEL.fullmatch(lines[first].strip()):
        delimiter, lines[first] = excel[1], ""
    plain = [line for line in lines if line.strip()]
    if comments != "none":
        plain = [line for line in plain if not _marked(line)]
    header = plain[0] if plain else ""
    unquoted = _QUOTED.sub("", header)
    delimiter = delimiter or max(_DELIMITERS, key=unquoted.count)
    if comments == "anywhere" and delimiter not in unquoted:
        words = header.split()
        delimiter = " " if len(words) > 1 and all(map(is_number, words)) else delimiter
    if comments != "none":
        lines = list(_uncommented(lines, header, delimiter, comments))
    whole = "\n".join(lines)
    try:
        table = _split(whole, where, delimiter)
    except UserError:
        # Blanks between a closing quotation mark and the delimiter, which the reader minds.
        table = _split(re.sub(rf'"[ \t]+(?=$|{re.escape(delimiter)})', '"', whole, flags=re.M),
                       where, delimiter)  # fmt: skip
    yield from table


def _marked(line: str) -> bool:
    """Say whether a line begins as a comment does."""
    return line.lstrip().startswith("#") and not spreadsheet_error(
        re.split(r"[,;\t]", line.strip(), maxsplit=1)[0]
    )


def _uncommented(
    lines: list[str], header: str, delimiter: str, comments: Comments
) -> Iterator[str]:
    """Yield the lines, empty where they are comments."""
    width, below, quoted = len(_cells(header, delimiter)), False, False
    for given in lines:
        line = given
        if _marked(line) and not quoted and (comments == "anywhere" or not below):
            # The mark that numpy writes before the names is no column of its own.
            bare = line if below else line.lstrip().removeprefix("#").lstrip(" ")
            cells = _cells(bare, delimiter)
            telling = cells if below else _cells(header, delimiter)
            if len(cells) != width or not any(map(is_number, telling)):
                yield ""
                continue
            line = bare
        below = below or bool(line.strip())
        quoted ^= line.count('"') % 2 == 1
        yield line


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line, none where it is no such line."""
    try:
        return next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


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


def spreadsheet_error(cell: str) -> bool:
    """Say whether a cell holds what a spreadsheet writes where it has no value, such as #N/A."""
    return cell.strip().strip('"').casefold() in _ERRORS


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


def is_number(cell: str) -> bool:
    """Say whether a cell holds a number (see `number`)."""
    return _NUMBER.fullmatch(cell.strip()) is not None
