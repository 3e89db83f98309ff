"""Functions of earlier versions: they work as they did throughout 0.x; see deprecated.py."""

from typing import Any

from lrsuggest.curves.arguments import a
from lrsuggest.curves.study import is_study
from lrsuggest.curves.suggestion import Suggestion
from lrsuggest.deprecated import instead
from lrsuggest.errors import UserError
from lrsuggest.suggest import set_lr


def apply(rate: "Suggestion | float | slice", x: Any) -> None:
    """Set a rate: `set_lr(x, rate)`, the other way round.

    Raises:
        UserError: as `set_lr`, or the two stand the wrong way round.
    """
    instead("apply(rate, x)", "set_lr(x, rate)")
    if isinstance(x, Suggestion | float | slice):
        raise UserError(f"apply takes the rate first: apply(suggestion, x); got {a(rate)} first")
    set_lr(x, rate)


def to_optuna(
    suggestion: Suggestion,
    trial: Any,
    name: str = "lr",
    *,
    fallback: tuple[float, float] | None = None,
) -> float:
    """Do `suggestion.enqueue(study)` or `suggestion.suggest_float(trial)`, by what it is given.

    Raises:
        UserError: as those, or the suggestion does not come first.
    """
    instead(
        "to_optuna(suggestion, …)",
        "suggestion.enqueue(study) and suggestion.suggest_float(trial)",
    )
    if not isinstance(suggestion, Suggestion):
        raise UserError(
            f"to_optuna takes the suggestion first, not {a(suggestion)}: "
            "to_optuna(suggestion, trial)"
        )
    if is_study(trial):
        return suggestion.enqueue(trial, name)
    return suggestion.suggest_float(trial, name, fallback=fallback)
