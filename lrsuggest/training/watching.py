"""What a sweep may change and nobody can put back: said, by name."""

import types
import warnings
import zlib
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrsuggest.curves.given import a
from lrsuggest.errors import LrsuggestWarning
from lrsuggest.training import object_graph
from lrsuggest.training.learner import Learner
from lrsuggest.training.object_graph import MOST_ITEMS, empty, is_own, walk

_WHOLE = 2**26  # bytes of an array up to which all of it is looked at
_SAMPLE = 2**12  # values of a larger one


class Watch:
    """Tensors and arrays that are not copied, and whether anybody has written to them since."""

    def __init__(self) -> None:
        self._marks: list[tuple[Any, int]] = []
        self._told: set[str] = set()

    def add(self, value: Any) -> None:
        """Watch a tensor or an array from now on."""
        self._marks.append((value, _mark(value)))

    def written(self) -> list[Any]:
        """Return those that have been written to."""
        return [value for value, mark in self._marks if _mark(value) != mark]

    def tell(self, names: list[str]) -> None:
        """Warn of those that have been written to, once each."""
        for name in names:
            if name not in self._told:
                self._told.add(name)
                warnings.warn(
                    f"{name} is changed in place by the training, too large to be copied and not "
                    "put back: make it anew before you go on",
                    LrsuggestWarning,
                    stacklevel=2,
                )


def warn_of_iterators(learner: Learner) -> None:
    """Warn of passes over loaders that the training of a learner may move on."""
    roots = (learner.model, learner.loss_fn, learner.forward)
    theirs: set[int] = set()  # the attributes of packages' objects, which know what they do
    for value, _ in walk(*roots, data=(learner.batches,), closed=learner.closed, skip=learner.also):
        held = object_graph.attributes(value)
        if held is not None and not isinstance(value, nn.Module | Dataset):
            theirs |= set() if is_own(type(value)) else {id(held)}
        if id(value) in theirs:
            continue
        for name, each in _named_parts(value):
            if _runs(each):
                name = f"{name}, {a(each)}," if name else a(each)
                warnings.warn(
                    f"{name} is in the middle of its run, is moved on by the sweep and cannot be "
                    "put back: make it anew before you go on",
                    LrsuggestWarning,
                    stacklevel=4,
                )


def _named_parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object of a person's own leads to at once, and what to call it."""
    if isinstance(value, dict):
        found = [(str(name), each) for name, each in _few(value.items())]
    elif isinstance(value, list | tuple | deque):
        found = [("", each) for each in _few(value)]
    elif isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        found = [(name, each.cell_contents) for name, each in cells if not empty(each)]
        for space, names in object_graph.namespaces(value):
            found += [(name, space[name]) for name in names if name in space]
    else:
        found = [
            (slot.__name__, slot.__get__(value))
            for slot in object_graph.slots(value)
            if object_graph.filled(value, slot)
        ]
    yield from found


def _few(held: Collection[Any]) -> Collection[Any]:
    return held if len(held) <= MOST_ITEMS else ()


def _runs(value: Any) -> bool:
    """Say whether something is a pass over a loader.

    Of other iterators nobody knows whether they are data or a script of what is to happen.
    """
    return isinstance(value, _BaseDataLoaderIter)


def _mark(value: Any) -> int:
    """Return a number that another content of a tensor or an array changes."""
    if isinstance(value, Tensor):
        return 0 if value.is_inference() else value._version
    if not isinstance(value, np.ndarray):
        value = np.frombuffer(value, np.uint8)
    if value.dtype == object:
        return 0
    if value.nbytes > _WHOLE or isinstance(value, np.memmap):
        value = value.flat[:: max(1, value.size // _SAMPLE)]
    return zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
