"""What a function writes down for a person to read: left as it is, where state is put back.

A list that a hook appends losses to, a count of calls in a closure or a global: training does not
go on with them, and whoever keeps them wants to see the sweep in them too. A tensor, a module, a
generator or an object there, and a container that holds one, is state like any other.
"""

import functools
import types
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lrsuggest.training import object_graph

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_LOOKED_AT = 1000  # items of a container, of which all are alike
_DEEPEST = 4  # containers within containers


def is_note(value: Any, depth: int = 0) -> bool:
    """Say whether a variable holds nothing but numbers, texts and containers of such."""
    if not isinstance(value, _CONTAINERS):
        return isinstance(value, _PLAIN)
    held = value.values() if isinstance(value, dict) else value
    return depth < _DEEPEST and all(is_note(each, depth + 1) for each in islice(held, _LOOKED_AT))


def containers(value: Any) -> Iterator[Any]:
    """Yield the containers among what a function, a closure's variable or a partial holds."""
    todo = [each for each in _variables(value) if is_note(each)]
    while todo:
        each = todo.pop()
        if isinstance(each, _CONTAINERS):
            yield each
            todo += islice(each.values() if isinstance(each, dict) else each, _LOOKED_AT)


def _variables(value: Any) -> list[Any]:
    """Return what stands in the variables of a function, or in those bound to one."""
    if isinstance(value, types.CellType):
        return [] if object_graph.empty(value) else [value.cell_contents]
    if isinstance(value, types.BuiltinMethodType):  # such as a list's append
        return [value.__self__]
    if isinstance(value, functools.partial):
        return [*value.args, *value.keywords.values()]
    if isinstance(value, types.FunctionType):
        held = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for space, names in object_graph.namespaces(value):
            held += [space[name] for name in names if name in space]
        return held
    return []
