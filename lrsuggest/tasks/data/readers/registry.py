"""Readers by the name that datasets.toml gives them: a dataset's files in, resident arrays out.

A newcomer is one function with `reader` above it, in a module that all.py names.
"""

from collections.abc import Callable
from typing import NamedTuple, ParamSpec

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.resident import Resident, Split

P = ParamSpec("P")
PICTURES, TEXTS = 2, 1  # how many numbers a size has: height and width, or tokens


class Reader(NamedTuple):
    """A reader as it was registered.

    Attributes:
        name: as datasets.toml has it.
        read: called with the source, a size and what is told of the progress; where there are
            several splits with the split too.
        size: how many numbers its sizes have; None for any, of which it takes no notice.
        source: whether it needs a folder or an archive.
        splits: those it knows of beside the training data.
    """

    name: str
    read: Callable[..., Resident]
    size: int | None
    source: bool
    splits: tuple[Split, ...]


READERS: dict[str, Reader] = {}


def reader(
    name: str,
    *,
    size: int | None = None,
    source: bool = True,
    splits: tuple[Split, ...] = ("valid",),
) -> Callable[[Callable[P, Resident]], Callable[P, Resident]]:
    """Register the decorated function as a reader; the arguments are as in `Reader`.

    Raises:
        UserError: another reader has that name.
    """

    def register(read: Callable[P, Resident]) -> Callable[P, Resident]:
        if name in READERS:
            raise UserError(f"there is a reader {name!r} already; choose another name")
        READERS[name] = Reader(name, read, size, source, splits)
        return read

    return register
