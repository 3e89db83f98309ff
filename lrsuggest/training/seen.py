"""What a learner shows that the recorded tasks had not, and what speaks of it beside its curve."""

import warnings
from collections.abc import Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from torch import nn

from lrsuggest.curves.doubts import Seen
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.training.detection import outside, positive
from lrsuggest.training.object_graph import walk

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner

# By the beginning of a name, in small letters.
_DROPS = {"droppath": "stochastic depth", "stochasticdepth": "stochastic depth"}
_MIXES = {"mixup": "MixUp", "cutmix": "CutMix", "mixhandler": "mixed examples"}


def seen(learner: "Learner", told: str | None) -> Seen:
    """Return what a learner shows of itself; warn of weights that its optimizer leaves out.

    Args:
        learner: what is to be swept.
        told: the optimizer's name as the caller gave it.

    Raises:
        UserError: the optimizer is seen to be another than told.
    """
    layers, kind = learner.layers, learner.optimizer_kind
    if told and kind.name and "sgd" in (told, kind.name) and told != kind.name:
        raise UserError(
            f"optimizer={told!r} was given, but the learner's is "
            f"{type(learner.optimizer).__name__} ({kind.name!r}): leave optimizer out"
        )
    left = outside(learner.model, (p for group in learner.grouped() for p in group))
    if left:
        warnings.warn(
            f"trainable weights are in no group of the optimizer ({len(left)}, {left[0]} first): "
            "add them, or hold them with requires_grad_(False)",
            LrsuggestWarning,
            stacklevel=3,
        )
    return Seen(
        kind.unrecorded, layers.held, layers.all, learner.continued, tuple(left),
        tuple(learner.beside),
    )  # fmt: skip


def beside(model: nn.Module, *roots: object, data: Iterable[object] = (), **how: Any) -> list[str]:
    """Return the methods of training, by name, that no recorded task had: MixUp, drop path.

    Args:
        model: the model.
        roots: what else takes part, such as the loss.
        data: loaders, whose collation may mix examples.
        how: of the walk through them (see `walk`).
    """
    found = {
        _DROPS[kind]
        for module in model.modules()
        for kind in _DROPS
        if kind in type(module).__name__.lower()
        and any(positive(getattr(module, name, None)) for name in ("drop_prob", "p"))
    }
    for each, _ in walk(model, *roots, data=data, **how):
        found |= mixes(each)
    return sorted(found)


def mixes(thing: object) -> set[str]:
    """Return what mixes examples: the name of a function or class such as MixUp, in a set."""
    called = (
        [thing.__name__]
        if isinstance(thing, FunctionType)
        else [kind.__name__ for kind in type(thing).__mro__]
    )
    for name in called:
        for key, said in _MIXES.items():
            if name.lower().replace("_", "").startswith(key):
                return {said}
    return set()
