"""What stage of a training a learner is in, as its weights and its optimizer show."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from lrsuggest.training.inspection import history
from lrsuggest.training.inspection.layers import Layers, adapters, weight_layers
from lrsuggest.training.inspection.marks import Marks
from lrsuggest.training.restore.attributes import attribute
from lrsuggest.vocabulary import Stage

_REACH = 3  # times the rate: how far apart a step of Adam's may take two weights, with room
_LOWEST = 3e-3  # a rate may have been this high before, whatever a schedule has made of it


@dataclass(frozen=True)
class Standing:
    """Where a training stands.

    Attributes:
        stage: as in the vocabulary, None where it is not seen.
        continued: True where the training went on before, None where nothing tells.
    """

    stage: Stage | None
    continued: bool | None


def standing(
    model: nn.Module,
    optimizer: Any,
    layers: Layers,
    marks: Marks,
    told: bool | None = None,
    *,
    went_on: bool = False,
    under_way: bool = False,
) -> Standing:
    """Say where a training stands.

    Args:
        model: the model.
        optimizer: over its weights, with what it has kept of its steps.
        layers: which of the model's train.
        marks: what the weights show.
        told: whether the training went on before, as somebody who knows says; None for nobody.
        went_on: whether a framework has counted steps of it.
        under_way: whether a framework is in the middle of it, after its first step.
    """
    stepped = bool(history.continued(optimizer)) or under_way
    continued = stepped or went_on or marks.head or None
    known = bool(continued) if told is None else told
    return Standing(_stage(model, optimizer, layers, marks, stepped, known), continued)


def _stage(
    model: nn.Module, optimizer: Any, layers: Layers, marks: Marks, stepped: bool, continued: bool
) -> Stage | None:
    """Return the stage; what nothing shows for certain is not answered."""
    if layers.head_only:
        return "frozen"
    if adapters(model) or 4 * layers.held >= layers.all:
        return None
    if stepped:  # the norms may have been trained by this very training
        steps = history.stepped(optimizer)
        if history.ahead(steps, weight_layers(model)):
            return "unfrozen"
        return "finetune" if marks.spread > _moved(optimizer, steps) else None
    if marks.pretrained:
        return "unfrozen" if continued else "finetune"
    new = marks.fresh and not continued and not layers.held and not loaded_from(model)
    return "scratch" if new else None


def _moved(optimizer: Any, steps: dict[int, float]) -> float:
    """Return how far apart an optimizer's steps can have taken two weights that began as one."""
    if not any("betas" in group for group in optimizer.param_groups):
        return float("inf")  # only a step of Adam's is of the rate's size
    names = ("lr", "initial_lr", "max_lr")
    rates = [
        float(group[name]) for group in optimizer.param_groups for name in names if name in group
    ]
    return _REACH * max(steps.values(), default=0.0) * max([_LOWEST, *rates])


def loaded_from(model: nn.Module) -> str | None:
    """Return the name that a transformers model, or one within, was loaded by; None for none.

    A model that was made anew from the configuration of another has its name too.
    """
    for module in model.modules():
        config = vars(module).get("config")
        for name in (vars(module).get("name_or_path"), attribute(config, "_name_or_path")):
            if isinstance(name, str) and name:
                return name
    return None
