"""Range tests run by themselves: their records, their table, and beside whose tables it goes."""

import numpy as np
import pandas as pd
import pytest
from bench_helpers import bench

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.errors import UserError
from lrsuggest.evidence.tables import Tables

SUITE = """
title = "Two"
[sweep]
steps = 24
seeds = 2
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 6
seeds = 2
rates = [1e-3, 1e-1]
[[entry]]
dataset = "wine"
stage = "scratch"
batch = 16
steps = 6
seeds = 2
rates = [1e-3, 1e-1]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A suite's whole records and tables, and its range tests' alone."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "two.toml").write_text(SUITE)
    for words in (
        ("run", "two.toml", "--out", "whole"), ("export", "whole", "--to", "tables"),
        ("run", "two.toml", "--only", "sweeps"), ("export", "reports/two-sweeps", "--to", "alone"),
    ):  # fmt: skip
        done = bench(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_each_task_has_its_range_tests_at_three_lengths_and_no_run(folders):
    plan = load_plan(folders / "reports" / "two-sweeps")
    assert {job.kind for job in plan.jobs} == {"sweep"}
    for task in plan.tasks:
        lengths = [(job.steps, job.seed, job.rates, job.protocol) for job in task.jobs]
        assert lengths == [
            (n, seed, (1e-7, 10, 1000), 4) for n in (30, 50, 100) for seed in range(5)
        ]


def test_the_table_says_what_was_measured(folders):
    out = folders / "reports" / "two-sweeps"
    table = {
        (task.label, steps, seed): curve
        for task in Tables.read(folders / "alone").tasks()
        for steps, seed, curve in task.gains
    }
    assert len(table) == 30
    store = Store(out)
    for task in load_plan(out).tasks:
        for job in task.jobs:
            was, now = store.get(job).result.curve.curve(), table[task.label, job.steps, job.seed]
            np.testing.assert_allclose(now.lr, was.lr, rtol=1e-12)
            np.testing.assert_allclose(now.loss, was.loss, rtol=1e-5)
            assert now.ended == was.ended
            falls = [each.loss - each.measured.loss_after for each in (now, was)]
            np.testing.assert_allclose(*falls, rtol=1e-3, atol=1e-12)
            for name in ("slope", "step_norm", "weight_norm"):
                both = (each.measured.total[name] for each in (now, was))
                np.testing.assert_allclose(*both, rtol=1e-3, err_msg=name)


def test_beside_the_tables_of_the_same_tasks_it_changes_none_of_them(folders, tmp_path):
    before = {path.name: path.read_bytes() for path in (folders / "tables").iterdir()}
    old = Tables.read(folders / "tables").tasks()
    assert main(["export", str(folders / "reports" / "two-sweeps"), "--to",
                 str(folders / "tables"), "--join"]) == 0  # fmt: skip
    after = {path.name: path.read_bytes() for path in (folders / "tables").iterdir()}
    assert after.keys() - before.keys() == {"gains.csv"}
    assert {name: after[name] for name in before} == before
    for was, now in zip(old, Tables.read(folders / "tables").tasks(), strict=True):
        assert not was.gains
        assert len(now.gains) == 15
        assert [len(curve) for curve in was.curves] == [len(curve) for curve in now.curves]


def test_what_does_not_belong_together_is_not_joined(folders, tmp_path, capsys):
    def refused(*words):
        assert main([str(word) for word in words]) == 2
        return capsys.readouterr().err

    alone = folders / "reports" / "two-sweeps"
    said = refused("export", folders / "whole", "--to", folders / "tables", "--join")
    assert "no range test with gains to join; run with --only sweeps" in said
    for name in ("tasks", "sweeps", "runs"):
        text = (folders / "tables" / f"{name}.csv").read_text()
        (tmp_path / f"{name}.csv").write_text(text.replace("packaged", "other"))
    # Files beside those that are read make another digest of the same data.
    assert main(["export", str(alone), "--to", str(tmp_path), "--join"]) == 0
    (tmp_path / "gains.csv").unlink()
    sweeps = pd.read_csv(tmp_path / "sweeps.csv", dtype=str, keep_default_na=False)
    sweeps["losses"] = "9 " + sweeps.losses.str.split(n=1).str[1]
    sweeps.to_csv(tmp_path / "sweeps.csv", index=False)
    said = refused("export", alone, "--to", tmp_path, "--join")
    assert "cannot be joined to the tables" in said
    assert "which are of other data" in said
    assert not (tmp_path / "gains.csv").exists()
    said = refused("export", alone, "--to", tmp_path / "empty", "--join")
    assert "holds no recorded tables" in said


def test_a_suites_training_runs_are_not_lost_to_its_range_tests(folders, capsys):
    whole, plan = folders / "whole", (folders / "whole" / "plan.json").read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folders)
        assert main(["run", "two.toml", "--only", "sweeps", "--out", str(whole)]) == 2
    said = capsys.readouterr().err
    assert "holds a suite's training runs, and --only sweeps makes none" in said
    assert (whole / "plan.json").read_bytes() == plan


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("furthest", "none", "column furthest has a value that is no rate"),
        ("falls", "1 x", "column falls has a value that is no list of numbers"),
        ("slopes", "1 2", "column slopes has a value that is not as long as the losses"),
        ("protocol", "", "column protocol has a value that is no whole number from 1"),
    ],
)
def test_cells_that_no_range_test_has_are_named(folders, tmp_path, column, cell, said):
    for path in (folders / "alone").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    table = pd.read_csv(tmp_path / "gains.csv", dtype=str, keep_default_na=False)
    table.loc[0, column] = cell
    table.to_csv(tmp_path / "gains.csv", index=False)
    with pytest.raises(UserError, match=said):
        Tables.read(tmp_path)
