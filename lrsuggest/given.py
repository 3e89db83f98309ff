"""What `suggest_lr` is given, read: each mistake is one sentence, before the first step."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from lrsuggest.adapters.dispatch import adapter
from lrsuggest.curves.arguments import a, shown, whole
from lrsuggest.errors import UserError
from lrsuggest.training.settings import Probes, RangeTest

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner

_TAKEN = (
    "a lrsuggest or fastai Learner, Lightning's (trainer, module), a Hugging Face Trainer "
    "or a Curve"
)
_WRAP = "model: suggest_lr(Learner(model, loss_fn, batches, optimizer))"


def swept(sweep: Any) -> RangeTest:
    """Return how to sweep, the defaults for None.

    Raises:
        UserError: it says no such thing.
    """
    if sweep is None or isinstance(sweep, RangeTest):
        return sweep or RangeTest()
    raise UserError(
        f"sweep must be a RangeTest, such as sweep=RangeTest(end_lr=1.0); got {shown(sweep)}"
    )


def probed(probes: Any) -> Probes | None:
    """Return which probes to make, None for none.

    Raises:
        UserError: it says no such thing.
    """
    if isinstance(probes, Probes):
        return probes
    number = whole("probes", probes, 0)
    return Probes(number) if number else None


def refuse_for_curve(**given: Any) -> None:
    """Refuse what only something that can be trained has a use for; None says nothing.

    Raises:
        UserError: one of these was given.
    """
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"{name}={shown(value)} needs a Learner to train; a Curve can only be read, "
                f"so leave {name} out"
            )


def sweep_of(told: Any, earlier: dict[str, Any]) -> RangeTest | None:
    """Return what start, end, steps and replicates of earlier versions say, None for nothing.

    Raises:
        UserError: a value cannot be used, or `sweep` was given too.
    """
    if told is not None:
        raise UserError(
            f"start, end, steps and replicates are the earlier names of what sweep={shown(told)} "
            "says: give sweep alone, not both"
        )
    sweep = RangeTest(**earlier)
    return None if sweep == RangeTest() else sweep


def probes_of(told: Any, earlier: dict[str, Any]) -> Any:
    """Return what probes and probe_steps of earlier versions say.

    Raises:
        UserError: a value cannot be used, or they say one thing twice.
    """
    steps = earlier["steps"]
    if isinstance(told, Probes):
        raise UserError(
            f"probe_steps is the earlier name of what probes={told} says: give probes alone, not "
            "both"
        )
    number = 0 if told is None else whole("probes", told, 0)
    if steps is None:
        return number
    if not number:
        raise UserError(
            f"{shown(steps)} says how long probes are, not how many: give probes=Probes(number, "
            f"{shown(steps)})"
        )
    return Probes(number, steps)


def lent(x: Any, batches: Any, valid: Any) -> "AbstractContextManager[Learner]":
    """Return what lends x as a Learner.

    Raises:
        UserError: it cannot be.
    """
    found = adapter(x)
    if found is not None:
        lending: AbstractContextManager[Any] = found.borrowed(x, batches=batches, valid=valid)
        return lending
    from lrsuggest.training.learner import Learner

    if isinstance(x, list) and any(adapter(each) is not None for each in x):
        raise UserError(
            f"suggest_lr takes Lightning's (trainer, module) in round brackets; got {a(x)}"
        )
    if not isinstance(x, Learner):
        raise UserError(f"suggest_lr takes {_TAKEN}, not {kind(x)}; wrap any other {_WRAP}")
    for name, given in (("batches", batches), ("valid", valid)):
        if given is not None:
            raise UserError(f"a Learner has its own data: give it {name} there, not here")
    return nullcontext(x)


def several(x: object, more: tuple[Any, ...]) -> str:
    """Say how to give what was given one after the other."""
    every = (x, *more)
    if any(adapter(each) is not None for each in every):
        return (
            f"suggest_lr takes {_TAKEN}, and all else by name; got "
            f"{', '.join(map(a, every))}: put Lightning's in brackets, and data after batches="
        )
    return (
        f"suggest_lr takes one thing to train, and all else by name; got "
        f"{', '.join(map(a, every))}: wrap a {_WRAP}"
    )


def kind(x: object) -> str:
    """Say of what kind x is."""
    if isinstance(x, tuple):
        return f"a tuple of {', '.join(type(each).__name__ for each in x)}"
    return a(x)
