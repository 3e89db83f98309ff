"""The recorded lessons: the page says what their tables say, and they are the suite's."""

import importlib
import re
from pathlib import Path

import pytest

from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.evidence import tables
from lrsuggest.evidence.lessons import CHAINS, LESSONS, NAMED, STAGES, autopilot, branches
from lrsuggest.evidence.paired import Outcome
from lrsuggest.evidence.tables import load_lessons

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "benchmarks" / "recorded" / "lessons"


@pytest.fixture(scope="module")
def lessons():
    return load_lessons(TABLES)


@pytest.mark.slow
def test_the_page_says_what_the_tables_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "pages")
    made = importlib.import_module("lessons").page()
    written = (ROOT / "docs" / "lessons.md").read_text("utf-8")
    for line, wanted in zip(written.splitlines(), made.splitlines(), strict=True):
        assert line == wanted, "write it anew with python benchmarks/pages/lessons.py"


def test_the_readme_says_how_the_chains_ended():
    page = (ROOT / "docs" / "lessons.md").read_text("utf-8")
    count, ends = re.search(r"^(\d+) lessons, at the end .* in fp32: (.*?)\. ", page, re.M).groups()
    assert f"Of {count} lessons at small sizes, the suggested chains ended: {ends};" in (
        ROOT / "README.md"
    ).read_text("utf-8")


def test_the_tables_are_the_suites(lessons):
    planned = {each.label: each for each in load_suite("lessons").lesson}
    assert {each.name for each in lessons} <= set(planned)
    for lesson in lessons:
        stages = planned[lesson.name].stage
        found = lesson.stages[["stage", "batch", "epochs"]].to_numpy().tolist()
        assert found == [[s.stage, s.batch, s.epochs] for s in stages]
        assert lesson.chain_seeds == planned[lesson.name].chain_seeds
        assert set(lesson.stages) == set(STAGES)


def test_camvid_and_faces_were_trained_whole_by_both_pilots(lessons):
    by_name = {each.name: each for each in lessons}
    for name in ("camvid11", "faces"):
        flown = autopilot(by_name[name])
        assert Outcome.MISSING not in {each.outcome for each in flown.against}
        assert (flown.our_n >= 3).all()


def test_every_measured_branch_has_a_regret(lessons):
    tasks = tables.load(TABLES)
    for lesson in lessons:
        found = branches(lesson, tasks)
        compared = [each for each in found.against if each is not None]
        assert all(each.missing == 0 for each in compared)
        assert found.regret.notna().all()


@pytest.mark.parametrize(
    ("name", "columns"),
    [("lessons", LESSONS), ("stages", STAGES), ("chains", CHAINS), ("named", NAMED)],
)
def test_every_column_is_explained_in_its_order(name, columns):
    page = (TABLES / "README.md").read_text("utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {name}.csv |"))
    said = re.sub(r"\([^)]*\)", "", row.split("|")[3]).partition(";")[0]
    assert [word.strip() for word in said.split(",")] == list(columns)
