"""One task as a figure: range test, picks and response over the same rates."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.display.drawing import marks
from lrsuggest.curves.display.svg import figure
from lrsuggest.curves.smoothing import smooth, usable
from lrsuggest.evidence.regret import HAND_PICKED, regret
from lrsuggest.evidence.response import FINE, Response, TaskEvidence
from lrsuggest.report.figures.svg import FAINT, GOLD, GREEN, INK, SHADE, SOFT
from lrsuggest.report.text import rate

_APART = 0.24  # decades between two marks of one lane
_MOST = 100  # points of a curve drawn


def near(response: Response) -> tuple[float, float] | None:
    """Return the ends of the measured rates around the best that cost at most FINE, or None.

    A rate beyond one that costs more does not count.
    """
    if not response.halves:
        return None
    costs = np.array([regret(response, each) for each in response.rates])
    best = int(np.nanargmin(costs))
    if not costs[best] <= FINE:
        return None
    low = high = best
    while low > 0 and costs[low - 1] <= FINE:
        low -= 1
    while high + 1 < len(costs) and costs[high + 1] <= FINE:
        high += 1
    return float(response.rates[low]), float(response.rates[high])


def lanes(picks: Mapping[str, float]) -> dict[str, int]:
    """Return a lane for each pick, the lowest in which its mark covers no other's.

    From the lowest rate to the highest, so that equal picks stand above one another.
    """
    ends: list[float] = []
    found = {}
    for name, pick in sorted(picks.items(), key=lambda each: each[1]):
        x = math.log10(pick)
        lane = next((i for i, end in enumerate(ends) if x - end >= _APART), len(ends))
        ends[lane : lane + 1] = [x]
        found[name] = lane
    return found


def task_figure(name: str, task: TaskEvidence, picks: Mapping[str, float]) -> str:
    """Draw a task: the first range test, the picks in lanes, and what rates were worth.

    Rates near the best are shaded through all three. Runs that diverged or ended above the start
    stand on the upper edge.

    Args:
        name: of the figure.
        task: what was measured.
        picks: each heuristic's pick, the geometric mean over range tests.
    """
    place = lanes(picks)
    rows = max([*place.values(), 0]) + 1 + bool(task.hand_picked)
    shares = [2.1, 0.35 + 0.17 * rows, 2.1]
    with figure(name, (5.2, 0.75 + sum(shares))) as (first, out):
        whole = first.figure
        assert isinstance(whole, Figure)
        first.remove()
        whole.set_layout_engine("none")  # it would draw everything twice to find its margins
        tall = 0.75 + sum(shares)
        room = {"left": 0.125, "right": 0.972, "top": 1 - 0.05 / tall, "bottom": 0.5 / tall}
        top, middle, bottom = whole.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": shares, "hspace": 0.07, **room}
        )
        whole.align_ylabels([top, middle, bottom])
        for axes in (top, middle, bottom):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=9, bottom=axes is bottom)
        response = task.response if task.response and task.response.ready else None
        band = near(response) if response else None
        for axes in (top, middle, bottom) if band else ():
            _shade(axes, *band or (1, 1))
        _curve(top, task.curves)
        _picks(middle, picks, place, task.hand_picked[:1])
        _response(bottom, response)
        _rates(bottom, task)
    return out[0]


def _shade(axes: Axes, low: float, high: float) -> None:
    axes.axvspan(low / 1.04, high * 1.04, color=GREEN, alpha=0.16, lw=0, zorder=0)


def _rates(axes: Axes, task: TaskEvidence) -> None:
    ends = [end for curve in task.curves[:1] if len(curve) for end in (curve.lr[0], curve.lr[-1])]
    ends += [] if task.response is None else [task.response.rates[0], task.response.rates[-1]]
    low, high = (math.log10(end) for end in (min(ends), max(ends))) if ends else (-5, 0)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - 0.1), 10 ** (high + 0.1))
    whole = range(math.ceil(low - 0.1), math.floor(high + 0.1) + 1)
    axes.xaxis.set_major_locator(FixedLocator([10.0**k for k in whole]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: rate(x)))
    axes.set_xlabel("learning rate; below, the maximum of the run")


def _empty(axes: Axes, said: str) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", color=SOFT)


def _curve(axes: Axes, curves: Sequence[Curve]) -> None:
    curve = curves[0] if curves else Curve([], [])
    lr, loss = usable(curve)
    if len(lr) < 2:
        _empty(axes, "no range test with a loss")
        return
    part = max(1, len(curve) // _MOST)
    axes.plot(curve.lr[::part], curve.loss[::part], color=FAINT, lw=1)
    calm = loss if curve.smoothed or len(lr) < 5 else smooth(lr, loss)
    axes.plot(lr[::part], calm[::part], color=INK, lw=1.6)
    fall = max(float(np.ptp(calm)), 1e-3 * float(np.abs(calm).max()), 1e-12)
    axes.set_ylim(float(calm.min()) - 0.12 * fall, float(calm.max()) + 0.25 * fall)
    _sparse(axes)
    axes.set_ylabel("training loss", fontsize=9)


def _sparse(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set_fontsize(9)


def _picks(
    axes: Axes, picks: Mapping[str, float], place: Mapping[str, int],
    hand_picked: Sequence[tuple[float, str]],
) -> None:  # fmt: skip
    above = max([*place.values(), -1]) + 1
    for mark, colour, name in marks(picks):
        axes.plot(picks[name], place[name], mark, color=colour, ms=6.5, mec=INK, mew=0.5)
    for lr, _ in hand_picked:
        axes.plot(lr, above, "*", color=GOLD, ms=12, mec=INK, mew=0.6)
        axes.annotate(HAND_PICKED, (lr, above), xytext=(8, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_ylim(-0.7, above + len(hand_picked) - 0.3 if picks or hand_picked else 1)
    axes.set_yticks([])
    axes.set_ylabel("picks", fontsize=9)


def _response(axes: Axes, response: Response | None) -> None:
    if response is None:
        _empty(axes, "no response was measured")
        return
    start, loss = response.start, response.loss
    finite = loss[np.isfinite(loss)]
    best = float(finite.min()) if len(finite) else start
    worst = math.inf if np.isinf(loss).any() else float(finite.max())
    # Above the start every run is a failure alike; below it, no room is spent on emptiness.
    ceiling = min(worst, start + 0.08 * abs(start - best))
    shown = np.where(np.isnan(loss), np.nan, np.minimum(loss, ceiling))
    if start <= ceiling:
        axes.axhline(start, color=SOFT, lw=1, ls="--")
    some = (~np.isnan(shown)).any(axis=0)
    rates, shown = response.rates[some], shown[:, some]
    axes.fill_between(rates, np.nanmin(shown, axis=0), np.nanmax(shown, axis=0),
                      color=SHADE, lw=0, zorder=0.5)  # fmt: skip
    axes.plot(rates, np.nanmean(shown, axis=0), color=INK, lw=1.6)
    _dots(axes, rates, shown)
    fall = max(ceiling - best, 1e-12)
    if best > 0 and ceiling > 8 * best:
        axes.set_yscale("log")
        axes.set_ylim(best * 0.9, ceiling * 1.1)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(best - 0.08 * fall, ceiling + 0.08 * fall)
        _sparse(axes)
    axes.set_ylabel("validation loss", fontsize=9)


def _dots(axes: Axes, rates: np.ndarray, shown: np.ndarray) -> None:
    """Draw every run as a dot, all in one path: lines of next to no length with round ends."""
    seed, at = np.nonzero(~np.isnan(shown))
    points = np.column_stack([rates[at], shown[seed, at]]).repeat(2, axis=0)
    points[1::2, 0] *= 1.001  # of no length at all they would be left out
    path = Path(points, np.tile([Path.MOVETO, Path.LINETO], len(at)))
    axes.add_patch(PathPatch(path, ec=SOFT, fc="none", lw=3, capstyle="round"))
