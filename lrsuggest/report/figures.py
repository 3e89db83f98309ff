"""The report's figures, as inline SVG."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.drawing import draw, marks
from lrsuggest.curves.readings import HEURISTICS
from lrsuggest.curves.svg import figure
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import TaskEvidence


def curve_figure(name: str, curve: Curve, candidates: Mapping[str, float]) -> str:
    """Draw one range test with its candidates."""
    with figure(name) as (axes, out):
        draw(axes, curve, candidates)
    return out[0]


def response_figure(name: str, task: TaskEvidence, picks: Mapping[str, float]) -> str:
    """Draw the measured response: every seed, their mean, the hand-picked rate and the picks.

    Runs that diverged or ended above the start are drawn on the upper edge.
    """
    response = task.response
    assert response is not None
    start = response.start
    finite = response.loss[np.isfinite(response.loss)]
    best = float(finite.min()) if len(finite) else start
    worst = math.inf if np.isinf(response.loss).any() else float(finite.max())
    # Above the start every run is a failure alike; below it, no room is spent on emptiness.
    ceiling = min(worst, start + 0.08 * abs(start - best))
    shown = np.where(np.isnan(response.loss), np.nan, np.minimum(response.loss, ceiling))
    mean = np.nanmean(shown, axis=0)
    logs = np.log10(response.rates)
    with figure(name) as (axes, out):
        off = " (above)" if start > ceiling else ""
        if not off:
            axes.axhline(start, color="0.45", lw=1, ls="--")
        axes.plot([], [], color="0.45", lw=1, ls="--", label=f"before training: {start:.3g}{off}")
        for seed, losses in enumerate(shown):
            label = "one run each" if seed == 0 else None
            axes.plot(response.rates, losses, ".", color="0.55", ms=6, label=label)
        axes.plot(response.rates, mean, color="black", lw=1.6, label="mean over seeds")
        at = {k: float(np.interp(math.log10(v), logs, mean)) for k, v in picks.items()}
        for mark, colour, key in marks(picks):
            axes.plot(
                picks[key], at[key], mark, color=colour, ms=9, mec="black", mew=0.7,
                label=f"{key}: {picks[key]:.1e}",
            )  # fmt: skip
        for rate, _ in task.hand_picked[:1]:
            height = float(np.interp(math.log10(rate), logs, mean))
            axes.plot(rate, height, "*", color="gold", ms=17, mec="black", mew=0.9,
                      label=f"{HAND_PICKED}: {rate:.1e}")  # fmt: skip
        axes.set_xscale("log")
        fall = max(ceiling - best, 1e-12)
        if best > 0 and ceiling > 8 * best:
            axes.set_yscale("log")
        else:
            axes.set_ylim(best - 0.08 * fall, ceiling + 0.05 * fall)
        axes.set_xlabel("maximum learning rate of the one-cycle run")
        axes.set_ylabel("validation loss")
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return out[0]


_KINDS = {"ours": "#0072B2", "another library's": "#D55E00", "a constant": "0.35"}


def _kind(name: str) -> str:
    origin = HEURISTICS[name].origin if name in HEURISTICS else "constant"
    return {"peer": "another library's", "constant": "a constant"}.get(origin, "ours")


def critical_difference_figure(name: str, ranks: pd.DataFrame, pvalues: pd.DataFrame) -> str:
    """Draw mean ranks on one axis, best on the left; a bar joins those that no test tells apart.

    Args:
        name: of the figure.
        ranks: columns contestant, families and rank, a row each; a dozen at most stay legible.
        pvalues: corrected p-value of every pair, contestants on both sides.
    """
    import scikit_posthocs  # type: ignore[import-untyped]  # 2 s that only this figure needs

    rank = ranks.set_index("contestant")["rank"]
    colours = {each: _KINDS[_kind(str(each))] for each in rank.index}
    with figure(name) as (axes, out):
        scikit_posthocs.critical_difference_diagram(
            rank, pvalues, ax=axes, color_palette=colours, alpha=0.05,
            label_fmt_left="{label}  {rank:.1f} ", label_fmt_right=" {rank:.1f}  {label}",
            text_h_margin=0.3, label_props={"size": 9}, elbow_props={"lw": 1},
            marker_props={"s": 22}, crossbar_props={"linewidth": 3, "color": "0.35"},
        )  # fmt: skip
        axes.spines["top"].set_visible(True)  # here the axis of ranks stands on top
        axes.set_xlabel(f"mean rank over {int(ranks.families.max())} families (1 is best)")
        axes.xaxis.set_label_position("top")
        for kind, colour in _KINDS.items():
            axes.plot([], [], "o", color=colour, ms=5, label=kind)
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center",
                    bbox_to_anchor=(0.5, -0.02))  # fmt: skip
    return out[0]


def cost_figure(name: str, found: pd.DataFrame) -> str:
    """Draw regret against what the probes cost: mean and median over tasks, and the oracle's mean.

    Args:
        name: of the figure.
        found: rows of `lrsuggest.evidence.probing.probed`.
    """
    per_task = found.groupby(["cost", "task"])[["regret", "oracle"]].mean()
    by_cost = per_task.regret.groupby("cost")
    with figure(name) as (axes, out):
        for said, values, colour in (
            ("mean", by_cost.mean(), "#0072B2"),
            ("90th percentile", by_cost.quantile(0.9), "#D55E00"),
            ("median", by_cost.median(), "#009E73"),
        ):
            axes.plot(values.index, values, "o-", ms=5, lw=1.2, color=colour, label=said)
        oracle = float(per_task.oracle.groupby("cost").mean().iloc[0])
        axes.axhline(oracle, color="0.4", ls=":", label="mean of the split-half oracle")
        axes.set_xlabel("cost of the probes, in full training runs")
        axes.set_ylabel("regret")
        axes.legend(fontsize=8, frameon=False)
    return out[0]
