"""Figures as inline SVG: byte-stable, with ids of their own and text left as text."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D

_SIZE = (6.6, 3.9)


@contextmanager
def figure(name: str, size: tuple[float, float] = _SIZE) -> Iterator[tuple[Axes, list[str]]]:
    """Yield axes and a list that holds the SVG text once the block has ended.

    The name makes the ids within unique to the figure, so that many fit in one page. The person's
    own style and backend have no say and are left as they were.

    Args:
        name: of the figure, unique in its page.
        size: width and height in inches.
    """
    out: list[str] = []
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
    }
    with style.context(["default", settings]):
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, out
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    out.append(re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S))


def glyph(mark: str, colour: str) -> str:
    """Return a marker as a small SVG, for a table that serves as the legend."""
    made = MarkerStyle(mark)
    path = made.get_path().transformed(made.get_transform() + Affine2D().scale(10, -10))
    outline = " ".join(
        "M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in np.asarray(each, np.float64)) + "Z"
        for each in path.to_polygons()
    )
    return (
        f'<svg class="glyph" viewBox="-6.5 -6.5 13 13" width="13" height="13" aria-hidden="true">'
        f'<path d="{outline}" fill="{colour}" stroke="black" stroke-width="0.8"/></svg>'
    )
