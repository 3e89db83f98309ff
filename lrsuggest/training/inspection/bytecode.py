"""What the code of a function tells of it, without running it."""

import dis
import functools
import itertools
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from lrsuggest.training.restore.attributes import attribute, own

# Their steps, and the schedules they hang round a step, set rates for good reason.
_KNOWN = {"torch", "timm", "transformers", "fastai", "accelerate"}


def sets_rate(optimizer: Any) -> str | None:
    """Say that a step, or a hook of it, sets a rate of its own; None where none does."""
    name = type(optimizer).__name__
    held = own(optimizer)
    hooks = [
        hook
        for which in ("pre", "post")
        for hook in (held.get(f"_optimizer_step_{which}_hooks") or {}).values()
    ]
    steps = [held["step"]] if "step" in held else []
    for kind in type(optimizer).__mro__:
        if kind.__module__.partition(".")[0] not in _KNOWN and "step" in vars(kind):
            steps += _called(kind, "step")
    if any(map(_writes_rate, steps)):
        return f"{name}, whose step sets the rate itself"
    return f"{name} with a hook that sets the rate" if any(map(_writes_rate, hooks)) else None


def _called(kind: type, name: str) -> list[Any]:
    """Return a method of a class and those of its own methods that it leads to."""
    found: dict[str, Any] = {}
    todo = [name]
    while todo:
        each = todo.pop()
        code = code_of(vars(kind).get(each))
        if each not in found and code is not None:
            found[each] = vars(kind)[each]
            todo += names_in(code)
    return list(found.values())


def plain(value: Any) -> Any:
    """Return the function within decorators and methods, without asking what may answer oddly."""
    met: set[int] = set()
    while id(value) not in met:
        met.add(id(value))
        if isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, functools.partial):
            value = value.func
        elif callable(value) and not isinstance(value, type):
            value = attribute(value, "__wrapped__", value)
    return value


def code_of(value: Any) -> CodeType | None:
    """Return the code of a function, within whatever wraps it; None for anything else."""
    value = plain(value)
    return value.__code__ if isinstance(value, FunctionType) else None


def _writes_rate(value: Any) -> bool:
    """Whether a function puts something into a group's "lr"."""
    value = plain(value)
    code = code_of(value)
    if code is None or (value.__module__ or "").partition(".")[0] in _KNOWN:
        return False
    steps = list(steps_of(code))
    for step, after in itertools.pairwise(steps):
        # group["lr"] = x, and group["lr"] *= x, which copies the place first
        if step.argval == "lr" and after.opname in ("STORE_SUBSCR", "COPY", "DUP_TOP_TWO"):
            return True
    names = set(names_in(code))
    keys = [step.argval for step in steps if step.opname in ("LOAD_CONST", "KW_NAMES", "CALL_KW")]
    named = any(key == "lr" or (isinstance(key, tuple) and "lr" in key) for key in keys)
    return named and bool(names & {"__setitem__", "update"})


def steps_of(code: CodeType) -> Iterator[dis.Instruction]:
    """Yield the instructions of a function's code, of functions within it too."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from steps_of(constant)


def names_in(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code uses, within functions in it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
