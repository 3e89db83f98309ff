"""Everything that can be reached from some objects, noted by reference and put back in place."""

import array
import ctypes
import functools
import io
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lrsuggest.curves.arguments import a
from lrsuggest.training.restore import notes, object_graph, refill
from lrsuggest.training.restore.object_graph import DATA, LED, STATE, base_of, is_a, walk
from lrsuggest.training.restore.private import TORCH
from lrsuggest.training.restore.randomness import Generator, RandomStates, SeedSequence, rewind
from lrsuggest.training.restore.watching import Watch

_APIECE = 2**20  # bytes: a larger tensor or array among data keeps its content to itself
_IN_ALL = 2**26  # bytes: and so do those that come when this much has been copied
_LED_TO = 2**30  # bytes in all, for what functions and samplers lead to
_CTYPES = ctypes.c_int.__mro__[2]  # the base of all values that C may share

Undo = Callable[[], object]


class Kept:
    """Everything reachable from some objects, by reference, and the process's random states.

    Kept are attributes (slots and those of a person's own classes too) and their order, lists,
    dicts, sets and deques, the variables of closures, the globals that a person's functions name,
    the content and gradient of tensors, whether they train and their place in memory, the content
    of arrays, and random generators. A graph that waits for its backward pass, in the middle of a
    batch, can still make it afterwards.

    What datasets and loaders lead to may be a million examples. There a tensor or array of more
    than 1 MiB (and more than the largest weight) or beyond 64 MiB (and the weights' size) in all
    keeps its content to itself, as does what functions and samplers lead to beyond 1 GiB in all;
    in both, containers of more than 10,000 items are kept without what their items hold, and so
    are those that come after 100,000 items in all. A warning names what was written to all the
    same. Files that are only read go back to where they stood. Not kept anywhere are iterators,
    files that are written, sockets, threads, locks, queues and processes (and a package's objects
    that hold one, and a person's own with a thread that runs), and what other processes or
    compiled code hold.

    As a context manager it lays gradients aside, and puts everything back at the end, also after
    an exception.

    Args:
        roots: where to begin.
        model: whose weights and buffers, and the optimizers', a `Snapshot` will have, so that
            their content is left out here; None for no such thing.
        data: where the examples lie, if not in a Dataset.
        closed: classes whose instances are not entered.
        skip: objects that are not entered.
        lacks_room: told the bytes there are to copy; whether copies go to host memory.

    Attributes:
        loaders: the DataLoaders met.
        on_host: whether the copies of CUDA tensors lie in host memory.
    """

    def __init__(
        self,
        *roots: object,
        model: nn.Module | None = None,
        data: Iterable[object] = (),
        closed: tuple[type, ...] = (),
        skip: Iterable[object] = (),
        lacks_room: Callable[[int], bool] = lambda _: False,
    ) -> None:
        TORCH.check()
        self.loaders: list[DataLoader[Any]] = []
        self._structure: list[tuple[str, Undo]] = []
        self._rewinds: list[tuple[str, Undo]] = []
        self._tensors: list[tuple[Tensor, int]] = []
        self._arrays: list[tuple[Any, int]] = []
        self._watch = Watch()
        self._notes: dict[int, Any] = {}
        covered: set[int] = set()
        if model is not None:
            weights = [*model.parameters(), *model.buffers()]
            covered = {id(t) for t in weights} | {id(t.grad) for t in weights if t.is_leaf}
            closed = (*closed, torch.optim.Optimizer)
        for value, reach in walk(*roots, model, data=data, closed=closed, skip=skip):
            self._note(value, reach)
        self._random = RandomStates()
        # autograd refuses a graph whose tensors were written to, though they are as they were.
        self._versions = TORCH.get("torch.autograd.grad_mode:_unsafe_preserve_version_counter")(
            tuple(t for t, _ in self._tensors if not t.is_inference())
        )
        with torch._C.DisableTorchFunctionSubclass():
            sized = [(t, reach, refill.size(t)) for t, reach in self._tensors if refill.dense(t)]
            own = [size for _, reach, size in sized if reach == STATE]
            led = sum(size for _, reach, size in sized if reach == LED)
            self._room = {
                LED: [_LED_TO, _LED_TO],
                DATA: [max(_APIECE, *own, 0), _IN_ALL + sum(own)],
            }
            self.on_host = lacks_room(sum(own) + min(led, _LED_TO))
            self._places = [
                (t, t.data, t.requires_grad, t.grad)
                for t, _ in self._tensors
                if t.is_leaf and not t.is_inference()
            ]
            self._contents = [
                (t, self._clone(t))
                for t, reach, size in sized
                if id(t) not in covered and self._fits(t, size, reach)
            ]
        self._copies = [
            (each, each.copy() if isinstance(each, np.ndarray) else each[:])
            for each, reach in self._arrays
            if self._fits(each, _size(each), reach)
        ]

    def _clone(self, tensor: Tensor) -> Tensor:
        held = tensor.detach()
        return held.cpu() if self.on_host and held.is_cuda else held.clone()

    def _fits(self, value: Any, size: int, reach: int) -> bool:
        """Say whether so many bytes are to be copied; if not, what is written there is told."""
        if reach == STATE:
            return True
        room = self._room[reach]
        fits = size <= min(room)
        if fits:
            room[1] -= size
        else:
            self._watch.add(value)
        return fits

    def _note(self, value: Any, reach: int) -> None:
        """Note one object."""
        undo: Undo | None = None
        self._notes |= {id(each): each for each in notes.in_variables(value)}
        if is_a(value, Tensor):
            self._tensors.append((value, reach))
        elif is_a(value, (np.ndarray, bytearray, array.array)):
            if not is_a(value, np.ndarray) or value.flags.writeable:
                self._arrays.append((value, reach))
        elif id(value) in self._notes:
            pass
        elif is_a(value, dict):
            undo = partial(refill.dict_, value, dict(base_of(value).items(value)))
        elif is_a(value, (list, deque)):
            undo = partial(refill.list_, value, object_graph.items(value))
        elif is_a(value, set):
            undo = partial(refill.set_, value, set(object_graph.items(value)))
        elif is_a(value, types.CellType):
            empty = object_graph.empty(value)
            undo = partial(refill.cell_, value, refill.ABSENT if empty else value.cell_contents)
        elif is_a(value, types.FunctionType):
            for space, names in object_graph.namespaces(value):
                bound = {name: space[name] for name in names if name in space}
                undo = partial(refill.names_, space, notes.state_among(bound))
                self._structure.append((value.__name__, undo))
            undo = None
        elif is_a(value, type):
            if object_graph.is_own(value):
                undo = partial(refill.class_, value, object_graph.of_class(value))
        elif is_a(value, _CTYPES):
            undo = partial(refill.bytes_, value, bytes(value))
        elif is_a(value, functools._lru_cache_wrapper):
            if not value.cache_info().currsize:  # else nobody can say what was in it
                undo = value.cache_clear
        elif is_a(value, io.IOBase):
            undo = refill.file(value)
        elif is_a(value, (SeedSequence, *get_args(Generator))) and (back := rewind(value)):
            self._rewinds.append((type(value).__name__, back))
        if is_a(value, DataLoader):
            self.loaders.append(value)
        if undo is not None:
            self._structure.append((type(value).__name__, undo))
        if held := object_graph.slots(value):
            filled = {
                slot: slot.__get__(value) if object_graph.filled(value, slot) else refill.ABSENT
                for slot in held
            }
            self._structure.append((type(value).__name__, partial(refill.slots_, value, filled)))

    def add(self, name: str, undo: Undo) -> None:
        """Let `restore` call a function too, for a part that is put back in a way of its own."""
        self._structure.append((name, undo))

    def _undoing(self) -> Iterator[tuple[str, Undo]]:
        """Yield everything that puts something back, in the order in which it must be done."""
        yield from self._structure
        for tensor, data, trains, grad in self._places:
            yield "Tensor", partial(refill.place_, tensor, data, trains, grad)
        for tensor, content in self._contents:
            yield "Tensor", partial(refill.tensor_, tensor, content)
        yield "Tensor", partial(self._versions.__exit__, None, None, None)
        for each, copy in self._copies:
            yield "array", partial(refill.array_, each, copy)
        # After the loaders: new worker processes draw their seed from a generator.
        yield "random state", self._random.restore
        yield from self._rewinds

    def restore(self) -> None:
        """Put everything back; a part that cannot be does not keep the rest from it.

        Raises:
            RuntimeError: some parts could not be put back; all others were.
        """
        written = self._watch.written()
        failed: list[str] = []
        left: set[int] = set()  # what a thread works at
        interrupt: BaseException | None = None
        todo = self._undoing()
        while True:
            try:
                for name, undo in todo:
                    try:
                        if not (isinstance(undo, partial) and id(undo.args[0]) in left):
                            undo()
                    except refill.StillAtWork as thread:
                        left |= {id(each) for each in thread.beside if base_of(each)}
                        self._watch.tell_thread(str(thread))
                    except Exception as error:
                        failed.append(f"{name}: {type(error).__name__}: {error}")
                break
            except BaseException as error:  # it is heard once all is done, from the beginning
                interrupt, todo = error, self._undoing()
                failed.clear()
        if written:
            self._watch.tell([self._named(each) for each in written])
        if failed:
            sentence = (
                f"{len(failed)} of the parts that a sweep may move could not be put back, all "
                f"others were: {'; '.join(failed[:3])}; make these anew before you go on training"
            )
            if interrupt is None:
                raise RuntimeError(sentence)
            interrupt.add_note(sentence)
        if interrupt is not None:
            raise interrupt

    def _named(self, value: Any) -> str:
        """Say which tensor or array something is: its attribute's name, and its shape."""
        shape = tuple(value.shape) if isinstance(value, Tensor | np.ndarray) else len(value)
        said = f"{a(value)} of {shape}"
        for _, undo in self._structure:
            saved = undo.args[-1] if isinstance(undo, partial) and undo.args else None
            for name, each in saved.items() if isinstance(saved, dict) else ():
                if each is value and isinstance(name, str):
                    return f"{name}, {said},"
        return said

    def __enter__(self) -> "Kept":
        for tensor, _, _, grad in self._places:
            if grad is not None:
                tensor.grad = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        restore_after(error, self.restore)


def _size(value: Any) -> int:
    """Return the bytes that an array takes."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) * getattr(value, "itemsize", 1)


def restore_after(error: BaseException | None, restore: Undo) -> None:
    """Put back at the end of a block; what fails is a note to the exception under way, if any."""
    try:
        restore()
    except RuntimeError as failure:
        if error is None:
            raise
        error.add_note(str(failure))
