"""Pages that scripts write say what the code does now."""

from dataclasses import fields
from pathlib import Path

import pytest

from lrsuggest.curves.heuristics.consensus import RULE
from lrsuggest.evidence.tables import RUNS, SWEEPS, TASKS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", [each.name for each in fields(RULE)])
def test_the_page_of_the_consensus_has_its_constants(name):
    page = (ROOT / "docs" / "consensus.md").read_text("utf-8")
    assert f"| {name} | {getattr(RULE, name):.3f} |" in page


@pytest.mark.parametrize("column", sorted({*TASKS, *RUNS, *SWEEPS}))
def test_every_recorded_column_is_explained(column):
    page = (ROOT / "benchmarks" / "recorded" / "README.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    named = any(column in [word.strip() for word in row.split(",")] for row in rows)
    assert named or f"`{column}`" in page
