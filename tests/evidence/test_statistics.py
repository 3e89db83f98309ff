import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from lrsuggest.errors import UserError
from lrsuggest.evidence.regret import OUT_OF_FOLD
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.statistics import (
    bootstrap,
    by,
    finalists,
    holm,
    ranks,
    resolved,
    summary,
    versus,
    weighted_medians,
)
from lrsuggest.report.figures.overview import critical_difference_figure

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])
# Seeds whose differences between rates differ: the residuals are +-wobble in a checkerboard.
BOARD = np.array([[1, -1, 1, -1], [-1, 1, -1, 1]])


def task(label, family, wobble=0.0, **more):
    loss = np.array([[2, 1.5, 1, 2.5]] * 2) + wobble * BOARD
    return TaskEvidence(
        label, family, family, "scratch", "sgd", False, (), Response(RATES, loss, 3.0), **more
    )


def contest_like(costs, seeds=1, **more):
    """A table from {contestant: {(family, task): regret}}."""
    return pd.DataFrame(
        [
            {
                "contestant": name, "family": family, "task": label, "seed": seed, "regret": cost,
                "strict": 2 * cost, "diverged": cost > 1, "abstained": False, "outside": False,
                "kind": "classification", "steps": 60, **more,
            }
            for name, each in costs.items()
            for (family, label), cost in each.items()
            for seed in range(seeds)
        ]
    )  # fmt: skip


PLACES = [("a", "a1"), ("a", "a2"), ("b", "b1")]
TASKS = [task(label, family, wobble=0.009) for family, label in PLACES]


def test_a_summary_by_hand():
    table = contest_like({"x": dict(zip(PLACES, [0.0, 0.1, 1.4], strict=True))}, seeds=2)
    # Another seed on one task: its mean, .3, is what counts, and the task weighs no more for it.
    table.loc[(table.task == "a2") & (table.seed == 1), ["regret", "abstained"]] = [0.5, True]
    row = summary(table, TASKS).iloc[0]
    assert (row.tasks, row.families, row.whole) == (3, 2, True)
    assert row["median"] == pytest.approx(0.3)
    assert row["mean"] == pytest.approx(1.7 / 3)
    assert row.worst == pytest.approx(1.4)
    assert row.p90 == pytest.approx(0.3 + 0.8 * 1.1)
    assert row.diverged == pytest.approx(1 / 3)
    assert row.abstained == pytest.approx(1 / 6)
    assert summary(table, TASKS, "strict").iloc[0]["median"] == pytest.approx(0.2)


def test_within_the_noise_means_two_standard_errors_of_that_task():
    # Two rates cost under .2; residuals +-w: error = sqrt(2 * 4 w**2 / 1 / 2) / 2 = w, the span 2.
    quiet, loud = task("q", "q", wobble=0.009), task("l", "l", wobble=0.1)
    floor = 0.009
    assert quiet.response.error == pytest.approx(floor, rel=0.02)  # the span wobbles as well
    cost = {("q", "q"): 3 * floor, ("l", "l"): 3 * floor}
    assert summary(contest_like({"x": cost}), [quiet, loud]).within_noise[0] == 0.5
    told = resolved([loud, quiet])
    assert told.task.tolist() == ["q", "l"]
    assert told.resolved.tolist() == [True, False]
    unsure = TaskEvidence(
        "u", "u", "u", "scratch", "sgd", False, (),
        Response(RATES[:2], np.array([[2.0, 1.0], [math.inf, 1.0]]), 3.0),
    )  # fmt: skip
    assert math.isinf(unsure.response.error)
    assert summary(contest_like({"x": {("u", "u"): 0.0}}), [unsure]).within_noise[0] == 0


def test_contestants_scored_on_fewer_tasks_are_marked_and_last():
    whole = dict.fromkeys(PLACES, 0.5)
    told = summary(contest_like({"x": whole, "hand-picked": {PLACES[0]: 0.0}}), TASKS)
    assert told.contestant.tolist() == ["x", "hand-picked"]
    assert told.whole.tolist() == [True, False]
    assert math.isnan(told["mean_low"][1])


def test_families_are_resampled_whole():
    # Drawing two families of two gives a twice (mean 0), b twice (1) or both (.01). Were tasks
    # drawn, the mean would hardly pass .04.
    values, families = [0.0] * 99 + [1.0], ["a"] * 99 + ["b"]
    assert bootstrap(values, families)["mean"] == (0.0, 1.0)
    one_family = bootstrap(values, ["a"] * 100)
    assert all(math.isnan(end) for end in one_family["mean"])


def test_the_intervals_cover():
    rng = np.random.default_rng(1)
    families = np.repeat([f"f{i}" for i in range(20)], 3).tolist()
    hits = {"mean": 0, "median": 0}
    for _ in range(100):
        values = np.repeat(rng.normal(size=20), 3) + rng.normal(scale=0.3, size=60)
        for name, (low, high) in bootstrap(values, families).items():
            hits[name] += low <= 0 <= high
    assert 85 <= hits["mean"] <= 99
    assert 85 <= hits["median"] <= 100


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 3)), min_size=1, max_size=8).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_a_weighted_median_is_that_of_the_repeated_values(pairs):
    values, weights = np.array(pairs, float).T
    expected = np.median(np.repeat(values, weights.astype(int)))
    assert weighted_medians(values, weights[None])[0] == expected


@pytest.mark.slow
@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_tasks_does_not_matter(random):
    rng = np.random.default_rng(0)
    places = [(f"f{i % 4}", f"t{i}") for i in range(7)]
    tasks = [task(label, family) for family, label in places]
    costs = {name: dict(zip(places, rng.random(7), strict=True)) for name in "xyz"}
    table = contest_like(costs, seeds=3)
    table["regret"] += rng.random(len(table))
    order = list(range(len(table)))
    random.shuffle(order)
    moved, others = table.iloc[order], random.sample(tasks, len(tasks))
    pd.testing.assert_frame_equal(summary(moved, others), summary(table, tasks))
    pd.testing.assert_frame_equal(versus(moved, "x"), versus(table, "x"))


def test_each_column_is_summed_up_apart():
    short = contest_like({"x": dict.fromkeys(PLACES, 0.1)}, steps=60)
    long = contest_like({"x": {("c", "c1"): 0.7}}, steps=240)
    tasks = [*TASKS, task("c1", "c")]
    told = by(pd.concat([short, long]), tasks, "steps")
    assert told.steps.tolist() == ["up to 60", "over 150"]
    assert told["median"].tolist() == pytest.approx([0.1, 0.7])
    assert by(short, tasks, "kind").kind.tolist() == ["classification"]
    with pytest.raises(UserError, match="'colour'"):
        by(short, tasks, "colour")


def families_like(**costs):
    """A table with one task a family."""
    return contest_like(
        {name: {(f"f{i}", f"f{i}"): c for i, c in enumerate(each)} for name, each in costs.items()}
    )


MINE = [0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70]
THEIRS = [0.11, 0.22, 0.33, 0.44, 0.55, 0.54, 0.78]


@pytest.mark.slow
def test_pairs_are_tested_as_scipy_does():
    row = versus(families_like(mine=MINE, theirs=THEIRS), "mine").iloc[0]
    assert row.p == pytest.approx(wilcoxon(np.round(np.subtract(MINE, THEIRS), 12)).pvalue)
    assert row.p == row.p_holm  # of a single test
    assert (row.wins, row.losses, row.ties, row.families) == (6, 1, 0, 7)
    assert row.difference == pytest.approx(-0.03)
    assert row.low <= row.difference <= row.high < 0
    back = versus(families_like(mine=MINE, theirs=THEIRS), "theirs").iloc[0]
    assert back.p == row.p
    assert back.difference == -row.difference


def test_holm_by_hand():
    # Least first: .01 * 3, .03 * 2, then .04 * 1, which may not fall below the one before it.
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])


@pytest.mark.slow
def test_every_opponent_more_raises_the_bar():
    table = families_like(mine=MINE, theirs=THEIRS, same=MINE)
    both = versus(table, "mine").set_index("contestant")
    assert both.p_holm["theirs"] == pytest.approx(2 * both.p["theirs"])
    assert versus(table, "mine", ["theirs"]).p_holm[0] == both.p["theirs"]
    with pytest.raises(UserError, match="'nobody'"):
        versus(table, "mine", ["nobody"])


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.floats(-0.1, 1.5), min_size=2, max_size=12))
def test_against_its_double_nothing_differs(costs):
    row = versus(families_like(mine=costs, double=costs), "mine").iloc[0]
    assert (row.difference, row.low, row.high) == (0, 0, 0)
    assert (row.wins, row.losses, row.ties) == (0, 0, len(costs))
    assert row.p == row.p_holm == 1


def test_only_tasks_that_both_have_are_compared():
    mine = {("a", "a1"): 0.1, ("a", "a2"): 0.9, ("b", "b1"): 0.2}
    hand = {("a", "a1"): 0.0, ("b", "b1"): 0.0}
    row = versus(contest_like({"mine": mine, "hand-picked": hand}), "mine").iloc[0]
    assert (row.tasks, row.families) == (2, 2)
    assert row.difference == pytest.approx(0.15)


def test_mean_ranks_by_hand():
    table = families_like(x=[0.1, 0.2, 0.1], y=[0.2, 0.2, 0.2], z=[0.3, 0.1, 0.3], part=[0.0])
    rank, p = ranks(table)
    assert rank.contestant.tolist() == ["x", "y", "z"]  # not the one scored on one family only
    # x: 1, 2.5, 1; y: 2, 2.5, 2; z: 3, 1, 3.
    assert rank["rank"].tolist() == pytest.approx([4.5 / 3, 6.5 / 3, 7 / 3])
    assert (rank.families == 3).all()
    np.testing.assert_array_equal(p, p.T)
    np.testing.assert_array_equal(np.diag(p), 1)
    assert ranks(table, ["z", "y"])[0].contestant.tolist() == ["y", "z"]


def test_a_clear_difference_is_told_and_drawn():
    n = np.arange(10)
    names = {"min_10": n / 100, "fastai_valley": 0.5 + n / 99, "constant 1e-2": 0.5 + n / 100}
    rank, p = ranks(families_like(**names))
    assert p.loc["min_10", "fastai_valley"] == pytest.approx(3 * 2 / 2**10)
    drawn = critical_difference_figure("ranks", rank, p)
    assert all(name in drawn for name in names)
    assert "10 families" in drawn
    assert drawn == critical_difference_figure("ranks", rank, p)


def test_the_finalists_are_the_best_of_each_kind():
    costs = {"min_10": [0.1], "min_100": [0.5], "constant 1e-2": [0.3], "constant 1e-3": [0.2],
             "constant 1e-4": [0.9], OUT_OF_FOLD: [0.4], "fastai_valley": [0.6]}  # fmt: skip
    told = finalists(families_like(**costs))
    assert set(told) == set(costs) - {"constant 1e-4"}
    assert len(told) == 6


def test_no_evidence_gives_empty_tables():
    assert summary(pd.DataFrame(), []).empty
    assert by(pd.DataFrame(), [], "kind").empty
    assert resolved([]).empty
    nothing_learnt = contest_like({"x": {("a", "a1"): math.nan}})
    assert summary(nothing_learnt, TASKS).empty
