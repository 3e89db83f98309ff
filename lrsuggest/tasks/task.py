"""A task joins a dataset with its model, loss, metrics and optimizer into a Learner."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import Dataset
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.lesson import WEIGHT_DECAY
from lrsuggest.tasks.models.encoder import hold
from lrsuggest.tasks.models.registry import build, pretrained
from lrsuggest.training.learner import Learner
from lrsuggest.vocabulary import Precision

_ADAM_BETAS = (0.9, 0.99)  # fastai's too


def point_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean distance between points (n, k, 2) in [-1, 1], as a share of the image's side."""
    distance: Tensor = torch.linalg.vector_norm(output - target, dim=-1)
    return distance.mean() / 2


def untrained(dataset: Dataset, data: Resident, seed: int = 0) -> nn.Module:
    """Build the model that datasets.toml names, its ends shaped by the data.

    New layers are initialised from `seed`; random states outside are left alone.

    Raises:
        UserError: there is no such model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach GPUs too
        return build(dataset.model, data, dataset.kind)


def to_evaluate(
    data: Resident, batch_size: int, *, half: int | None = None, device: torch.device | str = "cpu"
) -> Batches:
    """Return the validation split, or a half of it, in batches for a task of this batch size.

    They hold twice as many examples, as nothing is kept for a backward pass; on a CPU, where memory
    is not what is short, four times as many.
    """
    more = 4 if torch.device(device).type == "cpu" else 2
    return Batches(data, train=False, batch_size=more * batch_size, half=half, device=device)


def freeze(model: nn.Module) -> None:
    """Stop the body from training, all but its batch norms.

    Raises:
        UserError: the model has no body.
    """
    if not isinstance(body := getattr(model, "body", None), nn.Module):
        raise UserError(f"{type(model).__name__} has no pretrained body to freeze")
    hold(body)


def unfreeze(model: nn.Module) -> None:
    """Let everything train."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def build_learner(
    dataset: Dataset,
    data: Resident,
    *,
    stage: str,
    batch_size: int,
    seed: int = 0,
    model: nn.Module | None = None,
    precision: Precision = "fp32",
    weight_decay: float = WEIGHT_DECAY,
    device: torch.device | str = "cpu",
) -> Learner:
    """Build a task's learner on `model`, or on an `untrained` one of `seed`; AdamW decays weights.

    Stages are "frozen" (the body held but for its batch norms), "finetune" or "unfrozen"
    (pretrained, all trainable; what was trained before makes the difference) and "scratch".
    Random states outside are left alone.

    Raises:
        UserError: stage and model do not go together.
    """
    model = untrained(dataset, data, seed) if model is None else model
    if stage == "frozen":
        freeze(model)
    elif (stage == "scratch") is pretrained(dataset.model):
        raise UserError(f"stage {stage!r} does not go with the model {dataset.model}")
    # Channels last is what oneDNN and cuDNN convolve fastest; the numbers mean the same.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    layered = getattr(model, "layer_groups", None)
    groups = layered() if layered else [list(model.parameters())]
    settings: list[dict[str, Any]] = [{"params": group} for group in groups]
    optimizer: torch.optim.Optimizer
    if dataset.optimizer == "sgd":
        # Not fused: where a gradient scaler skips the first step, it keeps an unwritten momentum.
        optimizer = torch.optim.SGD(settings, lr=1e-3, momentum=0.9)
    elif dataset.optimizer == "adam":
        optimizer = torch.optim.Adam(settings, lr=1e-3, betas=_ADAM_BETAS, fused=True)
    else:
        optimizer = torch.optim.AdamW(
            settings, lr=1e-3, betas=_ADAM_BETAS, weight_decay=weight_decay, fused=True
        )
    metrics: dict[str, Any]
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    if dataset.kind == "points":
        loss_fn, metrics = F.mse_loss, {"point_error": point_error}
    elif dataset.kind == "regression":
        loss_fn, metrics = F.mse_loss, {"mean_absolute_error": F.l1_loss}
    else:
        void = data.classes.index(dataset.void) if dataset.void else None
        accuracy = MulticlassAccuracy(len(data.classes), average="micro", ignore_index=void)
        loss_fn, metrics = F.cross_entropy, {"accuracy": accuracy.to(device)}
    return Learner(
        model,
        loss_fn,
        Batches(data, train=True, batch_size=batch_size,
                flips=dataset.kind in ("segmentation", "points"), device=device),
        optimizer,
        valid=to_evaluate(data, batch_size, device=device),
        metrics=metrics,
        precision=precision,
        device=device,
    )  # fmt: skip
