"""One headless browser for the session, and the pages it opens."""

import shutil
from pathlib import Path

import pytest
from report_tasks import EVIL, STORY, camvid, evil_story, lacking, task

from lrsuggest.report.about import Lost, Story
from lrsuggest.report.compare import Comparison, Side, render_comparison
from lrsuggest.report.page import render

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, driven by Playwright."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        lacking("there is no chromium or google-chrome on the path; apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed; pip install -e '.[dev]'")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open a file as a person would; anything it asks for beyond itself is a failure."""
    contexts, asked, errors = [], [], []

    def open_it(path, at="", **settings):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(path.as_uri() + at)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert errors == []
    beyond = [url for url in asked if not url.startswith(("file:", "data:"))]
    assert beyond == []
    assert len({url.partition("#")[0] for url in asked if url.startswith("file:")}) <= 1


@pytest.fixture(scope="session")
def recorded_page():
    """The report of the recorded tables as it is committed: 61 tasks and eight lessons."""
    return ROOT / "reports" / "recorded.html"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.html"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture(scope="session")
def small_page(tmp_path_factory):
    """Six families, a lesson, and a run that timed out: every part of a report at its smallest."""
    tasks = [task(f"family {k}", kind=("points", "regression")[k % 2]) for k in range(6)]
    story = Story("Small", "a command", 20, (Lost("faces seed 0", "timeout", "240 s"),))
    return written(tmp_path_factory.mktemp("small"), "small", render(tasks, story, [camvid()]))


@pytest.fixture(scope="session")
def odd_pages(tmp_path_factory):
    """Reports of next to nothing, and of names that would be code."""
    folder = tmp_path_factory.mktemp("odd")
    lost = tuple(Lost(f"faces seed {seed}", "error", "it broke") for seed in range(3))
    evil = task(EVIL, hand_picked=((1e-3, EVIL),))
    pages = {
        "empty": render([], Story("Empty", "a command", 0)),
        "one task": render([task()], STORY),
        "all failed": render([task(bare=True)], Story("Failed", "a command", 3, lost)),
        "hostile": render([evil], evil_story()),
        "compared": render_comparison(
            Comparison.of(Side(EVIL, [task()]), Side("b", [evil, task()])), EVIL
        ),
    }
    return {name: written(folder, name.replace(" ", "-"), text) for name, text in pages.items()}
