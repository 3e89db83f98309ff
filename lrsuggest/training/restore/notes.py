"""What a function writes down for a person to read: left as it is, where state is put back.

An empty list that a hook appends losses to, a count of calls in a closure or a global: whoever
keeps them wants to see the sweep in them. What holds a tensor, a module, a generator or an object,
a list that is not empty, and a number beside a tensor (a place in a queue) is state.
"""

import functools
import types
from collections import defaultdict, deque
from typing import Any

import numpy as np
from torch import Tensor

from lrsuggest.training.restore import object_graph
from lrsuggest.training.restore.object_graph import base_of, is_a

_PLAIN = (bool, int, float, complex, str, bytes)
_CONTAINERS = (dict, list, set, deque)
_COLLECTS = (None, int, float, list, set, dict)  # what a defaultdict of notes begins with


def in_variables(value: Any) -> list[Any]:
    """Return the notes that a function, or what binds variables to one, holds.

    Returns:
        Closures' variables (their cells) and containers.
    """
    if is_a(value, types.BuiltinMethodType):  # such as a list's append
        return [each for each in (value.__self__,) if _is_note(each)]
    if is_a(value, functools.partial):
        return [each for each in (*value.args, *value.keywords.values()) if _is_note(each)]
    if not is_a(value, types.FunctionType):
        return []
    cells = [cell for cell in value.__closure__ or () if not object_graph.empty(cell)]
    contents = [cell.cell_contents for cell in cells]
    noted: list[Any] = [each for each in contents if is_a(each, _CONTAINERS) and _is_note(each)]
    if not _has_arrays(contents):
        noted += [c for c, each in zip(cells, contents, strict=True) if is_a(each, _PLAIN)]
    held = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    for space, names in object_graph.namespaces(value):
        held += [space[name] for name in names if name in space]
    return noted + [each for each in held if is_a(each, _CONTAINERS) and _is_note(each)]


def state_among(variables: dict[str, Any]) -> dict[str, Any]:
    """Return those of some globals, by name, that are no notes."""
    counts = not _has_arrays(list(variables.values()))
    return {
        name: each
        for name, each in variables.items()
        if not (_is_note(each) and (counts or is_a(each, _CONTAINERS)))
    }


def _is_note(value: Any) -> bool:
    if is_a(value, _CONTAINERS):
        begins = value.default_factory if is_a(value, defaultdict) else None
        return not base_of(value).__len__(value) and begins in _COLLECTS
    return is_a(value, _PLAIN)


def _has_arrays(values: list[Any]) -> bool:
    return any(is_a(_first(each), (Tensor, np.ndarray)) for each in values)


def _first(value: Any) -> Any:
    """Return the first of what a container holds, anything else as it is."""
    if not is_a(value, (*_CONTAINERS, tuple)):
        return value
    base = base_of(value)
    return next(iter(base.values(value)) if is_a(value, dict) else base.__iter__(value), None)
