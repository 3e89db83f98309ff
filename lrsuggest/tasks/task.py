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
from lrsuggest.tasks.models.encoder import hold
from lrsuggest.tasks.models.heads import CNNHead
from lrsuggest.tasks.models.small import small_cnn
from lrsuggest.tasks.models.unet import UNet
from lrsuggest.training.learner import Learner, Precision

WEIGHT_DECAY = 0.01  # fastai's, for AdamW
_ADAM_BETAS = (0.9, 0.99)  # fastai's too


def point_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean distance between points (n, k, 2) in [-1, 1], as a share of the image's side."""
    distance: Tensor = torch.linalg.vector_norm(output - target, dim=-1)
    return distance.mean() / 2


def _model(dataset: Dataset, data: Resident) -> nn.Module:
    kind, _, body = dataset.model.partition("/")
    if kind in ("unet", "unet_norm"):
        return UNet(len(data.classes), body, norm=kind == "unet_norm")
    if kind == "cnn_head":
        return CNNHead(data.targets.shape[1:], body)
    if kind == "small_cnn":
        return small_cnn(data.inputs.shape[1], len(data.classes))
    raise UserError(
        f"there is no model {dataset.model!r}; use unet/…, unet_norm/…, cnn_head/… or small_cnn"
    )


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
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> Learner:
    """Build a task's learner, its new layers initialised from `seed`.

    Stages are "frozen" (the body held but for its batch norms), "finetune" (pretrained, all
    trainable) and "scratch". Random states outside are left alone.

    Raises:
        UserError: stage and model do not go together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(dataset, data)
    if stage == "frozen":
        freeze(model)
    elif (stage == "scratch") is hasattr(model, "body"):
        raise UserError(f"stage {stage!r} does not go with the model {dataset.model}")
    # Channels last is what oneDNN and cuDNN convolve fastest; the numbers mean the same.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    layered = getattr(model, "layer_groups", None)
    groups = layered() if layered else [list(model.parameters())]
    settings: list[dict[str, Any]] = [{"params": group} for group in groups]
    optimizer: torch.optim.Optimizer
    if dataset.optimizer == "sgd":
        optimizer = torch.optim.SGD(settings, lr=1e-3, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(
            settings, lr=1e-3, betas=_ADAM_BETAS, weight_decay=WEIGHT_DECAY
        )
    metrics: dict[str, Any]
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    if dataset.kind == "points":
        loss_fn, metrics = F.mse_loss, {"point_error": point_error}
    else:
        void = data.classes.index(dataset.void) if dataset.void else None
        accuracy = MulticlassAccuracy(len(data.classes), average="micro", ignore_index=void)
        loss_fn, metrics = F.cross_entropy, {"accuracy": accuracy.to(device)}
    return Learner(
        model,
        loss_fn,
        Batches(data, train=True, batch_size=batch_size, flips=dataset.kind != "classification",
                device=device),
        optimizer,
        valid=Batches(data, train=False, batch_size=2 * batch_size, device=device),
        metrics=metrics,
        precision=precision,
        device=device,
    )  # fmt: skip
