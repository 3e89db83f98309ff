"""What a forward pass changes beside weights, put back so that the same pass can be made again."""

import types
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrsuggest.training.restore import object_graph, refill
from lrsuggest.training.restore.object_graph import is_a
from lrsuggest.training.restore.randomness import Generator, RandomStates, rewind

_MOST = 2**20  # bytes: what is larger is copied only once it is seen to change
_DRAWS = ("builtins", "itertools")  # what is drawn from their iterators is gone


class Randomness:
    """The process's random states and those of some generators, as now.

    Args:
        generators: beside the process's.
        torchs: whether of the process's those of torch alone are wanted.
    """

    def __init__(self, generators: Iterable[Generator], *, torchs: bool) -> None:
        self._states = RandomStates(torchs=torchs)
        self._rewinds = [undo for each in generators if (undo := rewind(each))]

    def others_moved(self) -> bool:
        """Say whether the process's have moved that are not torch's."""
        return self._states.others_moved()

    def restore(self) -> None:
        """Put them back."""
        self._states.restore()
        for undo in self._rewinds:
            undo()


class PassState:
    """What forward passes write to, found out by watching the first.

    Attributes, containers, closures' variables, the globals that a person's functions name, the
    content of arrays and of tensors that are no weights. Of all these the first note is made; the
    later ones are of what had changed by then.

    Args:
        values: what takes part in a pass.
        but: tensors that are not to be watched: weights, gradients, an optimizer's state.

    Attributes:
        repeats: whether nothing is drawn from an iterator, which nobody can put back.
    """

    def __init__(self, values: Iterable[Any], but: Iterable[Tensor]) -> None:
        left = {id(each) for each in but}
        self._others: list[Any] = []
        self._tensors: list[Tensor] = []
        self._copied: set[int] = set()  # of the tensors, those that are known to change
        self.repeats = True
        for value in values:
            if is_a(value, Tensor):
                if id(value) not in left and _watched(value):
                    self._tensors.append(value)
            elif _Note.kind(value):
                self._others.append(value)
                self.repeats &= not any(map(_draws, _contents(value)))
        self._first = True

    def note(self) -> "PassNote":
        """Note them as they are."""
        copied = [
            (each, each.detach().clone())
            for each in self._tensors
            if id(each) in self._copied or (self._first and each.nbytes <= _MOST)
        ]
        versions = [each._version for each in self._tensors]
        return PassNote([_Note(each) for each in self._others], copied, versions)

    def settle(self, note: "PassNote") -> bool:
        """Take it from a note that changes since then tell; say if the note can undo them."""
        if self._first:
            note.others = [each for each in note.others if each.changed()]
            self._others = [each.value for each in note.others]
        self._first = False
        changed = [
            each
            for each, version in zip(self._tensors, note.versions, strict=True)
            if each._version != version
        ]
        self._copied |= {id(each) for each in changed}
        note.tensors = [pair for pair in note.tensors if id(pair[0]) in self._copied]
        return {id(each) for each in changed} <= {id(each) for each, _ in note.tensors}


class PassNote:
    """What forward passes write to, as it was when this was made.

    Args:
        others: of all that is no tensor.
        tensors: each with a copy.
        versions: of all tensors that are watched, how often they have been written to.
    """

    def __init__(
        self, others: "list[_Note]", tensors: list[tuple[Tensor, Tensor]], versions: list[int]
    ) -> None:
        self.others, self.tensors, self.versions = others, tensors, versions

    def restore(self) -> None:
        """Put it back."""
        for each in self.others:
            each.undo()
        with torch.no_grad():
            for tensor, content in self.tensors:
                tensor.copy_(content)


class _Note:
    """One object's content, and what puts it back."""

    def __init__(self, value: Any) -> None:
        self.value = value
        kind = self.kind(value)
        self.undo: Callable[[], object]
        if kind == "dict":
            self.held: Any = dict(object_graph.base_of(value).items(value))
            self.undo = partial(refill.dict_, value, self.held)
        elif kind == "list":
            self.held = object_graph.items(value)
            self.undo = partial(refill.list_, value, self.held)
        elif kind == "set":
            self.held = set(object_graph.items(value))
            self.undo = partial(refill.set_, value, self.held)
        elif kind == "cell":
            self.held = refill.ABSENT if object_graph.empty(value) else value.cell_contents
            self.undo = partial(refill.cell_, value, self.held)
        elif kind == "function":
            spaces = object_graph.namespaces(value)
            bound = [
                (space, {name: space[name] for name in names if name in space})
                for space, names in spaces
            ]
            self.held, self.undo = bound, partial(_names, bound)
        else:
            self.held = value.copy()
            self.undo = partial(refill.array_, value, self.held)

    @staticmethod
    def kind(value: Any) -> str:
        """Say what an object is to be noted as; nothing for not at all."""
        for name, kinds in (
            ("dict", dict), ("list", (list, deque)), ("set", set), ("cell", types.CellType),
            ("function", types.FunctionType),
        ):  # fmt: skip
            if is_a(value, kinds):
                return name
        fits = is_a(value, np.ndarray) and value.flags.writeable and value.nbytes <= _MOST
        return "array" if fits and value.dtype != object else ""

    def changed(self) -> bool:
        """Say whether it is another now."""
        value, held = self.value, self.held
        kind = self.kind(value)
        if kind == "array":
            return bool(value.tobytes() != held.tobytes())
        if kind == "function":
            return any(
                space.get(name, refill.ABSENT) is not each
                for space, bound in held
                for name, each in bound.items()
            )
        if kind == "cell":
            now = refill.ABSENT if object_graph.empty(value) else value.cell_contents
            return now is not held
        if kind == "set":
            return {id(each) for each in object_graph.items(value)} != {id(each) for each in held}
        then = [*held, *held.values()] if kind == "dict" else held
        now = object_graph.items(value)
        return len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))


def _names(bound: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for space, held in bound:
        refill.names_(space, held)


def _contents(value: Any) -> list[Any]:
    """Return what an object of those that are noted holds by itself."""
    if is_a(value, types.CellType):
        return [] if object_graph.empty(value) else [value.cell_contents]
    if is_a(value, types.FunctionType):
        spaces = object_graph.namespaces(value)
        return [space[name] for space, names in spaces for name in names if name in space]
    return [] if is_a(value, np.ndarray) else object_graph.items(value)


def _draws(value: Any) -> bool:
    """Say whether something is an iterator of Python's own."""
    return hasattr(type(value), "__next__") and type(value).__module__ in _DRAWS


def _watched(tensor: Tensor) -> bool:
    """Say whether a tensor's content can be copied, and put back, as that of a plain one."""
    return (
        not is_a(tensor, nn.Parameter)
        and refill.dense(tensor)
        and tensor.layout == torch.strided
        and not tensor.is_nested
        and not tensor.is_inference()
        and not (tensor.is_leaf and tensor.requires_grad)
    )
