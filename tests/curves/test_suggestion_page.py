"""A suggestion in a notebook and as a page of its own."""

import base64
import datetime
import html
import re
import shutil
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from helpers import Reader, make_learner, sweep_like

from lrsuggest import Curve, Probes, RangeTest, UserError, suggest_lr
from lrsuggest.curves.heuristics.registry import HEURISTICS, heuristic

matplotlib.use("agg")

FLAT = Curve(np.geomspace(1e-7, 10, 60), np.full(60, 0.7))
LR, LOSS = sweep_like(noise=0.02)


def page(found, tmp_path, **settings):
    found.to_html(tmp_path / "page.html", **settings)
    return (tmp_path / "page.html").read_text("utf-8")


def words(text):
    return " ".join(" ".join(Reader(text).text).split())


@pytest.fixture(scope="module")
def probed():
    return suggest_lr(
        make_learner(), sweep=RangeTest(repeats=2, num_iter=60), probes=Probes(3, 20), seed=0
    )


def test_a_notebook_gets_the_lines_and_the_plot_without_pyplot(tmp_path):
    script = """
import sys, numpy as np
from lrsuggest import Curve, suggest_lr
from lrsuggest.testing import simulated
found = suggest_lr(Curve(*simulated(100, 0.1, 2.0, 0.02, 0)))
light = {"jinja2", "matplotlib"} & set(sys.modules)
shown = found._repr_mimebundle_(include=None, exclude=None)
assert shown["text/plain"] == str(found)
print(shown["text/html"])
found.to_html(sys.argv[1])
print(light, "matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", script, tmp_path / "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown, modules = done.stdout.strip().rsplit("\n", 1)
    assert modules == "set() False"
    read = Reader(shown)
    assert read.tags.count("svg") == 1
    assert "Maximum learning rate" in words(shown)
    assert "min_10" in words(shown)
    assert "<script" not in shown
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", shown)


def test_plots_shown_in_one_notebook_share_no_ids():
    found = [suggest_lr(Curve(LR, LOSS)), suggest_lr(Curve(LR, 2 * LOSS)), suggest_lr(FLAT)]
    read = Reader("".join(each._repr_html_() for each in found))
    assert read.ids
    assert len(read.ids) == len(set(read.ids))


def test_one_page_has_it_all_and_asks_for_nothing_else(tmp_path):
    found = suggest_lr(Curve(LR, LOSS), stage="frozen")
    text = page(found, tmp_path, title="Pets, head only")
    read = Reader(text)
    shown = words(text)
    for line in str(found).splitlines():
        assert line in shown
    for name, rate in found.candidates.items():
        assert re.search(rf"\b{name} {re.escape(HEURISTICS[name].source)} {rate:.2g} ", shown), name
    assert "Pets, head only" in shown
    assert "consensus (this package" in shown
    assert "stage frozen" in shown
    assert len(read.ids) == len(set(read.ids))
    assert "<script" not in text
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    referred = set(re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', text))
    assert referred
    assert all((a or b) in read.ids for a, b in referred)
    (download,) = [link for link in read.links if not link.startswith("#")]
    start, _, content = download.partition(",")
    assert start == "data:text/csv;base64"
    (tmp_path / "curve.csv").write_bytes(base64.b64decode(content))
    back = Curve.from_csv(tmp_path / "curve.csv")
    np.testing.assert_array_equal(back.lr, found.curve.lr)
    np.testing.assert_array_equal(back.loss, found.curve.loss)
    assert len(text) < 120_000


def test_it_is_the_same_to_the_byte_whatever_the_style_and_without_a_clock(tmp_path):
    found = suggest_lr(Curve(LR, LOSS))
    first = page(found, tmp_path)
    with matplotlib.style.context("dark_background"):
        assert page(suggest_lr(Curve(LR, LOSS)), tmp_path) == first
        assert matplotlib.rcParams["axes.facecolor"] == "black"
    dated = page(found, tmp_path, date=datetime.date(2024, 2, 29))
    assert "date 2024-02-29" in words(dated)
    assert "date" not in Reader(first).text


def test_probes_and_sweeps_are_told(probed, tmp_path):
    shown = words(page(probed, tmp_path))
    for rate, value in probed.probes:
        assert f"{rate:.2g} {value:.4g}" in shown
    assert "Each sweep alone " + ", ".join(f"{pick:.2g}" for pick in probed.replicates) in shown
    assert str(probed.cost) in shown
    assert "the dotted line is the rate after them" in shown


def test_an_abstention_is_a_page_with_every_reason(tmp_path):
    text = page(suggest_lr(FLAT), tmp_path)
    shown = words(text)
    assert "No suggestion" in shown
    assert shown.count("The loss is flat: no rate on the curve changed it.") > 5
    assert "outside" not in shown
    for curve in (Curve([], []), Curve([1e-3, 1e-2], [np.nan, np.inf])):
        Reader(page(suggest_lr(curve), tmp_path))


def test_hostile_names_are_shown_and_not_run(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    heuristic(evil, evil)(lambda curve, context: 1e-3)
    try:
        found = suggest_lr(Curve(LR, LOSS), heuristic=evil)
        for text in (page(found, tmp_path, title=evil, date=evil), found._repr_html_()):
            assert "<script" not in text
            assert evil in "".join(Reader(text).text)
    finally:
        del HEURISTICS[evil]


def test_a_page_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UserError, match=r"absent/page.html cannot be written: No such file"):
        suggest_lr(FLAT).to_html(tmp_path / "absent" / "page.html")


@pytest.mark.parametrize("width", [390, 1200])
def test_a_real_browser_needs_no_sideways_scrolling(probed, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium or google-chrome on the path")
    text = page(probed, tmp_path)
    # A frame can be as narrow as a phone, a headless window cannot.
    measure = """let d = frames[0].document, box = e => e.getBoundingClientRect();
        let svg = box(d.querySelector('figure svg')), table = box(d.querySelector('.heuristics'));
        d.querySelector('details').open = true;
        document.title = [d.documentElement.scrollWidth, svg.width, svg.height,
                          table.left - svg.left].map(Math.round).join(' ');"""
    (tmp_path / "frame.html").write_text(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(text)}" '
        f'onload="{html.escape(measure)}"></iframe>'
    )
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    measured = re.search(r"<title>(\d+) (\d+) (\d+) (-?\d+)</title>", done.stdout)
    assert measured, done.stderr[-500:]
    needed, across, down, beside = map(int, measured.groups())
    assert needed <= width
    assert 300 < across < 640
    assert 250 < down < 700
    assert (beside > across) == (width == 1200)  # two columns only where there is room
