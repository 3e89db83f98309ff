"""How each sort of object is put back in place, once its content has been noted."""

import ctypes
import io
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrsuggest.training.restore import object_graph

ABSENT = object()  # what a variable holds that has no value


class StillAtWork(Exception):
    """A thread was started among some attributes and lives: they are not to be rewound under it.

    Args:
        name: the attribute's name.
        beside: what stands beside it.
    """

    def __init__(self, name: str, beside: list[Any]) -> None:
        super().__init__(name)
        self.beside = beside


def dense(tensor: Tensor) -> bool:
    """Say whether a tensor has a content to copy: not meta, not lazy."""
    return not tensor.is_meta and not nn.parameter.is_lazy(tensor)


def dict_(now: dict[Any, Any], saved: dict[Any, Any]) -> None:
    """Put back what a dict holds, and in which order."""
    # Not a subclass's own methods, which may count, check or load.
    base = object_graph.base_of(now)
    if base.__len__(now) != len(saved) or any(
        name is not name_then or each is not then
        for (name, each), (name_then, then) in zip(base.items(now), saved.items(), strict=True)
    ):
        for name, each in base.items(now):
            if object_graph.lives(each) and saved.get(name) is not each:
                raise StillAtWork(name, list(base.values(now)))
        base.clear(now)
        base.update(now, saved)


def list_(now: Any, saved: list[Any]) -> None:
    """Put back what a list or a deque holds."""
    base = object_graph.base_of(now)
    held = list(base.__iter__(now))
    if len(held) != len(saved) or any(
        each is not then for each, then in zip(held, saved, strict=True)
    ):
        base.clear(now)
        base.extend(now, saved)


def set_(now: set[Any], saved: set[Any]) -> None:
    """Put back what a set holds."""
    if set.__ne__(now, saved):
        set.clear(now)
        set.update(now, saved)


def array_(now: Any, saved: Any) -> None:
    """Put back a numpy array, a bytearray or an array of Python's own."""
    if not isinstance(now, np.ndarray):
        if now != saved:
            now[:] = saved
    elif now.dtype == object or now.tobytes() != saved.tobytes():
        now[...] = saved


def file(value: io.IOBase) -> Callable[[], object] | None:
    """Return what brings a file that is only read back to where it stands; None for no such."""
    try:
        if value.closed or value.writable() or not value.seekable():
            return None
        return partial(value.seek, value.tell())
    except (OSError, ValueError):  # in the middle of its lines a text file does not say where
        return None


def bytes_(now: Any, saved: bytes) -> None:
    """Put back a value that C may share."""
    ctypes.memmove(ctypes.addressof(now), saved, len(saved))


def cell_(cell: types.CellType, saved: Any) -> None:
    """Put back a closure's variable."""
    if saved is not ABSENT:
        cell.cell_contents = saved
    elif not object_graph.empty(cell):
        del cell.cell_contents


def names_(space: dict[str, Any], saved: dict[str, Any]) -> None:
    """Put back some of the globals of a module."""
    for name, then in saved.items():
        if space.get(name, ABSENT) is not then:
            space[name] = then


def class_(kind: type, saved: dict[str, Any]) -> None:
    """Put back a class's own attributes."""
    now = object_graph.of_class(kind)
    for name in now.keys() - saved.keys():
        delattr(kind, name)
    for name, then in saved.items():
        if now.get(name, ABSENT) is not then:
            setattr(kind, name, then)


def slots_(value: Any, saved: dict[types.MemberDescriptorType, Any]) -> None:
    """Put back what stands in the slots of an object."""
    for slot, then in saved.items():
        if then is not ABSENT:
            slot.__set__(value, then)
        elif object_graph.filled(value, slot):
            slot.__delete__(value)


def size(tensor: Tensor) -> int:
    """Return the bytes that a tensor's content takes, of whatever layout it is."""
    return sum(part.nbytes for part in _parts(tensor))


def _parts(tensor: Tensor) -> list[Tensor]:
    """Return the plain tensors that a tensor consists of."""
    if tensor.is_nested:
        return list(tensor.unbind())
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor]


def _place(tensor: Tensor) -> tuple[object, ...]:
    if tensor.is_nested:  # it has no shape
        return (tensor.device, tensor.dtype, tensor.layout)
    if tensor.layout != torch.strided:
        return (tensor.device, tensor.dtype, tensor.layout, tensor.shape)
    where = None if tensor.is_meta else tensor.data_ptr()
    return (tensor.device, tensor.dtype, tensor.shape, tensor.stride(), where)


def place_(tensor: Tensor, data: Tensor, trains: bool, grad: Tensor | None) -> None:
    """Put a tensor back to its place in memory, and its gradient."""
    with torch._C.DisableTorchFunctionSubclass():
        if not nn.parameter.is_lazy(tensor) and _place(tensor) != _place(data):
            tensor.grad = None
            tensor.data = data  # it was moved to another device, say
        if tensor.requires_grad != trains:
            tensor.requires_grad_(trains)
        if tensor.grad is not grad:
            tensor.grad = grad


def tensor_(tensor: Tensor, content: Tensor) -> None:
    """Write a tensor's content, where it has changed."""
    with (
        torch._C.DisableTorchFunctionSubclass(), torch.inference_mode(tensor.is_inference()),
        torch.no_grad(),
    ):  # fmt: skip
        now, then = _parts(tensor.detach()), _parts(content)
        if [each.shape for each in now] != [each.shape for each in then]:
            # As many more or fewer values than there were: a sparse one takes them all anew.
            if tensor.layout == torch.sparse_coo:
                tensor.copy_(content)
            else:
                tensor.data = content.clone()
            return
        for one, other in zip(now, then, strict=True):
            # Memory that nobody wrote to may be such that nobody can: a mapped file, an expanded
            # row.
            if isinstance(tensor, nn.Parameter) or not _same_bits(one, other):
                one.copy_(other)


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
