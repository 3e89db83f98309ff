"""The front door: one call from a learner, or a curve already recorded, to a rate."""

from typing import TYPE_CHECKING

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import Context
from lrsuggest.curves.suggestion import DEFAULT_HEURISTIC, Suggestion, suggest
from lrsuggest.errors import UserError

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner


def suggest_lr(
    x: "Learner | Curve",
    *,
    optimizer: str | None = None,
    stage: str | None = None,
    train_steps: int | None = None,
    batch_size: int | None = None,
    fallback: float | None = None,
    heuristic: str = DEFAULT_HEURISTIC,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    seed: int | None = None,
    progress: bool = False,
) -> Suggestion:
    """Suggest a maximum rate for one-cycle training.

    A learner is swept with `lr_find` (start, end, steps, seed and progress go there) and left
    bitwise as it was; a curve is only read. What a learner shows by itself (optimizer, a frozen
    body) need not be said.

    Args:
        x: a `Learner` or a recorded `Curve`.
        optimizer: "adamw", "adam" or "sgd".
        stage: "frozen" (head only), "unfrozen" (goes on after a frozen stage), "finetune"
            (pretrained, all trainable from the start) or "scratch".
        train_steps: planned number of optimizer steps.
        batch_size: examples per optimizer step.
        fallback: the rate `float(suggestion)` gives when the curve supports none.
        heuristic: the reading to follow, a name in `lrsuggest.curves.heuristics.HEURISTICS`.
        start: first rate of the sweep.
        end: last rate of the sweep.
        steps: optimizer steps of the sweep.
        seed: seed of the sweep's data order and dropout; None goes on from the present state.
        progress: show a progress bar on standard error.

    Raises:
        UserError: x is neither, or a value is out of range.
    """
    context = Context(optimizer, stage, train_steps, batch_size)
    if isinstance(x, Curve):
        return suggest(x, context, heuristic=heuristic, fallback=fallback)

    from lrsuggest.training.learner import Learner
    from lrsuggest.training.sweep import lr_find

    if not isinstance(x, Learner):
        raise UserError(
            f"suggest_lr takes a lrsuggest Learner or a Curve, not a {type(x).__name__}; "
            "wrap the model: Learner(model, loss_fn, batches, optimizer)"
        )
    context = Context(
        optimizer or x.optimizer_name, stage or x.detected_stage, train_steps, batch_size
    )
    curve = lr_find(x, start=start, end=end, steps=steps, seed=seed, progress=progress)
    return suggest(curve, context, heuristic=heuristic, fallback=fallback)
