"""The families measured after the rule was frozen: their tables, the page, and the command."""

import importlib
import re
from itertools import pairwise
from pathlib import Path

import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.commands.score import judged
from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.curves.heuristics.consensus import RULE
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.regret import OUT_OF_FOLD
from lrsuggest.evidence.tables import load

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "benchmarks" / "recorded" / "confirm"
PAGE = ROOT / "docs" / "consensus-confirmed.md"


@pytest.fixture(scope="module")
def tasks():
    return load(TABLES)


def test_the_page_says_what_the_tables_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "pages")
    written = PAGE.read_text("utf-8")
    frozen = re.search(r"frozen in commit ([0-9a-f]{7,40}),", written)
    assert frozen, "the page must name the commit"
    made = importlib.import_module("confirm").page(frozen[1])
    for line, wanted in zip(written.splitlines(), made.splitlines(), strict=True):
        assert line == wanted, "write it anew with python benchmarks/pages/confirm.py"


def test_the_page_is_about_the_rule_that_ships():
    assert f"`{RULE}`" in PAGE.read_text("utf-8"), "a rule fitted since has not been confirmed"


def test_the_tables_are_the_suite_whole(tasks):
    suite = load_suite("confirm")
    planned = [
        (e.which.title, e.which.model, e.which.optimizer, e.stage, e.schedule, e.steps, e.batch)
        for e in suite.entry
    ]
    assert planned == [
        (t.title, t.model, t.optimizer, t.stage, t.schedule, t.steps, t.batch) for t in tasks
    ]
    for entry, task in zip(suite.entry, tasks, strict=True):
        assert len(task.curves) == suite.sweep.seeds == 5
        assert {(v[0], v[1], v[2]) for v in task.variants} == {(1e-7, 10.0, 100)}
        grid = task.runs[task.runs.part == "grid"]
        assert len(grid) >= 14 * 3
        assert (grid.groupby("lr").seed.nunique() == 3).all()
        fine = task.runs[task.runs.part == "fine"]
        assert fine.lr.nunique() == 5
        seeds = entry.refine_seeds or (suite.refine and suite.refine.seeds)
        assert (fine.groupby("lr").seed.nunique() == seeds).all()
        best = grid.groupby("lr").loss.mean().idxmin()
        assert fine.lr.min() < best < fine.lr.max(), "the fine rates lie around the grid's best"
        assert all(b / a < 2.4 for a, b in pairwise(sorted(grid.lr.unique())))


def test_no_family_was_seen_before(tasks):
    seen = {task.family for task in load()}
    families = [task.family for task in tasks]
    assert not seen & set(families)
    assert len(set(families)) >= 5
    assert max(map(families.count, families)) <= 2
    assert {task.optimizer for task in tasks} == {"adamw", "adam", "sgd"}
    assert all(task.held_out for task in tasks)


def test_their_constant_is_chosen_on_the_evidence_alone(tasks):
    seen = load()

    def constant(which):
        table = contested(which)
        return table[table.contestant == OUT_OF_FOLD].set_index("task")

    together = constant(tasks)
    for task in tasks[:3]:
        alone = constant([task])
        assert alone.pick.to_dict() == {task.label: together.pick[task.label]}
    alike = {
        task.family
        for task in seen
        if (task.optimizer, task.stage) == (tasks[0].optimizer, tasks[0].stage)
    }
    note = together.note[tasks[0].label]
    assert note == f"on {len(alike)} other families alike"


def test_an_abstention_falls_back_on_that_constant(tasks):
    table = contested(tasks)
    fallen = table[table.abstained]
    assert len(fallen), "some heuristic abstains somewhere"
    constant = table[table.contestant == OUT_OF_FOLD].set_index("task").regret
    assert fallen.regret.tolist() == constant[fallen.task].tolist()


def test_score_judges_on_them_only_when_asked(capsys, tasks):
    assert {t.label for t in judged(None, "confirm")} == {t.label for t in tasks}
    assert [t.label for t in judged(None, "all")] == [t.label for t in load()]
    assert main(["score", "--families", "confirm"]) == 0
    said = capsys.readouterr().out
    cycle = [task for task in tasks if task.schedule == "one_cycle"]
    families = len({task.family for task in cycle})
    assert f"Regret on {len(cycle)} tasks of {families} families under one-cycle." in said
    assert "Regret on 1 task of 1 family at a constant rate." in said
    assert OUT_OF_FOLD in said
    assert "consensus, out of fold" not in said, "no rule was made without them: none with them"


def test_nobody_picked_from_these_curves(capsys):
    assert main(["score", "--humans", "--families", "confirm"]) == 2
    assert "nobody picked" in capsys.readouterr().err
