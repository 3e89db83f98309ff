"""`score my.py`: what a person's file may do, and what its mistakes are told as."""

import sys

import pytest

from lrsuggest.bench.__main__ import main
from lrsuggest.curves.heuristics.all import HEURISTICS

TOP = "from lrsuggest.curves.heuristics.registry import heuristic\nimport sys\n"
GOOD = TOP + "@heuristic('mine', 'me')\ndef mine(curve, context):\n    return 1e-2\n"


@pytest.fixture(autouse=True)
def as_before(tmp_path, monkeypatch):
    before, path, modules = dict(HEURISTICS), list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield
    HEURISTICS.clear()
    HEURISTICS.update(before)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("_newcomer_") or name == "helper_of_mine":
            del sys.modules[name]


def score(tmp_path, text, capsys):
    (tmp_path / "my.py").write_text(text)
    status = main(["score", "my.py", "--families", "confirm"])
    return status, capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "sys.exit()", "my.py cannot be run: SystemExit"),
        (GOOD + "sys.exit(0)", "my.py cannot be run: SystemExit: 0"),
        (GOOD + "raise SystemExit('bye')", "my.py cannot be run: SystemExit: bye"),
        (GOOD.replace("return 1e-2", "sys.exit(3)"), "the heuristic mine fails on a curve of"),
        (GOOD.replace("return 1e-2", "return 1/0"), "the heuristic mine fails on a curve of"),
        (GOOD.replace("1e-2", "float('nan')"), "the heuristic mine returns must be a rate"),
        (GOOD.replace("1e-2", "None"), "the heuristic mine returns must be a rate"),
        (GOOD.replace("'mine'", "'hand-picked'"), "my.py: 'hand-picked' is a contestant of its"),
        (GOOD.replace("'mine'", "'min_10'"), "my.py: there is a heuristic 'min_10' already"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_a_sentence(tmp_path, capsys, text, says):
    status, said = score(tmp_path, text, capsys)
    assert status == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert "Regret" not in said.out


def test_what_lies_beside_the_file_can_be_imported(tmp_path, capsys):
    (tmp_path / "helper_of_mine.py").write_text("RATE = 1e-2\n")
    text = "import helper_of_mine\n" + GOOD.replace("1e-2", "helper_of_mine.RATE")
    status, said = score(tmp_path, text, capsys)
    assert status == 0
    assert "mine" in said.out


def test_a_name_is_printed_as_it_is(tmp_path, capsys):
    status, said = score(tmp_path, GOOD.replace("'mine'", "'[red]mine[/red] [/x]'"), capsys)
    assert status == 0
    assert "[red]mine[/red] [/x]" in said.out
