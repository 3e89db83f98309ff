"""What a framework's objects hold beside their weights, kept and put back.

A `Snapshot` knows a learner: weights, buffers, optimizer, loaders. Round it stand objects of
which nobody knows the parts: a trainer with its loops and counters, a metric with its sums, a list
that a person's own hook appends to. Before anything is touched, all that can be reached from them
is noted by reference, and afterwards it is put back in place.
"""

import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrsuggest.training.snapshot import RandomStates

_MOST_TO_ENTER = 10_000  # a longer list is kept, but not what its items hold
_CLOSED = (
    type, types.ModuleType, types.FunctionType, types.MethodType, weakref.ReferenceType,
    torch.optim.Optimizer, Dataset, _BaseDataLoaderIter,
)  # fmt: skip
_OPEN_STANDARD = {"argparse", "collections", "types"}  # other objects of Python's own are closed
# What holds a lock, a thread or a file is at work elsewhere too, and not for us to rewind.
_ALIVE = {"_thread", "threading", "queue", "_queue", "_io", "io", "socket", "multiprocessing"}


def _home(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _rewind(value: Any) -> Callable[[], object] | None:
    """Return what puts a random generator back to its present state; None for anything else."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


class Kept:
    """Everything reachable from some objects, by reference, and the process's random states.

    Kept are attributes and their order, lists, dicts, sets and deques, the content of tensors that
    are no part of the model (torchmetrics' sums), of arrays and of random generators, and each
    parameter's place in memory and whether it trains. Gradients are laid aside meanwhile. A graph
    that waits for its backward pass, in the middle of a batch, can still make it afterwards. Not
    kept: the content of the model's weights and buffers and of optimizers (a `Snapshot` has
    those), datasets, what holds a lock, a thread or a file, and what attributes and containers do
    not lead to.

    As a context manager it puts everything back at the end, also after an exception.

    Args:
        roots: where to begin.
        model: whose weights and buffers a `Snapshot` will have.
        closed: classes whose instances are not entered.
        skip: objects that are not entered, such as a list of a million examples.
    """

    def __init__(
        self,
        *roots: object,
        model: nn.Module,
        closed: tuple[type, ...] = (),
        skip: Iterable[object] = (),
    ) -> None:
        self._closed = (*_CLOSED, *closed)
        weights = [*model.parameters(), *model.buffers()]
        self._covered = {id(t) for t in weights}
        # autograd refuses a graph whose weights were written to, though they are as they were.
        self._versions = _unsafe_preserve_version_counter(
            tuple(t for t in weights if not t.is_inference())
        )
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[Any, list[Any]]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._tensors: list[tuple[Tensor, int, Tensor]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._rewinds: list[Callable[[], object]] = []
        self._parameters: list[tuple[nn.Parameter, bool, Tensor, Tensor | None]] = []
        self._random = RandomStates()
        # The objects too, so that no address is used twice.
        met: dict[int, object] = {id(each): each for each in skip}
        todo = [*roots, model]
        while todo:
            value = todo.pop()
            if id(value) not in met:
                met[id(value)] = value
                todo += self._note(value)

    def _note(self, value: Any) -> Iterable[Any]:
        """Note one value; returns what it holds."""
        held: Iterable[Any] = ()
        if isinstance(value, Tensor):
            if isinstance(value, nn.Parameter):
                self._parameters.append((value, value.requires_grad, value.data, value.grad))
            if id(value) not in self._covered and not value.is_inference():
                self._tensors.append((value, value._version, value.detach().clone()))
        elif isinstance(value, np.ndarray):
            if value.flags.writeable:
                self._arrays.append((value, value.copy()))
        elif isinstance(value, dict):
            self._dicts.append((value, dict(value)))
            held = value.values()
        elif isinstance(value, list | deque):
            self._lists.append((value, list(value)))
            held = value
        elif isinstance(value, set):
            self._sets.append((value, set(value)))
            held = value
        elif isinstance(value, tuple | frozenset):
            held = value
        elif rewind := _rewind(value):
            self._rewinds.append(rewind)
        else:
            return self._attributes(value)
        if len(held) > _MOST_TO_ENTER:  # type: ignore[arg-type]
            held = ()
        return [*held, *self._attributes(value)]

    def _attributes(self, value: Any) -> Iterable[Any]:
        """Note an object's attributes; returns their values."""
        if isinstance(value, self._closed) or (
            _home(value) in sys.stdlib_module_names and _home(value) not in _OPEN_STANDARD
        ):
            return ()
        try:
            held = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return ()
        if any(_home(each) in _ALIVE for each in held.values()):
            return ()
        self._dicts.append((held, dict(held)))
        if isinstance(value, DataLoader):
            return [each for name, each in held.items() if name != "dataset"]
        return list(held.values())

    def restore(self) -> None:
        """Put everything back."""
        for now, saved in self._dicts:
            if len(now) != len(saved) or any(
                name is not name_then or each is not then
                for (name, each), (name_then, then) in zip(now.items(), saved.items(), strict=True)
            ):
                now.clear()
                now.update(saved)
        for items, then in self._lists:
            items.clear()
            items.extend(then)
        for members, then_members in self._sets:
            if members != then_members:
                members.clear()
                members.update(then_members)
        for tensor, version, content in self._tensors:
            if tensor._version != version:
                with torch.no_grad():
                    tensor.copy_(content)
        for array, content in self._arrays:
            array[...] = content
        for parameter, trains, data, grad in self._parameters:
            parameter.requires_grad_(trains)
            if parameter.data_ptr() != data.data_ptr():  # it was moved to another device
                parameter.data = data
            parameter.grad = grad
        for rewind in self._rewinds:
            rewind()
        self._random.restore()

    def __enter__(self) -> "Kept":
        for parameter, _, _, _ in self._parameters:
            parameter.grad = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()
        self._versions.__exit__(kind, error, trace)
