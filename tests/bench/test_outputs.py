"""What the command line is asked to write, where it cannot, and names that look like markup."""

import shutil
from pathlib import Path

import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.plan.suite import load
from lrsuggest.errors import UserError
from lrsuggest.files import output
from lrsuggest.resources import shipped


@pytest.mark.parametrize("where", ["no/contest.csv", "", "a.txt/contest.csv"])
def test_a_contest_that_cannot_be_written_is_told_before_it(tmp_path, monkeypatch, capsys, where):
    (tmp_path / "a.txt").write_text("kept")
    monkeypatch.setattr(
        "lrsuggest.bench.commands.score.judged", lambda *given: pytest.fail("it ran")
    )
    assert main(["score", "--csv", str(tmp_path / where)]) == 2
    told = capsys.readouterr().err
    assert "cannot be written" in told
    assert told.count("\n") == 1
    assert (tmp_path / "a.txt").read_text() == "kept"


def test_what_the_block_could_not_read_is_not_said_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), output(tmp_path / "a.csv"):
        (tmp_path / "other").read_bytes()
    assert not list(tmp_path.iterdir())


def test_a_folder_s_name_is_printed_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("d[old]", "d[/x]"):
        folder = Path(name)
        (folder / "biwi_head_pose").mkdir(parents=True)
        for command in (["fetch"], ["list"], ["list", "biwi"]):
            assert main([*command, "--data", name]) == 0
            assert name in capsys.readouterr().out.replace("\n", "")


def test_a_suite_s_name_may_end_in_capitals(tmp_path):
    shutil.copyfile(shipped("benchmarks/suites") / "quick.toml", tmp_path / "MINE.TOML")
    assert load(str(tmp_path / "MINE.TOML")) == load("quick")


def test_a_plan_with_a_byte_order_mark_is_read(tmp_path):
    with pytest.raises(UserError, match="holds no plan"):
        load_plan(tmp_path)
    text = '{"suite":"a","title":"b","command":"c","limit_s":1.0,"tasks":[]}'
    Path(tmp_path / "plan.json").write_text(text, "utf-8-sig")
    assert load_plan(tmp_path).title == "b"
