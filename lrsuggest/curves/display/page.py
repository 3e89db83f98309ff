"""One suggestion as HTML: a piece of a notebook, or an offline page."""

import hashlib
import math
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import cast

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from lrsuggest.curves import csv
from lrsuggest.curves.answer import Answer, Cost, rate
from lrsuggest.curves.display.drawing import draw_suggestion, leave_room, marks
from lrsuggest.curves.display.svg import figure, glyph
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.registry import Abstention

_TEMPLATES = files("lrsuggest.curves.display") / "templates"
_SAME = 1.05  # rates that differ by less than this are read as one


@dataclass(frozen=True)
class _Row:
    """A row of the page's table: what one heuristic says, or why it says nothing."""

    name: str
    source: str
    mark: Markup
    pick: str = ""
    against: str = ""
    inside: bool = False
    followed: bool = False
    reason: str = ""


def fragment(found: Answer) -> str:
    """Return the three lines and the plot, for a notebook."""
    return _template("fragment.html").render(lines=str(found).splitlines(), plot=_plot(found))


def render(found: Answer, title: str, date: object) -> str:
    """Return the whole page."""
    curve = found.curve
    table = csv.write(curve.lr, curve.loss, curve.skipped)
    return _template("suggestion.html").render(
        title=title,
        lines=str(found).splitlines(),
        found=found,
        plot=_plot(found, legend=False),
        heuristics=list(_heuristics(found)),
        steps=list(zip(curve.lr.tolist(), curve.loss.tolist(), curve.skipped, strict=True)),
        download="data:text/csv;base64," + b64encode(table.encode()).decode(),
        facts=_facts(found, date),
    )


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: (_TEMPLATES / name).read_text("utf-8")}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(rate=rate, probe=_probe)
    return environment.get_template(name)


def _plot(found: Answer, *, legend: bool = True) -> Markup:
    """Draw it; ids are made of what is drawn, since a notebook holds many plots in one page."""
    shown = repr((found.curve.to_json(), found.lr, found.probes, found.replicates, legend))
    name = "lr-" + hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()
    width, height = (7.0, 4.2) if legend else (4.8, 3.4)
    with figure(name, (width, height + 1.2 if found.probes else height)) as (axes, out):
        leave_room(cast(Figure, axes.figure), found)
        draw_suggestion(axes, found)
        if not legend and (drawn := axes.get_legend()):
            drawn.remove()
    return Markup(out[0].replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1))


def _heuristics(found: Answer) -> Iterator[_Row]:
    """Yield the candidates from the highest rate down, then the heuristics that abstain."""
    drawn = {name: Markup(glyph(mark, colour)) for mark, colour, name in marks(found.candidates)}
    for name, pick in sorted(found.candidates.items(), key=lambda each: -each[1]):
        within = found.low is not None and found.high is not None
        yield _Row(
            name, _source(name), drawn[name], rate(pick), _against(pick, found.lr),
            within and cast(float, found.low) <= pick <= cast(float, found.high),
            name == found.heuristic,
        )  # fmt: skip
    for name, each in HEURISTICS.items():
        if name not in found.candidates and each.origin != "constant":
            answer = each(found.curve, found.context)
            reason = answer.reason.value if isinstance(answer, Abstention) else "No usable rate."
            yield _Row(name, each.source, Markup(), followed=name == found.heuristic, reason=reason)


def _source(name: str) -> str:
    return HEURISTICS[name].source if name in HEURISTICS else ""


def _against(pick: float, lr: float | None) -> str:
    """Say how a rate stands to the suggested one."""
    if lr is None:
        return ""
    far = max(pick / lr, lr / pick)
    if far < _SAME:
        return "the same"
    return f"{'×' if pick > lr else '÷'} {far:{'.1f' if far < 10 else ',.0f'}}"


def _probe(value: float) -> str:
    """Write what a probe came to."""
    if math.isnan(value):
        return "broken off as clearly worse"
    return f"{value:.4g}" if math.isfinite(value) else "diverged"


def _facts(found: Answer, date: object) -> dict[str, str]:
    """Return where the numbers come from, by name."""
    try:
        release = version("lrsuggest")
    except PackageNotFoundError:
        release = "source tree"
    facts = {
        "heuristic followed": f"{found.heuristic} ({_source(found.heuristic)})",
        "stage": found.stage or "not given",
        "schedule": found.schedule or "one_cycle",
        "curve": repr(found.curve),
        "end of the test": found.curve.ended.sentence,
        "losses": "smoothed by another library" if found.curve.smoothed else "as measured",
    }
    if found.cost != Cost():
        facts["cost"] = str(found.cost)
    facts["lrsuggest"] = release
    if date is not None:
        facts["date"] = str(date)
    return facts
