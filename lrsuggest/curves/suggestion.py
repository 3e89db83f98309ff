"""What a curve suggests, how sure that is, and why."""

import html
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsuggest.curves.answer import DEFAULT_HEURISTIC, Answer
from lrsuggest.curves.arguments import number, one_of, shown
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.display.drawing import draw_suggestion, leave_room
from lrsuggest.curves.doubts import WITNESSES, Seen, doubts, without_rate
from lrsuggest.curves.heuristics.all import HEURISTICS, rates, read_all
from lrsuggest.curves.heuristics.consensus import eighty
from lrsuggest.curves.heuristics.reasons import Reason, Said
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.curves.number import NoNumber, Number, jsonable, let_optimizers_keep_floats
from lrsuggest.curves.study import enqueue, suggest_float
from lrsuggest.deprecated import ANSWER, renamed_fields
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.extras import need
from lrsuggest.files import output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study
    from optuna.trial import BaseTrial

_HALF_DECADE = 10**0.5
_PAGE = ("matplotlib", "jinja2")  # what draws and writes one


@renamed_fields(ANSWER)
@dataclass(frozen=True, eq=False)
class Suggestion(Answer):
    """A suggested rate: the maximum of one-cycle training, unless `schedule` is "constant".

    It is a float: arithmetic, comparison, `f"{suggestion:.1e}"`, `json.dumps`, numpy and
    `torch.optim.SGD(params, lr=suggestion)` take it as its rate, or as the fallback of an
    abstention that has one; it equals that number and has its hash. `str` and `f"{suggestion}"`
    are the three lines. An abstention without a fallback is no float: each of these raises
    NoSuggestion, but `json.dumps` a TypeError (`to_dict` is for loggers); it equals itself alone,
    and `suggestion or 1e-3` is 1e-3.

    Copies and pickles are whole suggestions. But an optimizer keeps the plain float, and so does
    a file of `torch.save`'s (a checkpoint with its hyperparameters, say; an abstention without a
    fallback is None there), that it may be read where there is no lrsuggest, with
    `weights_only=True` too. A dataclass that `dataclasses.asdict` is to take apart is given
    `float(suggestion)`, and so is what writes `str` of it, as Python's csv does. PyYAML writes the
    float, if it was imported when the suggestion was made. Its attributes are those of an
    `Answer`.
    """

    def __new__(cls, *args: Any, **settings: Any) -> "Suggestion":
        """Make a float of what has a rate or a fallback.

        Of one number alone it is that float: as float's heirs are asked for others of their kind.
        """
        let_optimizers_keep_floats()
        if len(args) == 1 and not settings and hasattr(args[0], "__float__"):
            return float(args[0])  # type: ignore[return-value]
        given = dict(zip((field.name for field in fields(cls)), args, strict=False)) | settings
        rate = given.get("fallback") if given.get("lr") is None else given["lr"]
        return object.__new__(_NoRate) if rate is None else Number.__new__(_Rate, rate)

    def __format__(self, spec: str) -> str:
        """Write the rate as a float's specification says; without one, the three lines."""
        return format(float(self), spec) if spec else str(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[type, tuple[Any, ...]]:
        """Pickle the whole; by protocol 2, which torch.save and no other takes, the float."""
        if protocol == 2 and isinstance(self, float):
            return float, (float(self),)
        return Suggestion, tuple(getattr(self, field.name) for field in fields(self))

    def to_dict(self) -> dict[str, Any]:
        """Return what a logger keeps: numbers, strings, lists and dicts that JSON has words for.

        Its keys are the attributes' names, the context's among them, but stay `planned` for the
        budget and `train_steps` for the total steps, as in earlier versions. `candidates`, `seen`,
        `cost` and `planned` are dicts, a probe is a list of rate and value. What is not known or
        not finite is None. The curve is left out: `curve.to_json()` is all of it.
        """
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        del named["curve"]
        kept = {new: old for old, new in ANSWER.items()}
        found: dict[str, Any] = jsonable(named | vars(named.pop("context")))
        return {kept.get(name, name): value for name, value in found.items()}

    def enqueue(self, study: "Study", name: str = "lr") -> float:
        """Let an Optuna study try this rate next; asked twice, it does so once.

            study = optuna.create_study()
            suggestion.enqueue(study)
            study.optimize(lambda trial: train(suggestion.suggest_float(trial)), n_trials=20)

        Args:
            study: before its trials.
            name: the parameter's name in the study.

        Returns:
            The rate, or the fallback of an abstention that has one.

        Raises:
            NoSuggestion: there is neither; nothing is put into the study.
            UserError: it is no study.
        """
        return enqueue(self, study, name)

    def suggest_float(
        self, trial: "BaseTrial", name: str = "lr", *, fallback: tuple[float, float] | None = None
    ) -> float:
        """Return an Optuna trial's rate, from `low` to `high` on a logarithmic scale.

        Args:
            trial: in the objective.
            name: the parameter's name in the study.
            fallback: (lowest, highest) rate to search if the suggestion is an abstention.

        Raises:
            NoSuggestion: it is an abstention, and there is no fallback.
            UserError: it is no trial, or the fallback is no range.
        """
        return suggest_float(self, trial, name, fallback)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the raw and the smoothed curve with every candidate; returns the axes.

        The plausible interval is shaded; the replicates' picks stand as ticks at the foot. The
        probes have axes of their own above, a third as high, for which axes that are given must
        have room.

        Raises:
            UserError: matplotlib is not installed.
        """
        if ax is None:
            need("plot()", "plot", "matplotlib")
            from matplotlib import pyplot as plt

            figure = plt.figure(figsize=(7, 5.6 if self.probes else 4.2))
            leave_room(figure, self)
            ax = figure.add_subplot()
        draw_suggestion(ax, self)
        return ax

    def _repr_html_(self) -> str:
        try:
            need("a plot", "plot", *_PAGE)
        except UserError:  # a notebook that cannot draw shows the text
            return f"<pre>{html.escape(str(self))}</pre>"
        from lrsuggest.curves.display.page import fragment

        return fragment(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Give a notebook both forms; without this the plain one would be the dataclass's."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def to_html(
        self, path: str | Path, *, title: str = "Suggested learning rate", date: object = None
    ) -> None:
        """Write one offline page: the three lines, the curve, every heuristic, the numbers.

        The same suggestion gives the same bytes.

        Args:
            path: the file.
            title: the page's heading.
            date: shown as it prints, if given; no clock is read.

        Raises:
            UserError: the file cannot be written, or matplotlib or jinja2 is not installed.
        """
        need("to_html()", "plot", *_PAGE)
        from lrsuggest.curves.display.page import render

        text = render(self, title, date)
        with output(path) as file:
            file.write(text.encode())


class _Rate(Suggestion, Number):
    """A suggestion that has a rate, its own or the fallback."""

    # What makes another of it, as `dataclasses.replace` does, may make either kind.
    __class__ = Suggestion  # type: ignore[assignment]


class _NoRate(Suggestion, NoNumber):
    """An abstention without a fallback."""

    __class__ = Suggestion  # type: ignore[assignment]


def asked(heuristic: str, fallback: float | None) -> float | None:
    """Return the fallback as a float, if there are such a heuristic and such a rate.

    Raises:
        UserError: the heuristic is not registered, or the fallback is no rate.
    """
    names = [name for name, each in HEURISTICS.items() if each.origin != "constant"]
    unknown = f"there is no heuristic {shown(heuristic)}; choose one of {', '.join(names)}"
    one_of("heuristic", heuristic, HEURISTICS, unknown)
    if fallback is None:
        return None
    return number("fallback", fallback, "a positive rate, or None")


def suggest(
    curve: Curve,
    context: Context,
    *,
    heuristic: str = DEFAULT_HEURISTIC,
    fallback: float | None = None,
    sweeps: Sequence[Curve] = (),
    seen: Seen = Seen(),  # noqa: B008
) -> Suggestion:
    """Read a curve with every heuristic and suggest one's rate.

    Args:
        curve: what to read.
        context: what is known beside it.
        heuristic: the heuristic to follow.
        fallback: what `float` of an abstention is to give.
        sweeps: the range tests that `curve` was pooled from, each read alone for the spread.
        seen: what a learner shows of itself.

    Raises:
        UserError: the heuristic is not registered, or the fallback is no rate.
    """
    fallback = asked(heuristic, fallback)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LrsuggestWarning)
        pick = HEURISTICS[heuristic](curve, context)
    clamped = [each for each in caught if issubclass(each.category, LrsuggestWarning)]
    for each in caught:  # such as of an earlier name that a person's own heuristic uses
        if each not in clamped:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        alone = [HEURISTICS[heuristic](sweep, context) for sweep in sweeps]
    picks = tuple(None if isinstance(each, Abstention) else float(each) for each in alone)
    everything = read_all(curve, context, forgiving=True)
    candidates = rates(everything)
    if isinstance(pick, Abstention):
        return Suggestion(
            lr=None,
            low=None,
            high=None,
            candidates=candidates,
            reliable=False,
            reasons=without_rate(curve, pick),
            curve=curve,
            heuristic=heuristic,
            context=context,
            seen=seen,
            fallback=fallback,
            replicates=picks,
        )
    reasons = [Said(f"{str(w.message).capitalize()}.", Reason.OUTSIDE) for w in clamped]
    reasons += doubts(curve, context, seen, everything, picks)
    both = [candidates[name] for name in WITNESSES if name in candidates]
    found = [each for each in picks if each is not None]
    ends = eighty(curve, context) if heuristic == "consensus" else None
    around = [pick, *found, *(ends or (*both, pick / _HALF_DECADE, pick * _HALF_DECADE))]
    return Suggestion(
        lr=pick,
        low=min(around),
        high=max(around),
        candidates=candidates,
        reliable=not reasons,
        reasons=tuple(reasons),
        curve=curve,
        heuristic=heuristic,
        context=context,
        seen=seen,
        fallback=fallback,
        replicates=picks,
    )
