"""What people give as arguments, checked: each mistake is one sentence with the mend."""

import difflib
import operator
from collections.abc import Collection
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np

from lrsuggest.curves.number import NoNumber
from lrsuggest.errors import UserError

_LONGEST = 60  # characters of a value that a sentence shows


def shown(value: object) -> str:
    """Write a value on one short line, text in quotes."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value) if isinstance(value, str) else str(value)
    if "\n" in text or len(text) > _LONGEST or text.startswith("<"):
        return a(value)
    return text


def a(value: object) -> str:
    """Say of what kind a value is, and how large: "a list of 3", "a Tensor of shape (8, 2)"."""
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    name = type(value).__name__
    said = f"{'an' if name[0] in 'AEIOUaeio' else 'a'} {name}"
    shape = None if getattr(value, "is_nested", False) else getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{said} of shape {tuple(shape)}"
    return f"{said} of {len(value)}" if isinstance(value, list | tuple | set | dict) else said


def number(name: str, value: Any, wanted: str = "positive and finite") -> float:
    """Return a positive, finite number as a float; `wanted` is how the sentence says so.

    Raises:
        NoSuggestion: it is an abstention.
        UserError: it is no such number.
    """
    if isinstance(value, NoNumber):
        return float(value)
    plain = _plain(value)
    if isinstance(plain, Real | Decimal) and not isinstance(plain, bool):
        with suppress(OverflowError):
            if 0 < (found := float(plain)) < np.inf:
                return found
    mend = ": write it without quotes" if isinstance(value, str) and _reads(float, value) else ""
    raise UserError(f"{name} must be {wanted}; got {shown(value)}{mend}")


def whole(name: str, value: Any, least: int | None, *, or_none: bool = False) -> int:
    """Return a whole number as an int.

    Args:
        name: the argument's.
        value: what was given.
        least: the lowest that will do, None where any will.
        or_none: whether the sentence says that None will do too.

    Raises:
        UserError: it is no whole number, or too small.
    """
    plain = _plain(value)
    if isinstance(plain, SupportsIndex) and not isinstance(plain, bool) and not _shape(plain):
        with suppress(TypeError):  # arrays and tensors have `__index__`, whatever they hold
            found = operator.index(plain)
            if least is None or found >= least:
                return found
    wanted = "a whole number" + ("" if least is None else f" of at least {least}")
    raise UserError(
        f"{name} must be {wanted}{', or None' * or_none}; got {shown(plain)}{_as_whole(plain)}"
    )


def truth(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} must be True or False; got {shown(value)}")


def seed(value: Any, more: int = 0) -> int | None:
    """Return a seed as an int, None as it is.

    Args:
        value: what was given.
        more: how many seeds after it are needed too.

    Raises:
        UserError: torch takes no such seed.
    """
    if value is None:
        return None
    found = whole("seed", value, None)
    low, high = -(2**63), 2**64 - 1  # torch.manual_seed's
    if not low <= found <= high - more:
        least = f" with the {more} after it" if more else ""
        raise UserError(f"seed must lie in -2**63 to 2**64 - 1{least}; got {found}")
    return found


def one_of(name: str, value: object, known: Collection[str], says: str = "") -> None:
    """Refuse what is not one of the known names.

    Raises:
        UserError: it is not; the nearest name is in the sentence.
    """
    if isinstance(value, str) and value in known:
        return
    near = difflib.get_close_matches(str(value).lower(), known, 1) if isinstance(value, str) else ()
    hint = f": did you mean {near[0]!r}?" if near else ""
    said = says or f"{name} {shown(value)} is unknown; use one of {', '.join(known)}, or None"
    raise UserError(said + hint)


def _plain(value: Any) -> Any:
    """Return what an array or tensor without axes holds."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _shape(value: Any) -> Any:
    return getattr(value, "shape", None)


def _as_whole(value: Any) -> str:
    """Say how to write a number that is whole but not written so."""
    if isinstance(value, str | float | np.floating | Decimal) and _reads(float, value):
        read = float(value)
        if np.isfinite(read) and read == int(read) and read > 0:
            return f": write {int(read)}"
    return ""


def _reads(kind: type, text: Any) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
