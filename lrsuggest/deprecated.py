"""Names of earlier versions in one place: they work throughout 0.x, and say what to say instead.

Here are keywords and attributes; the functions of earlier versions are in earlier.py.
"""

import difflib
import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from lrsuggest.errors import UserError, callers_line

# "sweep.start_lr" is the field of the record that `sweep` takes.
SUGGEST_LR = {
    "train_steps": "total_steps",
    "start": "sweep.start_lr",
    "end": "sweep.end_lr",
    "steps": "sweep.num_iter",
    "replicates": "sweep.repeats",
    "probe_steps": "probes.steps",
}
LR_FIND = {"start": "start_lr", "end": "end_lr", "steps": "num_iter"}
LEARNER = {
    "accumulate": "accumulate_steps",
    "clip_norm": "max_grad_norm",
    "train_steps": "total_steps",
}
CONTEXT = {"train_steps": "total_steps"}
ANSWER = {"planned": "budget", "train_steps": "total_steps"}
_RECORDS = {"sweep": "RangeTest({}=…)", "probes": "Probes(number, {}=…)"}

# Makes a record of what was given for it by its new name, None for nothing, and by earlier names.
Gather = Callable[[Any, dict[str, Any]], Any]
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def instead(old: str, new: str) -> None:
    """Warn that a name is an earlier one; told of the line that used it."""
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=callers_line())


def renamed(
    names: Mapping[str, str], records: Mapping[str, Gather] | None = None
) -> Callable[[F], F]:
    """Let a function take keywords by their earlier names too.

    Args:
        names: the new name of each earlier one.
        records: what makes a record of several, by the keyword that takes it.
    """

    def decorate(function: F) -> F:
        known = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def takes(*args: Any, **given: Any) -> Any:
            if not given.keys() <= set(known):
                of = function.__qualname__.removesuffix(".__init__")
                _refuse_unknown(of, given, known, names)
                given = _renewed(of, given, names, records or {}, known[: len(args)])
            return function(*args, **given)

        return takes  # type: ignore[return-value]

    return decorate


def _refuse_unknown(
    of: str, given: Mapping[str, Any], known: Collection[str], names: Mapping[str, str]
) -> None:
    """Raise TypeError for the first keyword that is neither a new nor an earlier one."""
    for name in given:
        if name not in known and name not in names:
            near = difflib.get_close_matches(name, [*known, *names], 1)
            hint = "".join(f"; did you mean {_said(names.get(each, each))}?" for each in near)
            raise TypeError(f"{of}() got an unexpected keyword argument {name!r}{hint}")


def _said(new: str) -> str:
    """Write how a value is given by its new name."""
    name, _, field = new.partition(".")
    return f"{name}={_RECORDS[name].format(field) if field else '…'}"


def _renewed(
    of: str,
    given: dict[str, Any],
    names: Mapping[str, str],
    records: Mapping[str, Gather],
    placed: Collection[str],
) -> dict[str, Any]:
    """Return keywords by their new names only; `placed` are those given by their place."""
    new = {name: value for name, value in given.items() if name not in names}
    parts: dict[str, dict[str, Any]] = {}
    for old, value in given.items():
        if old not in names:
            continue
        name, _, field = names[old].partition(".")
        instead(f"{of}({old}=…)", f"{of}({_said(names[old])})")
        if field:
            parts.setdefault(name, {})[field] = value
        elif name in new or name in placed:
            raise UserError(f"{old} is the earlier name of {name}: give {name} alone, not both")
        else:
            new[name] = value
    for name, fields in parts.items():
        new[name] = records[name](new.get(name), fields)
    return new


def renamed_fields(names: Mapping[str, str]) -> Callable[[C], C]:
    """Let a class take and show attributes by their earlier names too."""

    def decorate(cls: C) -> C:
        setattr(cls, "__init__", renamed(names)(getattr(cls, "__init__")))  # noqa: B009, B010
        for old, new in names.items():
            setattr(cls, old, _Earlier(cls.__name__, old, new))
        return cls

    return decorate


class _Earlier:
    """An attribute by its earlier name."""

    def __init__(self, of: str, old: str, new: str) -> None:
        self._of, self._old, self._new = of, old, new
        self.__doc__ = f"The earlier name of `{new}`."

    def _told(self) -> str:
        instead(f"{self._of}.{self._old}", f"{self._of}.{self._new}")
        return self._new

    def __get__(self, holder: Any, kind: type | None = None) -> Any:
        return self if holder is None else getattr(holder, self._told())

    def __set__(self, holder: Any, value: Any) -> None:
        setattr(holder, self._told(), value)


def current(state: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return by its new names what an earlier version kept; no word is lost on it."""
    return {names.get(name, name): value for name, value in state.items()}
