"""A curve as a table of text: one row per step, with a header that names the columns."""

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path

from lrsuggest.curves.curve import Curve, Ended
from lrsuggest.errors import UserError

_NAMES = {
    "lr": ("lr", "learning_rate"),
    "loss": ("loss", "train_loss", "training_loss"),
    "skipped": ("skipped",),
}
_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")


def write(curve: Curve) -> str:
    """Return the columns lr, loss and skipped (0 or 1); reading them gives the same bits."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["lr", "loss", "skipped"])
    for lr, loss, skip in zip(curve.lr, curve.loss, curve.skipped, strict=True):
        rows.writerow([repr(float(lr)), repr(float(loss)), int(skip)])
    return out.getvalue()


def read(path: str | Path, *, smoothed: bool = False) -> Curve:
    """Read a table of text (see `Curve.from_csv`)."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read as a curve: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path} cannot be read as a curve: it is no UTF-8 text; save it as CSV in UTF-8"
        ) from None
    lr: list[float] = []
    loss: list[float] = []
    skipped: list[bool] = []
    places: dict[str, int] | None = None
    for where, row in _rows(path, lines):
        if places is None:
            places, width = _columns(path, row), len(row)
            continue
        if len(row) != width:
            hint = "; write numbers with a point, not a comma" if len(row) > width else ""
            raise UserError(f"{where} has {len(row)} values, but the header has {width}{hint}")
        rate = _number(where, "lr", row[places["lr"]])
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"{where}: lr must be positive and finite; it is {rate:g}")
        if lr and rate <= lr[-1]:
            raise UserError(
                f"{where}: lr {rate!r} comes after {lr[-1]!r}, but in a range test it rises from "
                "step to step; give one test only, in the order of its steps"
            )
        lr.append(rate)
        loss.append(_number(where, "loss", row[places["loss"]]))
        skipped.append(_flag(where, row[places["skipped"]]) if "skipped" in places else False)
    if not lr:
        raise UserError(f"{path} needs a header line with the columns lr and loss, then rows")
    ended = Ended.COMPLETED if all(map(math.isfinite, loss)) else Ended.NON_FINITE
    return Curve(lr, loss, smoothed=smoothed, skipped=skipped, ended=ended)


def _rows(path: str | Path, text: str) -> Iterable[tuple[str, list[str]]]:
    """Yield ("path, line n", values) of every line that is not blank."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in rows:
            if any(value.strip() for value in row):
                yield f"{path}, line {rows.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num} is no CSV: {error}") from None


def _columns(path: str | Path, header: list[str]) -> dict[str, int]:
    """Return the place of lr, loss and, where there is one, skipped."""
    names = [re.sub(r"[\s_/-]+", "_", name.strip()).casefold() for name in header]
    places: dict[str, int] = {}
    for column, known in _NAMES.items():
        found = [place for place, name in enumerate(names) if name in known]
        if len(found) > 1:
            both = " and ".join(header[place].strip() for place in found)
            raise UserError(f"{path} has {both} for {column}; leave one column of these")
        if found:
            places[column] = found[0]
    if not {"lr", "loss"} <= places.keys():
        held = ", ".join(name.strip() for name in header)
        raise UserError(
            f"{path} needs a header line with the columns lr and loss, then rows; "
            f"its first line is {held[:60]!r}"
        )
    return places


def _number(where: str, column: str, text: str) -> float:
    if _DECIMAL_COMMA.fullmatch(text):
        mend = text.strip().replace(",", ".")
        raise UserError(f"{where}: {column} {text.strip()} has a decimal comma; write {mend}")
    try:
        return float(text)
    except ValueError:
        held = repr(text.strip()[:40]) if text.strip() else "empty"
        raise UserError(f"{where}: {column} is not a number; it is {held}") from None


def _flag(where: str, text: str) -> bool:
    known = {"": False, "0": False, "1": True, "false": False, "true": True}
    held = text.strip().casefold()
    if held not in known:
        raise UserError(f"{where}: skipped must be 0 or 1; it is {text.strip()[:40]!r}")
    return known[held]
