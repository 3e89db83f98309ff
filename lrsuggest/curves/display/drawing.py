"""Pictures of curves: the losses, what was read from them, and what probes found."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrsuggest.curves.answer import Answer
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.smoothing import smooth, usable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        fall = max(float(np.ptp(calm)), 1e-3 * float(np.abs(calm).max()), 1e-12)
        ax.set_ylim(float(calm.min()) - 0.12 * fall, float(calm.max()) + 0.25 * fall)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    ax.ticklabel_format(axis="y", useOffset=False)
    legend(ax)


def draw_suggestion(ax: "Axes", found: Answer) -> None:
    """Draw a suggestion's curve, candidates, plausible interval, replicates and probes."""
    draw(ax, found.curve, found.candidates, chosen=found.heuristic if found.lr else None)
    if found.low is not None and found.high is not None:
        ax.axvspan(found.low, found.high, color=_COLOURS[0], alpha=0.1, lw=0, zorder=0)
    picks = [pick for pick in found.replicates if pick is not None]
    if picks:
        foot = ax.get_xaxis_transform()
        label = f"picks of {len(found.replicates)} sweeps"
        ax.plot(picks, [0.03] * len(picks), "k|", ms=12, mew=1.5, transform=foot, label=label)
    if found.probes:
        draw_probes(ax, found.probes, found.lr)
    legend(ax)


def leave_room(figure: "Figure", found: Answer) -> None:
    """Lay a figure out so that probes, if there are any, have room above the axes."""
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 0.74 if found.probes else 1))


def legend(ax: "Axes") -> None:
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
    top.margins(y=0.5)
    top.tick_params(labelbottom=False, labelsize=8)
    top.set_ylabel("probe's loss", fontsize=8)
