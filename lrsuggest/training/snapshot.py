"""Exact save and restore, in memory, of everything that training changes."""

import copy
import random
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrsuggest.training.learner import Learner


def _clone(value: Any) -> Any:
    """Copy a value deeply, tensors without their graph."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _clone(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_clone(each) for each in value)
    return copy.deepcopy(value)


def _put_back(now: Any, saved: Any) -> Any:
    """Return the saved value, written into the present tensor where one of its kind stands."""
    if (
        isinstance(now, Tensor)
        and isinstance(saved, Tensor)
        and (now.shape, now.dtype, now.device) == (saved.shape, saved.dtype, saved.device)
    ):
        with torch.no_grad():
            now.copy_(saved)
        return now
    return _clone(saved)


def generators(*sources: object) -> Iterator[torch.Generator]:
    """Yield every torch generator that a loader, its samplers or our batches hold, once each."""
    seen: set[int] = set()
    todo = list(sources)
    while todo:
        source = todo.pop()
        if source is None or id(source) in seen:
            continue
        seen.add(id(source))
        if isinstance(source, torch.Generator):
            yield source
            continue
        # __dict__, not getattr: a DataLoader warns or raises on some of its own properties.
        held = getattr(source, "__dict__", {})
        todo += [held.get(name) for name in ("generator", "sampler", "batch_sampler", "dataset")]


def _cuda_states() -> list[Tensor] | None:
    """The random state of every CUDA device, None where CUDA is not in use."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if in_use else None


class Snapshot:
    """A learner's state, bitwise: take it by construction, put it back with `restore()`.

    Holds weights and buffers (persistent or not), gradients, the optimizer's state and group
    settings, the gradient scaler, each module's train mode, the generators of the loaders, and
    the random states of torch (CPU and every CUDA device), numpy and Python. As a context
    manager it restores at the end, also after an exception or KeyboardInterrupt. It can be
    restored any number of times.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        model, optimizer = learner.model, learner.optimizer
        self._tensors = [(t, t.detach().clone()) for t in self._live_tensors()]
        self._grads = [(p, _clone(p.grad)) for p in model.parameters()]
        self._modes = [(module, module.training) for module in model.modules()]
        self._state = {p: _clone(state) for p, state in optimizer.state.items()}
        self._groups = [
            {key: _clone(value) for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        self._stepped = optimizer.__dict__.get("_opt_called")
        self._scaler = copy.deepcopy(learner.scaler.state_dict())
        self._random = (random.getstate(), np.random.get_state(), torch.get_rng_state())
        self._cuda = _cuda_states()
        self._generators = [(g, g.get_state()) for g in generators(learner.batches, learner.valid)]

    def _live_tensors(self) -> Iterator[Tensor]:
        yield from self._learner.model.parameters()
        yield from self._learner.model.buffers()

    def restore(self) -> None:
        """Put everything back, into the same tensors, bit for bit."""
        optimizer = self._learner.optimizer
        with torch.no_grad():
            for tensor, saved in self._tensors:
                tensor.copy_(saved)
        for parameter, grad in self._grads:
            parameter.grad = _put_back(parameter.grad, grad)
        for module, mode in self._modes:
            module.training = mode
        for key in list(optimizer.state):
            if key not in self._state:
                del optimizer.state[key]
        for key, saved_state in self._state.items():
            now = optimizer.state[key]
            optimizer.state[key] = {
                name: _put_back(now.get(name), value) for name, value in saved_state.items()
            }
        for group, settings in zip(optimizer.param_groups, self._groups, strict=True):
            for name in [name for name in group if name != "params" and name not in settings]:
                del group[name]
            for name, value in settings.items():
                group[name] = _put_back(group.get(name), value)
        if self._stepped is None:
            optimizer.__dict__.pop("_opt_called", None)
        else:
            optimizer.__dict__["_opt_called"] = self._stepped
        if self._scaler:
            self._learner.scaler.load_state_dict(copy.deepcopy(self._scaler))
        python, numpy, cpu = self._random
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        for generator, state in self._generators:
            generator.set_state(state)

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()
