"""Batches: moved to a device as they are, and counted."""

import copy
import dataclasses
import types
from collections import OrderedDict, UserList, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lrsuggest.training.restore import object_graph
from lrsuggest.training.restore.attributes import answers, attribute, own

_PLAIN = (str, bytes, bytearray, int, float, complex, type(None), type)
_HOLDS = (Mapping, list, tuple, set, frozenset, deque, UserList, types.SimpleNamespace)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch to the device; what need not move is not made anew.

    An object that can move itself does, by its own `to(device)`, and containers keep their types,
    attributes and order: tuples (named ones too), lists, sets, deques, mappings of every sort,
    namespaces, dataclasses. What can do neither stays. The batch given is never written to.

    Returns:
        The batch itself where all of it is on the device already.
    """
    if isinstance(batch, Tensor):
        return batch if same_device(batch.device, device) else batch.to(device, non_blocking=True)
    if isinstance(batch, PackedSequence):  # its lengths belong on the host
        there = same_device(batch.data.device, device)
        return batch if there else batch.to(device)  # type: ignore[arg-type]
    if isinstance(batch, _PLAIN):
        return batch
    if _moves_itself(batch):
        return _moved_by_itself(batch, device)
    if not _holds(batch):
        return batch
    if type(batch) in (list, tuple, dict):
        return _plain(batch, device)
    if _needs_hand(batch):
        return _by_hand(batch, device)
    return _rebuilt(batch, device)


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


def _moves_itself(batch: Any) -> bool:
    return callable(getattr(type(batch), "to", None))


def _holds(batch: Any) -> bool:
    """Say whether a batch is a container of a sort that is known."""
    return isinstance(batch, _HOLDS) or dataclasses.is_dataclass(batch)


def _plain(batch: Any, device: torch.device) -> Any:
    """Move the parts of a list, a tuple or a dict of Python's own."""
    if isinstance(batch, dict):
        moved = {key: to_device(value, device) for key, value in batch.items()}
        return batch if all(moved[key] is value for key, value in batch.items()) else moved
    parts = [to_device(part, device) for part in batch]
    if all(new is old for new, old in zip(parts, batch, strict=True)):
        return batch
    return type(batch)(parts)


def _needs_hand(batch: Any) -> bool:
    """Say whether a container's own methods are no way to copy it.

    A named tuple may be made by other arguments than its fields, and copying asks an object for
    methods, to which an AttrDict answers with its items.
    """
    kind = type(batch)
    if isinstance(batch, tuple):
        return hasattr(kind, "_fields")
    return isinstance(batch, Mapping | list) and (answers(kind) or own(batch) is batch)


def _by_hand(batch: Any, device: torch.device) -> Any:
    """Return a named tuple, or a container with attributes of its own making, moved."""
    parts = _parts(batch)
    moved = {id(part): to_device(part, device) for part in parts}
    if all(moved[id(part)] is part for part in parts):
        return batch
    kind = type(batch)
    bases: tuple[Any, ...] = (OrderedDict, defaultdict, dict, list, tuple, object)
    base = next(each for each in bases if issubclass(kind, each))
    if base is tuple:
        twin = tuple.__new__(kind, [moved[id(part)] for part in tuple.__iter__(batch)])
    else:
        twin = base.__new__(kind)
    if base is list:
        list.extend(twin, [moved[id(part)] for part in list.__iter__(batch)])
    elif isinstance(batch, dict):
        if isinstance(batch, defaultdict):
            defaultdict.__init__(twin, batch.default_factory)
        for key, part in base.items(batch):
            base.__setitem__(twin, key, moved[id(part)])
    if own(batch) is batch:
        object.__setattr__(twin, "__dict__", twin)
    else:
        own(twin).update({name: moved[id(part)] for name, part in own(batch).items()})
    for slot in object_graph.slots(batch):
        if object_graph.filled(batch, slot):
            slot.__set__(twin, moved[id(slot.__get__(batch))])
    return twin


def _moved_by_itself(batch: Any, device: torch.device) -> Any:
    """Let an object move itself, or rather a copy of it: some write to themselves."""
    held = list(_tensors(batch, set()))
    if held and all(same_device(each.device, device) for each in held):
        return batch
    if not held and attribute(batch, "device") == device:
        return batch
    twin = _copied(batch, {id(each): each for each in held})
    try:
        moved = twin.to(device)
    except (TypeError, ValueError, LookupError, AttributeError):
        if held:
            raise
        return batch  # its `to` is of another sort, between units say
    return twin if moved is None else moved


def _copied(batch: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of an object, with the tensors that the memo has for its own."""
    if hasattr(type(batch), "__copy__"):
        return copy.copy(batch)
    try:
        return copy.deepcopy(batch, memo)
    except Exception:  # some part cannot be copied
        return copy.copy(batch)


def _rebuilt(batch: Any, device: torch.device) -> Any:
    """Return a container of any sort with its tensors moved, all else in it as it is."""
    memo: dict[int, Any] = {}
    if not _survey(batch, device, memo, {id(batch)}):
        return batch
    try:
        # What the memo has takes the place of what is met.
        return copy.deepcopy(batch, memo)
    except Exception:  # such as a view of a dict, or what is built by other arguments
        if not isinstance(batch, Mapping | tuple):
            return batch
    if isinstance(batch, tuple):
        twin = tuple.__new__(type(batch), [memo.get(id(part), part) for part in batch])
        getattr(twin, "__dict__", {}).update(getattr(batch, "__dict__", {}))
        return twin
    moved = {key: to_device(value, device) for key, value in batch.items()}
    try:
        return type(batch)(moved)  # type: ignore[call-arg]
    except TypeError:
        return moved


def _survey(batch: Any, device: torch.device, memo: dict[int, Any], met: set[int]) -> bool:
    """Note for each part of a container what is to stand in its place; say if one has moved."""
    found = False
    for part in _parts(batch):
        if isinstance(part, _PLAIN) or id(part) in met:
            continue
        met.add(id(part))
        itself = isinstance(part, Tensor | PackedSequence) or _moves_itself(part)
        itself = itself or _needs_hand(part)
        if _holds(part) and not itself:
            found |= _survey(part, device, memo, met)
        else:
            memo[id(part)] = to_device(part, device)
            found |= memo[id(part)] is not part
    return found


def _parts(batch: Any) -> list[Any]:
    """Return what an object holds: items or values, and attributes."""
    held: list[Any] = []
    if isinstance(batch, dict):  # a person's own `values` may be an item
        held += object_graph.base_of(batch).values(batch)
    elif isinstance(batch, Mapping):
        held += batch.values()
    elif isinstance(batch, list | tuple | set | frozenset | deque | UserList):
        held += batch
    held += own(batch).values()
    slots = object_graph.slots(batch)
    return held + [each.__get__(batch) for each in slots if object_graph.filled(batch, each)]


def tensors(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch."""
    if isinstance(batch, Tensor):
        yield batch
    else:
        yield from _tensors(batch, set())


def _tensors(batch: Any, met: set[int]) -> Iterator[Tensor]:
    """Yield the tensors that an object holds, in whatever it holds."""
    if isinstance(batch, Collection) and len(batch) > object_graph.MOST_ITEMS:
        return  # no batch, but something that it knows
    for part in _parts(batch):
        if isinstance(part, Tensor):
            yield part
        elif not isinstance(part, _PLAIN) and id(part) not in met:
            met.add(id(part))
            yield from _tensors(part, met)


def count(batch: Any) -> int:
    """Return how many examples a batch holds; 1 where nothing tells.

    The first axis of a tensor that is a part by itself tells, then a list of dicts with the same
    names or of tensors of unlike length, as in detection, then tensors further in.
    """
    return _count(batch, set()) or 1


def _count(batch: Any, met: set[int]) -> int | None:
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    if isinstance(batch, Tensor):
        return batch.size(0) if batch.is_nested or batch.ndim else 1
    if isinstance(batch, _PLAIN) or id(batch) in met:
        return None
    met.add(id(batch))
    graphs = attribute(batch, "num_graphs")
    if isinstance(graphs, int):
        return graphs
    parts = _parts(batch)
    if isinstance(batch, list | tuple) and _alike(batch):
        return len(batch)
    near = [each for each in parts if isinstance(each, Tensor | PackedSequence)]
    near.sort(key=lambda each: isinstance(each, Tensor) and not each.is_nested and not each.ndim)
    lists = [each for each in parts if isinstance(each, list) and (_alike(each) or _unlike(each))]
    if near:
        return _count(near[0], met)
    if lists:
        return len(lists[0])
    return next((n for part in parts if (n := _count(part, met)) is not None), None)


def _alike(parts: Collection[Any]) -> bool:
    """Say whether parts are dicts with the same names, so an example each."""
    if not parts or not all(isinstance(each, Mapping) for each in parts):
        return False
    return len({frozenset(each) for each in parts}) == 1


def _unlike(parts: Collection[Any]) -> bool:
    """Say whether parts are tensors of unlike length, so an example each."""
    if not all(isinstance(each, Tensor) and not each.is_nested for each in parts):
        return False
    return len({each.shape[:1] for each in parts}) > 1
