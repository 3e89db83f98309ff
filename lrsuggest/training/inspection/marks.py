"""What a model's weights show of having been trained before it came here."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrsuggest.training.inspection.layers import is_norm, modules_of, parts

_BARE = 4  # weight layers in a row without a norm that tells: as in a transformer's layer
_TINY = 1e-4  # what some initialisations draw biases of
_ENOUGH = 64  # weights of a layer from which on their distribution tells how they were drawn
_CHANCE = 1e-3


@dataclass(frozen=True)
class Marks:
    """What weights show of having been trained.

    Attributes:
        pretrained: whether a norm among the layers that train is no longer as norms are made.
        spread: of a norm's weights, the largest less the smallest; the most of any norm's.
        throughout: whether norms stand all through the network, so that no layer could have been
            trained unseen.
        fresh: whether they do and every one is as it was made, what it has seen too, and no bias
            has grown beyond what is drawn for it.
        head: whether the last layers were trained before; None where they do not tell.
    """

    pretrained: bool = False
    spread: float = 0.0
    throughout: bool = False
    fresh: bool = False
    head: bool | None = None


@dataclass
class _Asked:
    """Numbers of tensors, looked at all at once: one by one each would make the host wait."""

    numbers: list[Tensor] = field(default_factory=list)
    found: list[float] = field(default_factory=list)

    def ask(self, number: Tensor) -> int:
        self.numbers.append(number.detach().float())
        return len(self.numbers) - 1

    def look(self) -> None:
        if self.numbers:
            device = self.numbers[0].device
            self.found = torch.stack([each.to(device) for each in self.numbers]).tolist()


@dataclass
class _Norm:
    """What was asked of a norm: the places of the answers, none for what it has not."""

    weight: int | None
    bias: int | None
    mean: int | None
    var: int | None
    spread: int | None
    trains: bool  # as the weight layer before it does: the norm itself may be held


@torch.no_grad()
def look(model: nn.Module, trained: Iterable[Tensor]) -> Marks:
    """Look at a model's norms, biases and head.

    A norm begins with one number for all its channels, whoever makes the model, and has it no
    longer once it was trained. Its bias is looked at where it has one, for some draw its weights,
    and what it has seen, where it keeps that, for a few draw its bias too.

    Args:
        model: the model; one without norms tells little.
        trained: weights that the optimizer moves.
    """
    moved = {id(each) for each in trained}
    asked = _Asked()
    norms: list[_Norm] = []
    biases: list[tuple[int, float]] = []
    trains, bare, longest, known, number = False, 0, 0, True, 0
    for module in model.modules():
        held: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
        if is_norm(module, held):
            held |= module.named_buffers(recurse=False)  # where a norm is held for good
            if any(_unseen(each) for each in held.values()):
                known = False
            elif (norm := _ask_norm(asked, held, trains)) is not None:
                norms.append(norm)
                bare = 0
            continue
        weights = [p for p in held.values() if not is_lazy(p) and p.ndim > 1]
        if any(map(_unseen, held.values())):
            known = False
        elif weights:
            trains = any(p.requires_grad and id(p) in moved for p in weights)
            if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
                bare, number = bare + 1, number + 1
                longest = max(longest, bare)
            weight, bias = held.get("weight"), held.get("bias")
            if weight is not None and weight.ndim > 1 and bias is not None and bias.numel() > 1:
                largest = torch.where(_varies(bias), bias.abs().max(), bias.new_zeros(()))
                biases.append((asked.ask(largest), _bound(weight)))
    head = _ask_head(asked, model)
    asked.look()
    found = asked.found
    before = any(norm.trains and _told(norm, found) for norm in norms)
    throughout = known and bool(norms) and longest <= max(_BARE, number // 4)
    fresh = (
        throughout
        and not any(
            found[place]
            for norm in norms
            for place in (norm.weight, norm.bias, norm.mean, norm.var)
            if place is not None
        )
        and all(found[place] <= bound * 1.001 for place, bound in biases)
    )
    spread = max((found[norm.spread] for norm in norms if norm.spread is not None), default=0.0)
    return Marks(before, spread, throughout, fresh, head.trained(found) if head else None)


def _unseen(values: Tensor) -> bool:
    return is_lazy(values) or values.is_meta or values.is_complex() or not values.numel()


def _ask_norm(asked: _Asked, held: dict[str, Tensor], trains: bool) -> _Norm | None:
    """Ask of a norm what tells; None where it has neither weights nor seen anything."""
    weight, bias = held.get("weight"), held.get("bias")
    mean, var = held.get("running_mean"), held.get("running_var")
    if mean is None and (weight is None or weight.numel() < 2):
        return None
    return _Norm(
        None if weight is None else asked.ask(_varies(weight)),
        None if bias is None else asked.ask(_varies(bias)),
        None if mean is None else asked.ask((mean != 0).any()),
        None if var is None else asked.ask((var != 1).any()),
        None if weight is None else asked.ask(weight.max() - weight.min()),
        trains,
    )


def _told(norm: _Norm, found: list[float]) -> bool:
    """Whether a norm says by all that tells of it that it was trained."""
    if norm.weight is None:
        return False
    first = norm.weight if norm.bias is None else norm.bias
    return bool(found[first]) and (norm.mean is None or bool(found[norm.mean]))


def _varies(values: Tensor) -> Tensor:
    """Whether a tensor holds more than one number, on its device."""
    flat = values.reshape(-1)
    return (flat != flat[:1]).any()


def _bound(weight: Tensor) -> float:
    """Return the largest weight, or bias, that torch draws for a layer unless told otherwise."""
    return 1 / math.sqrt(max(1, weight[0].numel()))


@dataclass
class _Head:
    """What was asked of the last layers: of the very last, and of the norms between them."""

    bound: float
    slack: float  # beyond the bound, as the weights' kind of number rounds it
    weights: int
    outputs: int
    largest: int
    deviation: int
    fourth: int
    bias: int | None
    bias_varies: int | None
    norms: list[int]

    def trained(self, found: list[float]) -> bool | None:
        """Say whether they were trained before; None where they do not tell.

        A new layer has zeros, or one number, for its biases, or torch's own draw: even, within a
        bound. What began as that draw leaves the bound and stays nearly even for a while.
        """
        even = self.weights >= _ENOUGH and found[self.fourth] < 2.2
        wide = math.sqrt(3) * found[self.deviation] / self.bound
        drawn = even and found[self.largest] <= self.bound * self.slack and 0.8 < wide < 1.2
        if drawn:
            return False
        if self.bias is None or self.bias_varies is None:
            return True if any(found[place] for place in self.norms) else None
        largest = found[self.bias]
        if largest <= _TINY or (self.outputs > 1 and not found[self.bias_varies]):
            return False
        if largest > self.bound * self.slack:
            return True
        if (largest / self.bound) ** self.outputs < _CHANCE:
            return True  # far smaller than torch draws them, so they began at zero
        if even and 0.7 < wide < 1.5:
            return True
        return True if any(found[place] for place in self.norms) else None


def _ask_head(asked: _Asked, model: nn.Module) -> _Head | None:
    """Ask of the last layers, those of the last of a model's parts; None where there are none."""
    of_model = parts(model)
    if not of_model:
        return None
    all_layers, head = modules_of(model), list(of_model[-1].modules())
    layers = modules_of(of_model[-1])
    last = layers[-1]
    weight, bias = _own(last, "weight"), _own(last, "bias")
    if weight is None or weight.ndim < 2 or any(_unseen(p) for p in last.parameters(False)):
        return None
    between: list[int] = []
    if 2 * len(layers) <= len(all_layers):
        start, end = head.index(layers[0]), head.index(last)
        for module in head[start:end]:
            held = dict(module.named_parameters(recurse=False))
            shift = held.get("bias", held.get("weight"))
            if is_norm(module, held) and shift is not None and not _unseen(shift):
                between.append(asked.ask(_varies(shift)))
    flat = weight.float().reshape(-1)
    deviation = flat.std(correction=0)
    fourth = ((flat - flat.mean()) ** 4).mean() / deviation.clamp_min(1e-12) ** 4
    floating = weight.dtype if weight.is_floating_point() else torch.float32
    return _Head(
        _bound(weight),
        1.0001 + torch.finfo(floating).eps,
        weight.numel(),
        0 if bias is None else bias.numel(),
        asked.ask(flat.abs().max()),
        asked.ask(deviation),
        asked.ask(fourth),
        None if bias is None else asked.ask(bias.abs().max()),
        None if bias is None else asked.ask(_varies(bias)),
        between,
    )


def _own(module: nn.Module, name: str) -> Tensor | None:
    return dict(module.named_parameters(recurse=False)).get(name)
