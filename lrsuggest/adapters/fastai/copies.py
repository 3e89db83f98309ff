"""Copies of objects to work on instead of them."""

import copy
from collections.abc import Iterable
from typing import Any


def twins(things: Iterable[object], memo: dict[int, Any]) -> None:
    """Copy objects, with all that they hold, into the memo.

    What stands in the memo already is not copied again: mapped to itself it is shared. So is what
    cannot be copied: open files, locks, tensors within a graph.

    Args:
        things: instances of ordinary classes (no slots), which may hold each other.
        memo: each copy by its original's id, as for `copy.deepcopy`; the originals must live as
            long as it does.
    """
    new = [thing for thing in things if id(thing) not in memo]
    for thing in new:
        memo[id(thing)] = object.__new__(type(thing))
    for thing in new:
        twin = vars(memo[id(thing)])
        for name, value in vars(thing).items():
            try:
                twin[name] = copy.deepcopy(value, memo)
            except Exception:
                twin[name] = value
