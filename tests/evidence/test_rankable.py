"""A ranking rests on the tasks where contestants can be told apart, and names the others."""

import io
from dataclasses import replace

import numpy as np
import pytest
from helpers import sweep_like
from rich.console import Console

from lrsuggest.bench.commands.score import print_regret
from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.contested import contested, left_out, of, rests_on
from lrsuggest.evidence.regret import rankable, scorable
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.statistics import summary
from lrsuggest.report.about import Story
from lrsuggest.report.page import _ranked, render

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])


def task(k):
    loss = np.array([[2, 1.5, 1, 4.0], [2, 1.4, 1.1, 4.0]])
    return TaskEvidence(
        f"task {k}", "A title", f"family {k}", "scratch", "adamw", False,
        (Curve(*sweep_like(noise=0.03, seed=k)),), Response(RATES, loss, 3.0), steps=40,
    )  # fmt: skip


WHOLE = [task(k) for k in range(7)]
LACKING = {
    "no range test": replace(WHOLE[3], curves=()),
    "no rate learnt anything": replace(
        WHOLE[3], response=Response(RATES, np.full((2, 4), np.inf), 3.0)
    ),
    "fewer than two rates and two seeds, or no start": replace(WHOLE[3], response=None),
}


@pytest.mark.parametrize("what", LACKING)
def test_one_task_that_lacks_something_turns_no_verdict(what):
    tasks = [*WHOLE[:3], LACKING[what], *WHOLE[4:]]
    with_it, without = _ranked(tasks), _ranked([*WHOLE[:3], *WHOLE[4:]])
    assert with_it["verdict"] == without["verdict"]
    assert with_it["verdict"].pick
    assert with_it["ranking"] == without["ranking"]
    assert with_it["rests_on"] == "6 tasks of 6 families under one-cycle"
    assert with_it["measured"] == {row["tasks"] for row in with_it["ranking"]}.pop() == 6
    assert with_it["left_out"] == [f"task 3 ({what})"]
    assert f"Left out, for there is nothing to rank by: task 3 ({what})." in render(
        tasks, Story("t", "c", 1)
    )
    out = io.StringIO()
    print_regret(tasks, Console(file=out, width=200))
    assert "Regret on 6 tasks of 6 families under one-cycle." in out.getvalue()
    assert f"to rank by: task 3 ({what})." in out.getvalue()


@pytest.mark.parametrize("what", LACKING)
def test_the_fewest_families_are_those_of_the_ranking(what):
    tasks = [*WHOLE[:2], LACKING[what], *WHOLE[4:6]]
    assert _ranked(tasks)["difference"] is None
    assert "No verdict: 4 families of real data" in _ranked(tasks)["verdict"].said
    assert "Only 4 families of real data" in render(tasks, Story("t", "c", 1))


def test_without_a_range_test_anywhere_nothing_is_ranked():
    bare = [replace(each, curves=()) for each in WHOLE]
    assert len(scorable(bare)) == 7
    assert rankable(bare) == []
    assert _ranked(bare)["ranking"] == []
    assert rests_on(bare).startswith("no task on real data that has a range test")
    assert summary(of(contested(bare), bare), bare).empty
    assert left_out([replace(WHOLE[0], synthetic=True)]) == []
