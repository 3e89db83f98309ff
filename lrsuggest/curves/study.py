"""A suggestion as the search space of an Optuna study."""

import sys
from typing import TYPE_CHECKING, Any

from lrsuggest.curves.answer import Answer
from lrsuggest.curves.arguments import a, number, shown
from lrsuggest.errors import NoSuggestion, UserError
from lrsuggest.extras import need

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import BaseTrial


def enqueue(suggestion: Answer, study: "Study", name: str) -> float:
    """Let a study try the suggested rate next, unless it holds such a trial already.

    Raises:
        UserError: it is no study, or the name is none; NoSuggestion: there is no rate.
    """
    need("enqueue()", "probes", "optuna")
    if not is_study(study):
        raise UserError(f"enqueue takes an Optuna study, not {a(study)}: suggestion.enqueue(study)")
    _check(name)
    rate = float(suggestion)
    study.enqueue_trial({name: rate}, skip_if_exists=True)
    return rate


def suggest_float(
    suggestion: Answer, trial: "BaseTrial", name: str, fallback: tuple[float, float] | None
) -> float:
    """Let a trial suggest a rate from the plausible interval, on a logarithmic scale.

    Raises:
        UserError: it is no trial, the name is none, or the fallback is no range; NoSuggestion: the
            suggestion is an abstention and there is no fallback.
    """
    need("suggest_float()", "probes", "optuna")
    if not _is(trial, "optuna.trial", "BaseTrial"):
        raise UserError(
            f"suggest_float takes an Optuna trial, not {a(trial)}: suggestion.suggest_float(trial)"
        )
    _check(name)
    low, high = _range(fallback) if fallback is not None else (None, None)
    if suggestion.low is not None and suggestion.high is not None:
        low, high = suggestion.low, suggestion.high
    if low is None or high is None:
        raise NoSuggestion(
            f"there is no interval to search: {' '.join(suggestion.reasons)} Give "
            "fallback=(lowest, highest) to search a range of your own."
        )
    return trial.suggest_float(name, low, high, log=True)


def is_study(x: object) -> bool:
    """Say whether x is an Optuna study."""
    return _is(x, "optuna.study", "Study")


def _is(x: object, module: str, name: str) -> bool:
    """Say whether x is of an Optuna class; who has such an object has loaded Optuna."""
    home = sys.modules.get(module)
    return home is not None and isinstance(x, getattr(home, name))


def _check(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise UserError(f"name must be the parameter's, such as 'lr'; got {shown(name)}")


def _range(fallback: Any) -> tuple[float, float]:
    """Return a fallback's ends as floats.

    Raises:
        UserError: it is no range.
    """
    if not isinstance(fallback, tuple | list) or len(fallback) != 2:
        raise UserError(f"fallback must be (lowest, highest) rate; got {shown(fallback)}")
    low, high = (number("fallback", end) for end in fallback)
    if not low < high:
        raise UserError(f"fallback must satisfy 0 < lowest < highest; got {low:g} to {high:g}")
    return low, high
