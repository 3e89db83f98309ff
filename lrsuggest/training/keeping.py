"""Everything that can be reached from some objects, noted by reference and put back in place."""

import array
import collections
import ctypes
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils.data import DataLoader

from lrsuggest.training import object_graph
from lrsuggest.training.object_graph import walk
from lrsuggest.training.randomness import Generator, RandomStates, rewind

_APIECE = 2**20  # bytes: a larger tensor or array among data keeps its content to itself
_IN_ALL = 2**26  # bytes: and so do those that come when this much has been copied
_CTYPES = ctypes.c_int.__mro__[2]  # the base of all values that C may share
_ABSENT = object()

Undo = Callable[[], object]


class Kept:
    """Everything reachable from some objects, by reference, and the process's random states.

    Kept are attributes (slots and those of a person's own classes too) and their order, lists,
    dicts, sets and deques, the variables of closures, the globals that a person's functions name,
    the content and gradient of tensors, whether they train and their place in memory, the content
    of arrays, and random generators. A graph that waits for its backward pass, in the middle of a
    batch, can still make it afterwards.

    What datasets, loaders and functions lead to may be a million examples. There a tensor or array
    of more than 1 MiB (and more than the largest weight) or beyond 64 MiB (and the weights' size)
    in all keeps its content to itself, containers of more than 10,000 items are kept without what
    their items hold, and so are those that come after 100,000 items in all. Not kept anywhere are
    iterators, open files and sockets, what holds a thread, a queue or a process, and what other
    processes or compiled code hold.

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
        self.loaders: list[DataLoader[Any]] = []
        self._structure: list[tuple[str, Undo]] = []
        self._rewinds: list[tuple[str, Undo]] = []
        self._tensors: list[tuple[Tensor, bool]] = []
        self._arrays: list[tuple[Any, bool]] = []
        covered: set[int] = set()
        if model is not None:
            weights = [*model.parameters(), *model.buffers()]
            covered = {id(t) for t in weights} | {id(t.grad) for t in weights if t.is_leaf}
            closed = (*closed, torch.optim.Optimizer)
        for value, loosely in walk(*roots, model, data=data, closed=closed, skip=skip):
            self._note(value, loosely)
        self._random = RandomStates()
        # autograd refuses a graph whose tensors were written to, though they are as they were.
        self._versions = _unsafe_preserve_version_counter(
            tuple(t for t, _ in self._tensors if not t.is_inference())
        )
        own = [tensor.nbytes for tensor, loosely in self._tensors if not loosely and _dense(tensor)]
        self._room = [max(_APIECE, *own, 0), _IN_ALL + sum(own)]
        self.on_host = lacks_room(sum(own))
        with torch._C.DisableTorchFunctionSubclass():
            self._places = [
                (t, t.data, t.requires_grad, t.grad)
                for t, _ in self._tensors
                if t.is_leaf and not t.is_inference()
            ]
            self._contents = [
                (t, self._clone(t))
                for t, loosely in self._tensors
                if id(t) not in covered and _dense(t) and self._fits(t.nbytes, loosely)
            ]
        self._copies = [
            (each, each.copy())
            for each, loosely in self._arrays
            if self._fits(each.nbytes, loosely)
        ]

    def _clone(self, tensor: Tensor) -> Tensor:
        held = tensor.detach()
        return held.cpu() if self.on_host and held.is_cuda else held.clone()

    def _fits(self, size: int, loosely: bool) -> bool:
        """Say whether so many bytes are to be copied; those among data take from the room."""
        if not loosely:
            return True
        fits = size <= min(self._room)
        self._room[1] -= size if fits else 0
        return fits

    def _note(self, value: Any, loosely: bool) -> None:
        """Note one object."""
        undo: Undo | None = None
        if isinstance(value, Tensor):
            self._tensors.append((value, loosely))
        elif isinstance(value, np.ndarray):
            if value.flags.writeable:
                self._arrays.append((value, loosely))
        elif isinstance(value, dict):
            undo = partial(_refill_dict, value, dict(value))
        elif isinstance(value, list | deque):
            undo = partial(_refill_list, value, list(value))
        elif isinstance(value, set):
            undo = partial(_refill_set, value, set(value))
        elif isinstance(value, bytearray | array.array):
            undo = partial(_refill_array, value, value[:])
        elif isinstance(value, types.CellType):
            empty = object_graph.empty(value)
            undo = partial(_refill_cell, value, _ABSENT if empty else value.cell_contents)
        elif isinstance(value, types.FunctionType):
            for space, names in object_graph.namespaces(value):
                saved = {name: space.get(name, _ABSENT) for name in names}
                self._structure.append((value.__name__, partial(_rebind, space, saved)))
        elif isinstance(value, type):
            if object_graph.is_own(value):
                undo = partial(_refill_class, value, object_graph.of_class(value))
        elif isinstance(value, _CTYPES):
            undo = partial(_refill_bytes, value, bytes(value))  # type: ignore[call-overload]
        elif isinstance(value, Generator) and (back := rewind(value)):
            self._rewinds.append((type(value).__name__, back))
        if isinstance(value, DataLoader):
            self.loaders.append(value)
        if undo is not None:
            self._structure.append((type(value).__name__, undo))
        if held := object_graph.slots(value):
            filled = {
                slot: slot.__get__(value) if object_graph.filled(value, slot) else _ABSENT
                for slot in held
            }
            self._structure.append((type(value).__name__, partial(_refill_slots, value, filled)))

    def add(self, name: str, undo: Undo) -> None:
        """Let `restore` call a function too, for a part that is put back in a way of its own."""
        self._structure.append((name, undo))

    def _undoing(self) -> Iterator[tuple[str, Undo]]:
        """Yield everything that puts something back, in the order in which it must be done."""
        yield from self._structure
        for tensor, data, trains, grad in self._places:
            yield "Tensor", partial(_replace, tensor, data, trains, grad)
        for tensor, content in self._contents:
            yield "Tensor", partial(_refill_tensor, tensor, content)
        yield "Tensor", partial(self._versions.__exit__, None, None, None)
        for each, copy in self._copies:
            yield "array", partial(_refill_ndarray, each, copy)
        # After the loaders: new worker processes draw their seed from a generator.
        yield "random state", self._random.restore
        yield from self._rewinds

    def restore(self) -> None:
        """Put everything back; a part that cannot be does not keep the rest from it.

        Raises:
            RuntimeError: some parts could not be put back; all others were.
        """
        failed: list[str] = []
        interrupt: BaseException | None = None
        todo = self._undoing()
        while True:
            try:
                for name, undo in todo:
                    try:
                        undo()
                    except Exception as error:
                        failed.append(f"{name}: {type(error).__name__}: {error}")
                break
            except BaseException as error:  # it is heard once all is done, from the beginning
                interrupt, todo = error, self._undoing()
                failed.clear()
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


def restore_after(error: BaseException | None, restore: Undo) -> None:
    """Put back at the end of a block; what fails is a note to the exception under way, if any."""
    try:
        restore()
    except RuntimeError as failure:
        if error is None:
            raise
        error.add_note(str(failure))


def _dense(tensor: Tensor) -> bool:
    """Say whether a tensor has a content to copy: not meta, not lazy."""
    return not tensor.is_meta and not nn.parameter.is_lazy(tensor)


def _refill_dict(now: dict[Any, Any], saved: dict[Any, Any]) -> None:
    if len(now) != len(saved) or any(
        name is not name_then or each is not then
        for (name, each), (name_then, then) in zip(now.items(), saved.items(), strict=True)
    ):
        # Not a subclass's own methods, which may count or check.
        kind: Any = OrderedDict if isinstance(now, OrderedDict) else dict
        kind.clear(now)
        kind.update(now, saved)


def _refill_list(now: Any, saved: list[Any]) -> None:
    if len(now) != len(saved) or any(
        each is not then for each, then in zip(now, saved, strict=True)
    ):
        kind: Any = list if isinstance(now, list) else collections.deque
        kind.clear(now)
        kind.extend(now, saved)


def _refill_set(now: set[Any], saved: set[Any]) -> None:
    if now != saved:
        set.clear(now)
        set.update(now, saved)


def _refill_array(now: Any, saved: Any) -> None:
    now[:] = saved


def _refill_bytes(now: Any, saved: bytes) -> None:
    ctypes.memmove(ctypes.addressof(now), saved, len(saved))


def _refill_cell(cell: types.CellType, saved: Any) -> None:
    if saved is not _ABSENT:
        cell.cell_contents = saved
    elif not object_graph.empty(cell):
        del cell.cell_contents


def _rebind(space: dict[str, Any], saved: dict[str, Any]) -> None:
    for name, then in saved.items():
        if then is _ABSENT:
            space.pop(name, None)
        elif space.get(name, _ABSENT) is not then:
            space[name] = then


def _refill_class(kind: type, saved: dict[str, Any]) -> None:
    now = object_graph.of_class(kind)
    for name in now.keys() - saved.keys():
        delattr(kind, name)
    for name, then in saved.items():
        if now.get(name, _ABSENT) is not then:
            setattr(kind, name, then)


def _refill_slots(value: Any, saved: dict[types.MemberDescriptorType, Any]) -> None:
    for slot, then in saved.items():
        if then is not _ABSENT:
            slot.__set__(value, then)
        elif object_graph.filled(value, slot):
            slot.__delete__(value)


def _place(tensor: Tensor) -> tuple[object, ...]:
    if tensor.layout != torch.strided:
        return (tensor.device, tensor.dtype, tensor.shape)
    where = None if tensor.is_meta else tensor.data_ptr()
    return (tensor.device, tensor.dtype, tensor.shape, tensor.stride(), where)


def _replace(tensor: Tensor, data: Tensor, trains: bool, grad: Tensor | None) -> None:
    """Put a tensor back to its place in memory, and its gradient."""
    with torch._C.DisableTorchFunctionSubclass():
        if not nn.parameter.is_lazy(tensor) and _place(tensor) != _place(data):
            tensor.grad = None
            tensor.data = data  # it was moved to another device, say
        if tensor.requires_grad != trains:
            tensor.requires_grad_(trains)
        if tensor.grad is not grad:
            tensor.grad = grad


def _refill_tensor(tensor: Tensor, content: Tensor) -> None:
    with torch._C.DisableTorchFunctionSubclass(), torch.inference_mode(tensor.is_inference()):
        # Memory that nobody wrote to may be such that nobody can: a mapped file, an expanded row.
        if isinstance(tensor, nn.Parameter) or not _same_bits(tensor, content):
            with torch.no_grad():
                tensor.copy_(content)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.layout != torch.strided or one.is_quantized or one.device != other.device:
        return False
    if one.is_complex():
        one, other = (torch.view_as_real(each.resolve_conj()) for each in (one, other))
    one, other = one.detach(), other.detach()
    if one.is_floating_point():  # zeros have signs, and no NaN equals itself
        whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[one.itemsize]
        one, other = one.view(whole), other.view(whole)
    if one.is_cpu and type(one) is type(other) is Tensor:  # 50 times as fast as torch.equal there
        return np.array_equal(one.numpy(), other.numpy())
    return torch.equal(one, other)


def _refill_ndarray(now: Any, saved: Any) -> None:
    if now.dtype == object or now.tobytes() != saved.tobytes():
        now[...] = saved
