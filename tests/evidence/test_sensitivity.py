import math

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import HEURISTICS
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.studies.sensitivity import (
    by_proxy,
    fidelity,
    heuristics,
    movement,
    replicates,
)

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])
FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 2.0))


def curve(bottom=1e-1, n=100, **more):
    return Curve(*sweep_like(n, bottom=bottom, **more))


def task(label="a", loss=((3, 2, 1, 2),) * 2, *, variants=(), steps=40, runs=None, **more):
    main = tuple(each[-1] for each in variants if each[:3] == variants[0][:3])
    return TaskEvidence(
        label, "a", label, "scratch", "sgd", False, more.pop("curves", main),
        Response(RATES, np.array(loss, float), 3.0), variants=tuple(variants), steps=steps,
        runs=pd.DataFrame({"part": [], "steps": []}) if runs is None else runs, **more,
    )  # fmt: skip


def picks_like(rows):
    """A table as `heuristics` gives it: task, start, end, steps, seed, main, heuristic, pick."""
    names = ["task", "start", "end", "steps", "seed", "main", "heuristic", "pick"]
    return pd.DataFrame(rows, columns=names)


def main_rows(place, picks, heuristic="min_10"):
    return [(place, 1e-7, 10.0, 100, s, True, heuristic, p) for s, p in enumerate(picks)]


def test_range_tests_that_tasks_share_are_read_once():
    shared = ((1e-7, 10.0, 100, 0, curve()), (1e-7, 10.0, 100, 1, curve(noise=0.01)),
              (1e-7, 10.0, 50, 0, curve(n=50)))  # fmt: skip
    own = ((1e-7, 10.0, 100, 0, curve(bottom=1e-3)),)
    table = heuristics([task("a", variants=shared), task("b", variants=shared),
                      task("c", variants=own), task("d")])  # fmt: skip
    assert table.task.unique().tolist() == ["a", "c"]
    assert not any(HEURISTICS[name].origin == "constant" for name in table.heuristic.unique())
    mine = table[(table.task == "a") & (table.heuristic == "min_10")]
    assert mine.main.tolist() == [True, True, False]
    assert mine.pick.tolist() == [HEURISTICS["min_10"](each[-1]) for each in shared]


def test_movement_between_seeds_by_hand():
    # Pairs of a: 1, 1 and 0 decades, so 2/3; b has one pair, of 2 decades, and lost two.
    table = movement(picks_like(main_rows("a", [1e-2, 1e-1, 1e-2])
                                + main_rows("b", [1e-3, 1e-1, math.nan])))  # fmt: skip
    row = table[table.varied == "sweep seed"].iloc[0]
    assert (row.heuristic, row.tasks, row.pairs) == ("min_10", 2, 4)
    assert row["median"] == pytest.approx((2 / 3 + 2) / 2)
    assert row.p90 == pytest.approx(2 / 3 + 0.9 * (2 - 2 / 3))
    assert row.lost == pytest.approx(2 / 6)


def test_movement_with_steps_and_range_goes_seed_by_seed():
    rows = [*main_rows("a", [1e-2, 1e-3]),
            ("a", 1e-7, 10.0, 50, 0, False, "min_10", 1e-1),
            ("a", 1e-7, 10.0, 50, 1, False, "min_10", 1e-2),
            ("a", 1e-6, 1.0, 100, 1, False, "min_10", 1e-5)]  # fmt: skip
    table = movement(picks_like(rows)).set_index("varied")
    steps, span = table.loc["100 and 50 steps"], table.loc["from 1e-07 to 10 and 1e-06 to 1"]
    assert (steps["median"], steps["shift"], steps.pairs) == (pytest.approx(1), pytest.approx(1), 2)
    assert (span["median"], span["shift"], span.pairs) == (pytest.approx(2), pytest.approx(-2), 1)


def test_movement_with_smoothing_stays_on_one_curve():
    rows = main_rows("a", [1e-2, 1e-3], "steepest") + main_rows(
        "a", [1e-2, 1e-1], "steepest_robust"
    )
    row = movement(picks_like(rows)).set_index("varied").loc["savgol and robust smoothing"]
    assert (row.pairs, row["median"], row["shift"]) == (2, pytest.approx(1), pytest.approx(1))


@settings(max_examples=20)
@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=5), st.floats(0.01, 100))
def test_movement_does_not_depend_on_the_scale_of_the_rates(picks, factor):
    here = movement(picks_like(main_rows("a", picks)))
    there = movement(picks_like(main_rows("a", [pick * factor for pick in picks])))
    assert there["median"].tolist() == pytest.approx(here["median"].tolist(), abs=1e-9)


def told(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    return table.iloc[0]


def test_replicates_that_agree_buy_nothing():
    table = replicates([task(curves=(curve(),) * 5)], ["min_10"])
    assert len(table) == 6
    assert table["median"].nunique() == 1
    assert (table.spread.dropna() == 0).all()
    assert table.spread.isna().sum() == 2  # one pool of five has none to differ from
    assert (table.tasks == 1).all()


def test_one_odd_range_test_of_five_is_outvoted():
    odd, usual = curve(bottom=1e-3), curve(bottom=1.0)
    table = replicates([task(curves=(odd, usual, usual, usual, usual))], ["min_10"])
    gap = math.log10(HEURISTICS["min_10"](usual) / HEURISTICS["min_10"](odd))
    assert told(table, how="picks", k=1).spread == pytest.approx(gap * 4 / 10)
    assert told(table, how="picks", k=3).spread == pytest.approx(0)
    assert told(table, how="picks", k=3).shared == 1
    usual_cost = told(replicates([task(curves=(usual,) * 5)], ["min_10"]), k=1)["median"]
    for how in ("picks", "curves"):
        assert told(table, how=how, k=5)["median"] == pytest.approx(usual_cost, abs=0.05)
    assert told(table, how="picks", k=1)["median"] > usual_cost + 0.05


def test_the_spread_is_between_pools_that_share_the_fewest_sweeps():
    step = 5 * 8 / 99  # decades between neighbouring picks, a whole number of points
    curves = tuple(curve(bottom=1e-3 * 10 ** (step * i)) for i in range(5))
    table = replicates([task(curves=curves)], ["min_10"])
    # Medians of three neighbours in the ring 0 1 2 3 4 are 1 2 3 3 1; those two places apart share
    # one sweep and lie 2, 1, 2, 2 and 1 steps from each other.
    assert told(table, how="picks", k=3).spread == pytest.approx(1.6 * step)
    assert told(table, how="picks", k=1).spread == pytest.approx(2 * step)


def test_abstentions_are_counted_and_most_of_them_are_one():
    table = replicates([task(curves=(FLAT, FLAT, curve(), curve(), curve()))], ["min_10"])
    assert told(table, how="picks", k=1).abstained == pytest.approx(0.4)
    # Of the five rings of three neighbours, two hold both of the flat ones.
    assert told(table, how="picks", k=3).abstained == pytest.approx(2 / 5)
    assert told(table, how="picks", k=5).abstained == 0
    assert replicates([task(curves=(curve(),) * 3)], ["min_10"]).empty


def short_runs(losses, steps=10):
    return pd.DataFrame(
        [
            {"part": "short", "lr": lr, "seed": seed, "steps": steps, "loss": loss}
            for seed in (0, 1)
            for lr, loss in zip(RATES, losses, strict=True)
        ]
    )


def test_what_a_shorter_run_is_worth_by_hand():
    # Regrets of the full runs: .1, .05, 0 and .5, so three rates are good enough to be ordered.
    full = ((1.2, 1.1, 1.0, 2.0),) * 2
    same = fidelity([task("a", full, runs=short_runs([2.3, 2.2, 2.1, 2.9]))])
    row = told(same, proxy="1/4 of the steps")
    assert (row.lr, row.regret, row.tau, row.rates) == (1e-2, 0, pytest.approx(1), 3)
    other = fidelity([task("a", full, runs=short_runs([2.1, 2.2, 2.3, 2.0]))])
    row = told(other, proxy="1/4 of the steps")
    assert (row.lr, row.tau, row.rates) == (1e-1, pytest.approx(-1), 3)
    assert row.regret == pytest.approx(0.5)
    # Where the shorter runs learnt nothing all rates look alike, and the least stands for them.
    lost = fidelity([task("a", full, runs=short_runs([math.inf, 3.1, 3.0, 9.0]))])
    assert told(lost, proxy="1/4 of the steps").regret == pytest.approx(0.1)


def test_a_rate_seen_once_is_no_proxys_best():
    lucky = pd.concat([short_runs([2.3, 2.2, 2.1, 2.9])] * 2, ignore_index=True)
    lucky["seed"] = lucky.index // 4
    lucky = lucky[(lucky.lr != 1e-1) | (lucky.seed == 0)]
    lucky.loc[lucky.lr == 1e-1, "loss"] = 0.1
    table = fidelity([task("a", ((1.2, 1.1, 1.0, 2.0),) * 2, runs=lucky)])
    assert told(table, proxy="1/4 of the steps").lr == 1e-2


def test_the_ceiling_is_one_half_of_the_seeds_for_the_other():
    apart = task("a", ((1.0, 1.05, 1.1, 3), (1.1, 1.05, 1.0, 3)))
    row = told(fidelity([apart]), proxy="the other seeds")
    assert (row.regret, row.tau, row.rates) == (0, pytest.approx(-1), 3)
    few = told(fidelity([task("a", ((1, 3, 3, 3),) * 2)]), proxy="the other seeds")
    assert few.rates == 1
    assert math.isnan(few.tau)


def test_tasks_stand_in_for_those_alike_but_longer_or_larger():
    full, other = ((1.2, 1.1, 1.0, 2.0),) * 2, ((1.0, 1.1, 1.2, 2.0),) * 2
    short = task("a, short", other, steps=40, size=(8, 8))
    long = task("a, long", full, steps=160, size=(8, 8))
    large = task("a, large", full, steps=40, size=(16, 16))
    table = fidelity([long, large, short])
    proxies = table[table.proxy != "the other seeds"].set_index("proxy")
    assert proxies.task.to_dict() == {
        "fewer steps, another task": long.label, "smaller examples": large.label
    }  # fmt: skip
    assert proxies.regret.tolist() == pytest.approx([0.1, 0.1])
    adamw = TaskEvidence(**{**vars(long), "optimizer": "adamw"})
    assert set(fidelity([adamw, short]).proxy) == {"the other seeds"}


def test_each_proxy_in_a_row():
    full = ((1.2, 1.1, 1.0, 2.0),) * 2
    good, bad = short_runs([2.3, 2.2, 2.1, 2.9]), short_runs([2.1, 2.2, 2.3, 2.0])
    table = by_proxy(fidelity([task("a", full, runs=good), task("b", full, runs=bad)]))
    row = told(table, proxy="1/4 of the steps")
    assert (row.pairs, row.families, row.taus) == (2, 2, 2)
    assert row["mean"] == pytest.approx(0.25)
    assert row.fine == 0.5
    assert row.tau == pytest.approx(0)


def test_no_evidence_gives_empty_tables():
    assert heuristics([]).empty
    assert movement(heuristics([])).empty
    assert replicates([]).empty
    assert fidelity([]).empty
    assert by_proxy(fidelity([])).empty
