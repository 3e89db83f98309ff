"""The pages as a site: built strictly, from nothing but this tree."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not find_spec("mkdocs"):
        pytest.skip("mkdocs is missing: pip install 'lrsuggest[dev]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    settings = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=settings)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site):
    written = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert written <= {path.stem for path in site.glob("*.html")}
    assert not list(site.rglob("*.py"))


def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.glob("*.html"):
        text = path.read_text("utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\">\s]+)", text)
        loaded += re.findall(r"<link[^>]*\shref=\"?([^\">\s]+)", text)
        assert loaded
        assert not [each for each in loaded if re.match(r"(https?:)?//", each)], path.name
    for path in (site / "assets").rglob("*.css"):
        assert not re.search(r"url\(\"?(https?:)?//", path.read_text("utf-8")), path.name


def test_links_out_of_the_pages_become_paths(site):
    page = (site / "lessons.html").read_text("utf-8")
    assert 'href="../' not in page
    assert "<code>benchmarks/suites/lessons.toml</code>" in page


def test_public_names_are_in_the_reference(site):
    import lrsuggest

    page = (site / "reference.html").read_text("utf-8")
    for name in lrsuggest.__all__:
        assert f'id="{lrsuggest._HOMES[name]}.{name}"' in page
