"""What a learner shows that the recorded tasks had not, and what speaks of it beside its curve."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lrsuggest.curves.doubts import Seen
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.errors import LrsuggestWarning, UserError, callers_line
from lrsuggest.training.inspection.layers import outside
from lrsuggest.training.inspection.stages import loaded_from
from lrsuggest.training.learner import Learner


def seen(learner: Learner, told: Context) -> tuple[Context, Seen]:
    """Return what is known of a training, and what its learner shows; warn of weights left out.

    What the caller says goes before what is seen.

    Args:
        learner: what is to be swept.
        told: what the caller says.

    Returns:
        The context, told and seen, and what else is seen.

    Raises:
        UserError: the optimizer is seen to be another than told.
    """
    layers, kind = learner.layers, learner.optimizer_kind
    named = told.optimizer
    if named and kind.name and "sgd" in (named, kind.name) and named != kind.name:
        raise UserError(
            f"optimizer={named!r} was given, but the learner's is "
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
    standing, schedule = learner.standing(told.continued), learner.scheduled
    planned = schedule.to_come if schedule else None
    context = replace(
        told,
        optimizer=named or kind.name,
        stage=told.stage or standing.stage,
        total_steps=told.total_steps or learner.total_steps or planned,
        batch_size=told.batch_size or learner.batch_size,
        schedule=told.schedule or (schedule.name if schedule else None),
        continued=standing.continued if told.continued is None else told.continued,
    )
    return context, Seen(
        kind.unrecorded, layers.held, layers.all, standing.continued, tuple(left),
        tuple(learner.beside), loaded_from(learner.model),
        schedule=(schedule.name or schedule.called) if schedule else None,
    )  # fmt: skip


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
