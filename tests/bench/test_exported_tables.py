"""What is exported is what was measured: nothing of a task is lost on the way through tables."""

import json
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.commands.evidence import gather
from lrsuggest.bench.jobs.record import decode, encode
from lrsuggest.bench.plan.plan import load_plan, save_plan
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError
from lrsuggest.evidence import tables
from lrsuggest.evidence.response import Response, TaskEvidence

SUITE = """
title = "Both"
held_out = ["digits"]
[sweep]
start = 1e-5
steps = 24
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 8
seeds = 2
rates = [1e-3, 1e-2, 1e-1, 3e1]
schedule = "constant"
[[entry]]
dataset = "street"
only = "without data"
stage = "frozen"
sizes = [[36, 48]]
batch = 8
steps = 4
rates = [1e-3, 1e-1]
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A real task and a drawn one: the folder of their records and that of their tables.

    The real one gets a hand-picked rate with its source, and one record a version with a blank.
    """
    folder = tmp_path_factory.mktemp("both")
    (folder / "both.toml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("LRSUGGEST_DATA", raising=False)
        patched.chdir(folder)
        assert main(["run", "both.toml", "--out", "out", "--workers", "1"]) == 0
        plan = load_plan(Path("out"))
        digits, street = plan.tasks
        stages = street.dataset.stages or next(
            t.stages for t in recorded_datasets() if any(s.hand_picked for s in t.stages)
        )
        picked = next(s for s in stages if s.hand_picked)
        mine = msgspec.structs.replace(picked, stage="scratch")
        dataset = msgspec.structs.replace(digits.dataset, stages=(mine,))
        digits = msgspec.structs.replace(digits, dataset=dataset)
        save_plan(msgspec.structs.replace(plan, tasks=(digits, street)), Path("out"))
        for path in Path("out/records").glob("*.json"):
            record = decode(path.read_bytes())
            told = {**record.provenance.versions, "lrsuggest": "source tree"}
            how = msgspec.structs.replace(record.provenance, versions=told)
            path.write_bytes(encode(msgspec.structs.replace(record, provenance=how)))
        assert main(["export", "--out", "out", "--to", "tables"]) == 0
    return folder


def recorded_datasets():
    from lrsuggest.tasks.data.catalog import datasets

    return list(datasets().values())


def same(one, other):
    """Compare two values; numbers to the six digits that tables keep."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(
            one.reset_index(drop=True), other.reset_index(drop=True), rtol=1e-5, check_dtype=False
        )
        return True
    if isinstance(one, np.ndarray | float):
        return bool(np.allclose(one, other, rtol=1e-5, atol=1e-12, equal_nan=True))
    return one == other


@pytest.mark.parametrize("name", [each.name for each in fields(TaskEvidence)])
def test_each_field_is_the_same_from_records_and_from_tables(both, name):
    records, tables = gather(both / "out").tasks, gather(both / "tables").tasks
    assert len(records) == len(tables) == 2
    for one, other in zip(records, tables, strict=True):
        assert same(getattr(one, name), getattr(other, name)), (
            f"{getattr(one, name)!r} became {getattr(other, name)!r}"
        )


def test_the_fields_hold_something(both):
    """So that the test above compares more than nothing with nothing."""
    digits, street = gather(both / "tables").tasks
    assert (digits.synthetic, street.synthetic) == (False, True)
    assert (digits.held_out, street.held_out) == (True, False)
    assert digits.schedule == "constant"
    assert digits.hand_picked[0][1]
    assert digits.versions["lrsuggest"] == ("source tree",)
    assert digits.precision == ("fp32",)
    assert digits.naive > 0
    assert isinstance(digits.response, Response)
    assert isinstance(digits.curves[0], Curve)
    for task in (digits, street):
        for each in fields(TaskEvidence):
            value = getattr(task, each.name)
            empty = value is None or (not isinstance(value, bool) and hasattr(value, "__len__")
                                      and not len(value))  # fmt: skip
            lacks = {"gains", "hand_picked"} if task.synthetic else {"gains"}  # run by themselves
            assert not empty or each.name in lacks, each.name


def test_drawn_data_stay_marked_in_report_score_and_comparison(both, monkeypatch, capsys):
    monkeypatch.chdir(both)
    assert main(["report", "tables"]) == 0
    page = (both / "reports" / "tables.html").read_text()
    assert "<b>synthetic data</b>street 36x48 frozen." in page
    capsys.readouterr()
    assert main(["score", "tables"]) == 0
    said = capsys.readouterr().out
    assert "Regret on 1 task of 1 family at a constant rate." in said
    assert main(["score", "out"]) == 0
    assert capsys.readouterr().out == said
    assert main(["report", "--compare", "out", "tables", "--out", "both"]) == 0
    assert "1 shared task;" in capsys.readouterr().out
    for name in ("tasks", "sweeps", "runs"):
        table = pd.read_csv(both / "tables" / f"{name}.csv", dtype=str, keep_default_na=False)
        (both / "drawn").mkdir(exist_ok=True)
        table[table.task.str.startswith("street")].to_csv(both / f"drawn/{name}.csv", index=False)
    assert main(["score", "drawn"]) == 0
    assert "nothing was measured on real data" in capsys.readouterr().out
    assert main(["report", "drawn"]) == 0
    assert "No verdict: nothing was measured" in (both / "reports" / "drawn.html").read_text()


def test_older_tables_are_read_and_hold_real_data(both, tmp_path):
    for name in ("sweeps", "runs"):
        (tmp_path / f"{name}.csv").symlink_to(both / "tables" / f"{name}.csv")
    table = pd.read_csv(both / "tables" / "tasks.csv", dtype=str, keep_default_na=False)
    old = table.drop(columns=list(tables.LATER))
    old = old.assign(versions="lrsuggest=source tree python=3.11.7 torch=2.9")
    old.to_csv(tmp_path / "tasks.csv", index=False)
    digits, street = tables.load(tmp_path)
    assert not street.synthetic
    assert digits.hand_picked[0][1] == ""
    names = ("lrsuggest", "python", "torch")
    assert [digits.versions[name] for name in names] == [("source tree",), ("3.11.7",), ("2.9",)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("synthetic", "maybe"), ("held_out", "2"), ("keys", "{"), ("keys", "[1]"), ("versions", "{"),
     ("hand_picked_where", '["one", "two"]')],
)  # fmt: skip
def test_what_cannot_be_read_is_a_sentence(both, tmp_path, column, value):
    for name in ("sweeps", "runs"):
        (tmp_path / f"{name}.csv").symlink_to(both / "tables" / f"{name}.csv")
    table = pd.read_csv(both / "tables" / "tasks.csv", dtype=str, keep_default_na=False)
    table.assign(**{column: value}).to_csv(tmp_path / "tasks.csv", index=False)
    with pytest.raises(UserError, match="a value cannot be read"):
        tables.load(tmp_path)


def test_tables_are_exported_where_the_prepared_data_are_gone(both, tmp_path):
    out = both / "out"
    kept = out / "cache"
    kept.rename(out / "gone")
    try:
        assert main(["export", "--out", str(out), "--to", str(tmp_path / "t")]) == 0
        assert main(["report", str(out)]) == 0
    finally:
        (out / "gone").rename(kept)
    digits, _ = tables.load(tmp_path / "t")
    assert np.isnan(digits.naive)
    versions = pd.read_csv(tmp_path / "t" / "tasks.csv").versions[0]
    assert json.loads(versions)["lrsuggest"] == "source tree"


def test_neither_export_nor_score_of_records_loads_torch_or_draws(both, tmp_path):
    said = "export", "--out", str(both / "out"), "--to", str(tmp_path / "t")
    code = f"""
import sys
from lrsuggest.bench.__main__ import main
assert main({list(said)!r}) == 0
assert main(["score", {str(both / "out")!r}]) == 0
sys.exit(str(sorted({{"torch", "matplotlib"}} & sys.modules.keys())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert (tmp_path / "t" / "tasks.csv").read_bytes() == (both / "tables/tasks.csv").read_bytes()


def test_the_range_test_that_is_judged_is_named(both, tmp_path):
    """Where only another one was measured, none is judged, as from the records."""
    for name in ("tasks", "runs"):
        (tmp_path / f"{name}.csv").symlink_to(both / "tables" / f"{name}.csv")
    sweeps = pd.read_csv(both / "tables" / "sweeps.csv", dtype=str, keep_default_na=False)
    sweeps.assign(end="1").to_csv(tmp_path / "sweeps.csv", index=False)
    for task in tables.load(tmp_path):
        assert task.curves == ()
        assert len(task.variants) == len(sweeps[sweeps.task == task.label])


def test_steps_that_a_scaler_skipped_stay_skipped(both, tmp_path):
    for name in ("tasks", "runs"):
        (tmp_path / f"{name}.csv").symlink_to(both / "tables" / f"{name}.csv")
    sweeps = pd.read_csv(both / "tables" / "sweeps.csv", dtype=str, keep_default_na=False)
    sweeps.assign(skipped="0 3").to_csv(tmp_path / "sweeps.csv", index=False)
    curve = tables.load(tmp_path)[0].curves[0]
    assert np.flatnonzero(curve.skipped).tolist() == [0, 3]
    sweeps.assign(skipped="0,3").to_csv(tmp_path / "sweeps.csv", index=False)
    with pytest.raises(UserError, match=r"column skipped has a value that is no list of steps"):
        tables.load(tmp_path)


def test_a_task_without_a_result_is_in_the_tables_too(both, tmp_path):
    """The plan says what counts, so a report from the tables leaves out no more than the other."""
    out = tmp_path / "out"
    shutil.copytree(both / "out", out)
    street = load_plan(out).tasks[1]
    for job in street.all_jobs:
        (out / "records" / f"{job.key}.json").unlink()
    assert main(["export", "--out", str(out), "--to", str(tmp_path / "t")]) == 1
    here, there = gather(out), gather(tmp_path / "t")
    assert [t.label for t in here.tasks] == [t.label for t in there.tasks]
    assert here.tasks[1].response is None
    assert here.tasks[1].curves == ()
    assert len(here.story.failed) == len(street.all_jobs)
