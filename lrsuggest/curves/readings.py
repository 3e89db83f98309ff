"""Every reading there is, by name: import `HEURISTICS` from here to have them all registered."""

import warnings
from collections.abc import Mapping
from importlib import import_module

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import HEURISTICS, Abstention, Context, is_rate
from lrsuggest.errors import LrsuggestWarning

__all__ = ["HEURISTICS", "rates", "read_all"]

for _home in (
    "consensus",
    "shapes",
    "peers",
):  # ours register first, so that tables begin with them
    import_module(f"lrsuggest.curves.{_home}")


def read_all(
    curve: Curve, context: Context | None = None, *, constants: bool = False
) -> dict[str, float | Abstention]:
    """Return every registered reading of the curve by name, constants only if asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        return {
            name: each(curve, context)
            for name, each in HEURISTICS.items()
            if constants or each.origin != "constant"
        }


def rates(picks: Mapping[str, float | Abstention]) -> dict[str, float]:
    """Return the picks that are usable rates, by name."""
    return {
        name: float(p) for name, p in picks.items() if not isinstance(p, Abstention) and is_rate(p)
    }
