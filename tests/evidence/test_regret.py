import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.regret import HAND_PICKED, OUT_OF_FOLD, contest, outside, regret
from lrsuggest.evidence.response import DIVERGED, Response, TaskEvidence
from lrsuggest.evidence.statistics import summary

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])


def response(*rows, start=3.0):
    return Response(RATES, np.array(rows, float), start)


def test_without_noise_it_is_the_formula():
    clean = response([2, 1.5, 1, 2.5], [2, 1.5, 1, 2.5])
    assert [regret(clean, rate) for rate in RATES] == pytest.approx([0.5, 0.25, 0.0, 0.75])
    # Between measured rates it is linear in log10 of the rate; outside, the edge's value holds.
    assert regret(clean, 10**-2.5) == pytest.approx(0.125)
    assert regret(clean, 1e-6) == pytest.approx(0.5)
    assert outside(clean, 1e-6)
    assert not outside(clean, 1e-4)


def test_a_divergence_and_anything_worse_count_the_same():
    for bad in (math.inf, 1e9, 3.0 + 1.0):
        assert regret(response([2, 1, 1.5, bad], [2, 1, 1.5, bad]), 1e-1) == pytest.approx(DIVERGED)


def test_a_divergence_at_the_best_rate_of_one_half_is_no_lost_task():
    luck = response([2, 1.5, 1.2, 1.0], [2, 1.5, 1.2, math.inf])
    # Chosen on seed 0 the best diverges on seed 1, so only the other way round says something.
    assert regret(luck, 1e-2) == pytest.approx(0)
    assert regret(luck, 1e-1) == pytest.approx((1.0 - 1.2) / 1.8)
    # With two seeds a half, one of them diverged, V(best) = (1 + 1.5 * 3) / (2 + 0.5) = 2.2.
    half = [[2, 1.5, 2.5, 1.0], [2, 1.5, 2.5, 1.0], [2, 1.5, 2.5, 1.0], [2, 1.5, 2.5, math.inf]]
    there = regret(Response(RATES[:4], np.array(half), 3.0), 1e-1)
    assert math.isfinite(there)
    three = [task("a"), task("b", loss=[[math.inf] * 4] * 2), task("c")]
    assert set(summary(contest(three), three).tasks) == {2}


def test_the_best_of_one_half_is_valued_on_the_other():
    noisy = response([2, 1.0, 1.2, 2], [2, 1.4, 1.1, 2])
    # Chosen on seed 0 the best is 1e-3, worth 1.4 on seed 1; chosen on seed 1 it is 1e-2, worth
    # 1.2 on seed 0. So the rate 1e-2 scores (1.1 - 1.4) / 1.6 and (1.2 - 1.2) / 1.8.
    assert regret(noisy, 1e-2) == pytest.approx((-0.3 / 1.6 + 0) / 2)
    assert regret(noisy, 1e-3) == pytest.approx((0 - 0.2 / 1.8) / 2)


@given(
    st.lists(
        st.lists(st.integers(0, 29).map(lambda x: x / 10), min_size=4, max_size=4),
        min_size=2, max_size=5,
    ),
    st.floats(-5, 0), st.floats(0.01, 100), st.floats(-50, 50),
)  # fmt: skip
def test_units_of_the_loss_do_not_matter(rows, log_rate, a, b):
    plain = response(*rows)
    moved = Response(RATES, plain.loss * a + b, plain.start * a + b)
    assert regret(moved, 10**log_rate) == pytest.approx(regret(plain, 10**log_rate), abs=1e-6)


def test_a_missing_run_is_not_a_good_one():
    nan = math.nan
    # Two seeds on each half: one missing run in a half leaves the other's value.
    part = response([2, 1.5, 1, 2.5], [2, 1.5, 1, 2.5], [2, 1.5, nan, 2.5], [2, 1.5, 1, 2.5])
    assert regret(part, 1e-2) == pytest.approx(0)
    gone = response([2, 1.5, nan, 2.5], [2, 1.5, 1, 2.5])
    assert regret(gone, 1e-3) == pytest.approx(0)


def test_nothing_learnt_gives_no_number():
    assert math.isnan(regret(response([3, 3, 3, 3], [3, 3, 3, 3]), 1e-3))
    assert math.isnan(regret(response([math.inf] * 4, [math.inf] * 4), 1e-3))


def test_a_table_of_runs_becomes_a_response():
    runs = pd.DataFrame(
        {"lr": [1e-3, 1e-2, 1e-3, 1e-2], "seed": [0, 0, 1, 1],
         "valid_loss": [2.0, 1.0, 2.5, math.inf]}
    )  # fmt: skip
    made = Response.from_runs(runs, 3.0)
    np.testing.assert_array_equal(made.rates, [1e-3, 1e-2])
    np.testing.assert_array_equal(made.loss, [[2, 1], [2.5, math.inf]])
    assert made.ready
    assert not Response.from_runs(runs[:2], 3.0).ready


def task(family, *, synthetic=False, curves=None, best=2, label=None, loss=None):
    if loss is None:
        loss = np.full((2, 4), 2.0)
        loss[:, best] = 1.0
    return TaskEvidence(
        label or family, family, family, "scratch", "sgd", synthetic,
        tuple(curves or [Curve(*sweep_like())]), response(*loss),
        ((1e-2, "a notebook"),),
    )  # fmt: skip


def test_everybody_is_in_the_table_and_synthetic_tasks_are_not():
    tasks = [task("a"), task("b"), task("drawn", synthetic=True)]
    table = contest(tasks)
    assert set(table.task) == {"a", "b"}
    names = set(table.contestant)
    assert {HAND_PICKED, OUT_OF_FOLD, "min_10", "steepest", "fastai_valley"} <= names
    assert sum(name.startswith("constant 1e") for name in names) == 5
    best = summary(table, tasks)
    assert (best.tasks == 2).all()
    assert best["median"].is_monotonic_increasing
    assert best.set_index("contestant").loc[HAND_PICKED, "median"] == pytest.approx(0)


def test_the_constant_to_beat_is_chosen_on_other_families():
    table = contest([task("a", best=2), task("a", best=2, label="a2"), task("b", best=1)])
    picks = table[table.contestant == OUT_OF_FOLD].set_index("task").pick
    assert picks["b"] == 1e-2
    assert picks["a"] == picks["a2"] == 1e-3


def test_without_a_family_alike_the_constant_is_peoples_and_says_so():
    table = contest([task("a")])
    row = table[table.contestant == OUT_OF_FOLD].iloc[0]
    assert row.pick == 3e-3
    assert "no other family" in row.note


def test_a_task_without_curves_still_ranks_constants():
    table = contest([replace(task("a"), curves=())])
    assert {"constant 1e-2", HAND_PICKED, OUT_OF_FOLD} <= set(table.contestant)


def test_an_abstention_is_scored_as_the_constant_to_beat():
    flat = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 2.0))
    tasks = [task("a", curves=[flat]), task("b", best=1)]
    table = contest(tasks)
    mine = table[(table.task == "a") & (table.contestant == "min_10")].iloc[0]
    constant = table[(table.task == "a") & (table.contestant == OUT_OF_FOLD)].iloc[0]
    assert mine.abstained
    assert math.isnan(mine.pick)
    assert mine.regret == constant.regret
    assert summary(table, tasks).set_index("contestant").loc["min_10", "abstained"] == 0.5


def test_no_evidence_gives_empty_tables():
    assert contest([]).empty
    drawn = [task("drawn", synthetic=True)]
    assert summary(contest(drawn), drawn).empty
