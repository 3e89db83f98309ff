"""What a lesson's networks predict, beside the truth: masks in colour, points on faces."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrsuggest.evidence.lessons import Trace

_INCH, _DPI = 1.7, 84
_VEIL = 0.55  # how much of a mask's colour covers the image


def predictions(traces: Sequence[Trace]) -> str | None:
    """Return a JPEG as a data URI: a row an example, columns image, truth, and each pilot's.

    Args:
        traces: of one stage, all shown on the same examples; those that show none are left out.
    """
    shown = {}
    for trace in traces:
        if trace.shown is not None:
            with np.load(io.BytesIO(trace.shown), allow_pickle=False) as held:
                shown[trace.pilot] = {name: held[name] for name in held.files}
    if not shown:
        return None
    first = next(iter(shown.values()))
    images, truth = np.moveaxis(first["inputs"], 1, -1), first["targets"]
    columns = {"image": None, "truth": truth, **{k: v["outputs"] for k, v in shown.items()}}
    tall = images.shape[1] / images.shape[2]
    size = (_INCH * len(columns), _INCH * tall * len(images) + 0.3)
    with style.context("default"):
        drawn = Figure(figsize=size, layout="constrained", dpi=_DPI)
        grid = drawn.subplots(len(images), len(columns), squeeze=False)
        for row, image in enumerate(images):
            for axes, (name, values) in zip(grid[row], columns.items(), strict=True):
                axes.set_axis_off()
                if row == 0:
                    axes.set_title(name, fontsize=9)
                _draw(axes, image, None if values is None else values[row])
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="jpeg", pil_kwargs={"quality": 80})
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _draw(axes: Any, image: NDArray[np.uint8], value: NDArray[Any] | None) -> None:
    """Draw an image (h, w, c) with its mask (h, w), points (k, 2) in [-1, 1], or class on it."""
    grey = image.shape[-1] == 1
    axes.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None)
    if value is None:
        return
    if value.shape == image.shape[:2]:
        axes.imshow(colormaps["tab20"](value % 20), alpha=_VEIL)
    elif value.ndim == 2:
        height, width = image.shape[:2]
        x, y = ((value[:, i] + 1) * side / 2 - 0.5 for i, side in ((0, width), (1, height)))
        axes.plot(x, y, ".", color="#F0E442", ms=3)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    else:
        axes.text(0.04, 0.94, f"class {value}", color="yellow", va="top", fontsize=9,
                  transform=axes.transAxes, bbox={"color": "black", "pad": 2})  # fmt: skip
