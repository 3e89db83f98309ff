"""What a curve suggests, how sure that is, and why."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lrsuggest.curves.consensus import eighty
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.doubts import WITNESSES, Seen, doubts
from lrsuggest.curves.drawing import draw_suggestion, leave_room
from lrsuggest.curves.heuristics import Abstention, Context, is_rate
from lrsuggest.curves.readings import HEURISTICS, rates, read_all
from lrsuggest.curves.wording import sure, what, why
from lrsuggest.errors import LrsuggestWarning, NoSuggestion, UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_HEURISTIC = "consensus"  # docs/consensus.md
_HALF_DECADE = 10**0.5


@dataclass(frozen=True)
class Cost:
    """What a suggestion cost, or may cost at most.

    Attributes:
        sweep_steps: optimizer steps of the range tests.
        probe_steps: optimizer steps of the probes.
        valid_passes: passes over the validation data.
        valid_batches: batches in those, None where the data tell no length.
    """

    sweep_steps: int = 0
    probe_steps: int = 0
    valid_passes: int = 0
    valid_batches: int | None = 0

    @property
    def steps(self) -> int:
        """All optimizer steps."""
        return self.sweep_steps + self.probe_steps

    def __str__(self) -> str:
        batches = "" if self.valid_batches is None else f" ({self.valid_batches} batches)"
        return (
            f"{self.sweep_steps} optimizer steps of range test, {self.probe_steps} of probes, "
            f"{self.valid_passes} validation passes{batches}"
        )


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A suggested rate: the maximum of one-cycle training, unless `schedule` is "constant".

    Attributes:
        lr: the rate of the parameter group with the largest one; None is an abstention.
        low: lower end of the 80 % interval, None with `lr`; on recorded families it was not made
            on, it held the best rate of three tasks in four, of fewer where only a head trains
            (docs/consensus.md). It is widened to each replicate's pick. Other
            readings than the consensus have no such calibration: theirs spans half a decade each
            way, steepest_gaussian and min_10.
        high: upper end of the same.
        candidates: every reading but the constants by name; those that abstained are left out.
        reliable: whether nothing speaks against the rate, of what was measured and of what is known
            of the training.
        reasons: sentences on what does, or on why there is no rate.
        curve: what was read; of several sweeps, their pool.
        heuristic: the name of the reading that gave `lr`, or, with probes, their first rate.
        context: what was known beside the curve.
        seen: what the learner showed of itself.
        fallback: what `float` gives for an abstention, if the caller named one.
        replicates: the reading's pick from each of several sweeps alone, None where it abstained;
            empty for one sweep.
        probes: (rate, value) of each short run in the order made: the validation loss, or without
            validation data the last training losses; inf where it diverged, NaN where it was
            broken off as clearly worse.
        cost: what was spent.
        planned: what could have been spent at most, known before the first step.
    """

    lr: float | None
    low: float | None
    high: float | None
    candidates: Mapping[str, float]
    reliable: bool
    reasons: tuple[str, ...]
    curve: Curve
    heuristic: str = DEFAULT_HEURISTIC
    context: Context = field(default_factory=Context)
    seen: Seen = field(default_factory=Seen)
    fallback: float | None = None
    replicates: tuple[float | None, ...] = ()
    probes: tuple[tuple[float, float], ...] = ()
    cost: Cost = Cost()
    planned: Cost = Cost()

    @property
    def stage(self) -> str | None:
        """The training stage it is meant for, where known."""
        return self.context.stage

    @property
    def schedule(self) -> str | None:
        """What the caller named, "one_cycle" or "constant"; None means one-cycle."""
        return self.context.schedule

    @property
    def train_steps(self) -> int | None:
        """Optimizer steps of the planned training, where known."""
        return self.context.train_steps

    def __float__(self) -> float:
        """Return the rate.

        Raises:
            NoSuggestion: there is none and no fallback was given.
        """
        if self.lr is not None:
            return self.lr
        if self.fallback is not None:
            return self.fallback
        raise NoSuggestion(
            f"no learning rate can be suggested: {' '.join(self.reasons)} "
            "Give fallback=... to go on with a rate of your own."
        )

    def __str__(self) -> str:
        """Say in three lines what, how sure, and why."""
        return "\n".join((what(self), sure(self), why(self)))

    @property
    def slice(self) -> slice:
        """The rate in the form of fastai's discriminative rates.

        slice(lr / 10, lr) for a pretrained body that trains, slice(lr) otherwise. People choose
        a hundredth in the median, but on the recorded tasks a tenth did better (docs/findings.md).
        """
        rate = float(self)
        pretrained = self.stage in ("unfrozen", "finetune")
        return slice(rate / 10, rate) if pretrained else slice(rate)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the raw and the smoothed curve with every candidate; returns the axes.

        The plausible interval is shaded; the replicates' picks stand as ticks at the foot. The
        probes have axes of their own above, a third as high, for which axes that are given must
        have room.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            figure = plt.figure(figsize=(7, 5.6 if self.probes else 4.2))
            leave_room(figure, self)
            ax = figure.add_subplot()
        draw_suggestion(ax, self)
        return ax

    def _repr_html_(self) -> str:
        from lrsuggest.curves.page import fragment

        return fragment(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Give a notebook both forms; without this the plain one would be the dataclass's."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def to_html(
        self, path: str | Path, *, title: str = "Suggested learning rate", date: object = None
    ) -> None:
        """Write one offline page: the three lines, the curve, every reading, the numbers.

        The same suggestion gives the same bytes.

        Args:
            path: the file.
            title: the page's heading.
            date: shown as it prints, if given; no clock is read.

        Raises:
            UserError: the file cannot be written.
        """
        from lrsuggest.curves.page import render

        text = render(self, title, date)
        try:
            Path(path).write_text(text, "utf-8", newline="\n")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None


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
        heuristic: the reading to follow.
        fallback: what `float` of an abstention is to give.
        sweeps: the range tests that `curve` was pooled from, each read alone for the spread.
        seen: what a learner shows of itself.

    Raises:
        UserError: the heuristic is not registered, or the fallback is no rate.
    """
    if fallback is not None and not is_rate(float(fallback)):
        raise UserError(f"fallback must be a positive rate, or None; got {fallback}")
    fallback = None if fallback is None else float(fallback)
    if heuristic not in HEURISTICS:
        raise UserError(
            f"there is no heuristic {heuristic!r}; choose one of {', '.join(HEURISTICS)}"
        )
    with warnings.catch_warnings(record=True) as clamped:
        warnings.simplefilter("always", LrsuggestWarning)
        pick = HEURISTICS[heuristic](curve, context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        alone = [HEURISTICS[heuristic](sweep, context) for sweep in sweeps]
    picks = tuple(None if isinstance(each, Abstention) else float(each) for each in alone)
    everything = read_all(curve, context)
    candidates = rates(everything)
    if isinstance(pick, Abstention):
        return Suggestion(
            None, None, None, candidates, False, (pick.reason.value,), curve, heuristic,
            context, seen, fallback, picks,
        )  # fmt: skip
    reasons = [str(w.message).capitalize() + "." for w in clamped]
    reasons += doubts(curve, context, seen, everything, picks)
    both = [candidates[name] for name in WITNESSES if name in candidates]
    found = [each for each in picks if each is not None]
    ends = eighty(curve, context) if heuristic == "consensus" else None
    around = [pick, *found, *(ends or (*both, pick / _HALF_DECADE, pick * _HALF_DECADE))]
    return Suggestion(
        pick, min(around), max(around), candidates, not reasons, tuple(reasons), curve, heuristic,
        context, seen, fallback, picks,
    )  # fmt: skip
