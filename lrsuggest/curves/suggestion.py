"""What a curve suggests, how sure that is, and why."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lrsuggest.curves.curve import Curve, Ended
from lrsuggest.curves.heuristics import Abstention, Context, is_rate
from lrsuggest.curves.readings import HEURISTICS, rates, read_all
from lrsuggest.curves.smoothing import smooth, usable
from lrsuggest.errors import LrsuggestWarning, NoSuggestion, UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# fastai's minimum was the most robust published reading in our first measurements (ten small
# tasks); min_10 is that reading with a smoothing that does not lag.
DEFAULT_HEURISTIC = "min_10"
_WITNESSES = ("steepest_gaussian", "min_10")
_AGREEMENT_DECADES = 1.5  # witnesses further apart than this disagree
_HALF_DECADE = 10**0.5


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A suggested maximum rate for one-cycle training.

    Attributes:
        lr: the rate of the parameter group with the largest one; None is an abstention.
        low: lower end of the 80 % interval, None with `lr`. Until the recorded evidence
            calibrates it, this spans steepest_gaussian and min_10, at least half a decade each way.
        high: upper end of the same.
        candidates: every shape and peer reading by name; those that abstained are left out.
        reliable: whether nothing about the curve speaks against the rate.
        reasons: sentences on what does, or on why there is no rate.
        curve: what was read.
        heuristic: the name of the reading that gave `lr`.
        stage: the training stage it is meant for, where known.
        fallback: what `float` gives for an abstention, if the caller named one.
    """

    lr: float | None
    low: float | None
    high: float | None
    candidates: Mapping[str, float]
    reliable: bool
    reasons: tuple[str, ...]
    curve: Curve
    heuristic: str = DEFAULT_HEURISTIC
    stage: str | None = None
    fallback: float | None = None

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
        if self.lr is None:
            return f"No suggestion. {' '.join(self.reasons)}"
        sure = "reliable" if self.reliable else "unsure: " + " ".join(self.reasons)
        return f"{self.lr:.2g} ({self.low:.2g} to {self.high:.2g}, by {self.heuristic}; {sure})"

    @property
    def slice(self) -> slice:
        """The rate in the form of fastai's discriminative rates.

        slice(lr / 100, lr) for a pretrained body that trains, the ratio people choose in the
        median; slice(lr) otherwise.
        """
        rate = float(self)
        pretrained = self.stage in ("unfrozen", "finetune")
        return slice(rate / 100, rate) if pretrained else slice(rate)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the raw and the smoothed curve with every candidate; returns the axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
        draw(ax, self.curve, self.candidates, chosen=self.heuristic if self.lr else None)
        return ax


_MARKS = "ovs^DPX<>dph"  # the star is kept for hand-picked rates
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # Okabe and Ito


def marks(candidates: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return (marker, colour, name) of each candidate, the same whenever its name is registered."""
    read = [name for name, each in HEURISTICS.items() if each.origin != "constant"]
    places = {name: place for place, name in enumerate(read)}
    return [
        (
            _MARKS[place % len(_MARKS)],
            _COLOURS[(place + place // len(_MARKS)) % len(_COLOURS)],
            name,
        )
        for name in candidates
        for place in [places.get(name, len(places))]
    ]


def draw(
    ax: "Axes", curve: Curve, candidates: Mapping[str, float], *, chosen: str | None = None
) -> None:
    """Draw a curve and its candidates on matplotlib axes.

    Candidates stand on the smoothed curve, told apart by shape as well as colour; the loss axis
    is cut a little above the start, since a blow-up would flatten everything else.
    """
    lr, loss = usable(curve)
    ax.plot(curve.lr, curve.loss, color="0.65", lw=1, label="measured")
    if len(lr) >= 5:
        calm = loss if curve.smoothed else smooth(lr, loss)
        ax.plot(lr, calm, color="black", lw=1.6, label="smoothed")
        for mark, colour, name in marks(candidates):
            rate = candidates[name]
            height = np.interp(np.log10(rate), np.log10(lr), calm)
            ax.plot(
                rate,
                height,
                mark,
                color=colour,
                ms=14 if name == chosen else 7,  # the others stay visible on top of it
                zorder=2.5 if name == chosen else 3,
                mec="black",
                mew=1.6 if name == chosen else 0.6,
                label=f"{name}: {rate:.1e}",
            )
        fall = max(float(calm.max() - calm.min()), 1e-12)
        ax.set_ylim(float(calm.min()) - 0.12 * fall, float(calm.max()) + 0.25 * fall)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    # Beside the axes: a dozen names would cover the curve.
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))


def suggest(
    curve: Curve,
    context: Context,
    *,
    heuristic: str = DEFAULT_HEURISTIC,
    fallback: float | None = None,
) -> Suggestion:
    """Read a curve with every heuristic and suggest one's rate.

    Raises:
        UserError: the heuristic is not registered.
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
    candidates = rates(read_all(curve, context))
    if isinstance(pick, Abstention):
        return Suggestion(
            None, None, None, candidates, False, (pick.reason.value,), curve, heuristic,
            context.stage, fallback,
        )  # fmt: skip
    reasons = [str(w.message).capitalize() + "." for w in clamped]
    if curve.ended == Ended.DATA_RAN_OUT:
        reasons.append(curve.ended.sentence)
    both = [candidates[name] for name in _WITNESSES if name in candidates]
    if both and np.log10(max(both) / min(both)) > _AGREEMENT_DECADES:
        reasons.append(f"Steepest slope and minimum disagree: {min(both):.1e} to {max(both):.1e}.")
    around = [*both, pick / _HALF_DECADE, pick * _HALF_DECADE]
    return Suggestion(
        pick, min(around), max(around), candidates, not reasons, tuple(reasons), curve, heuristic,
        context.stage, fallback,
    )  # fmt: skip
