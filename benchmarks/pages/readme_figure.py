"""Draws docs/camvid11.png from records: python benchmarks/pages/readme_figure.py OUT_FOLDER."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lrsuggest.bench.commands.evidence import gather
from lrsuggest.curves.display.drawing import draw, marks
from lrsuggest.suggest import suggest_lr


def main(out: Path) -> None:
    """Draw a range test and the response of CamVid at the larger size."""
    tasks = gather(out).tasks
    task = [t for t in tasks if t.family == "camvid"][-1]
    suggestion = suggest_lr(task.curves[0], stage=task.stage, optimizer=task.optimizer)
    shown = ("steepest_gaussian", "min_10", "fastai_valley")
    candidates = {name: suggestion.candidates[name] for name in shown}
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(left, suggestion.curve, candidates, chosen=suggestion.heuristic)
    left.legend(fontsize=9, frameon=False)
    left.set_title("What the range test says")
    assert task.response is not None
    rates, mean = task.response.rates, task.response.loss.mean(0)
    right.semilogx(rates, task.response.loss.T, ".", color="0.6")
    right.semilogx(rates, mean, color="black", lw=1.6)
    for mark, colour, name in marks(candidates):
        rate = candidates[name]
        height = np.interp(np.log10(rate), np.log10(rates), mean)
        right.plot(rate, height, mark, color=colour, mec="black", ms=7, zorder=3)
    rate = task.hand_picked[0][0]
    height = np.interp(np.log10(rate), np.log10(rates), mean)
    right.plot(
        rate,
        height,
        "*",
        color="gold",
        mec="black",
        ms=17,
        zorder=2.5,
        label=f"hand-picked: {rate:g}",
    )
    right.set_xlabel("maximum learning rate of a one-cycle run")
    right.set_ylabel("validation loss after it")
    right.set_title("What those rates are worth (CamVid, 60x80)")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).parents[2] / "docs" / "camvid11.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
