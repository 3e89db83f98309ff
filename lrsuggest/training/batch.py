"""Batches: moved to a device as they are, and counted."""

import copy
import dataclasses
from collections import UserDict, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch to the device; what need not move is not made anew.

    Containers keep their types: tuples (named ones too), lists, dicts of every sort, dataclasses.
    Any other object that can move itself does, by its own `to(device)`; what cannot stays.

    Returns:
        The batch itself where all of it is on the device already.
    """
    if isinstance(batch, Tensor):
        return batch if _there(batch, device) else batch.to(device, non_blocking=True)
    if isinstance(batch, PackedSequence):  # its lengths belong on the host
        return batch if _there(batch.data, device) else batch.to(device)  # type: ignore[arg-type]
    if isinstance(batch, Mapping):
        return _mapping(batch, device)
    if isinstance(batch, list | tuple):
        parts = [to_device(part, device) for part in batch]
        if all(new is old for new, old in zip(parts, batch, strict=True)):
            return batch
        if hasattr(batch, "_fields"):
            return type(batch)(*parts)
        if type(batch) in (list, tuple):
            return type(batch)(parts)
        return _filled(batch, parts)
    if isinstance(batch, str | bytes | type(None) | int | float):
        return batch
    if callable(getattr(batch, "to", None)) and not isinstance(batch, type):
        return batch.to(device)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return _attributes(batch, device)
    return batch


def state_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Move what an optimizer has noted of its parameters along with them."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                state[name] = value.to(device)
            elif isinstance(value, Tensor) and value.device.type != "cpu":
                state[name] = value.to(device)  # a count of steps that stood beside them


def _there(tensor: Tensor, device: torch.device) -> bool:
    """Say whether a tensor is on a device."""
    return same_device(tensor.device, device)


def same_device(one: torch.device, other: torch.device) -> bool:
    """Say whether two devices are one, index included; without one the present is meant."""
    return one == other or (one.type == other.type and _index(one) == _index(other))


def _index(device: torch.device) -> int:
    if device.index is not None or device.type != "cuda":
        return device.index or 0
    return torch.cuda.current_device()


def _filled(batch: Any, parts: list[Any]) -> Any:
    """Return a list or tuple of another class with new parts, its attributes kept."""
    if isinstance(batch, list):
        twin = copy.copy(batch)
        twin[:] = parts
        return twin
    twin = tuple.__new__(type(batch), parts)
    getattr(twin, "__dict__", {}).update(getattr(batch, "__dict__", {}))
    return twin


def _mapping(batch: Mapping[Any, Any], device: torch.device) -> Any:
    """Move a mapping's values; its class, order and attributes stay."""
    moved = {key: to_device(value, device) for key, value in batch.items()}
    if all(moved[key] is value for key, value in batch.items()):
        return batch
    if type(batch) is dict:
        return moved
    if isinstance(batch, defaultdict | UserDict) or hasattr(batch, "__setitem__"):
        twin: Any = copy.copy(batch)
        for key, value in moved.items():
            twin[key] = value
        return twin
    if callable(getattr(batch, "to", None)):
        return batch.to(device)  # type: ignore[attr-defined]
    try:
        return type(batch)(moved)  # type: ignore[call-arg]
    except TypeError:
        return moved


def _attributes(batch: Any, device: torch.device) -> Any:
    """Move a dataclass's fields; a copy of it where one has moved."""
    old = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    moved = {name: to_device(value, device) for name, value in old.items()}
    if all(moved[name] is old[name] for name in old):
        return batch
    twin = copy.copy(batch)
    for name, value in moved.items():
        object.__setattr__(twin, name, value)  # frozen ones too
    return twin


def count(batch: Any) -> int:
    """Return how many examples a batch holds, by its first tensor's first axis; 1 without any."""
    return _count(batch) or 1


def _count(batch: Any) -> int | None:
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    if isinstance(batch, str | bytes):
        return None
    if isinstance(getattr(batch, "num_graphs", None), int):
        return int(batch.num_graphs)
    if isinstance(batch, Mapping):
        parts = list(batch.values())
    elif hasattr(type(batch), "__iter__") and not dataclasses.is_dataclass(batch):
        parts = list(batch)
    else:
        parts = list(getattr(batch, "__dict__", {}).values())
    return next((n for part in parts if (n := _count(part)) is not None), None)
