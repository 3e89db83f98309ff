"""Attributes of anybody's objects, read without a person's `__getattr__`, which may do anything."""

import inspect
from typing import Any

_MISSING = object()


def attribute(thing: Any, name: str, default: Any = None) -> Any:
    """Return an attribute that an object or its class holds; the default where neither does.

    A `__getattr__` is not asked: an AttrDict answers to every name, or raises what nobody expects.
    """
    found = inspect.getattr_static(thing, name, _MISSING)
    if found is _MISSING:
        return default
    if name in own(thing) or not hasattr(type(found), "__get__"):
        return found
    try:
        return found.__get__(None if isinstance(thing, type) else thing, type(thing))
    except Exception:  # an empty slot, or a property that fails
        return default


def own(thing: Any) -> dict[str, Any]:
    """Return an object's `__dict__`, empty where it has none."""
    for kind in type(thing).__mro__:
        place = vars(kind).get("__dict__")
        if place is not None:
            held = place.__get__(thing) if hasattr(type(place), "__get__") else place
            return held if isinstance(held, dict) else {}
    return {}


def answers(kind: type) -> bool:
    """Say whether a class of a person's own has a `__getattr__`."""
    return any("__getattr__" in vars(each) for each in kind.__mro__)
