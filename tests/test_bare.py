"""The package with numpy, scipy and torch alone, and what each extra brings."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import make_learner

from lrsuggest import UserError, suggest_lr
from lrsuggest.extras import BENCH, need
from lrsuggest.training.one_cycle import fit_one_cycle

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def names(lines):
    return {line.partition(">")[0].partition("[")[0] for line in lines} - {"lrsuggest"}


def test_the_core_does_all_without_the_rest_and_names_what_is_missing():
    command = [sys.executable, "-W", "error", ROOT / "tests" / "bare.py", "--blocked"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_three_distributions_are_needed_and_the_extras_are_what_the_code_asks_for():
    assert names(PROJECT["dependencies"]) == {"numpy", "scipy", "torch"}
    assert names(EXTRAS["plot"]) == {"matplotlib", "jinja2"}
    assert names(EXTRAS["probes"]) == {"optuna"}
    assert names(EXTRAS["progress"]) == {"rich"}
    assert "lrsuggest[plot,probes,progress]" in EXTRAS["bench"]
    small = names(EXTRAS["plot"] + EXTRAS["probes"] + EXTRAS["progress"])
    assert names(EXTRAS["bench"]) | small == set(BENCH)
    assert "lrsuggest[bench]" in EXTRAS["cluster"]
    assert "lrsuggest[cluster]" in EXTRAS["dev"], "the tests run all"


def test_frameworks_whose_private_parts_are_used_are_bounded_above():
    for extra in ("fastai", "lightning", "transformers"):
        assert all(",<" in line for line in EXTRAS[extra]), extra


def test_what_is_missing_is_named_and_what_is_there_is_not(monkeypatch):
    need("plot()", "plot", "matplotlib", "jinja2")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"^x needs jinja2: pip install 'lrsuggest\[plot\]'$"):
        need("x", "plot", "matplotlib", "jinja2")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"^x needs matplotlib, jinja2: pip"):
        need("x", "plot", "matplotlib", "jinja2")


def test_nothing_is_asked_of_a_learner_before_its_extras_are(monkeypatch):
    class Untouched(Exception):
        pass

    def touched(self):
        raise Untouched

    learner = make_learner()
    monkeypatch.setattr(type(learner), "training", touched)
    with pytest.raises(Untouched):
        suggest_lr(learner)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(UserError, match=r"^probes=2 needs optuna: .*\[probes\]"):
        suggest_lr(learner, probes=2)
    with pytest.raises(UserError, match=r"^progress=True needs rich: .*\[progress\]"):
        suggest_lr(learner, progress=True)
    with pytest.raises(UserError, match=r"^progress=True needs rich: .*\[progress\]"):
        fit_one_cycle(learner, 1e-3, progress=True)


def test_a_plot_needs_no_jinja2(monkeypatch):
    found = suggest_lr(make_learner(), seed=0)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert found.plot().get_xlabel()
    assert found._repr_html_().startswith("<pre>")
