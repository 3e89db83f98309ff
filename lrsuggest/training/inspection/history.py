"""Whether a training went on before, and what of it, as an optimizer tells."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrsuggest.training.restore.attributes import attribute, own

_COUNTS = ("step", "steps", "k", "t")
_ROOM = 3  # times the rate: how far apart a step of Adam's takes two weights at the most


def continued(optimizer: Any) -> bool | None:
    """Return True where an optimizer has made steps, None where it does not tell."""
    if own(optimizer).get("_opt_called"):  # torch's own mark, under a schedule
        return True
    for group in optimizer.param_groups:
        if any(name in group and positive(group[name]) for name in _COUNTS):
            return True
    return True if any(stepped(optimizer).values()) else None


def stepped(optimizer: Any) -> dict[int, float]:
    """Return the steps that an optimizer made with each weight, by its id; 1 for an unknown number.

    The numbers are looked at all at once: one by one each would make the host wait for a device.
    """
    asked: list[tuple[int, Tensor]] = []
    found: dict[int, float] = {}
    for weight, state in optimizer.state.items():
        if not isinstance(state, dict):
            continue
        counts = [state[name] for name in _COUNTS if name in state]
        numbers = [each for each in counts if not isinstance(each, Tensor)]
        found[id(weight)] = max((float(each) for each in numbers if positive(each)), default=0.0)
        tensors = [each for each in counts if isinstance(each, Tensor)]
        if not counts:  # such as a momentum, which is zero until there is one
            tensors = [each.any() for each in state.values() if isinstance(each, Tensor)]
        asked += [
            (id(weight), each.detach().float().max())
            for each in tensors
            if each.numel() and not each.is_meta
        ]
    if asked:
        device = asked[0][1].device
        told = torch.stack([each.to(device) for _, each in asked]).tolist()
        for (weight, _), steps in zip(asked, told, strict=True):
            found[weight] = max(found[weight], steps)
    return found


def reach(optimizer: Any, rates: Iterable[float] = ()) -> float:
    """Return how far apart an optimizer's steps can have taken two weights that began as one.

    Only a step of Adam's is of the rate's size, whatever the gradient. What the rate was before
    is told by what torch's optimizers and schedulers keep of it.

    Args:
        optimizer: with what it has kept of its steps.
        rates: that it had, where it keeps none itself.
    """
    had = list(rates)
    kept = (attribute(optimizer, "defaults") or {}).get("lr")
    if kept is not None and any("betas" in group for group in optimizer.param_groups):
        names = ("lr", "initial_lr", "max_lr")
        groups = optimizer.param_groups
        had += [float(group[name]) for group in groups for name in names if name in group]
        had.append(float(kept))
    steps = max(stepped(optimizer).values(), default=0.0)
    return _ROOM * steps * max(had, default=math.inf) if steps else math.inf


def held_before(optimizer: Any, weights: Sequence[Tensor], graded: Collection[int]) -> bool:
    """Say whether the first layers train now and were held until now, under the last ones.

    The optimizer made more steps with the last layers, or those alone have gradients left of the
    last step; fastai keeps them, as zeros.

    Args:
        optimizer: over the weights.
        weights: of the layers that train, in the order of the model's.
        graded: ids of the weights that have gradients left (see `with_gradients`).
    """
    steps = stepped(optimizer)
    made = [steps.get(id(each), 0.0) for each in weights]
    return _behind(made) or (not any(made) and _behind([id(p) in graded for p in weights]))


def with_gradients(model: nn.Module) -> frozenset[int]:
    """Return the ids of the weights that have gradients, as of a last step; before a snapshot."""
    return frozenset(id(p) for p in model.parameters() if p.grad is not None)


def _behind(made: Sequence[float]) -> bool:
    """Whether the first layer, and a quarter of all, have less than the last has."""
    if len(made) < 2 or made[0] >= made[-1]:
        return False
    return 4 * sum(each < made[-1] for each in made) >= len(made)


def positive(value: Any) -> bool:
    """Whether something is a number above zero, or holds one: shares may be listed by layer."""
    if isinstance(value, Tensor):
        return not value.is_meta and value.dtype != torch.bool and bool((value > 0).any())
    if isinstance(value, list | tuple):
        return any(map(positive, value))
    return isinstance(value, int | float | np.number) and float(value) > 0
