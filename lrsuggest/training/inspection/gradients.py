"""A gradient and a step in numbers: sizes, slopes, and whether the gradient is still the loss's."""

from typing import Any

import torch
from torch import Tensor

WIDE = (torch.float64, torch.float32)  # formats in which no norm overflows


def alters_gradients(optimizer: Any) -> bool:
    """Say whether an optimizer's step may write to the gradients it is given."""
    plain = type(optimizer) in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    hooked = plain and optimizer._optimizer_step_pre_hooks
    # Some of torch's versions of Nesterov's step add the momentum to the gradient itself.
    return not plain or bool(hooked) or any(g.get("nesterov") for g in optimizer.param_groups)


def dot(gradient: Tensor, step: Tensor) -> Tensor:
    """Return the inner product of a gradient, sparse ones too, and a step."""
    if gradient.layout != torch.strided:
        gradient = gradient.coalesce()
        step = step[gradient.indices().unbind()]
        gradient = gradient.values()
    if gradient.is_complex():
        gradient, step = torch.view_as_real(gradient), torch.view_as_real(step)
    if gradient.dtype not in WIDE:
        gradient, step = gradient.float(), step.float()
    return torch.dot(gradient.reshape(-1), step.reshape(-1))


def sizes(tensors: list[Tensor]) -> Tensor:
    """Return each tensor's Euclidean norm, shape (n,)."""
    if all(each.dtype in WIDE for each in tensors):
        return torch.stack([each.float() for each in torch._foreach_norm(tensors)])
    return torch.stack(
        [torch.linalg.vector_norm(each, dtype=_wide(each)).float() for each in tensors]
    )


def norms(gradient: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return a gradient's Euclidean norm and its largest entry; None for none, or a sparse one."""
    if gradient is None or gradient.layout != torch.strided:
        return None
    largest = torch.linalg.vector_norm(gradient, torch.inf, dtype=_wide(gradient))
    return torch.linalg.vector_norm(gradient, dtype=_wide(gradient)), largest


def _wide(tensor: Tensor) -> torch.dtype | None:
    """Return a dtype that norms do not overflow in; None where the tensor's own is such."""
    if tensor.dtype in WIDE:
        return None
    return torch.complex64 if tensor.is_complex() else torch.float32
