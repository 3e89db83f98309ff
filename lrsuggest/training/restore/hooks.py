"""The hooks of a tensor: its own, and those of the autograd node that gathers its gradient."""

import gc
from typing import Any

import torch
from torch import Tensor


def hooks_of(tensor: Tensor) -> list[Any]:
    """Return the dicts of hooks that a backward pass calls for a tensor."""
    own = [tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None)]
    return own + _of_its_node(tensor)


def _of_its_node(tensor: Tensor) -> list[Any]:
    """Return the dicts of a weight's gradient accumulator, which shows them to Python's gc alone.

    The node is a person's if they hold it, and made anew, without hooks, if nobody does.
    """
    if not (tensor.is_leaf and tensor.requires_grad):
        return []
    try:
        with torch.enable_grad(), torch._C.DisableTorchFunctionSubclass():
            node = torch.autograd.graph.get_gradient_edge(tensor).node
    except RuntimeError:  # lazy weights, layouts without views
        return []
    return [each for each in gc.get_referents(node) if isinstance(each, dict)]
