"""How the report writes numbers, and what it calls things."""

import math
from typing import Any

import pandas as pd

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.evidence.consensus_fit import UNSEEN
from lrsuggest.evidence.regret import HAND_PICKED, OUT_OF_FOLD

KINDS = {"ours": "ours", "peer": "another library's", "constant": "a constant", "person": "people"}


def rate(value: float) -> str:
    """Write a rate as 3e-3."""
    if not math.isfinite(value):
        return "–"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def number(value: float, digits: int = 3) -> str:
    """Write a regret with three decimals, a minus as a minus, and none before 0.000."""
    if not math.isfinite(value):
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def exact(value: float) -> str:
    """Write what a column is sorted by: no more digits than every processor agrees on."""
    return f"{value:.6g}"


def signed(value: float, digits: int = 1) -> str:
    """Write a difference with its sign; what rounds to nothing has none."""
    if not math.isfinite(value):
        return "–"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if rounded else f"{0:.{digits}f}"


def percent(value: float) -> str:
    """Write a share as a percentage: one decimal below ten, else none."""
    if not math.isfinite(value):
        return "–"
    digits = 1 if 0 < abs(value) < 0.0995 else 0
    return f"{number(100 * value, digits)}\N{NO-BREAK SPACE}%"


def loss(value: float) -> str:
    """Write a loss, or what came instead of one."""
    if math.isnan(value):
        return "missing"
    return f"{value:.4g}" if math.isfinite(value) else "diverged"


def several(count: int, noun: str, many: str = "") -> str:
    """Write a count with its noun: 1 family, 2 families."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listed(names: Any, most: int = 4) -> str:
    """Join names as a sentence does; beyond `most` the others are counted."""
    shown = [str(name) for name in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def kind(contestant: str) -> str:
    """Say where a contestant comes from: one of KINDS."""
    if contestant == HAND_PICKED:
        return "person"
    if contestant in (OUT_OF_FOLD, UNSEEN):
        return "constant" if contestant == OUT_OF_FOLD else "ours"
    held = HEURISTICS.get(contestant)
    if held is None:
        return "ours" if contestant == "suggested" else "constant"
    return held.origin if held.origin in ("peer", "constant") else "ours"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows by column name."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
