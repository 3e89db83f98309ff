"""docs/faults.md and the tests of the peers' faults name the same things."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "faults.md").read_text("utf-8")
NAMED = re.compile(r"\btest_\w+")


def names_in(paths):
    return [
        node.name
        for path in paths
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_test_the_page_names_exists():
    files = list(TESTS.rglob("test_*.py"))
    assert set(NAMED.findall(PAGE)) <= {*names_in(files), *(path.stem for path in files)}


def test_the_page_names_every_test_of_a_fault_once():
    faults, _, _ = PAGE.partition("## What people ask for")
    assert sorted(NAMED.findall(faults)) == sorted(
        names_in((TESTS / "peers").glob("test_faults_*.py"))
    )


def test_every_fault_has_what_was_measured_and_what_ours_does():
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if NAMED.search(line)]
    faults = [row for row in rows if len(row) == 4]
    assert len(faults) > 35
    assert all(ours.strip() for _, _, ours, _ in faults)
