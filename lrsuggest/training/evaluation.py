"""A learner evaluated: its validation loss, and its metrics."""

from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from lrsuggest.errors import UserError
from lrsuggest.training.batch import count, to_device


class Metric(Protocol):
    """What a torchmetrics metric offers."""

    def update(self, output: Tensor, target: Any) -> None:
        """Take in a batch."""

    def compute(self) -> Tensor:
        """Return the value over all batches taken in."""

    def reset(self) -> None:
        """Forget them."""


def evaluate(learner: Any, most: int | None = None) -> dict[str, float]:
    """Return what `Learner.evaluate` does, gradients being off.

    Raises:
        UserError: there is no `valid`, or it is empty.
    """
    if learner.valid is None:
        raise UserError("there is nothing to evaluate on; give the Learner valid=...")
    modes = [(module, module.training) for module in learner.model.modules()]
    learner.model.eval()
    total, seen = torch.zeros((), device=learner.device), 0
    sums = {
        name: torch.zeros((), device=learner.device)
        for name, metric in learner.metrics.items()
        if not hasattr(metric, "update")
    }
    for metric in learner.metrics.values():
        if hasattr(metric, "reset"):
            metric.reset()
    try:
        for raw in islice(learner.valid, most):
            batch = to_device(raw, learner.device)
            n = count(batch)
            loss, output, target = learner._outcome(batch)
            total += loss.float() * n
            seen += n
            if learner.metrics and target is None:
                raise UserError("metrics need batches of (input, target), not dicts")
            for name, metric in learner.metrics.items():
                if hasattr(metric, "update"):
                    metric.update(output, target)
                else:
                    sums[name] += metric(output, target).float() * n
    finally:
        for module, mode in modes:
            module.training = mode
    if not seen:
        raise UserError("valid is empty; give at least one batch")
    values = {"loss": float(total / seen)}
    for name, metric in learner.metrics.items():
        values[name] = (
            float(metric.compute()) if hasattr(metric, "compute") else float(sums[name] / seen)
        )
    return values
