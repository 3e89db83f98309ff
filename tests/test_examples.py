"""The examples: each runs as a person runs it, and stands on its page as it is."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS = {
    "fastai_learner": "fastai",
    "lightning_module": "pytorch_lightning",
    "hugging_face_trainer": "transformers",
}
LEARNED = 0.6  # accuracy over ten digits; the examples reach .76 and more


def run(path: Path, folder: Path) -> str:
    """Run a script in a folder of its own; returns what it prints."""
    peer = NEEDS.get(path.stem)
    if peer and not find_spec(peer):
        pytest.skip(f"{peer} is missing: pip install 'lrsuggest[peers]'")
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=300, cwd=folder,
        env=os.environ | settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def rates(said: str) -> tuple[float, float, float]:
    """Return the suggested rate and the ends of its interval, as printed."""
    number = r"(\d[\d.e+-]*\d|\d)"
    found = re.search(
        rf"(?:Maximum|Constant) learning rate {number}, plausibly {number} to {number}", said
    )
    assert found, said
    return tuple(map(float, found.groups()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_does_what_it_says(path, tmp_path):
    said = run(path, tmp_path)
    lr, low, high = rates(said)
    assert 1e-4 < low < lr < high < 1
    assert "\nWhy: " in said
    if path.stem == "optuna_study":
        tried = re.search(r"suggested (\S+): loss (\S+)\nbest of 8 (\S+): loss (\S+)", said)
        suggested, loss, best, least = map(float, tried.groups())
        assert suggested == lr
        assert low <= best <= high
        assert least <= loss < 1
    elif path.stem == "recorded_curve":
        assert (tmp_path / "curve.html").read_text().startswith("<!doctype html>")
        assert (tmp_path / "curve.csv").read_text().startswith("lr,loss\n")
    else:
        (accuracy,) = re.findall(r"accuracy\D+(\d\.\d+)", said)
        assert float(accuracy) > LEARNED


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_stands_on_its_page(path):
    script = path.read_text("utf-8")
    assert len(script.splitlines()) < 40
    link = f"(../examples/{path.name})"
    (page,) = (
        text
        for text in (each.read_text("utf-8") for each in (ROOT / "docs").glob("*.md"))
        if link in text
    )
    assert page.partition(link)[2].startswith(f"\n\n```python\n{script}```\n")
