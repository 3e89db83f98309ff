"""The report's figures of many tasks, as SVG; those of one are in drawing.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.display.svg import figure
from lrsuggest.report.figures.svg import BLUE, FAINT, GOLD, GREEN, INK, MARK, SOFT, VERMILION
from lrsuggest.report.text import KINDS, kind, number

COLOURS = {"ours": BLUE, "peer": VERMILION, "constant": SOFT, "person": GOLD}
_MARKS = {"ours": "o", "peer": "s", "constant": "D", "person": "*"}
_DASHES = ("-", "--", ":", "-.")
_TICKS = (0, 0.01, 0.05, 0.2, 0.5, 1, 1.5)


def slug(name: str) -> str:
    """Return a contestant's name as a part of an id."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _regret_axis(axes: Axes) -> None:
    """Set an x axis on which .01 and .5 can both be read: the square root, from 0."""
    axes.set_xscale("function", functions=(_root, np.square))
    axes.set_xlim(0, _TICKS[-1] + 0.06)
    axes.set_xticks(_TICKS, [f"{tick:g}".removeprefix("0") or "0" for tick in _TICKS])
    axes.xaxis.set_minor_locator(NullLocator())


def _root(values: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(values, 0)))


def forest_figure(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw a few contestants' median regret with its interval, the 90th percentile and the worst.

    Args:
        name: of the figure.
        rows: of `lrsuggest.evidence.statistics.summary`, the first on top; seven at most are
            legible.
    """
    with figure(name, (4.9, 0.75 + 0.29 * len(rows))) as (axes, out):
        for at, row in enumerate(rows):
            each = kind(row["contestant"])
            ends = [max(0.0, row[k]) for k in ("median_low", "median_high", "p90", "worst")]
            axes.plot([max(0.0, row["median"]), ends[3]], [at, at], color=FAINT, lw=0.8)
            axes.plot(ends[:2], [at, at], color=COLOURS[each], lw=3.5, solid_capstyle="butt")
            axes.plot(max(0.0, row["median"]), at, _MARKS[each], color=COLOURS[each],
                      ms=10 if each == "person" else 7, mec=INK, mew=0.7)  # fmt: skip
            axes.plot(ends[2], at, "|", color=INK, ms=9, mew=1.4)
            axes.plot(ends[3], at, "x", color=INK, ms=6, mew=1.4)
        few = ["" if row["whole"] else f" ({row['tasks']} tasks)" for row in rows]
        names = [row["contestant"] + said for row, said in zip(rows, few, strict=True)]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        _regret_axis(axes)
        axes.set_xlabel("regret: 0 is the best rate, 1 no training at all")
    return out[0]


def profile_figure(name: str, costs: Mapping[str, Floats]) -> str:
    """Draw on what share of the tasks each contestant's regret is at most x.

    Args:
        name: of the figure.
        costs: regret of each task by contestant; eight at most are legible.
    """
    used: dict[str, int] = {}
    with figure(name, (5.4, 4.5)) as (axes, out):
        for contestant, values in costs.items():
            each = kind(contestant)
            place = used[each] = used.get(each, -1) + 1
            x = np.r_[0, np.sort(np.maximum(values, 0)), 1.5]
            y = np.r_[0, np.arange(1, len(values) + 1) / len(values), 1]
            dashes = _DASHES[place % len(_DASHES)]
            (line,) = axes.step(x, 100 * y, where="post", color=COLOURS[each], ls=dashes, lw=1.7,
                                label=contestant)  # fmt: skip
            line.set_gid(f"{MARK}{slug(contestant)}")
        _regret_axis(axes)
        axes.set_ylim(0, 101)
        axes.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        axes.set_xlabel("regret x")
        axes.set_ylabel("tasks with regret up to x")
        axes.legend(fontsize=9, frameon=False, ncols=2, loc="upper center",
                    bbox_to_anchor=(0.45, -0.16))  # fmt: skip
    return out[0]


def critical_difference_figure(name: str, ranks: pd.DataFrame, pvalues: pd.DataFrame) -> str:
    """Draw mean ranks on one axis, best on the left; a bar joins those that no test tells apart.

    Args:
        name: of the figure.
        ranks: columns contestant, families and rank, a row each; a dozen at most stay legible.
        pvalues: corrected p-value of every pair, contestants on both sides.
    """
    import scikit_posthocs  # type: ignore[import-untyped]  # 2 s that only this figure needs

    rank = ranks.set_index("contestant")["rank"]
    colours = {each: COLOURS[kind(str(each))] for each in rank.index}
    with figure(name) as (axes, out):
        drawn = scikit_posthocs.critical_difference_diagram(
            rank, pvalues, ax=axes, color_palette=colours, alpha=0.05,
            label_fmt_left="{label}  {rank:.1f} ", label_fmt_right=" {rank:.1f}  {label}",
            text_h_margin=0.3, label_props={"size": 9}, elbow_props={"lw": 1},
            marker_props={"s": 22}, crossbar_props={"linewidth": 3, "color": "0.35"},
        )  # fmt: skip
        _ordered([line for (line,) in drawn["crossbars"]])
        axes.spines["top"].set_visible(True)  # here the axis of ranks stands on top
        axes.set_xlabel(f"mean rank over {int(ranks.families.max())} families (1 is best)")
        axes.xaxis.set_label_position("top")
        for each in dict.fromkeys(kind(str(name)) for name in rank.index):
            axes.plot([], [], "o", color=COLOURS[each], ms=5, label=KINDS[each])
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center",
                    bbox_to_anchor=(0.5, -0.02))  # fmt: skip
    return out[0]


def _ordered(bars: Sequence[Line2D]) -> None:
    """Stack the bars anew, from the left: the library goes through sets, in no steady order."""
    ends = [np.asarray(bar.get_xdata(), np.float64) for bar in bars]
    spans = sorted((float(x.min()), float(x.max())) for x in ends)
    levels: list[float] = []  # where each level's last bar ends
    for bar, (low, high) in zip(bars, spans, strict=True):
        level = next((i for i, end in enumerate(levels) if end < low), len(levels))
        levels[level : level + 1] = [high]
        bar.set_data([low, high], [-level - 1, -level - 1])


def cost_figure(name: str, found: pd.DataFrame) -> str:
    """Draw regret against what the probes cost: mean and median over tasks, and the oracle's mean.

    Args:
        name: of the figure.
        found: rows of `lrsuggest.evidence.studies.probe_replay.probed`.
    """
    per_task = found.groupby(["cost", "task"])[["regret", "oracle"]].mean()
    by_cost = per_task.regret.groupby("cost")
    with figure(name, (5.4, 3.4)) as (axes, out):
        for said, values, colour, mark in (
            ("90th percentile", by_cost.quantile(0.9), VERMILION, "s-"),
            ("mean", by_cost.mean(), BLUE, "o-"),
            ("median", by_cost.median(), GREEN, "^-"),
        ):
            axes.plot(values.index, values, mark, ms=5, lw=1.2, color=colour, label=said)
        oracle = float(per_task.oracle.groupby("cost").mean().iloc[0])
        axes.axhline(oracle, color=SOFT, ls=":", label="mean of the split-half oracle")
        axes.set_xlabel("cost of the probes, in full training runs")
        axes.set_ylabel("regret")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x, 2)))
        axes.legend(fontsize=9, frameon=False)
    return out[0]
