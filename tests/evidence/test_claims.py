import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import HEURISTICS
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.studies import claims as said
from lrsuggest.evidence.studies.claims import claims, dips, judgements, slices, unjudged, wilson

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
CURVE = Curve(*sweep_like(bottom=1e-1))
BOTTOM = 10 * HEURISTICS["min_10"](CURVE)
AROUND = BOTTOM * np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0])
FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 2.0))


def task(
    label="a frozen", *, loss=(3, 2, 1, 2, 3), curves=(CURVE,), stage="frozen", rates=RATES, **more
):
    """Two seeds alike: regrets 1, .5, 0, .5, 1 over a span of 2."""
    both = np.array([loss, loss], float)
    return TaskEvidence(
        label, "a", "a", stage, "adamw", False, tuple(curves), Response(rates, both, 3.0),
        steps=50, model="net", **more,
    )  # fmt: skip


def told(tasks, claim):
    rows = judgements(tasks)
    return rows[rows.claim == claim]


def test_the_interval_of_wilson():
    # With z = 1.95996: 0 of 10 gives z**2 / (10 + z**2); 1 of 10 is in every textbook.
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(1, 10) == pytest.approx((0.01788, 0.40415), abs=1e-5)
    assert wilson(9, 10) == pytest.approx((1 - 0.40415, 1 - 0.01788), abs=1e-5)


def test_the_bottom_against_a_tenth_and_a_hundredth_of_it():
    row = told([task(rates=AROUND)], said.BOTTOM).iloc[0]
    assert row.held
    assert row.figure == pytest.approx(0.5)
    second = told([task(rates=AROUND)], said.SECOND).iloc[0]
    assert second.figure == pytest.approx(0.5)
    assert not second.held
    high, low = task(loss=(3, 3, 2, 1, 2), rates=AROUND), task(loss=(2, 1, 2, 3, 3), rates=AROUND)
    assert told([high], said.BOTTOM).figure.item() == pytest.approx(-0.5)
    assert not told([high], said.BOTTOM).held.any()
    assert told([low], said.SECOND).held.all()
    either = told([high, low], said.EITHER)
    assert either.figure.tolist() == pytest.approx([0.5, 0])
    assert either.held.tolist() == [False, True]


def test_worse_by_more_than_the_noise_is_asked_apart():
    quiet = task(rates=AROUND)
    wobble = 0.4 * np.array([[1, -1, 1, -1, 1], [-1, 1, -1, 1, -1]])
    loud = replace(quiet, response=Response(AROUND, quiet.response.loss + wobble, 3.0))
    gap = told([loud], said.BOTTOM).figure.item()
    assert 0 < gap < 2 * loud.response.error
    assert told([loud], said.BOTTOM).held.all()
    assert not told([loud], said.BOTTOM_SURE).held.any()
    assert told([quiet], said.BOTTOM_SURE).held.all()


def test_the_slope_is_fine_only_where_no_pick_diverges():
    pick = HEURISTICS["steepest_gaussian"](CURVE)
    rates = pick * np.array([1e-4, 1e-3, 1e-2, 1.0, 10.0])
    assert told([task(loss=(3, 2, 2, 1, 1), rates=rates)], said.SLOPE).held.all()
    assert not told([task(loss=(1, 1, 1, math.inf, 1), rates=rates)], said.SLOPE).held.any()
    # On many sweeps the mean may be fine while one of them diverges: 1.5 / 61 is below .05.
    far = Curve(np.geomspace(1e-7, 10, 100), sweep_like(bottom=BOTTOM / 300)[1])
    crowd = task(loss=(9, 9, 9, 1, 1), rates=rates, curves=(CURVE,) * 60 + (far,))
    row = told([crowd], said.SLOPE).iloc[0]
    assert 0 < row.figure <= said.FINE
    assert not row.held


def test_where_the_reading_abstains_the_claim_is_silent():
    assert told([task(curves=(FLAT,))], said.SLOPE).empty
    assert told([task(curves=(FLAT, CURVE))], said.EITHER).figure.item() == pytest.approx(
        told([task()], said.EITHER).figure.item()
    )


def run_rows(part="grid", seed=0, **columns):
    some = pd.DataFrame(columns)
    return some.assign(part=part, seed=seed, steps=50)


def test_slices_are_valued_as_any_rate():
    runs = pd.concat(
        [
            run_rows("slice", seed, lr=[1e-2, 1e-2, 1e-1], low=[1e-3, 1e-4, 1e-3],
                     loss=[loss, 1.2, math.inf], looks=np.nan)
            for seed, loss in enumerate((0.8, 1.0))
        ]
    )  # fmt: skip
    table = slices([task(stage="unfrozen", runs=runs)]).set_index(["lr", "ratio"])
    assert table.slice[1e-2, 10.0] == pytest.approx(-0.05)  # (.9 - 1) / 2
    assert table.gain[1e-2, 10.0] == pytest.approx(0.05)
    assert table.seeds[1e-2, 10.0] == 2
    assert table.gain[1e-2, 100.0] == pytest.approx(-0.1)
    assert table.slice[1e-1, 100.0] == pytest.approx(1.5)
    tasks = [task("a unfrozen", stage="unfrozen", runs=runs)]
    assert told(tasks, said.SLICE_10).held.tolist() == [True]
    assert told(tasks, said.SLICE_100).held.tolist() == [False]
    assert set(unjudged(tasks).claim) & {said.SLICE_10, said.SLICE_100, said.FIFTH} == {said.FIFTH}


def test_a_slice_is_valued_on_the_seeds_that_value_the_plain_rate():
    """A slice that does what its top rate does has gained nothing, half by half."""
    loss = np.array([[3, 2, 1.0, 2, 3], [3, 2, 1.4, 2, 3], [3, 2, 1.1, 2, 3]])
    measured = Response(RATES, loss, 3.0, (100, 101, 102))
    runs = pd.concat(
        [
            run_rows("slice", 100 + row, lr=[1e-2], low=[1e-3], loss=[loss[row, 2]], looks=np.nan)
            for row in (2, 0, 1)
        ]
    )
    one = replace(task(stage="unfrozen", runs=runs), response=measured)
    assert slices([one]).gain.tolist() == pytest.approx([0.0])
    # One seed that a half does not value says nothing there.
    alone = replace(one, runs=runs[runs.seed == 101])
    assert slices([alone]).slice.item() == pytest.approx(measured.regret_of(
        np.array([math.nan, 1.4, math.nan])
    ))  # fmt: skip


def test_a_fifth_of_the_frozen_rate_needs_the_same_sitting():
    pick = HEURISTICS["steepest_gaussian"](CURVE)
    frozen = task("a 48x48 frozen", size=(48, 48))
    there = task("a 48x48 unfrozen", stage="unfrozen", curves=(FLAT,), size=(48, 48))
    row = told([frozen, there], said.FIFTH).iloc[0]
    assert row.task == "a 48x48 unfrozen"
    assert row.figure == pytest.approx(0.5 * abs(math.log10(pick / 5 / 1e-2)))
    elsewhere = task("a 64x64 unfrozen", stage="unfrozen", size=(64, 64))
    assert told([frozen, elsewhere], said.FIFTH).empty


TRACES = {
    1e-4: "10:2.99 50:2.9",  # never rose
    1e-3: "10:2.5 20:2.515 50:2.0",  # rose by .0075 of the span of 2 only
    1e-2: "10:3.2 20:1.5 50:1.0",  # a little worse than the start's 3, then better
    1e-1: "10:9.0 20:3.5 50:2.0",  # three spans worse
    1.0: "10:2.0 20:2.8 50:2.5",  # rose and stayed
}


def traced(**more):
    runs = run_rows(lr=list(TRACES), looks=list(TRACES.values()), loss=1.0, low=np.nan)
    return task(runs=runs, **more)


def test_the_shapes_of_the_validation_loss():
    found = dips([traced()]).set_index("lr")
    assert found["shape"].tolist() == [said.NEVER, said.NEVER, said.DIPPED, said.WORSE, said.LOST]
    assert found.regret.tolist() == pytest.approx([1, 0.5, 0, 0.5, 1])
    # Above the level that it rose from last, it has not come back.
    twice = traced().runs.replace({"looks": {TRACES[1.0]: "10:3.2 20:1.5 30:1.6 50:1.55"}})
    assert dips([replace(traced(), runs=twice)]).set_index("lr")["shape"][1.0] == said.LOST
    # A run that broke off never came back, however well it stood.
    broken = traced().runs.assign(looks=lambda x: x.looks.str.replace(" 50:1.0", ""))
    assert dips([replace(traced(), runs=broken)]).set_index("lr")["shape"][1e-2] == said.LOST


def test_dips_are_compared_with_what_never_rose():
    rows = judgements([traced()]).set_index("claim")
    assert rows.held[said.DIP_BEST]
    assert rows.held[said.DIP_FINE]
    assert rows.figure[said.DIP_BETTER] == pytest.approx(-0.75)
    assert rows.figure[said.DIP_BETTER_NEAR] == pytest.approx(-0.5)
    other = judgements([traced(loss=(3, 1, 2, 2, 3))]).set_index("claim")
    assert not other.held[said.DIP_BEST]
    assert other.figure[said.DIP_BETTER_NEAR] == pytest.approx(0.5)


def test_claims_count_tasks_stage_by_stage():
    good, bad = {"loss": (3, 2, 1, 2, 3)}, {"loss": (3, 3, 2, 1, 2), "stage": "scratch"}
    tasks = [task("a frozen", rates=AROUND, **good), task("b scratch", rates=AROUND, **bad)]
    table = claims(tasks).set_index(["claim", "stage"])
    every = table.loc[said.BOTTOM, "all"]
    assert (every.k, every.n, every.families) == (1, 2, 1)
    assert (every.low, every.high) == pytest.approx(wilson(1, 2))
    assert table.k[said.BOTTOM, "frozen"] == 1
    assert table.k[said.BOTTOM, "scratch"] == 0
    assert (said.BOTTOM, "unfrozen") not in table.index


def test_no_evidence_judges_nothing():
    assert claims([]).empty
    assert judgements([task(loss=(3, 3, 3, 3, 3))]).empty
    assert said.SLICE_10 in set(unjudged([]).claim)
    assert unjudged([]).reason.str.len().min() > 20
