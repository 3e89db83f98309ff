"""lrsuggest: a learning rate you can trust, read from the curve of a range test.

The names below are loaded when they are first used (PEP 562), so that `import lrsuggest` costs
neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lrsuggest.adapters.optuna import to_optuna
    from lrsuggest.curves.curve import Curve
    from lrsuggest.curves.suggestion import Suggestion
    from lrsuggest.errors import NoSuggestion, UserError
    from lrsuggest.suggest import apply, suggest_lr
    from lrsuggest.training.learner import Learner
    from lrsuggest.training.one_cycle import fit_one_cycle
    from lrsuggest.training.sweep import lr_find

_HOMES = {
    "Curve": "lrsuggest.curves.curve",
    "Learner": "lrsuggest.training.learner",
    "NoSuggestion": "lrsuggest.errors",
    "Suggestion": "lrsuggest.curves.suggestion",
    "UserError": "lrsuggest.errors",
    "apply": "lrsuggest.suggest",
    "fit_one_cycle": "lrsuggest.training.one_cycle",
    "lr_find": "lrsuggest.training.sweep",
    "suggest_lr": "lrsuggest.suggest",
    "to_optuna": "lrsuggest.adapters.optuna",
}

__all__ = [
    "Curve",
    "Learner",
    "NoSuggestion",
    "Suggestion",
    "UserError",
    "apply",
    "fit_one_cycle",
    "lr_find",
    "suggest_lr",
    "to_optuna",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home the first time it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lrsuggest' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
