"""lrsuggest: a learning rate you can trust, read from the curve of a range test.

The names below are loaded when they are first used (PEP 562), so that `import lrsuggest` costs
neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lrsuggest.curves.curve import Curve
    from lrsuggest.curves.heuristics.all import HEURISTICS
    from lrsuggest.curves.heuristics.reasons import Reason
    from lrsuggest.curves.heuristics.registry import Abstention, Context, heuristic
    from lrsuggest.curves.suggestion import Suggestion
    from lrsuggest.earlier import apply as apply
    from lrsuggest.earlier import to_optuna as to_optuna
    from lrsuggest.errors import NoSuggestion, UserError
    from lrsuggest.suggest import set_lr, suggest_lr
    from lrsuggest.training.learner import Learner
    from lrsuggest.training.one_cycle import fit_one_cycle
    from lrsuggest.training.settings import Probes, RangeTest
    from lrsuggest.training.sweep import lr_find

_HOMES = {
    "Abstention": "lrsuggest.curves.heuristics.registry",
    "Context": "lrsuggest.curves.heuristics.registry",
    "Curve": "lrsuggest.curves.curve",
    "HEURISTICS": "lrsuggest.curves.heuristics.all",
    "Learner": "lrsuggest.training.learner",
    "NoSuggestion": "lrsuggest.errors",
    "Probes": "lrsuggest.training.settings",
    "RangeTest": "lrsuggest.training.settings",
    "Reason": "lrsuggest.curves.heuristics.reasons",
    "Suggestion": "lrsuggest.curves.suggestion",
    "UserError": "lrsuggest.errors",
    "fit_one_cycle": "lrsuggest.training.one_cycle",
    "heuristic": "lrsuggest.curves.heuristics.registry",
    "lr_find": "lrsuggest.training.sweep",
    "set_lr": "lrsuggest.suggest",
    "suggest_lr": "lrsuggest.suggest",
}
# Names of earlier versions, which still work.
_EARLIER = {"apply": "lrsuggest.earlier", "to_optuna": "lrsuggest.earlier"}

__all__ = [
    "HEURISTICS",
    "Abstention",
    "Context",
    "Curve",
    "Learner",
    "NoSuggestion",
    "Probes",
    "RangeTest",
    "Reason",
    "Suggestion",
    "UserError",
    "fit_one_cycle",
    "heuristic",
    "lr_find",
    "set_lr",
    "suggest_lr",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home the first time it is asked for."""
    home = _HOMES.get(name) or _EARLIER.get(name)
    if home is None:
        raise AttributeError(f"module 'lrsuggest' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
