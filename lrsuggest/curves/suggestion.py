"""What a curve suggests, how sure that is, and why."""

import math
import warnings
from collections.abc import Mapping, Sequence
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

    def __str__(self) -> str:
        batches = "" if self.valid_batches is None else f" ({self.valid_batches} batches)"
        return (
            f"{self.sweep_steps} optimizer steps of range test, {self.probe_steps} of probes, "
            f"{self.valid_passes} validation passes{batches}"
        )


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A suggested maximum rate for one-cycle training.

    Attributes:
        lr: the rate of the parameter group with the largest one; None is an abstention.
        low: lower end of the 80 % interval, None with `lr`. Until the recorded evidence
            calibrates it, this spans steepest_gaussian, min_10 and each replicate's pick, at least
            half a decade each way of the curve's own pick.
        high: upper end of the same.
        candidates: every shape and peer reading by name; those that abstained are left out.
        reliable: whether nothing about the curve speaks against the rate.
        reasons: sentences on what does, or on why there is no rate.
        curve: what was read; of several sweeps, their pool.
        heuristic: the name of the reading that gave `lr`, or, with probes, their first rate.
        stage: the training stage it is meant for, where known.
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
    stage: str | None = None
    fallback: float | None = None
    replicates: tuple[float | None, ...] = ()
    probes: tuple[tuple[float, float], ...] = ()
    cost: Cost = Cost()
    planned: Cost = Cost()

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
        by = self.heuristic
        if self.replicates:
            found = [pick for pick in self.replicates if pick is not None]
            spread = f", {min(found):.2g} to {max(found):.2g}" if found else ""
            by += f" on {len(self.replicates)} sweeps{spread}"
        if self.probes:
            done = [value for _, value in self.probes if math.isfinite(value)]
            by += f", then {len(self.probes)} probes, best loss {min(done):.3g}"
        return f"{self.lr:.2g} ({self.low:.2g} to {self.high:.2g}, by {by}; {sure})"

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
        """Draw the raw and the smoothed curve with every candidate; returns the axes.

        The replicates' picks stand as ticks at the foot. The probes have axes of their own above,
        a third as high, for which axes that are given must have room.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            figure = plt.figure(figsize=(7, 5.6 if self.probes else 4.2))
            figure.set_layout_engine("constrained", rect=(0, 0, 1, 0.74 if self.probes else 1))
            ax = figure.add_subplot()
        draw(ax, self.curve, self.candidates, chosen=self.heuristic if self.lr else None)
        found = [pick for pick in self.replicates if pick is not None]
        if found:
            foot = ax.get_xaxis_transform()
            label = f"picks of {len(self.replicates)} sweeps"
            ax.plot(found, [0.03] * len(found), "k|", ms=12, mew=1.5, transform=foot, label=label)
        if self.probes:
            draw_probes(ax, self.probes, self.lr)
        _legend(ax)
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
    _legend(ax)


def _legend(ax: "Axes") -> None:
    """Put the legend beside the axes: a dozen names would cover the curve."""
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))


def draw_probes(ax: "Axes", probes: Sequence[tuple[float, float]], lr: float | None) -> None:
    """Draw the probes on small axes above those of the curve, over the same rates.

    Failed ones stand at the top edge: a cross for a diverged run, a triangle for one broken off.
    """
    top = ax.inset_axes((0.0, 1.04, 1.0, 0.3), sharex=ax)
    top.set_in_layout(False)  # it grows with the axes below, which a layout does not foresee
    good = sorted((rate, value) for rate, value in probes if math.isfinite(value))
    if good:
        top.plot(*zip(*good, strict=True), "o-", color="#0072B2", ms=5, lw=1)
        best = min(good, key=lambda each: each[1])
        top.annotate(f"{best[1]:.3g}", best, xytext=(0, -11), textcoords="offset points",
                     ha="center", fontsize=8)  # fmt: skip
    for mark, is_failure, what in (("x", math.isinf, "diverged"), ("v", math.isnan, "broken off")):
        rates = [rate for rate, value in probes if is_failure(value)]
        if rates:
            edge = top.get_xaxis_transform()
            top.plot(rates, [0.82] * len(rates), mark, color="#D55E00", ms=7, transform=edge)
            top.annotate(what, (max(rates), 0.82), xycoords=edge, xytext=(6, 0), va="center",
                         textcoords="offset points", fontsize=8, color="#D55E00")  # fmt: skip
    if lr is not None:
        for each in (ax, top):
            each.axvline(lr, color="#0072B2", ls=":", lw=1.2, label=f"after the probes: {lr:.1e}")
    top.margins(y=0.35)
    top.tick_params(labelbottom=False, labelsize=8)
    top.set_ylabel("probe's loss", fontsize=8)


def suggest(
    curve: Curve,
    context: Context,
    *,
    heuristic: str = DEFAULT_HEURISTIC,
    fallback: float | None = None,
    sweeps: Sequence[Curve] = (),
) -> Suggestion:
    """Read a curve with every heuristic and suggest one's rate.

    Args:
        curve: what to read.
        context: what is known beside it.
        heuristic: the reading to follow.
        fallback: what `float` of an abstention is to give.
        sweeps: the range tests that `curve` was pooled from, each read alone for the spread.

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
    candidates = rates(read_all(curve, context))
    if isinstance(pick, Abstention):
        return Suggestion(
            None, None, None, candidates, False, (pick.reason.value,), curve, heuristic,
            context.stage, fallback, picks,
        )  # fmt: skip
    reasons = [str(w.message).capitalize() + "." for w in clamped]
    if curve.ended == Ended.DATA_RAN_OUT:
        reasons.append(curve.ended.sentence)
    both = [candidates[name] for name in _WITNESSES if name in candidates]
    if both and np.log10(max(both) / min(both)) > _AGREEMENT_DECADES:
        reasons.append(f"Steepest slope and minimum disagree: {min(both):.1e} to {max(both):.1e}.")
    found = [each for each in picks if each is not None]
    if found and np.log10(max(found) / min(found)) > _AGREEMENT_DECADES:
        reasons.append(f"The sweeps disagree: {min(found):.1e} to {max(found):.1e}.")
    if 2 * len(found) < len(picks):
        reasons.append(f"Alone, {len(picks) - len(found)} of the {len(picks)} sweeps give no rate.")
    around = [*both, *found, pick / _HALF_DECADE, pick * _HALF_DECADE]
    return Suggestion(
        pick, min(around), max(around), candidates, not reasons, tuple(reasons), curve, heuristic,
        context.stage, fallback, picks,
    )  # fmt: skip
