"""Exact save and restore, in memory, of everything that training changes."""

import copy
import sys
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import nn

from lrsuggest.training.learner import Learner
from lrsuggest.training.restore.kept import Kept, restore_after
from lrsuggest.training.restore.object_graph import DATA, is_own, walk
from lrsuggest.training.restore.randomness import Generator, SeedSequence


def generators(learner: Learner) -> list[Any]:
    """Return every random generator that a `Snapshot` of a learner puts back."""
    data = (*learner.data, learner.batches, learner.valid)
    found = walk(*_roots(learner), data=data, closed=learner.closed, skip=(learner.scaler,))
    return [each for each, _ in found if isinstance(each, SeedSequence | Generator)]


def taking_part(learner: Learner) -> list[Any]:
    """Return all that takes part in a learner's forward pass, as far as it can be reached."""
    found = walk(*_roots(learner), closed=learner.closed, skip=(learner.scaler, learner.optimizer))
    return [each for each, reach in found if reach != DATA]


def _roots(learner: Learner) -> tuple[Any, ...]:
    """Return where what takes part in a training is looked for, but for its examples."""
    return (
        learner.model, learner.loss_fn, learner.forward, learner.optimizer,
        learner.metrics,
        *learner.also,
        *([learner] if is_own(type(learner)) else ()),
        *_hooks_of_all(),
    )  # fmt: skip


def gpu_room(device: torch.device) -> int:
    """Return the free bytes on a CUDA device."""
    return torch.cuda.mem_get_info(device)[0]


class Snapshot:
    """A learner's state, bitwise: take it by construction, put it back with `restore()`.

    Holds everything that takes part in training, found by following what the learner leads to
    (see `Kept`): weights and buffers, gradients, attributes and train modes of the model and of
    any other Module that is reached, the loss's or a hook's; the optimizer's state and groups; the
    gradient scaler; generators, attributes and counters of loaders, samplers and datasets; and the
    random states of torch (CPU, every CUDA device, MPS), numpy and Python. One copy is made; on a
    CUDA device with less than twice the room for it, it goes to host memory.

    As a context manager it restores at the end, also after an exception or KeyboardInterrupt, and
    sets the living worker processes of a loader with persistent workers aside meanwhile, so that
    their random states stay where they are. It can be restored any number of times.
    """

    def __init__(self, learner: Learner) -> None:
        self._kept = Kept(
            *_roots(learner),
            data=(*learner.data, learner.batches, learner.valid),
            closed=learner.closed,
            skip=(learner.scaler,),
            lacks_room=partial(_lacks_room, learner.device),
        )
        self.on_host = self._kept.on_host
        scaler = learner.scaler
        saved = copy.deepcopy(scaler.state_dict())
        # No method of ours: in a circle the copies would outlive the sweep, and loaders' workers.
        self._kept.add("GradScaler", partial(_restore_scaler, scaler, saved))

    def restore(self) -> None:
        """Put everything back, into the same tensors, bit for bit.

        Raises:
            RuntimeError: some parts could not be put back; all others were.
        """
        self._kept.restore()

    def rewind(self) -> None:
        """Restore within the block: put everything back, living workers still set aside."""
        self.restore()
        self.__enter__()

    def __enter__(self) -> "Snapshot":
        for loader in self._kept.loaders:
            loader._iterator = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        restore_after(error, self.restore)


def _lacks_room(device: torch.device, size: int) -> bool:
    """Say whether the state lives on a CUDA device with less than twice the room for a copy."""
    return device.type == "cuda" and gpu_room(device) < 2 * size


def _restore_scaler(scaler: torch.amp.GradScaler, saved: dict[str, Any]) -> None:
    if saved:
        scaler.load_state_dict(copy.deepcopy(saved))
        # What a step broken off between unscale_ and update leaves behind.
        scaler._per_optimizer_states.clear()


def _hooks_of_all() -> list[Any]:
    """Return the hooks that torch calls for every module and optimizer."""
    spaces = (nn.modules.module, sys.modules[torch.optim.Optimizer.__module__])
    return [
        each
        for space in spaces
        for name, each in vars(space).items()
        if name.startswith("_global_") and isinstance(each, dict)
    ]
