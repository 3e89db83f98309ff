"""Heuristics: functions of a curve that name a rate, or say why they cannot."""

_HOMES = {
    "Abstention": "registry",
    "Context": "registry",
    "HEURISTICS": "all",
    "Reason": "reasons",
    "heuristic": "registry",
}


def __getattr__(name: str) -> object:
    """Find what this was before it was a folder; `from lrsuggest import` is the way to it."""
    import warnings
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = f"from lrsuggest import {name}"
    warnings.warn(f"{__name__}.{name} is now {new}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
