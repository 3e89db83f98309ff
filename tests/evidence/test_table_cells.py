"""A broken cell of exported tables is named with its column, by report and score alike."""

import time

import numpy as np
import pandas as pd
import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.errors import UserError
from lrsuggest.evidence.cells import as_text, check_runs
from lrsuggest.evidence.tables import load
from lrsuggest.resources import shipped

TABLES = ("tasks", "sweeps", "runs")


@pytest.fixture(scope="module")
def few():
    tables = {
        name: as_text(shipped(f"benchmarks/recorded/{name}.csv").read_text()) for name in TABLES
    }
    kept = tables["tasks"].task[:3]
    return {name: table[table.task.isin(kept)] for name, table in tables.items()}


def put(few, folder, change=lambda tables: None):
    tables = {name: table.copy() for name, table in few.items()}
    change(tables)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def cell(name, column, value):
    def change(tables):
        tables[name].iloc[1, tables[name].columns.get_loc(column)] = value

    return change


BROKEN = [
    *(("runs", "lr", value, "no rate") for value in ("x", "0", "inf", "nan", "-0.1", "")),
    *(("runs", "seed", value, "no whole number") for value in ("x", "1.5", "", "-1", "inf")),
    *(("runs", name, value, "no loss") for name in ("loss", "loss_probe", "loss_score")
      for value in ("x", "", "-inf", "nan")),
    *(("runs", "looks", value, "no list of step:loss") for value in ("a:b", "5", "1:2,3:4", "1:")),
    *(("runs", "steps", value, "no whole number above 0") for value in ("x", "0", "-5", "2.5")),
    *(("runs", name, value, "no finite number") for name in ("metric", "seconds")
      for value in ("x", "inf")),
    *(("runs", "low", value, "no rate up to lr") for value in ("x", "0", "1e9")),
    *(("tasks", name, value, "no whole number above 0") for name in ("steps", "batch")
      for value in ("x", "0", "-5", "1.5", "")),
    *(("tasks", name, value, "no finite number") for name in ("start", "start_probe", "naive")
      for value in ("x", "inf", "-inf")),
    *(("tasks", "hand_picked", value, "no rate") for value in ("x", "0.1 0", "-1", "inf", "nan")),
    *(("sweeps", name, value, "no rate") for name in ("start", "end")
      for value in ("0", "-1", "x", "inf", "")),
    *(("tasks", "kind", value, "none of classification, segmentation, points, ")
      for value in ("Regression", "regresion", "")),
    *(("tasks", "family", value, "empty") for value in ("", " ", "nan")),
    ("sweeps", "end", "1e-9", "not above its start"),
    *(("sweeps", "steps", value, "no whole number above 0") for value in ("0", "3.5", "")),
    ("sweeps", "steps", "1", "below its number of losses"),
    *(("sweeps", "seed", value, "no whole number") for value in ("x", "")),
    *(("sweeps", "losses", value, "no list of losses") for value in ("a b", "1,2", "1  2")),
    *(("sweeps", "ended", value, "none of completed, ") for value in ("exploded", "")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "column", "value", "what"), BROKEN)
def test_a_broken_cell_is_named(few, tmp_path, name, column, value, what):
    put(few, tmp_path, cell(name, column, value))
    label = few[name].task.iloc[1]
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path / name}.csv: of the task {label!r} a value cannot be read: column {column} has "
        f"a value that is {what}"
    )
    assert f", {value!r}; export the tables again" in str(caught.value)


@pytest.mark.parametrize("broken", [BROKEN[2], BROKEN[20], BROKEN[26], ("runs", "looks", "a:b")])
def test_report_and_score_say_the_same(few, tmp_path, monkeypatch, capsys, broken):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").mkdir()
    put(few, tmp_path / "t", cell(*broken[:3]))
    assert main(["score", "t"]) == 2
    said = capsys.readouterr().err
    assert main(["report", "t"]) == 2
    assert capsys.readouterr().err == said
    assert said.count("\n") == 1
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["sweeps", "runs"])
def test_a_row_that_is_there_twice_is_named(few, tmp_path, name):
    put(few, tmp_path, lambda tables: tables.update({name: pd.concat([few[name], few[name][3:4]])}))
    with pytest.raises(UserError, match=rf"{name}\.csv has a row of the task '.*' twice \(.*seed"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: b"version https://git-lfs.github.com/spec/v1\nsize 1\n", "git lfs pull"),
        (lambda text: text.replace(b"task,part,lr", b"task,part,lr,lr", 1), "column .lr. twice"),
        (lambda text: text.replace(b"part", b"Part", 1), "no column 'part'"),
        (lambda text: text.replace(b",", b";"), "has no column 'task'"),
        (lambda text: text + b"\xe9,\n", "is no UTF-8 text; export the tables again"),
        (lambda text: b"", "has no column 'task'"),
    ],
)
def test_a_table_that_is_none_is_told(few, tmp_path, change, says):
    put(few, tmp_path)
    (tmp_path / "runs.csv").write_bytes(change((tmp_path / "runs.csv").read_bytes()))
    with pytest.raises(UserError, match=says) as caught:
        load(tmp_path)
    assert "runs.csv" in str(caught.value)


def test_tables_that_an_editor_saved_read_the_same(few, tmp_path):
    put(few, tmp_path)
    before = load(tmp_path)
    for name in TABLES:
        text = (tmp_path / f"{name}.csv").read_bytes()
        (tmp_path / f"{name}.csv").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    for one, two in zip(before, load(tmp_path), strict=True):
        assert one.runs.equals(two.runs)
        np.testing.assert_array_equal(one.curves[0].loss, two.curves[0].loss)


def test_many_rows_are_checked_in_a_moment():
    runs = as_text(shipped("benchmarks/recorded/runs.csv").read_text())
    many = pd.concat([runs.assign(task=runs.task + str(k)) for k in range(10)])
    assert len(many) > 1e5
    began = time.perf_counter()
    check_runs(shipped("benchmarks/recorded/runs.csv"), many)
    assert time.perf_counter() - began < 10
