"""What a learner shows that the recorded tasks had not, and what speaks of it beside its curve."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lrsuggest.curves.doubts import Seen
from lrsuggest.errors import LrsuggestWarning, UserError, callers_line
from lrsuggest.training.inspection.detection import outside
from lrsuggest.training.learner import Learner
from lrsuggest.training.restore.attributes import attribute


def seen(learner: Learner, told: str | None) -> Seen:
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
            stacklevel=callers_line(),
        )
    return Seen(
        kind.unrecorded, layers.held, layers.all, learner.continued, tuple(left),
        tuple(learner.beside), loaded_from(learner.model),
    )  # fmt: skip


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


@contextmanager
def gradients(learner: Learner) -> Iterator[dict[str, bool]]:
    """Tell, once all is over, which of the weights that are to train got a gradient within.

    Yields:
        By the name of each weight of a group whose rate is not zero whether it has got one; empty
        until all is over.
    """
    names = {id(p): name for name, p in learner.model.named_parameters()}
    pairs = zip(learner.grouped(), learner.group_ratios(), strict=True)
    watched = {
        names.get(id(p), f"weight {index} beside the model"): p
        for index, p in enumerate(p for group, ratio in pairs if ratio > 0 for p in group)
        if p.requires_grad and p.is_leaf
    }
    got: set[str] = set()  # empty, so that whoever puts back what a sweep changes leaves it be
    bare = [p for p in watched.values() if getattr(p, "_post_accumulate_grad_hooks", 0) is None]

    def noting(name: str) -> Any:
        return lambda _: got.add(name)

    handles: list[Any] = []
    for name, p in watched.items():
        hang: Any = p.register_post_accumulate_grad_hook
        handles.append(hang(noting(name)))
    found: dict[str, bool] = {}
    try:
        yield found
        found.update((name, name in got) for name in watched)
    finally:
        for handle in handles:
            handle.remove()
        for p in bare:
            p._post_accumulate_grad_hooks = None  # type: ignore[assignment]
