"""A suggestion handed to an Optuna study."""

from typing import TYPE_CHECKING, Any

from lrsuggest.curves.arguments import a, number, shown
from lrsuggest.curves.suggestion import Suggestion
from lrsuggest.errors import NoSuggestion, UserError
from lrsuggest.extras import need

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import BaseTrial


def to_optuna(
    suggestion: Suggestion,
    trial: "BaseTrial | Study",
    name: str = "lr",
    *,
    fallback: tuple[float, float] | None = None,
) -> float:
    """Narrow an Optuna study to the plausible interval, with the suggested rate tried first.

        study = optuna.create_study()
        to_optuna(suggestion, study)  # tried first
        study.optimize(lambda trial: train(lr=to_optuna(suggestion, trial)), n_trials=20)

    Args:
        suggestion: what to search around.
        trial: in the objective, a trial, which suggests a rate on a logarithmic scale from `low`
            to `high`; before that, a study, into which the suggested rate is put as its next
            trial unless it holds such a one already.
        name: the parameter's name in the study.
        fallback: (lowest, highest) rate to search if the suggestion is an abstention.

    Returns:
        The trial's rate; of a study the suggested one.

    Raises:
        UserError: the suggestion is an abstention and there is no fallback for it (for a study,
            that which `suggest_lr` was given counts), the fallback is no range, or `trial` is
            neither a trial nor a study; or Optuna is not installed.
    """
    need("to_optuna()", "probes", "optuna")
    from optuna import Study
    from optuna.trial import BaseTrial

    if not isinstance(suggestion, Suggestion):
        raise UserError(
            f"to_optuna takes the suggestion first, not {a(suggestion)}: "
            "to_optuna(suggestion, trial)"
        )
    if not isinstance(name, str) or not name:
        raise UserError(f"name must be the parameter's, such as 'lr'; got {shown(name)}")
    low, high = _range(fallback) if fallback is not None else (None, None)
    if isinstance(trial, Study):
        rate = float(suggestion)
        trial.enqueue_trial({name: rate}, skip_if_exists=True)
        return rate
    if not isinstance(trial, BaseTrial):
        raise UserError(
            f"to_optuna takes an Optuna trial or study, not {a(trial)}: "
            "to_optuna(suggestion, trial)"
        )
    if suggestion.low is not None and suggestion.high is not None:
        low, high = suggestion.low, suggestion.high
    if low is None or high is None:
        raise NoSuggestion(
            f"there is no interval to search: {' '.join(suggestion.reasons)} Give "
            "fallback=(lowest, highest) to search a range of your own."
        )
    return trial.suggest_float(name, low, high, log=True)


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
