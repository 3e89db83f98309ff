"""What a command is told it does, or refuses in a sentence: nothing is left out unsaid."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.commands.evidence import gather
from lrsuggest.resources import shipped

RECORDED = shipped("benchmarks/recorded")
SUITE = """
title = "Digits"
[sweep]
start = 1e-5
steps = 12
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 4
rates = [1e-3, 1e-2]
"""


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder t/ of four recorded tasks, one of them held out, in the current folder."""
    monkeypatch.chdir(tmp_path)
    tasks = pd.read_csv(RECORDED / "tasks.csv", dtype=str, keep_default_na=False)
    kept = [*tasks.task[tasks.held_out == "0"][:3], *tasks.task[tasks.held_out == "1"][:1]]
    Path("t").mkdir()
    for name in ("tasks", "sweeps", "runs"):
        table = pd.read_csv(RECORDED / f"{name}.csv", dtype=str, keep_default_na=False)
        table[table.task.isin(kept)].to_csv(f"t/{name}.csv", index=False)
    return Path("t")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """An output folder of two runs and a range test."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "digits.toml").write_text(SUITE)
    out = str(folder / "out")
    assert main(["run", str(folder / "digits.toml"), "--out", out, "--workers", "1"]) == 0
    return folder / "out"


def refused(capsys, *words):
    capsys.readouterr()
    assert main(list(words)) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize(
    ("emptied", "said"),
    [(("tasks", "sweeps", "runs"), "no task"), (("sweeps", "runs"), "no range test and no run")],
)
def test_empty_tables_take_nothing_s_place(tables, capsys, emptied, said):
    for name in emptied:
        path = tables / f"{name}.csv"
        path.write_text(path.read_text("utf-8").partition("\n")[0] + "\n", "utf-8")
    page, rows = Path("reports/t.html"), Path("t.csv")
    page.parent.mkdir()
    for kept in (page, rows):
        kept.write_text("as it was")
    for words in (("score", "t", "--csv", "t.csv"), ("report", "t"),
                  ("report", "--compare", "t", str(RECORDED), "--out", "reports")):  # fmt: skip
        assert f"the tables in t hold {said}; export them again" in refused(capsys, *words)
    assert page.read_text() == rows.read_text() == "as it was"
    assert sorted(each.name for each in Path("reports").iterdir()) == ["t.html"]


def test_a_ranking_of_nothing_takes_no_file_s_place(tables, capsys):
    path = tables / "tasks.csv"
    tasks = pd.read_csv(path, dtype=str, keep_default_na=False)
    tasks.assign(synthetic="1").to_csv(path, index=False)
    Path("t.csv").write_text("as it was")
    assert "t.csv is left as it is" in refused(capsys, "score", "t", "--csv", "t.csv")
    assert Path("t.csv").read_text() == "as it was"


def test_a_comparison_is_of_two_folders(tables, capsys):
    told = refused(capsys, "report", "t", "--compare", "t", "t")
    assert "nothing beside them: leave t out" in told


@pytest.mark.parametrize("families", ["dev", "held-out", "all"])
def test_families_choose_among_a_folder_s_tasks_too(tables, capsys, families):
    assert main(["score", "t", "--families", families, "--csv", "c.csv"]) == 0
    asked = pd.read_csv("t/tasks.csv")
    kept = {"dev": asked.held_out == 0, "held-out": asked.held_out == 1}.get(families)
    assert set(pd.read_csv("c.csv").task) == set(asked.task if kept is None else asked.task[kept])
    assert {"dev": 3, "held-out": 1}.get(families, 4) == pd.read_csv("c.csv").task.nunique()


def test_families_that_a_folder_lacks_are_told(tables, capsys):
    asked = pd.read_csv("t/tasks.csv", dtype=str, keep_default_na=False)
    asked.assign(held_out="0").to_csv("t/tasks.csv", index=False)
    assert "t has no task of --families held-out" in refused(
        capsys, "score", "t", "--families", "held-out"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["t", "--families", "confirm"], "evidence of the package's own; leave it, or leave t"),
        (["t", "nonexist"], "score judges on one folder; got t and reports/nonexist"),
        (["t", "--out", "other"], "score judges on one folder; got t and other"),
        (["--humans", "t"], "leave t, or leave --humans"),
        (["--humans", "--out", "t"], "leave t, or leave --humans"),
        (["--humans", "--csv", "h.csv"], "--csv writes the contest, which --humans does not hold"),
        (["t/tasks.csv"], "t/tasks.csv is a file; give the folder it lies in"),
        ([""], "files is empty ('')"),
        (["t", "--csv", ""], "csv is empty ('')"),
    ],
)
def test_what_does_not_go_together_is_refused(tables, capsys, words, says):
    assert says in refused(capsys, "score", *words)
    assert not Path("h.csv").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", ""], "suite is empty ('')"),
        (["read", ""], "is empty ('')"),
        (["run", " "], "suite is empty ('')"),
        (["report", "t", "--out", ""], "out is empty ('')"),
        (["report", "--compare", "t", ""], "compare is empty ('')"),
        (["export", "out", "--to", ""], "to is empty ('')"),
        (["report", "t/tasks.csv"], "t/tasks.csv is a file; give the folder it lies in"),
        (["export", "t", "--to", "x"], "t holds exported tables and no records"),
        (["export", "t", "--to", "t"], "t holds exported tables and no records"),
    ],
)
def test_a_word_that_means_nothing_is_named(tables, capsys, words, says):
    before = {path: path.read_bytes() for path in tables.iterdir()}
    assert says in refused(capsys, *words)
    assert {path: path.read_bytes() for path in tables.iterdir()} == before
    assert not Path("reports").exists()


USELESS = [
    (["score", "t", "--workers", "4"], "score cannot use --workers 4; leave it out"),
    (["--workers", "4", "score", "t"], "score cannot use --workers 4; leave it out"),
    (["score", "t", "--data", "d"], "score cannot use --data d; leave it out"),
    (["list", "--workers", "4"], "list cannot use --workers 4; leave it out"),
    (["--out", "o", "list"], "list cannot use --out o; leave it out"),
    (["export", "t", "--to", "x", "--device", "cpu"], "export cannot use --device cpu; leave it"),
    (["report", "t", "--data", "d"], "report cannot use --data d; leave it out"),
    (["fetch", "--scheduler", "tcp://a:1"], "fetch cannot use --scheduler tcp://a:1; leave it out"),
    (["doctor", "--device", "cuda"], "doctor cannot use --device cuda; leave it out"),
    (["--data", "d", "read", "c.csv"], "read cannot use --data d; leave it out"),
]


@pytest.mark.parametrize(("words", "says"), USELESS)
def test_an_option_that_a_command_cannot_use_is_refused(tables, capsys, words, says):
    assert says in refused(capsys, *words)
    assert not Path("reports").exists()
    assert not Path("x").exists()


def test_an_empty_data_is_none_for_every_command(tables, capsys):
    assert main(["--data", "", "score", "t"]) == 0  # a variable of the shell that is not set


@pytest.mark.parametrize(
    ("command", "used"),
    [
        ("run", "data out workers scheduler device"), ("report", "out"), ("export", "out"),
        ("score", "out"), ("list", "data"), ("fetch", "data"), ("doctor", "data out"),
    ],
)  # fmt: skip
def test_the_help_shows_what_a_command_uses(capsys, command, used):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    for name in ("data", "out", "workers", "scheduler", "device"):
        assert (f"--{name} " in told) == (name in used.split()), name


def test_tables_are_not_written_among_records(ran, tmp_path, capsys):
    before = sorted(path.name for path in ran.iterdir())
    told = refused(capsys, "export", str(ran), "--to", str(ran))
    assert "holds the records of a suite that was run; give --to another folder" in told
    (tmp_path / "link").symlink_to(ran)
    refused(capsys, "export", "--out", str(ran), "--to", str(tmp_path / "link"))
    assert sorted(path.name for path in ran.iterdir()) == before


def test_records_count_where_tables_lie_beside_them(ran, tables, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(ran, both)
    for path in tables.iterdir():
        shutil.copy(path, both)
    assert [task.label for task in gather(both).tasks] == [t.label for t in gather(ran).tasks]
    assert main(["report", str(both)]) == 0
    assert "Digits" in (both / "report.html").read_text()


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_an_export_of_nothing_leaves_good_tables(ran, tables, tmp_path, capsys, how):
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    for path in (out / "records").glob("*.json"):
        path.write_bytes(b"[]") if how == "damaged" else path.unlink()
    before = {path: path.read_bytes() for path in tables.iterdir()}
    told = refused(capsys, "export", str(out), "--to", "t")
    assert "holds no result that can be read, so t is left as it is" in told
    assert {path: path.read_bytes() for path in tables.iterdir()} == before


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"\xef\xbb\xbf# My tables\r\nmore", "My tables"), (b"\xe9t\xe9 # x\n", "Tables in t"),
        ("# My tables\n".encode("utf-16"), "Tables in t"), (b"", "Tables in t"),
    ],
)  # fmt: skip
def test_a_folder_s_page_may_be_anyone_s(tables, page, title):
    (tables / "README.md").write_bytes(page)
    assert main(["report", "t"]) == 0
    assert f"<title>{title}" in Path("reports/t.html").read_text("utf-8")
