"""Heuristics: functions of a curve that name a rate, or say why they cannot."""


def __getattr__(name: str) -> object:
    """Find what this was before it was a folder; `from lrsuggest import` is the way to it."""
    import warnings

    import lrsuggest

    if name not in ("Abstention", "Context", "HEURISTICS", "Reason", "heuristic"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = f"from lrsuggest import {name}"
    warnings.warn(f"{__name__}.{name} is now {new}", DeprecationWarning, stacklevel=2)
    return getattr(lrsuggest, name)
