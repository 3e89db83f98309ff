"""Which weights train: of a body, a head, adapters beside them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrsuggest.training.restore.attributes import attribute

# Trained along a body, by name, wherever they are.
_BESIDE = ("lora", "adapter", "prompt", "prefix")
_LORA = re.compile(r"(?:^|[._])lora(?:[._]|[ab]?$)")


@dataclass(frozen=True)
class Layers:
    """Which weight layers train: matrices and kernels, not norms and biases.

    Attributes:
        held: how many do not.
        all: how many there are.
        head_only: whether all but the last ones are held, so that a head trains on a body.
    """

    held: int
    all: int
    head_only: bool


def layers(model: nn.Module, trained: Iterable[Tensor]) -> Layers:
    """Tell the weight layers that train from those that are held, in the order of the model's.

    A layer trains if it requires a gradient and is among the trained. A head alone trains where
    the last ones do and at least as many before them are held, word vectors not counted among
    those; where more than a quarter train, a part of the model's that is half held is no head
    either. Adapters and prompts beside a body are no head, wherever they stand.

    Args:
        model: the model.
        trained: weights that the optimizer moves.
    """
    moved = {id(each) for each in trained}
    words = {
        id(p)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for p in module.parameters()
    }
    weights = weight_layers(model)
    trains = [p.requires_grad and id(p) in moved for p in weights]
    held = trains.count(False)
    body = [not each and id(p) not in words for p, each in zip(weights, trains, strict=True)]
    last = trains == sorted(trains)
    head_only = last and 0 < held < len(trains) and any(body) and 2 * held >= len(trains)
    if 4 * (len(trains) - held) > len(trains):  # a large head must be a part of its own
        head_only = head_only and all(map(_of_one_piece, parts(model)))
    beside = adapters(model) is not None or any(
        part in name.lower()
        for name, p in model.named_parameters()
        if not is_lazy(p) and p.ndim > 1 and p.requires_grad and id(p) in moved
        for part in _BESIDE
    )
    return Layers(held, len(trains), head_only and not beside)


def weight_layers(model: nn.Module) -> list[Tensor]:
    """Return a model's matrices and kernels, in its order; norms' and biases are none."""
    norms = {
        id(p)
        for module in model.modules()
        if "norm" in type(module).__name__.lower() and "Parametrized" not in type(module).__name__
        for p in module.parameters(recurse=False)
    }
    return [
        p
        for name, p in model.named_parameters()
        if id(p) not in norms and (name.endswith("weight") if is_lazy(p) else p.ndim > 1)
    ]


def parts(model: nn.Module) -> list[nn.Module]:
    """Return the parts that a model is made of at its highest level, those with weight layers."""
    found = [model]
    while len(found) == 1:
        found = [each for each in found[0].children() if modules_of(each)]
    return found


def modules_of(part: nn.Module) -> list[nn.Module]:
    """Return the modules within a part that have matrices or kernels of their own."""
    found = []
    for module in part.modules():
        held = dict(module.named_parameters(recurse=False))
        if any(is_lazy(p) or p.ndim > 1 for p in held.values()) and not is_norm(module, held):
            found.append(module)
    return found


def is_norm(module: nn.Module, held: Mapping[str, Tensor]) -> bool:
    """Whether a module is a norm; one that normalises the weights of a layer is a layer."""
    flat = all(is_lazy(p) or p.ndim < 2 for p in held.values())
    scripted = isinstance(module, torch.jit.ScriptModule)
    name = str(module.original_name if scripted else type(module).__name__).lower()
    return "norm" in name and (flat or isinstance(module, nn.LayerNorm | nn.RMSNorm))


def _of_one_piece(part: nn.Module) -> bool:
    """Whether all layers of a part train, or none does."""
    return len({p.requires_grad for p in weight_layers(part)}) < 2


def adapters(model: nn.Module) -> str | None:
    """Return what adapters that train beside a body are called, "LoRA" say; None for none.

    They are told by peft's own mark, or, for LoRA, by the names of the weights that train.
    """
    for module in model.modules():
        config = attribute(module, "peft_config")
        if config is not None:
            kinds = {_kind(each) for each in config.values()} if isinstance(config, dict) else set()
            return " and ".join(sorted(kinds)) or "adapters"
    lora = any(
        _LORA.search(name.lower()) for name, p in model.named_parameters() if p.requires_grad
    )
    return "LoRA" if lora else None


def _kind(config: object) -> str:
    """Return what peft calls a kind of adapters, with LoRA as people write it."""
    kind = attribute(config, "peft_type")
    name = str(getattr(kind, "value", kind) or "adapters")
    return {"LORA": "LoRA"}.get(name, name)


def outside(model: nn.Module, grouped: Iterable[Tensor]) -> list[str]:
    """Return the names of trainable weights that are in no group of the optimizer."""
    inside = {id(each) for each in grouped}
    return [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in inside]
