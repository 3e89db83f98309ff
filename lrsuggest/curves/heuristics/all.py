"""Every heuristic, by name: import `HEURISTICS` from here to have them all registered."""

import warnings
from collections.abc import Mapping
from importlib import import_module

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import HEURISTICS, Abstention, Context, is_rate
from lrsuggest.errors import LrsuggestWarning

__all__ = ["HEURISTICS", "rates", "read_all"]

_HOMES = [
    f"lrsuggest.curves.heuristics.{name}" for name in ("consensus", "shapes", "constants", "peers")
]
for _home in _HOMES:
    import_module(_home)


def _place(name: str) -> int:
    home = HEURISTICS[name].read.__module__
    return _HOMES.index(home) if home in _HOMES else len(_HOMES)


# Ours first, so that tables begin with them, and marks are the same whatever was imported before.
for _name in sorted(HEURISTICS, key=_place):
    HEURISTICS[_name] = HEURISTICS.pop(_name)


def read_all(
    curve: Curve,
    context: Context | None = None,
    *,
    constants: bool = False,
    forgiving: bool = False,
) -> dict[str, float | Abstention]:
    """Return every registered heuristic of the curve by name, constants only if asked for.

    Args:
        curve: what to read.
        context: what is known beside it.
        constants: whether they are read too.
        forgiving: whether a heuristic of somebody else's that fails is left out, with a warning.

    Raises:
        UserError: a heuristic answers with neither a rate nor an abstention.
    """
    found: dict[str, float | Abstention] = {}
    failed = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        for name, each in HEURISTICS.items():
            if each.origin == "constant" and not constants:
                continue
            try:
                found[name] = each(curve, context)
            except Exception as error:
                if not forgiving or each.read.__module__ in _HOMES:
                    raise
                failed[name] = error
    for name, why in failed.items():
        warnings.warn(
            f"the heuristic {name} is left out of the candidates, for it fails: {why}",
            LrsuggestWarning,
            stacklevel=3,
        )
    return found


def rates(picks: Mapping[str, float | Abstention]) -> dict[str, float]:
    """Return the picks that are usable rates, by name."""
    return {
        name: float(p) for name, p in picks.items() if not isinstance(p, Abstention) and is_rate(p)
    }
