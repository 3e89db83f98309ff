"""A lesson's whole chains as a figure: the loss of every step, by either pilot."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.display.svg import figure
from lrsuggest.evidence.lessons import Trace
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.report.figures.svg import BLUE, GOLD, INK, SOFT
from lrsuggest.report.text import rate

_COLOURS = {HAND_PICKED: GOLD, "suggested": BLUE}
_MARKS = {HAND_PICKED: "*", "suggested": "o"}
_MOST = 200  # points of a curve drawn; the steps between are averaged


def trace_figure(name: str, traces: Sequence[Trace]) -> str:
    """Draw training and validation losses over the steps, and the rates below on the same."""
    with figure(name, (5.2, 4.4)) as (first, out):
        whole = first.figure
        assert isinstance(whole, Figure)
        first.remove()
        top, bottom = whole.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
        for trace in traces:
            colour = _COLOURS[trace.pilot]
            steps = np.arange(1.0, len(trace.loss) + 1)
            top.plot(_thinned(steps), _thinned(trace.loss), color=colour, lw=0.9, alpha=0.75,
                     label=f"training loss, {trace.pilot}")  # fmt: skip
            if trace.looks:
                top.plot(*zip(*trace.looks, strict=True), _MARKS[trace.pilot], color=colour,
                         mec=INK, mew=0.6, ms=11 if trace.pilot == HAND_PICKED else 6,
                         label=f"validation loss, {trace.pilot}")  # fmt: skip
            bottom.plot(_thinned(steps), _thinned(trace.lr), color=colour, lw=1.3,
                        ls="--" if trace.pilot == HAND_PICKED else "-")  # fmt: skip
        finite = np.concatenate([t.loss[np.isfinite(t.loss)] for t in traces])
        if len(finite) and finite.min() > 0 and finite.max() > 8 * np.median(finite):
            top.set_yscale("log")
        bottom.set_yscale("log")
        bottom.yaxis.set_major_formatter(FuncFormatter(lambda y, _: rate(y)))
        bottom.yaxis.set_minor_locator(NullLocator())
        for axes in (top, bottom):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=9, labelcolor=INK, color=SOFT)
        bottom.set_xlabel("optimizer step")
        top.set_ylabel("loss")
        bottom.set_ylabel("learning rate")
        # Its last steps are next to nothing, and would leave the axis to themselves.
        bottom.set_ylim(bottom=max(float(t.lr.max()) for t in traces) * 1e-3)
        top.legend(fontsize=8, frameon=False, ncols=2, loc="lower center",
                   bbox_to_anchor=(0.5, 1.0))  # fmt: skip
    return out[0]


def _thinned(values: Floats) -> Floats:
    """Average neighbours until at most _MOST points remain; what is not finite stays so."""
    part = -(-len(values) // _MOST)
    return np.array([values[at : at + part].mean() for at in range(0, len(values), part)])
