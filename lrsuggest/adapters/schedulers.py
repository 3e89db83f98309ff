"""Setting the rates of a torch optimizer under a schedule that is attached to it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lrsuggest.errors import UserError
from lrsuggest.training.one_cycle import group_rates

_KEPT_IN_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")  # the latter three by schedulers


def planned(
    lr: float | slice, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[float], list[float]]:
    """Return each group's rate before any schedule, or its highest under a one-cycle, and the new.

    Args:
        lr: the largest group's rate, the others keep their ratios to it; or slice(lo, hi), spread
            over the layers, where groups that overlap in depth are one layer.
        model: whose parameters, in their order, tell the depth.
        optimizer: over its parameters.

    Raises:
        UserError: the rate is not positive, or a slice meets groups that all overlap.
    """
    groups = optimizer.param_groups
    # A one-cycle schedule begins below its maximum and keeps that beside it.
    now = [float(group.get("max_lr", group.get("initial_lr", group["lr"]))) for group in groups]
    if isinstance(lr, slice):
        return now, _spread(lr, model, [group["params"] for group in groups])
    top = max(now)
    return now, group_rates(lr, [rate / top if top > 0 else 1.0 for rate in now])


def set_rates(
    optimizer: torch.optim.Optimizer, scheduler: object, now: list[float], to_be: list[float]
) -> None:
    """Take an optimizer's groups and its schedule to other rates; the schedule goes on, scaled.

    Args:
        optimizer: whose groups are set.
        scheduler: a torch scheduler over it, which may hold others; a list of them; or None.
        now: each group's rate before any schedule.
        to_be: what it is to be.
    """
    groups = optimizer.param_groups
    for group, old, new in zip(groups, now, to_be, strict=True):
        for name in _KEPT_IN_GROUPS:
            if name in group:
                value = float(group[name]) * new / old if old > 0 else new
                if isinstance(group[name], Tensor):
                    group[name].fill_(value)
                else:
                    group[name] = value
    optimizer.defaults["lr"] = max(to_be)  # some schedules, made later, divide by it
    todo = list(scheduler) if isinstance(scheduler, list) else [scheduler]
    while todo:
        each = todo.pop()
        if hasattr(each, "base_lrs"):
            each.base_lrs = [
                rate * new / old if old > 0 else new
                for rate, old, new in zip(each.base_lrs, now, to_be, strict=True)
            ]
        if hasattr(each, "_last_lr"):
            each._last_lr = [float(group["lr"]) for group in groups]
        todo += getattr(each, "_schedulers", ())


def _spread(lr: slice, model: nn.Module, groups: Sequence[Sequence[Tensor]]) -> list[float]:
    """Return each group's rate, spread over the layers.

    Raises:
        UserError: there is but one.
    """
    depth: dict[Tensor, int] = {p: index for index, p in enumerate(model.parameters())}
    spans = [[depth[p] for p in group if p in depth] or [0] for group in groups]
    layers: list[list[int]] = []
    reached = -1
    for index in sorted(range(len(groups)), key=lambda index: min(spans[index])):
        if min(spans[index]) > reached:
            layers.append([])
        layers[-1].append(index)
        reached = max(reached, *spans[index])
    if len(layers) < 2:
        raise UserError(
            f"{lr} spreads rates over layers, but the optimizer's {len(groups)} parameter "
            "group(s) are not layers; give one rate, or make an optimizer with a group per layer"
        )
    rates = group_rates(lr, [1.0] * len(layers))
    of = {index: rate for layer, rate in zip(layers, rates, strict=True) for index in layer}
    return [of[index] for index in range(len(groups))]
