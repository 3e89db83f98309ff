"""Models by the name that datasets.toml gives them: NAME, or NAME/DETAIL such as mlp/100.

A newcomer is one function with `model` above it. Nothing here loads torch before a model is built,
so that a plan can ask which of them have a pretrained body.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.resident import Resident

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[Resident, str, str], "nn.Module"]  # of data, their kind, and the detail


class Model(NamedTuple):
    """A model as it was registered: what builds it, and whether it has a pretrained body."""

    build: Build
    body: bool


MODELS: dict[str, Model] = {}


def model(name: str, *, body: bool = False) -> Callable[[Build], Build]:
    """Register the decorated function, which builds a model of new layers shaped by the data.

    Args:
        name: as datasets.toml has it, before the slash.
        body: whether it has a pretrained body, which a frozen stage holds.

    Raises:
        UserError: another model has that name.
    """

    def register(build: Build) -> Build:
        if name in MODELS:
            raise UserError(f"there is a model {name!r} already; choose another name")
        MODELS[name] = Model(build, body)
        return build

    return register


def pretrained(name: str) -> bool:
    """Say whether a model of datasets.toml has a pretrained body."""
    known = MODELS.get(name.partition("/")[0])
    return known is not None and known.body


def build(name: str, data: Resident, kind: str) -> "nn.Module":
    """Build the model that datasets.toml names, for data of a kind.

    Raises:
        UserError: there is no such model.
    """
    known, _, detail = name.partition("/")
    if known not in MODELS:
        raise UserError(f"there is no model {name!r}; use one of {', '.join(MODELS)}")
    return MODELS[known].build(data, kind, detail)


def _width(text: str) -> int:
    """Read the width of a model's layers, the detail of most names."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError(f"a width must follow the model's name, as in mlp/100; got {text!r}")
    return int(text)


def _outputs(data: Resident) -> int:
    return len(data.classes) or data.targets.shape[1]


def _channels(data: Resident) -> int:
    return data.inputs.shape[1] if data.inputs.ndim > 1 else 1


def _tokens(data: Resident, kind: str) -> int:
    return len(data.classes) if kind == "language" else int(data.inputs.max()) + 1


@model("unet", body=True)
def _unet(data: Resident, _kind: str, body: str) -> "nn.Module":
    from lrsuggest.tasks.models.unet import UNet

    return UNet(_outputs(data), body)


@model("unet_norm", body=True)
def _unet_norm(data: Resident, _kind: str, body: str) -> "nn.Module":
    from lrsuggest.tasks.models.unet import UNet

    return UNet(_outputs(data), body, norm=True)


@model("cnn_head", body=True)
def _cnn_head(data: Resident, kind: str, body: str) -> "nn.Module":
    from lrsuggest.tasks.models.heads import CNNHead

    return CNNHead(data.targets.shape[1:] if kind == "points" else (_outputs(data),), body)


@model("timm")
def _timm(data: Resident, _kind: str, name: str) -> "nn.Module":
    import timm

    made: nn.Module = timm.create_model(name, in_chans=_channels(data), num_classes=_outputs(data))
    return made


@model("small_cnn")
def _small_cnn(data: Resident, _kind: str, _detail: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import small_cnn

    return small_cnn(_channels(data), _outputs(data))


@model("plain_cnn")
def _plain_cnn(data: Resident, _kind: str, _detail: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import plain_cnn

    return plain_cnn(_channels(data), _outputs(data))


@model("dilated_cnn")
def _dilated_cnn(data: Resident, _kind: str, _detail: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import dilated_cnn

    return dilated_cnn(_channels(data), _outputs(data))


@model("linear")
def _linear(data: Resident, _kind: str, _detail: str) -> "nn.Module":
    from torch import nn

    inputs = int(np.prod(data.inputs.shape[1:]))
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, _outputs(data)))


@model("mlp")
def _mlp(data: Resident, _kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import mlp

    return mlp(_channels(data), _outputs(data), _width(width), norm=False)


@model("mlp_norm")
def _mlp_norm(data: Resident, _kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import mlp

    return mlp(_channels(data), _outputs(data), _width(width), norm=True)


@model("bag")
def _bag(data: Resident, kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import Bag

    return Bag(_tokens(data, kind), _outputs(data), _width(width))


@model("word_cnn")
def _word_cnn(data: Resident, kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import WordCNN

    return WordCNN(_tokens(data, kind), _outputs(data), _width(width))


@model("gru")
def _gru(data: Resident, kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import Recurrent

    return Recurrent(_tokens(data, kind), _width(width))


@model("transformer")
def _transformer(data: Resident, kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import Transformer

    return Transformer(
        _tokens(data, kind),
        _outputs(data),
        _channels(data),
        _width(width),
        causal=kind == "language",
    )


@model("dot")
def _dot(data: Resident, _kind: str, width: str) -> "nn.Module":
    from lrsuggest.tasks.models.small import Dot

    users, items = (int(data.inputs[:, column].max()) + 1 for column in (0, 1))
    return Dot(users, items, _width(width))
