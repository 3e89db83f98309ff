"""Makes matplotlib's SVG a small part of a page: its colours, its ids, a tenth of a point.

A page with a hundred figures cannot carry what matplotlib writes: groups without a purpose, six
decimals, the names of a dozen fonts in every word. Black and the palette become the page's own
colours, so that a figure is read on a dark page as well.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

INK, SOFT, FAINT, SHADE = "#000000", "#808080", "#b3b3b3", "#e5e5e5"
BLUE, VERMILION, GREEN, GOLD, PINK, SKY = (
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9",
)  # fmt: skip
_VARIABLES = {
    INK: "currentColor", SOFT: "var(--soft)", FAINT: "var(--faint)", SHADE: "var(--shade)",
    BLUE: "var(--blue)", VERMILION: "var(--vermilion)", GREEN: "var(--green)", GOLD: "var(--gold)",
    PINK: "var(--pink)", SKY: "var(--sky)",
}  # fmt: skip
_STYLES = (
    "fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity",
    "stroke-opacity", "stroke-linecap", "font-size", "text-anchor",
)  # fmt: skip
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_UNSEEN = ("", "fill:none", "fill:#ffffff", None)
MARK = "mark-"  # ids that begin so are for the page's script and stay


def inline(svg: str, label: str) -> Markup:
    """Return a figure as a part of a page, to be shown beside its table.

    Args:
        svg: what `lrsuggest.curves.display.svg.figure` made.
        label: what it shows, for those who do not see it.
    """
    root = ElementTree.fromstring(svg)
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
        each.attrib = {k.rpartition("}")[2]: v for k, v in each.attrib.items()}
    name = next(e.attrib["id"] for e in root.iter("g")).removesuffix("-figure_1")
    held: dict[str, str] = {}
    for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg):
        old = pair[0] or pair[1]
        held.setdefault(old, f"{name}-{len(held)}")
    looks = {e.get("id", ""): _style(e.get("style", "")).split(";") for e in root.iter("path")}
    inner = "".join(text for child in root for text in _lines(child, _Names(held, looks)))
    width, height = root.attrib["viewBox"].split()[2:]
    box = f"0 0 {_short(width)} {_short(height)}"
    return Markup(
        f'<svg role="img" aria-label="{escape(label)}" viewBox="{box}" '
        f'style="--w:{float(width):.0f}">{inner}</svg>'
    )


class _Names(NamedTuple):
    """New ids by the old, and the styles of what may be referred to, by its old id."""

    held: dict[str, str]
    looks: dict[str, list[str]]

    def moved(self, text: str) -> str:
        """Put the new id in a reference's place."""
        return re.sub(r"#([^)]+)", lambda found: f"#{self.held[found[1]]}", text)


def painted(markup: str) -> str:
    """Put the page's colours in the place of the palette's in a small drawing."""
    for colour, variable in _VARIABLES.items():
        markup = markup.replace(colour, variable).replace(colour.upper(), variable)
    return markup.replace("black", "currentColor")


def _short(text: str) -> str:
    """Round every number in a text to a tenth."""
    return _NUMBER.sub(lambda found: f"{round(float(found[0]), 1) + 0:g}", text)


def _path(text: str) -> str:
    """Write a path with as few characters as it takes."""
    text = re.sub(r"\s+", " ", _short(text)).strip()
    text = re.sub(r" ?([MLCQZz]) ?", r"\1", text).replace(" -", "-")
    return re.sub(r"M([^A-Za-z]+)L\1(?=[ML]|$)", r"M\1h0", text)


def _style(text: str) -> str:
    """Keep what changes the look, in the page's colours."""
    pairs = (part.partition(":")[::2] for part in text.split(";") if part.strip())
    kept = {name.strip(): value.strip() for name, value in pairs}
    said = []
    for name in _STYLES:
        value = kept.get(name)
        if value is None or (name, value) in {("opacity", "1"), ("text-anchor", "start")}:
            continue
        said.append(f"{name}:{_VARIABLES.get(value.lower(), value).removesuffix('px')}"
                    + ("px" if name == "font-size" else ""))  # fmt: skip
    return ";".join(said)


def _lines(each: ElementTree.Element, names: _Names) -> Iterator[str]:
    """Yield an element as text; a group that does nothing yields what it holds."""
    if each.tag == "style":
        return
    inner = "".join(text for child in each for text in _lines(child, names))
    told = dict(_attributes(each, names))
    text = escape((each.text or "").strip(), quote=False)
    if each.tag in ("g", "defs") and not (inner or text):
        return
    bare = each.tag == "path" and "id" not in told
    if bare and (not told.get("d") or told.get("style") in _UNSEEN):
        return
    if each.tag == "g" and not told:
        yield inner
        return
    said = "".join(f' {name}="{escape(value)}"' for name, value in told.items())
    start, inside = f"<{each.tag}{said}", text + inner
    yield f"{start}>{inside}</{each.tag}>" if inside else f"{start}/>"


def _attributes(each: ElementTree.Element, names: _Names) -> Iterator[tuple[str, str]]:
    for name, value in each.attrib.items():
        if name == "id":
            if value in names.held:
                yield "id", names.held[value]
            elif value.partition(MARK)[1]:
                yield "id", value
        elif name == "style":
            own = names.looks[each.attrib["href"][1:]] if each.tag == "use" else ()
            if style := ";".join(part for part in _style(value).split(";") if part not in own):
                yield "style", style
        elif name in ("href", "clip-path"):
            yield name, names.moved(value)
        elif name == "d":
            yield name, _path(value)
        elif not value.startswith("rotate(-0"):
            yield name, _short(value)
