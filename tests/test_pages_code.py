"""Code in the pages and the README: names, keywords, attributes and commands that there are."""

import ast
import inspect
import re
import shlex
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import lrsuggest
from lrsuggest import Curve, suggest_lr
from lrsuggest.bench.commands.options import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SUGGESTION = suggest_lr(Curve(np.geomspace(1e-6, 1, 50), np.linspace(2, 1, 50)))


def pieces(path):
    """Every piece of Python on a page: in fences, and between backticks where it parses."""
    text = path.read_text("utf-8")
    for fence in re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S):
        yield ast.parse(fence)
    for inline in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        with suppress(SyntaxError):
            yield ast.parse(inline)


def calls(path):
    """Every call of a public name, as (name, function, keywords)."""
    for tree in pieces(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                first, _, rest = name.partition(".")
                if first in lrsuggest.__all__:
                    found = getattr(lrsuggest, first)
                    found = getattr(found, rest) if rest else found
                    yield name, found, [word.arg for word in node.keywords if word.arg]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_calls_name_what_there_is(path):
    for name, found, keywords in calls(path):
        missing = set(keywords) - set(inspect.signature(found).parameters)
        # fastai's Learner is called by that name too.
        assert not missing or (name == "Learner" and path.stem == "fastai"), (name, missing)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_suggestion_has_what_is_read_from_it(path):
    for tree in pieces(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "suggestion":
                assert hasattr(SUGGESTION, node.attr)


def test_the_pages_are_read():
    assert sum(len(list(calls(path))) for path in PAGES) > 40


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_can_be_given(path):
    text = path.read_text("utf-8")
    for line in re.findall(r"python -m lrsuggest\.bench([^`\n]*)", text):
        words = shlex.split(line, comments=True)
        if "--help" not in words:
            parser().parse_args([word for word in words if word != "&&"])
