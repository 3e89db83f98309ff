"""What stage of a training a learner is in, as its weights and its optimizer show."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from lrsuggest.training.inspection import history
from lrsuggest.training.inspection.layers import Layers, adapters, weight_layers
from lrsuggest.training.inspection.marks import Marks
from lrsuggest.training.restore.attributes import attribute
from lrsuggest.vocabulary import Stage

_REACH = 3  # times the rate: how far apart a step of Adam's may take two weights, with room
_LONG = 0.5  # between a norm's weights: more than a short training takes them apart
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
    graded: Collection[int] = (),
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
        graded: ids of the weights that have gradients left of a last step.
        went_on: whether a framework has counted steps of it.
        under_way: whether a framework is in the middle of it, after its first step.
    """
    stepped = bool(history.continued(optimizer)) or under_way
    continued = stepped or went_on or marks.head or None
    if layers.head_only:
        stage: Stage | None = "frozen"
    elif adapters(model) or 4 * layers.held >= layers.all:
        stage = None
    elif history.held_before(optimizer, weight_layers(model), graded):
        stage = "unfrozen"
    elif stepped:  # the norms may have been trained by this very training
        beyond = marks.spread > _moved(optimizer)
        stage = "finetune" if beyond else None
    elif marks.pretrained:
        stage = _trained_before(marks, bool(continued), told)
    else:
        new = marks.fresh and not continued and not told and not layers.held
        stage = "scratch" if new and not loaded_from(model) else None
    return Standing(stage, continued)


def _trained_before(marks: Marks, continued: bool, told: bool | None) -> Stage | None:
    """Return the stage of a network all of which trains, and whose norms were trained before."""
    if told or (told is None and continued):
        # Else this may be a training from scratch that goes on.
        return "unfrozen" if told or marks.spread > _LONG else None
    return "finetune"


def _moved(optimizer: Any) -> float:
    """Return how far apart an optimizer's steps can have taken two weights that began as one."""
    if not any("betas" in group for group in optimizer.param_groups):
        return float("inf")  # only a step of Adam's is of the rate's size
    names = ("lr", "initial_lr", "max_lr")
    rates = [
        float(group[name]) for group in optimizer.param_groups for name in names if name in group
    ]
    return _REACH * max(history.stepped(optimizer).values(), default=0.0) * max([_LOWEST, *rates])


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
