"""What asking costs: the script works, and the page says what its table says. Nothing is timed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "speed" / "overhead_adapters.py"
TABLE = ROOT / "benchmarks" / "recorded" / "overhead" / "adapters.csv"
CONTESTANTS = [
    "bare", "fastai_loop", "fastai_finder", "fastai_ours", "lightning_loop", "lightning_finder",
    "lightning_ours", "transformers_loop", "transformers_ours",
]  # fmt: skip


def run(*arguments):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script_measures_every_contestant(tmp_path):
    for library in ("fastai", "pytorch_lightning", "transformers"):
        pytest.importorskip(library, reason=f"{library} is missing: pip install 'lrsuggest[peers]'")
    table = tmp_path / "new" / "adapters.csv"
    said = run("--repeats", 1, "--steps", 10, "--table", table)
    found = pd.read_csv(table)
    assert found.finder.tolist() == CONTESTANTS
    assert (found[["seconds", "bare_seconds"]] > 0).all(axis=None)
    assert run("--page", "--table", table) == said
    for name in ("fastai", "lightning", "transformers"):
        assert f"| `suggest_lr`, {name} |" in said


def test_the_page_says_what_the_table_says(tmp_path):
    for path in (TABLE, TABLE.with_suffix(".txt"), TABLE.with_name("gain.csv")):
        shutil.copy(path, tmp_path)
    made = run("--page", "--table", tmp_path / TABLE.name)
    assert made == (ROOT / "docs" / "cost.md").read_text("utf-8") + "\n"


def test_the_table_is_whole():
    found = pd.read_csv(TABLE)
    assert found.finder.unique().tolist() == CONTESTANTS
    assert (found.groupby("finder").size() == 21).all()


def test_asking_costs_at_most_a_tenth_more_than_each_frameworks_own_finder():
    """With 64 MB of batches to put back; before those were, it cost less."""
    page = (ROOT / "docs" / "cost.md").read_text("utf-8").splitlines()
    rows = [line.split("|") for line in page if line.startswith("| `suggest_lr`")]
    against = {row[1].split(", ")[1].strip(): row[4].strip() for row in rows}
    assert set(against) == {"fastai", "lightning", "transformers"}
    for name in ("fastai", "lightning"):
        assert float(re.search(r"to ([\d.]+)\)", against[name])[1]) < 1.1
