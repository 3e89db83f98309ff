"""What stage of a training a learner is in, as its weights and its optimizer show."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from lrsuggest.training.inspection import history
from lrsuggest.training.inspection.layers import Layers, adapters, weight_layers
from lrsuggest.training.inspection.marks import Marks
from lrsuggest.training.restore.attributes import attribute
from lrsuggest.vocabulary import Stage

# Between a norm's weights: less than any long training takes them apart, and more than a short one.
_SHORT, _LONG = 0.3, 0.5


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
    reach: float = math.inf,
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
        reach: how far apart the optimizer's steps can have taken two weights of a norm.
        went_on: whether a framework has counted steps of it.
        under_way: whether a framework is in the middle of it, after its first step.
    """
    stepped = bool(history.continued(optimizer)) or under_way
    continued = stepped or went_on or marks.head or None
    weights = weight_layers(model)
    if layers.head_only and not (marks.pretrained and marks.head is False):
        stage: Stage | None = "frozen"
    elif adapters(model) or 4 * layers.held >= layers.all:
        stage = None  # such as a new head above layers of a trained body that train too
    elif history.held_before(optimizer, weights, graded):
        stage = "unfrozen"
    elif stepped:
        stage = _in_its_middle(marks, reach)
    elif marks.pretrained and told:
        stage = "unfrozen"
    elif marks.pretrained and continued and told is None:
        trained_all = all(id(each) in graded for each in weights)
        # After a short training it may be from scratch that it goes on.
        stage = None if marks.spread < _LONG else "finetune" if trained_all else "unfrozen"
    elif marks.pretrained:
        stage = "finetune"
    else:
        new = marks.fresh and not continued and not told and not layers.held
        stage = "scratch" if new and not loaded_from(model) else None
    return Standing(stage, continued)


def _in_its_middle(marks: Marks, reach: float) -> Stage | None:
    """Return the stage of a training of all layers that has made steps.

    Args:
        marks: what the weights show.
        reach: how far apart those steps can have taken two weights of a norm.
    """
    if marks.spread > reach:
        return "finetune"
    return "scratch" if marks.throughout and reach <= _SHORT else None


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
