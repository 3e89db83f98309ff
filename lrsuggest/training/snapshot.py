"""Exact save and restore, in memory, of everything that training changes."""

import copy
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lrsuggest.training.learner import Learner


def held_by(*sources: object) -> Iterator[object]:
    """Yield the sources and all that loaders, samplers and our batches hold below them, once."""
    seen: set[int] = set()
    todo = list(sources)
    while todo:
        source = todo.pop()
        if source is None or id(source) in seen:
            continue
        seen.add(id(source))
        yield source
        # __dict__, not getattr: a DataLoader warns or raises on some of its own properties.
        held = getattr(source, "__dict__", {})
        names = ("generator", "rng", "sampler", "batch_sampler", "dataset")
        todo += [held.get(name) for name in names]
        several = held.get("loaders")  # what draws from more than one keeps them so
        todo += several if isinstance(several, tuple) else ()


def generators(*sources: object) -> list[torch.Generator | random.Random]:
    """Return every generator of torch's or Python's that the sources hold."""
    kinds = torch.Generator | random.Random
    return [each for each in held_by(*sources) if isinstance(each, kinds)]


def _rewind(generator: torch.Generator | random.Random) -> Callable[[], object]:
    """Return what puts a generator back to its present state."""
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    return partial(generator.set_state, generator.get_state())


def gpu_room(device: torch.device) -> int:
    """Return the free bytes on a CUDA device."""
    return torch.cuda.mem_get_info(device)[0]


class RandomStates:
    """The random states of torch (CPU and every CUDA device in use), numpy and Python, as now."""

    def __init__(self) -> None:
        self._host = (random.getstate(), np.random.get_state(), torch.get_rng_state())
        in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        self._cuda = torch.cuda.get_rng_state_all() if in_use else None

    def restore(self) -> None:
        """Put them back."""
        python, numpy, cpu = self._host
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)


class Snapshot:
    """A learner's state, bitwise: take it by construction, put it back with `restore()`.

    Holds weights and buffers (persistent or not), gradients, the optimizer's state and group
    settings, the gradient scaler, each module's train mode, the generators of the loaders, and
    the random states of torch (CPU and every CUDA device), numpy and Python. One copy is made;
    on a CUDA device with less than twice the room for it, it goes to host memory.

    As a context manager it restores at the end, also after an exception or KeyboardInterrupt, and
    sets the living worker processes of a loader with persistent workers aside meanwhile, so that
    their random states stay where they are. It can be restored any number of times.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        model, optimizer = learner.model, learner.optimizer
        self.on_host = self._lacks_room()
        self._tensors = [(t, self._clone(t)) for t in (*model.parameters(), *model.buffers())]
        # A forward pass may put another tensor in a buffer's place, or fill one that was None.
        self._buffers = [(module, dict(module._buffers)) for module in model.modules()]
        self._grads = [(p, self._clone(p.grad)) for p in model.parameters()]
        self._modes = [(module, module.training) for module in model.modules()]
        self._state = {p: self._clone(state) for p, state in optimizer.state.items()}
        self._groups = [
            {key: self._clone(value) for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        self._stepped = optimizer.__dict__.get("_opt_called")
        self._scaler = copy.deepcopy(learner.scaler.state_dict())
        self._random = RandomStates()
        sources = (learner.batches, learner.valid)
        self._rewinds = [_rewind(each) for each in generators(*sources)]
        self._iterators = [
            (each, each._iterator) for each in held_by(*sources) if isinstance(each, DataLoader)
        ]

    def _lacks_room(self) -> bool:
        """Whether the state lives on a CUDA device with less than twice the room for a copy."""
        if self._learner.device.type != "cuda":
            return False
        model, optimizer = self._learner.model, self._learner.optimizer
        tensors = [*model.parameters(), *model.buffers()]
        tensors += [p.grad for p in model.parameters() if p.grad is not None]
        for state in optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, Tensor)]
        return gpu_room(self._learner.device) < 2 * sum(t.nbytes for t in tensors)

    def _clone(self, value: Any) -> Any:
        """Copy a value deeply, tensors without their graph."""
        if isinstance(value, Tensor):
            held = value.detach()
            return held.cpu() if self.on_host and held.is_cuda else held.clone()
        if isinstance(value, dict):
            return {key: self._clone(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._clone(each) for each in value)
        return copy.deepcopy(value)

    def _put_back(self, now: Any, saved: Any, device: torch.device | None = None) -> Any:
        """Return the saved value, written into the present tensor where one of its kind stands."""
        if not isinstance(saved, Tensor):
            return self._clone(saved)
        alike = isinstance(now, Tensor) and (now.shape, now.dtype) == (saved.shape, saved.dtype)
        if alike:
            with torch.no_grad():
                now.copy_(saved)
            return now
        return self._clone(saved).to(device or saved.device)

    def restore(self) -> None:
        """Put everything back, into the same tensors, bit for bit."""
        optimizer = self._learner.optimizer
        with torch.no_grad():
            for tensor, saved in self._tensors:
                tensor.copy_(saved)
        for module, buffers in self._buffers:
            module._buffers.clear()
            module._buffers.update(buffers)
        for parameter, grad in self._grads:
            parameter.grad = self._put_back(parameter.grad, grad, parameter.device)
        for module, mode in self._modes:
            module.training = mode
        for key in list(optimizer.state):
            if key not in self._state:
                del optimizer.state[key]
        for key, saved_state in self._state.items():
            now = optimizer.state[key]
            optimizer.state[key] = {
                name: self._put_back(now.get(name), value, key.device if self.on_host else None)
                for name, value in saved_state.items()
            }
        for group, settings in zip(optimizer.param_groups, self._groups, strict=True):
            for name in [name for name in group if name != "params" and name not in settings]:
                del group[name]
            for name, value in settings.items():
                group[name] = self._put_back(group.get(name), value)
        if self._stepped is None:
            optimizer.__dict__.pop("_opt_called", None)
        else:
            optimizer.__dict__["_opt_called"] = self._stepped
        if self._scaler:
            self._learner.scaler.load_state_dict(copy.deepcopy(self._scaler))
            # What a step broken off between unscale_ and update leaves behind.
            self._learner.scaler._per_optimizer_states.clear()
        # Before the generators: a loader's new worker processes draw their seed from one.
        for loader, iterator in self._iterators:
            loader._iterator = iterator
        self._random.restore()
        for rewind in self._rewinds:
            rewind()

    def rewind(self) -> None:
        """Restore within the block: put everything back, living workers still set aside."""
        self.restore()
        self.__enter__()

    def __enter__(self) -> "Snapshot":
        for loader, _ in self._iterators:
            loader._iterator = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()
