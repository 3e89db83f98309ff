"""The page of what is seen: its table, the page made of it, and a share of the cases looked at."""

import csv
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("fastai")
pytest.importorskip("pytorch_lightning")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.usefixtures("data_root"),
    pytest.mark.filterwarnings("ignore"),  # of the three libraries
]
QUICK = ("own convolutions", "own perceptron", "fastai", "Lightning", "Hugging Face")
SLOW = ("ImageNet", "real weights", "ResNet", "DLA", "DenseNet", "LoRA")


@pytest.fixture(scope="module")
def page():
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks" / "pages"))
    try:
        import detection
    finally:
        sys.path.pop(0)
    return detection


def test_the_page_is_what_the_recorded_table_says(page):
    assert page.page() == (ROOT / "docs" / "detection.md").read_text("utf-8")


def test_every_case_is_recorded_once(page):
    rows = page.rows()
    names = [(row["list"], row["framework"], row["case"]) for row in rows]
    assert len(set(names)) == len(names)
    made = page.cases()
    lists = ["second" if case.second else "first" for case in made]
    assert names == [(which, each.framework, each.name)
                     for which, each in zip(lists, made, strict=True)]  # fmt: skip
    assert lists.count("first") >= 100
    assert lists.count("second") >= 30
    with (ROOT / "benchmarks" / "recorded" / "detection.csv").open(newline="") as file:
        assert tuple(next(csv.reader(file))) == page.COLUMNS


def test_no_pretrained_network_was_called_new(page):
    """That would be the costly error."""
    for row in page.rows():
        if row["stage seen"] == "scratch":
            assert row["stage"] == "scratch", row["case"]


@pytest.mark.parametrize("question", ["optimizer", "stage", "continued", "schedule", "lora"])
def test_right_where_it_answers(page, question):
    for which in ("first", "second"):
        here = [row for row in page.rows() if row["list"] == which]
        _, _, answers, right = page.judged(here, question)
        assert answers
        assert right >= page.RIGHT * answers


def test_judging_counts_an_answer_to_nothing_as_wrong(page):
    pairs = (("frozen", "frozen"), ("frozen", ""), ("", "scratch"), ("", ""), ("a", "b"))
    rows = [{"stage": truth, "stage seen": seen} for truth, seen in pairs]
    assert page.judged(rows, "stage") == (3, 2, 3, 1)


def test_a_share_of_the_cases_is_seen_as_it_was_recorded(page, one_thread, data_root, monkeypatch):
    monkeypatch.setenv("LRSUGGEST_DATA", os.fspath(data_root))
    recorded = {(row["framework"], row["case"]): row for row in page.rows()}
    quick = [
        case
        for case in page.cases()
        if any(part in case.framework + case.name for part in QUICK)
        and not any(part in case.name for part in SLOW)
    ]
    assert len(quick) > 60
    for case in quick[::4]:
        assert page.look_at(case) == recorded[case.framework, case.name]
