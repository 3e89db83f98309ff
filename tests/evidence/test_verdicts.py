"""Verdicts, and the tables of branches and chains, against figures worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from lrsuggest.errors import UserError
from lrsuggest.evidence.lessons import (
    CHAINS,
    NAMED,
    STAGES,
    LessonEvidence,
    autopilot,
    branches,
)
from lrsuggest.evidence.paired import Outcome, compare
from lrsuggest.evidence.regret import regret
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.tables import load_lessons

NAN, INF = math.nan, math.inf
values = st.floats(-10, 10).map(lambda x: round(x, 4))
pairs = st.lists(st.tuples(values, values), min_size=3, max_size=12)


@given(pairs, st.booleans())
def test_the_interval_is_the_paired_t_interval_and_mirrors(rows, higher):
    ours, theirs = np.array(rows).T
    assume(np.std(ours - theirs) > 1e-6)
    found = compare(ours, theirs, margin=0.1, higher=higher)
    wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    ends = (wanted.low, wanted.high) if higher else (-wanted.high, -wanted.low)
    np.testing.assert_allclose((found.low, found.high), ends, atol=1e-9)
    other = compare(theirs, ours, margin=0.1, higher=higher)
    assert other.difference == pytest.approx(-found.difference)
    assert {found.outcome, other.outcome} != {Outcome.WORSE}
    if found.outcome in (Outcome.WORSE, Outcome.WITHIN):
        assert other.outcome is Outcome.BETTER


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], "not worse"),
        ([0.898, 0.897, 0.896], [0.9, 0.9, 0.9], "undecided"),  # -.003 +- .0025: to -.0055
        ([0.901, 0.898, 0.899], [0.9, 0.9, 0.9], "not worse"),
        ([0.88, 0.881, 0.879], [0.9, 0.9, 0.9], "worse"),
        ([0.91, 0.911, 0.909], [0.9, 0.9, 0.9], "better"),
        ([0.99, 0.5, 0.9], [0.9, 0.9, 0.9], "undecided"),
        ([0.9, 0.9], [0.1, 0.1], "undecided"),  # two seeds say nothing
        ([0.9], [0.1], "undecided"),
        ([], [], "undecided"),
        ([0.899, 0.8985, 0.899], [0.9, 0.9, 0.9], "worse within the margin"),
        # a divergence counts, but under three seeds nothing does
        ([0.9, 0.9, INF], [0.1, 0.1, 0.1], "worse"),
        ([INF], [0.9], "undecided"),
        ([0.9], [INF], "undecided"),
        # who diverges less is not better for it: the other seeds must say so
        ([0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, INF], "worse"),
        ([0.9, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, INF], "not worse"),
        ([0.1, 0.1, 0.1], [0.9, INF, INF], "undecided"),
        ([INF, 0.9, 0.9], [0.9, 0.9, INF], "undecided"),
        ([INF] * 3, [INF] * 3, "undecided"),
        ([0.9, 0.9001, 0.9], [INF, 0.8, 0.8], "undecided"),  # two seeds that both ended
        ([INF] * 3, [0.9] * 3, "worse"),
        # what is missing is no divergence
        ([0.9, 0.9, NAN], [0.1, 0.1, 0.1], "not measured"),
        ([0.1, 0.1, 0.1], [0.9, 0.9, NAN], "not measured"),
        ([NAN] * 3, [NAN] * 3, "not measured"),
    ],
)
def test_what_may_be_said(ours, theirs, says):
    assert compare(ours, theirs, margin=0.005, higher=True).outcome == says


def test_less_of_an_error_is_better():
    assert compare([1.0] * 3, [2.0] * 3, margin=0, higher=False).outcome is Outcome.BETTER
    assert compare([2.0] * 3, [1.0] * 3, margin=0, higher=False).outcome is Outcome.WORSE


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_runs_at_a_measured_rate_have_the_regret_of_that_rate(seed, seeds):
    rng = np.random.default_rng(seed)
    rates = np.geomspace(1e-4, 1, 8)
    loss = (np.log10(rates) + 2) ** 2 + rng.normal(0, 0.1, (seeds, 8))
    loss[rng.random((seeds, 8)) < 0.1] = np.inf
    response = Response(rates, loss, 5.0)
    for column, rate in enumerate(rates):
        found, wanted = response.regret_of(loss[:, column]), regret(response, rate)
        if response.halves:
            assert found == pytest.approx(wanted, abs=1e-9)
        else:
            assert math.isnan(found)


def test_a_slice_that_always_diverges_costs_half_the_span_beyond_the_start():
    response = Response(np.array([1e-3, 1e-2]), np.array([[2.0, 1.0]] * 4), 3.0)
    assert response.regret_of(np.full(4, np.inf)) == pytest.approx(1.5)
    assert response.regret_of(np.array([2.0, np.nan, 2.0, np.nan])) == pytest.approx(0.5)
    assert math.isnan(response.regret_of(np.full(4, np.nan)))


def lesson(chains=(), named=(), metric="accuracy"):
    stages = [("l", number, f"l {number}: 8x8 {stage}", stage, "8x8", 4, 1, 10, 0.01, "fp32", "net")
              for number, stage in ((1, "frozen"), (2, "unfrozen"))]  # fmt: skip
    return LessonEvidence(
        name="l", title="t", family="f", model="m", optimizer="adamw", schedule="one_cycle",
        metric=metric, margin=0.005, seeds=3, chain_seeds=3,
        stages=pd.DataFrame(stages, columns=list(STAGES)),
        chains=pd.DataFrame([("l", *row) for row in chains], columns=list(CHAINS)),
        named=pd.DataFrame([("l", *row) for row in named], columns=list(NAMED)),
    )  # fmt: skip


def chain(pilot, seed, number, value, lr=1e-2, low=NAN, precision="fp32"):
    ok = math.isfinite(value)
    status, loss = ("ok", 1.0) if ok else ("diverged", INF)
    return (pilot, precision, seed, number, lr, low, status, loss, value, 10.0 + seed, NAN,
            precision)  # fmt: skip


def test_chains_are_compared_stage_by_stage_and_at_the_test_split():
    rows = [chain("hand-picked", s, n, 0.8 + 0.01 * n + 0.001 * s) for s in range(3)
            for n in (1, 2)]  # fmt: skip
    rows += [chain("suggested", s, n, 0.9 + 0.01 * n + 0.001 * s, lr=2e-2, low=2e-3)
             for s in range(3) for n in (1, 2)]  # fmt: skip
    rows += [chain(p, s, 0, v) for p, v in (("hand-picked", 0.7), ("suggested", 0.69))
             for s in range(3)]  # fmt: skip
    found = autopilot(lesson(rows))
    assert found.number.tolist() == [1, 2, 0]
    first, _, test = found.to_dict("records")
    np.testing.assert_array_equal(first["their_rates"], [(NAN, 1e-2)] * 3)
    assert first["our_rates"] == ((2e-3, 2e-2),) * 3
    assert first["their_mean"] == pytest.approx(0.811)
    assert first["our_sd"] == pytest.approx(0.001)
    assert first["our_seconds"] == 11.0
    assert (first["our_n"], first["against"].outcome) == (3, Outcome.BETTER)
    assert first["against"].difference == pytest.approx(0.1)
    assert test["against"].outcome is Outcome.WORSE  # .01 below, each time the same


def test_a_chain_that_diverged_is_lost_at_every_stage_after():
    rows = [chain("hand-picked", s, n, 0.8) for s in range(3) for n in (1, 2)]
    rows += [chain("suggested", s, n, 0.9) for s in range(2) for n in (1, 2)]
    rows += [chain("suggested", 2, 1, NAN)]
    found = autopilot(lesson(rows)).set_index("number")
    assert [found.against[n].outcome for n in (1, 2)] == [Outcome.WORSE] * 2
    assert found.our_n.tolist() == [2, 2]
    assert found.their_n.tolist() == [3, 3]
    assert np.isinf(found.our_values[2]).tolist() == [False, False, True]


def test_number_formats_are_compared_with_the_same_hand_picked_chains():
    rows = [chain("hand-picked", s, 1, 0.8 + s / 100) for s in range(3)]
    for precision, gain in (("fp32", 0.0), ("fp16", -0.1)):
        rows += [chain("suggested", s, 1, 0.8 + s / 100 + gain, precision=precision)
                 for s in range(3)]  # fmt: skip
    found = autopilot(lesson(rows))
    found = found[found.number == 1].set_index("precision")
    assert found.against["fp32"].outcome is Outcome.NOT_WORSE
    assert found.against["fp16"].outcome is Outcome.WORSE
    assert found.in_fp32["fp32"] is None
    assert found.in_fp32["fp16"].difference == pytest.approx(-0.1)
    assert found.in_fp32["fp16"].outcome is Outcome.WORSE


def test_a_branch_has_everybodys_rate_metric_and_regret():
    rates = np.array([1e-3, 1e-2, 1e-1])
    loss = np.array([[2.0, 1.0, 2.5]] * 3)
    task = TaskEvidence("l 1: 8x8 frozen", "t", "f", "frozen", "adamw", False, (),
                        Response(rates, loss, 3.0))  # fmt: skip
    named = [(1, name, "page", lr, low, seed, cost, value)
             for name, lr, low, cost, value in (
                 ("hand-picked", 1e-2, NAN, 1.0, 0.9), ("suggested", 1e-1, 1e-2, 2.0, 0.7),
                 ("rule", 1e-1, NAN, INF, NAN))
             for seed in range(3)]  # fmt: skip
    found = branches(lesson(named=named), [task]).set_index("contestant")
    assert found.regret.to_dict() == pytest.approx(
        {"hand-picked": 0.0, "suggested": 0.5, "rule": 1.5}
    )
    assert found.against["hand-picked"] is None
    assert found.against["suggested"].outcome is Outcome.WORSE
    assert found.against["rule"].outcome is Outcome.WORSE
    assert np.isinf(found.per_seed["rule"]).all()
    assert found.n.to_dict() == {"hand-picked": 3, "suggested": 3, "rule": 0}
    alone = branches(lesson(named=named), [])  # without the response only regret is missing
    assert alone.regret.isna().all()


def test_a_chain_that_did_not_go_on_is_missing_and_decides_nothing():
    rows = [chain("hand-picked", s, n, 0.8) for s in range(3) for n in (1, 2)]
    rows += [chain("suggested", s, 1, 0.8) for s in range(3)] + [chain("suggested", 0, 2, 0.9)]
    found = autopilot(lesson(rows)).set_index("number")
    assert found.against[1].outcome is Outcome.NOT_WORSE
    assert (found.against[2].outcome, found.against[2].missing) == (Outcome.MISSING, 2)
    few = autopilot(lesson([row for row in rows if row[2] < 2]))  # the third seed never began
    assert {each.outcome for each in few.against} == {Outcome.MISSING}


@pytest.mark.parametrize("pilots", [(), ("hand-picked",), ("suggested",)])
def test_chains_of_one_pilot_or_none_are_no_comparison(pilots):
    rows = [chain(pilot, s, 1, 0.8) for pilot in pilots for s in range(3)]
    found = autopilot(lesson(rows))
    assert all(each.outcome is Outcome.MISSING for each in found.against)
    assert len(found) == 2 * ("suggested" in pilots)
    assert branches(lesson(rows), []).empty


def test_a_branch_with_a_missing_run_says_so():
    named = [(1, name, "", 1e-2, NAN, seed, 1.0, 0.9) for name in ("hand-picked", "suggested")
             for seed in range(3)][:-1]  # fmt: skip
    found = branches(lesson(named=named), []).set_index("contestant")
    assert found.against["suggested"].outcome is Outcome.MISSING


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no recorded lessons"):
        load_lessons(tmp_path)
