"""The shipped tables are whole, and are judged quickly without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.errors import UserError
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.parse import response, traces
from lrsuggest.evidence.regret import OUT_OF_FOLD, contest, scorable
from lrsuggest.evidence.tables import RUNS, SWEEPS, TASKS, load
from lrsuggest.resources import shipped

FOLDER = shipped("benchmarks/recorded")
HEAD = "from lrsuggest.curves.heuristics.registry import heuristic\n"


@pytest.fixture(scope="module")
def tasks():
    return load(held_out=None)


def test_the_evidence_is_as_wide_as_it_says(tasks):
    one_cycle = [t for t in scorable(tasks) if t.schedule == "one_cycle"]
    families = pd.Series([t.family for t in one_cycle]).value_counts()
    assert len(one_cycle) >= 24
    assert len(families) >= 12
    assert families.max() <= 3
    assert sum(t.schedule == "constant" for t in scorable(tasks)) >= 6
    assert {t.optimizer for t in one_cycle} == {"adamw", "adam", "sgd"}
    assert {t.stage for t in one_cycle} == {"frozen", "unfrozen", "finetune", "scratch"}
    assert {t.kind for t in one_cycle} == {
        "classification", "segmentation", "points", "regression", "language"
    }  # fmt: skip
    best = [np.log10(h.best) for t in one_cycle if t.optimizer == "sgd" for h in t.response.halves]
    assert max(best) - min(best) > 2.5
    assert sum(p.stat().st_size for p in FOLDER.glob("*.csv")) < 5e6


def test_every_task_has_its_sweeps_and_seeds(tasks):
    for task in tasks:
        assert len(task.curves) >= 5, task.label
        assert len(task.response.rates) >= 14, task.label
        grid = task.runs[task.runs.part == "grid"]
        assert set(grid.seed) >= {0, 1, 2}, task.label
        assert task.naive > 0, task.label
        assert task.runs.part.isin(["grid", "fine", "short", "slice"]).all()


@pytest.mark.slow
def test_the_held_out_families_are_only_given_when_asked_for(tasks):
    held = {t.family for t in load(held_out=True)}
    assert held == {"hymenoptera", "trec", "adult", "mnist"}
    assert not held & {t.family for t in load(held_out=False)}
    assert len(tasks) == len(load(held_out=False)) + len(load(held_out=True))


def test_a_response_keeps_divergences_and_gaps(tasks):
    runs = pd.DataFrame(
        {"part": ["grid"] * 3 + ["fine"], "lr": [1e-3, 1e-2, 1e-2, 3e-2], "seed": [0, 0, 1, 100],
         "loss": [1.0, np.inf, 0.5, 0.4], "loss_probe": [1.0, np.inf, 0.5, 0.4]}
    )  # fmt: skip
    found = response(runs, 2.0)
    assert found.rates.tolist() == [1e-3, 1e-2, 3e-2]
    assert np.isposinf(found.loss[0, 1])
    assert np.isnan(found.loss[1, 0])
    assert response(runs, 2.0, parts=["slice"]) is None
    assert response(runs, float("nan")) is None
    first = next(t for t in tasks if t.label.startswith("digits"))
    rate, looks = next(iter(traces(first.runs)))
    assert rate > 0
    assert [step for step, _ in looks] == sorted(step for step, _ in looks)


def test_the_contest_covers_every_task_and_contestant():
    some = load()[:6]
    table = contest(some, {"always": lambda task, curve: 1e-3})
    assert set(table.task) == {t.label for t in some}
    per_task = table[table.contestant == "always"].groupby("task").size()
    assert (per_task == 5).all()
    bad = table[table.regret > 0.05]
    assert (bad.strict >= bad.regret - 0.05).mean() > 0.95  # a lower start makes a smaller span
    assert (table[table.contestant == OUT_OF_FOLD].groupby("task").size() == 1).all()


def test_a_folder_without_tables_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no recorded tables"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("tasks", "kind", None, "tasks.csv has no column 'kind'"),
        ("tasks", "start", "abc", "of the task 'a' a value cannot be read"),
        ("tasks", "steps", "", "of the task 'a' a value cannot be read"),
        ("tasks", "versions", "torch", "of the task 'a' a value cannot be read"),
        ("sweeps", "losses", "1 two", "of the task 'a' a value cannot be read"),
        ("runs", "lr", "x", "of the task 'a' a value cannot be read"),
    ],
)
def test_damaged_tables_are_told_in_a_sentence(tmp_path, name, column, value, says):
    source = Path(__file__).resolve().parents[2] / "benchmarks" / "recorded"
    label = pd.read_csv(source / "tasks.csv").task[0]
    for each in ("tasks", "sweeps", "runs"):
        table = pd.read_csv(source / f"{each}.csv", dtype=str, keep_default_na=False)
        table = table[table.task == label].assign(task="a")
        if each == name:
            table = table.drop(columns=column) if value is None else table.assign(**{column: value})
        table.to_csv(tmp_path / f"{each}.csv", index=False)
    with pytest.raises(UserError, match=says):
        load(tmp_path)


def test_a_task_that_is_there_twice_is_told(tmp_path):
    source = Path(__file__).resolve().parents[2] / "benchmarks" / "recorded"
    for each in ("sweeps", "runs"):
        (tmp_path / f"{each}.csv").symlink_to(source / f"{each}.csv")
    tasks = pd.read_csv(source / "tasks.csv", dtype=str, keep_default_na=False)
    pd.concat([tasks, tasks[:1]]).to_csv(tmp_path / "tasks.csv", index=False)
    with pytest.raises(UserError, match="twice"):
        load(tmp_path)


@pytest.mark.slow
def test_scoring_needs_no_torch_and_few_seconds(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        f"from __future__ import annotations\nfrom dataclasses import dataclass\n{HEAD}"
        "@dataclass\nclass Place:\n    index: int = 50\n"
        "@heuristic('mine', 'me')\n"
        "def mine(curve, context):\n    return float(curve.lr[Place().index])\n"
    )
    code = (
        "import sys; from lrsuggest.bench.__main__ import main; "
        f"assert main(['score', {str(mine)!r}, '--csv', {str(tmp_path / 'c.csv')!r}]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    assert "consensus, out of fold" in done.stdout
    assert "mine" in set(pd.read_csv(tmp_path / "c.csv").contestant)


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1\n", "registers no heuristic"), ("raise ValueError('no')\n", "cannot be run"),
     (f"{HEAD}@heuristic('min_10', 'me')\ndef f(curve, context): return 1e-3\n", "another name"),
     (f"{HEAD}@heuristic('odd', 'me')\ndef f(curve, context): return 1 / 0\n", "odd fails on a"),
     (None, "does not exist")],
)  # fmt: skip
def test_a_newcomers_file_that_cannot_be_used_is_told(tmp_path, capsys, text, said):
    from lrsuggest.bench.__main__ import main

    path = tmp_path / "mine.py"
    if text:
        path.write_text(text)
    before = dict(HEURISTICS)
    try:
        assert main(["score", str(path)]) == 2
    finally:
        HEURISTICS.clear()
        HEURISTICS.update(before)
    assert said in capsys.readouterr().err


def test_people_are_scored_too(capsys):
    from lrsuggest.bench.__main__ import main

    assert main(["score", "--humans"]) == 0
    out = capsys.readouterr().out
    assert "leave one author out" in out
    assert "consensus" in out


TABLES = ("tasks", "sweeps", "runs")


@pytest.fixture(scope="module")
def few():
    """The first three recorded tasks' tables, as text."""
    tables = {
        name: pd.read_csv(shipped(f"benchmarks/recorded/{name}.csv"), dtype=str,
                          keep_default_na=False)
        for name in TABLES
    }  # fmt: skip
    kept = tables["tasks"].task[:3]
    return {name: table[table.task.isin(kept)] for name, table in tables.items()}


def changed(few, folder, name, column, value, rows=slice(None)):
    for each, table in few.items():
        if each == name:
            table = table.copy()
            table.loc[table.index[rows], column] = value
        table.to_csv(folder / f"{each}.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column) for name, columns in zip(TABLES, (TASKS, SWEEPS, RUNS), strict=True)
     for column in columns],
)  # fmt: skip
@pytest.mark.parametrize("rows", [slice(1), slice(None)], ids=["one", "all"])
def test_a_blank_cell_is_read_or_told(few, tmp_path, name, column, rows):
    from lrsuggest.report.about import Story
    from lrsuggest.report.provenance import about

    changed(few, tmp_path, name, column, "", rows)
    try:
        tasks = load(tmp_path)
    except UserError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert str(tmp_path) in told
        return
    assert contested(tasks[:1]) is not None
    assert about(tasks, [], Story("t", "c", 1))


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("tasks", "optimizer", "lion", "column optimizer, 'lion', is none of adamw, adam, sgd"),
        ("tasks", "stage", "Frozen", "column stage, 'Frozen', is none of .*did you mean 'frozen'"),
        ("tasks", "schedule", "cosine", "column schedule, 'cosine', is none of one_cycle, "),
        ("tasks", "seconds", "long", "could not convert string to float: 'long'"),
        ("sweeps", "task", "another", "has a row of the task 'another', which is not in tasks.csv"),
        ("runs", "task", "", "has a row of the task .*, which is not in tasks.csv"),
        ("runs", "part", "grids", "column part, 'grids', is none of grid, fine, short, slice"),
        ("runs", "lr", "", "column lr has a value that is no rate"),
        ("runs", "lr", "-0.1", "column lr has a value that is no rate"),
    ],
)
def test_a_strange_cell_is_told_with_its_column(few, tmp_path, name, column, value, says):
    changed(few, tmp_path, name, column, value, slice(1))
    with pytest.raises(UserError, match=says):
        load(tmp_path)
