"""Report, score and docs rest on one contest and on one set of tasks."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.commands.evidence import gather
from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.consensus_fit import UNSEEN
from lrsuggest.evidence.contested import by_schedule, contested, of, rests_on
from lrsuggest.evidence.regret import OUT_OF_FOLD
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.statistics import summary, versus
from lrsuggest.evidence.tables import load
from lrsuggest.report.page import render

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "benchmarks" / "recorded"
RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])


def task(family, schedule="one_cycle", **more):
    loss = np.array([[2, 1.5, 1, 4.0], [2, 1.4, 1.1, 4.0]])
    return TaskEvidence(
        f"{family} {schedule}", "A title", family, "scratch", "adamw", False,
        (Curve(*sweep_like(noise=0.03)),), Response(RATES, loss, 3.0), steps=40,
        schedule=schedule, **more,
    )  # fmt: skip


def page_figures(page):
    """Contestant -> (median, 90 %, worst, mean, tasks), as the report's ranking prints them."""
    body = re.search(r'<table id="ranks">(.*?)</table>', page, re.DOTALL)[1]
    found = {}
    for row in re.findall(r"<tr data-from.*?</tr>", body, re.DOTALL):
        cells = [
            html.unescape(re.sub("<[^>]+>", "", cell)).replace("\N{MINUS SIGN}", "-")
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        name, _, _, median, p90, worst, mean, _, _, _, tasks = cells
        found[name] = (median.split()[0], p90, worst, mean.split()[0], tasks.split()[0])
    found.pop("split-half oracle")
    return found


def score_figures(said):
    """The same of score's first table."""
    found = {}
    for line in said.split("Regret on")[0].splitlines()[1:]:
        name, tasks, rest = re.split(r" {2,}", line.strip(), maxsplit=2)
        numbers = re.findall(r"-?\d+\.\d{3}(?![^\[]*\])", rest)
        median, mean, p90, worst = ("0.000" if x == "-0.000" else x for x in numbers[:4])
        found[name] = (median, p90, worst, mean, tasks)
    return found


@pytest.fixture(scope="module")
def pages():
    """The reports of the evidence, as it is kept, and of the confirmation."""
    return {
        "recorded": (ROOT / "reports" / "recorded.html").read_text("utf-8"),
        "confirm": render(*gather(RECORDED / "confirm")),
    }


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("recorded", ["score"]),
        ("recorded", ["score", str(RECORDED)]),
        ("confirm", ["score", "--families", "confirm"]),
        ("confirm", ["score", "--out", str(RECORDED / "confirm")]),
    ],
)
def test_report_and_score_print_the_same_figures(pages, capsys, which, words):
    assert main(words) == 0
    said = capsys.readouterr().out
    page = pages[which]
    assert page_figures(page) == score_figures(said)
    rests = re.search(r"every test in it, rests on (.*?); in a table", page)[1]
    assert f"Regret on {rests}." in said
    apart = re.search(r"in a table of its own below: (.*?)\.<", page)[1]
    assert f"Regret on {apart}." in said
    assert f"Not in the ranking: {apart}" in page


@pytest.mark.parametrize(("which", "name"), [("recorded", "consensus"),
                                             ("confirm", "consensus-confirmed")])  # fmt: skip
def test_the_docs_state_that_set_and_those_figures(pages, which, name):
    doc = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    part = doc.split("## One-cycle schedule")[1].split("\nOnly the ")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines()
             if re.match(r"\| \S.*\| \d+ \|", line)]  # fmt: skip
    found = page_figures(pages[which])
    assert len(cells) >= 20
    for contestant, tasks, median, mean, p90, worst, *_ in cells:
        if contestant != "start values, no fit":
            told = (median.split()[0], p90, worst, mean.split()[0], tasks.split()[0])
            assert tuple(x.replace("-0.000", "0.000") for x in told) == found[contestant]


def test_the_page_and_the_docs_say_the_same_of_the_constant(pages):
    tasks = load()
    first = next(iter(by_schedule(tasks).values()))
    assert {each.schedule for each in first} == {"one_cycle"}
    table = of(contested(tasks), first)
    peers = [name for name in set(table.contestant) if name.startswith(("fastai", "torch_lr"))]
    doc = (ROOT / "docs" / "consensus.md").read_text("utf-8")
    told = re.search(r"better than the constant out of fold \| Holm p < .05 \| (0\.\d+)", doc)[1]
    peers += [name for name in ("ignite", "lightning") if name in set(table.contestant)]
    p = versus(table, UNSEEN, [OUT_OF_FOLD, *sorted(peers)]).set_index("contestant").p_holm
    assert f"{p[OUT_OF_FOLD]:.3f}" == told
    ties = re.search(r"No test tells it from (.*?) <span", pages["recorded"])[1]
    assert (OUT_OF_FOLD in ties) == (p[OUT_OF_FOLD] >= 0.05)


def test_the_ranking_rests_on_the_schedule_that_most_tasks_have():
    one, other = task("a"), task("a", "constant")
    assert list(by_schedule([other, one])) == ["one_cycle", "constant"]  # a tie
    assert list(by_schedule([one, other, task("b", "constant")])) == ["constant", "one_cycle"]
    drawn = replace(one, synthetic=True)
    assert list(by_schedule([drawn, drawn, other])) == ["constant", "one_cycle"]
    assert by_schedule([]) == {}
    assert rests_on([one]) == "1 task of 1 family under one-cycle"
    assert rests_on([other, task("b", "constant")]) == "2 tasks of 2 families at a constant rate"
    assert rests_on([drawn]) == "no task on real data"


def test_the_constant_knows_the_evidence_whatever_is_judged():
    """As the consensus does: on one new family alone it is no rate that people like."""
    alone = contested([task("new")])
    more = contested([task("new"), task("newer"), task("newest")])
    for table in (alone, more):
        row = table[(table.contestant == OUT_OF_FOLD) & (table.family == "new")].iloc[0]
        assert row.note.startswith("on 1")
        assert row.note.endswith("other families alike")
    picks = [t[(t.contestant == OUT_OF_FOLD) & (t.family == "new")].pick.item()
             for t in (alone, more)]  # fmt: skip
    assert picks[0] == picks[1]
    assert UNSEEN not in set(more.contestant)
    assert UNSEEN in set(contested([task("digits")]).contestant)


def test_a_suite_at_a_constant_rate_has_a_ranking_too(capsys):
    from lrsuggest.report.about import Story

    tasks = [task(f"family {k}", "constant") for k in range(6)]
    page = render(tasks, Story("t", "c", 1))
    assert "rests on 6 tasks of 6 families at a constant rate." in page
    assert "Not in the ranking" not in page
    assert len(summary(contested(tasks), tasks)) > 20


def test_other_pages_say_what_the_consensus_page_says_of_probes_and_its_interval():
    told = (ROOT / "docs" / "consensus.md").read_text("utf-8")
    probes = re.search(r"four probes, one full run \| half of what remains \| (\d+)% less", told)[1]
    covers = re.search(r"^\| consensus \| \d+ \| (\d+)% \|", told, re.MULTILINE)[1]
    optuna = (ROOT / "docs" / "optuna.md").read_text("utf-8")
    assert f"took away {probes} % of what was left to gain" in optuna
    assert f"on the recorded tasks it did in {covers} %" in optuna
