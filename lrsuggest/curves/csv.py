"""A curve as a table of text: one row per step, with a header that names the columns."""

import csv
import io
import math
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrsuggest.curves.arguments import a
from lrsuggest.curves.columns import Columns, Ended, Floats, Measured
from lrsuggest.decoding import check_present, decode
from lrsuggest.errors import UserError
from lrsuggest.tabular import DECIMAL_COMMA, fitted, number, rows

_NAMES = {
    # Lightning's monitor writes lr-AdamW; the trainers' logs put the phase before the name.
    "lr": re.compile(
        r"(train_)?(lr|learning_rate)|lr_(adam[a-z]*|sgd|rmsprop|lamb|lion)(_\d+)?(_pg\d+)?"
    ),
    "loss": re.compile(r"((train|training)_)?loss(_step)?|loss_(train|training)"),
    "skipped": re.compile("skipped"),
    "step": re.compile("(train_|trainer_|_)?(global_)?step"),
}
_OF_A_STEP = ("slope", "step_norm", "weight_norm")  # each over all groups, then group by group
_UNIT = re.compile(r"[\[(](.*?)[\])]")
# What may stand in brackets behind a name: what was evaluated, what was smoothed, another scale.
_HELD_OUT = re.compile(r"\b(val\w*|eval\w*|test\w*|dev|h[eo]ld[\s_-]?out)\b", re.IGNORECASE)
_SMOOTHED = re.compile(r"smooth|\b(ema|ewma|avg|average|mean|rolling)\b", re.IGNORECASE)
_SCALED = re.compile(
    r"[%‰]|10|\d{3}|\de[+-]?\d|\b(log\w*|ln|dec(ade)?s?|exp\w*|ppm|milli|micro|µ)\b", re.IGNORECASE
)
# What may stand there without changing what the column holds; nobody knows what else does.
_PLAIN = re.compile(
    r"(the|a|an|in|of|per|each|every|at|on|raw|unsmoothed|measured|train(ing)?|step|batch|minibatch"
    r"|mini-batch|iteration|iter|value|no|unit|units|unitless|dimensionless|max(imum)?|base"
    r"|learning|rate|lr|loss|nats?|1/step|cross|entropy|cross-entropy|ce|mse|l1|mae|nll|float(32|64)?"
    r"|fp(16|32)|bf16|adam[a-z]*|sgd|rmsprop|lamb|lion|pg\d+|1|-|a\.?u\.?)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_MISSING = ("", "nan", "na", "n/a", "null", "none")

Cells = dict[str, str]  # by column, of those in _NAMES that the table has


def write(
    lr: Floats, loss: Floats, skipped: NDArray[np.bool_], measured: Measured | None = None
) -> str:
    """Return the columns lr, loss, skipped (0 or 1) and what was measured beside them.

    Reading them gives the same bits.
    """
    columns: dict[str, list[object]] = {
        "lr": [*map(repr, lr.tolist())], "loss": [*map(repr, loss.tolist())],
        "skipped": [*map(int, skipped)],
    }  # fmt: skip
    if measured is not None:
        columns |= {name: [*map(repr, each.tolist())] for name, each in measured.total.items()}
        if measured.groups > 1:
            columns |= {
                _of_group(name, k): [*map(repr, getattr(measured, name)[:, k].tolist())]
                for name in _OF_A_STEP
                for k in range(measured.groups)
            }
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def _of_group(name: str, k: int) -> str:
    return f"{name}_group_{k + 1}"


def read(path: str | Path, *, smoothed: bool = False) -> Columns:
    """Read a table of text (see `Curve.from_csv`)."""
    if not isinstance(path, str | PathLike):
        raise UserError(f"from_csv reads the file at a path; got {a(path)}")
    try:
        content = Path(path).read_bytes()  # a pipe is read too
    except OSError as error:
        raise UserError(f"{path} cannot be read as a curve: {error.strerror}") from None
    check_present(content, path)
    try:
        text = decode(content, "it", "save it as CSV in UTF-8")
    except UserError as error:
        raise UserError(f"{path} cannot be read as a curve: {error}") from None
    if text.lstrip().startswith(("{", "[")):
        history = '"log_history"' in text
        mend = (
            "write its log_history as a table (pandas.DataFrame(...).to_csv), and read that"
            if history
            else "read what to_json wrote with Curve.from_json"
        )
        raise UserError(f"{path} is JSON and no table with the columns lr and loss; {mend}")
    lr: list[float] = []
    loss: list[float] = []
    skipped: list[bool] = []
    beside: list[list[float]] = []
    steps = list(_steps(path, text, smoothed))
    if _decimal_commas([cells[name] for _, cells in steps for name in ("lr", "loss")]):
        steps = [(where, {k: cell.replace(",", ".") for k, cell in cells.items()})
                 for where, cells in steps]  # fmt: skip
    for where, cells in steps:
        rate = _number(where, "lr", cells["lr"])
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"{where}: lr must be positive and finite; it is {rate:g}")
        if lr and rate <= lr[-1]:
            raise UserError(
                f"{where}: lr {rate!r} comes after {lr[-1]!r}, but in a range test it rises from "
                "step to step; give one test only, in the order of its steps"
            )
        lr.append(rate)
        loss.append(_number(where, "loss", cells["loss"]))
        skipped.append(_flag(where, cells.get("skipped", "")))
        beside.append([_number(where, k, v or "nan") for k, v in cells.items() if k not in _NAMES])
    if not lr:
        raise UserError(f"{path} needs a header line with the columns lr and loss, then rows")
    ended = Ended.COMPLETED if all(map(math.isfinite, loss)) else Ended.NON_FINITE
    names = [name for name in steps[0][1] if name not in _NAMES]
    return Columns(lr, loss, skipped, ended, _measured(names, np.array(beside)))


def _measured(names: list[str], table: NDArray[np.float64]) -> Measured | None:
    """Return what `write` wrote of `measured`; None where there was none."""
    if not names:
        return None
    groups = max(1, (len(names) - 1 - len(_OF_A_STEP)) // len(_OF_A_STEP))
    at = {name: table[:, place] for place, name in enumerate(names)}
    each = (
        np.stack([at[name if groups == 1 else _of_group(name, k)] for k in range(groups)], axis=1)
        for name in _OF_A_STEP
    )
    return Measured(at["loss_after"], *each)


def _decimal_commas(cells: list[str]) -> bool:
    """Say whether all cells write decimals with a comma, and none could mean thousands by it."""
    written = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    return not any("." in cell for cell in cells) and any(
        not _THOUSANDS.fullmatch(cell) for cell in written
    )


def _steps(path: str | Path, text: str, smoothed: bool) -> Iterator[tuple[str, Cells]]:
    """Yield ("path, line n", cells) of every step.

    Rows with neither rate nor loss are left out where other columns hold something: evaluations
    and summaries. Two rows that follow each other and have one step between them are one: loggers
    write rate and loss apart.
    """
    table = list(_fitted(path, text))
    if not table:
        return
    places = _columns(path, table, smoothed)
    _fill_last(table, places)
    half: tuple[str, Cells] | None = None
    for where, row in table[1:]:
        cells = {column: row[place] for column, place in places.items()}
        lacks = [column for column in ("lr", "loss") if not cells[column]]
        if _is_other(cells, row, places):
            continue
        if half and cells.get("step") == half[1]["step"] and len(lacks) == 1:
            joined = {column: half[1][column] or cell for column, cell in cells.items()}
            if joined["lr"] and joined["loss"]:
                yield where, joined
                half = None
                continue
        if half:
            break
        if len(lacks) == 1 and cells.get("step"):
            half = where, cells
            continue
        yield where, cells
    if half:
        yield half  # where the reader says what is missing


def _fill_last(table: list[tuple[str, list[str]]], places: dict[str, int]) -> None:
    """Write nan for an empty loss in the last row, as pandas means it.

    Not where other columns say that rows hold different things, or that rows belong together.
    """
    row = table[-1][1]
    held = {place for place, name in enumerate(table[0][1]) if name}
    if (
        held <= set(places.values())
        and "step" not in places
        and row[places["lr"]]
        and not row[places["loss"]]
    ):
        row[places["loss"]] = "nan"


def _is_other(cells: Cells, row: list[str], places: dict[str, int]) -> bool:
    """Say whether a row is no step, but holds something else."""
    if not (_empty(cells["lr"]) and _empty(cells["loss"])):
        return False
    rest = [cell for place, cell in enumerate(row) if place not in places.values()]
    return not all(map(_empty, rest)) or not (cells["lr"] or cells["loss"])


def _empty(cell: str) -> bool:
    return cell.casefold() in _MISSING


def _fitted(path: str | Path, text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield ("path, line n", cells), the header first, every row as long as the header."""
    header: list[str] | None = None
    for line, cells in rows(text, path, comments="anywhere"):
        if header is None:
            header = cells = fitted(cells, 1)
        width, cells = len(header), fitted(cells, len(header))
        if len(cells) != width:
            hint = "; write numbers with a point, not a comma" if len(cells) > width else ""
            raise UserError(
                f"{path}, line {line} has {len(cells)} values, but the header has {width}{hint}"
            )
        yield f"{path}, line {line}", cells


def _columns(
    path: str | Path, table: list[tuple[str, list[str]]], smoothed: bool
) -> dict[str, int]:
    """Return the place of lr, loss and, where there are such, skipped, step and the rest."""
    header = table[0][1]
    plain = [re.sub(r"[\s_/.-]+", "_", _UNIT.sub("", name).strip()).casefold() for name in header]
    units = [" ".join(_UNIT.findall(name)) for name in header]
    places: dict[str, int] = {}
    for column, known in _NAMES.items():
        found = [place for place, name in enumerate(plain) if known.fullmatch(name)]
        if column == "loss":
            found = [place for place in found if not _HELD_OUT.search(units[place])]
            alike = [place for place in found if bool(_SMOOTHED.search(units[place])) is smoothed]
            found = alike or found
        if len(found) > 1 and "lr" in places:
            # A log's summary has a column of its own, empty in the rows that are steps.
            steps = [row for _, row in table[1:] if not _empty(row[places["lr"]])]
            full = [place for place in found if not all(_empty(row[place]) for row in steps)]
            found = full or found[:1]
        if len(found) > 1 and column != "step":
            both = " and ".join(header[place] for place in found)
            raise UserError(f"{path} has {both} for {column}; leave one column of these")
        if found:
            places[column] = found[0]
            _check_unit(path, column, header[found[0]], units[found[0]], smoothed)
    ours = [name for name in header if name == "loss_after" or name.startswith(_OF_A_STEP)]
    groups = (len(ours) - 1 - len(_OF_A_STEP)) // len(_OF_A_STEP)
    written = ["loss_after", *_OF_A_STEP]
    written += [_of_group(name, k) for name in _OF_A_STEP for k in range(max(groups, 0))]
    if ours == written:  # else somebody's own columns of such names
        places |= {name: header.index(name) for name in ours}
    if not {"lr", "loss"} <= places.keys():
        held = ", ".join(header)
        raise UserError(
            f"{path} needs a header line with the columns lr and loss, then rows; "
            f"its first line is {held[:60]!r}"
        )
    return places


def _check_unit(path: str | Path, column: str, name: str, unit: str, smoothed: bool) -> None:
    """Refuse values that are another quantity than their column's name says."""
    if _SCALED.search(unit):
        raise UserError(
            f"{path} gives {column} on another scale, as {name!r}; write the values themselves, "
            f"and the name {column}"
        )
    if column == "loss" and _SMOOTHED.search(unit) and not smoothed:
        raise UserError(
            f"{path} holds smoothed losses, as {name!r}; give smoothed=True (--smoothed), or "
            "better the losses themselves"
        )
    words = [word for word in re.split(r"[\s,;:]+", unit) if word]
    strange = [word for word in words if not _PLAIN.fullmatch(word)]
    if strange and column in ("lr", "loss") and not (smoothed and _SMOOTHED.search(unit)):
        raise UserError(
            f"{path} names {column} {name!r}, and {strange[0]!r} may mean another quantity; if it "
            f"holds the values themselves, name it {column}"
        )


def _number(where: str, column: str, text: str) -> float:
    if DECIMAL_COMMA.fullmatch(text):
        mend = text.replace(",", ".")
        if _THOUSANDS.fullmatch(text):
            mend += f", or {text.replace(',', '')} if the comma stands between thousands"
        raise UserError(f"{where}: {column} {text} has a decimal comma; write {mend}")
    try:
        return number(text)
    except ValueError:
        held = repr(text[:40]) if text else "empty"
        raise UserError(f"{where}: {column} is not a number; it is {held}") from None


def _flag(where: str, text: str) -> bool:
    known = {"": False, "0": False, "1": True, "false": False, "true": True}
    if text.casefold() not in known:
        raise UserError(f"{where}: skipped must be 0 or 1; it is {text[:40]!r}")
    return known[text.casefold()]
