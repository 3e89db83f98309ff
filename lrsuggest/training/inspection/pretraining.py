"""Whether a model was trained before it came here."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def pretrained(model: nn.Module, trained: Iterable[Tensor]) -> bool:
    """Say whether layers that train were trained before, as their norms tell.

    A norm begins with one number for all its channels, whoever makes the model, and has it no
    longer once it was trained. Its bias is looked at where it has one, for some draw its weights,
    and what it has seen, where it keeps that, for a few draw its bias too.

    Args:
        model: the model; one without norms tells nothing.
        trained: weights that the optimizer moves.
    """
    moved = {id(each) for each in trained}
    beside = False  # whether the weight layer before it trains: a norm itself may be held
    found: list[Tensor] = []
    for module in model.modules():
        held: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
        layers = [p for p in held.values() if not is_lazy(p) and p.ndim > 1]
        if layers:
            beside = any(p.requires_grad and id(p) in moved for p in layers)
        if beside and "norm" in _name(module) and not layers:
            held |= module.named_buffers(recurse=False)  # where a norm is held for good
            weight, bias = held.get("weight"), held.get("bias")
            told = [weight if bias is None else bias, held.get("running_mean")]
            if weight is not None:
                here = [_varies(each) for each in told if each is not None]
                known = [each for each in here if each is not None]
                found += [torch.stack(known).all()] if len(known) == len(here) else []
    # Asked all at once: each answer by itself would make the host wait for a device.
    return bool(found) and bool(torch.stack([each.to(found[0].device) for each in found]).any())


def _name(module: nn.Module) -> str:
    scripted = isinstance(module, torch.jit.ScriptModule)
    return str(module.original_name if scripted else type(module).__name__).lower()


@torch.no_grad()
def _varies(values: Tensor) -> Tensor | None:
    """Whether a vector holds more than one number, on its device; None for what is no vector."""
    if is_lazy(values) or values.is_meta or values.ndim != 1 or not len(values):
        return None
    return (values != values[0]).any()
