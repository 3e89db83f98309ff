import math
import os
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.errors import UserError
from lrsuggest.evidence.studies.people import (
    ANOTHER,
    CONSTANT,
    GRID,
    STAGE_CONSTANT,
    PersonPick,
    agreement,
    by_stage,
    errors,
    gain,
    left_out,
    people,
    weighted_median,
)
from lrsuggest.resources import shipped

ROOT = Path(__file__).resolve().parents[2]
# Beside the data, wherever those are.
DATA = Path(os.environ.get("LRSUGGEST_DATA") or ROOT.parent / "shared" / "data")
CORPUS = DATA.parent / "corpus"
DIPPING = Curve(*sweep_like())
FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 2.0), smoothed=True)


def pick(author, lr, stage="frozen", *, dataset="pets", curve=DIPPING):
    return PersonPick(
        f"{author} {lr:g} {stage} {dataset}", author, "here", dataset, "classes", stage, lr, curve
    )


# Three picks by a, one each by b and c: the constants that leave a, b or c out differ.
FEW = [
    pick("a", 1e-2), pick("a", 1e-2, dataset="cats"), pick("a", 1e-4, "unfrozen"),
    pick("b", 1e-3), pick("c", 1e-1, dataset="dogs"),
]  # fmt: skip


@pytest.mark.parametrize("split", ["dev", "held_out", None])
def test_every_recorded_pick_has_a_whole_curve(split):
    found = people(split)
    assert len(found) == {"dev": 178, "held_out": 48, None: 226}[split]
    assert len({p.id for p in found}) == len(found)
    for person in found:
        assert len(person.curve) == 100
        assert person.curve.smoothed
        assert np.isfinite(person.curve.loss).all()
        # Evenly spaced in log10, to within the rounding to five digits.
        steps = np.diff(np.log10(person.curve.lr))
        assert np.ptp(steps) < 1e-4
        assert 0 < person.lr < 1
        assert person.lr_low is None or person.lr_low < person.lr
        assert person.context.optimizer is None


def test_no_author_is_in_both_splits_and_a_third_is_held_out():
    dev, held = ({p.author for p in people(split)} for split in ("dev", "held_out"))
    assert not dev & held
    assert 0.25 < len(held) / len(dev | held) < 0.35
    assert {p.split for p in people("held_out")} == {"held_out"}


def test_people_md_names_every_author_and_every_column():
    text = shipped("benchmarks/recorded/PEOPLE.md").read_text(encoding="utf-8")
    named = {p.author for p in people(None)}
    for name in ("people_picks.csv", "people_curves.csv"):
        named |= set(pd.read_csv(shipped(f"benchmarks/recorded/{name}"), nrows=0).columns)
    assert [name for name in sorted(named) if name not in text] == []


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="held_out"):
        people("test")


def test_what_is_known_travels_with_the_pick():
    first = {p.id: p for p in people()}["c0000"]
    assert (first.author, first.dataset, first.stage) == ("fastai", "URLs.PETS", "unfrozen")
    assert (first.lr, first.lr_low, first.batch_size, first.printed) == (1e-4, 1e-6, 64, {})
    assert first.source.startswith("fastai/course-v3@9da9cc55f8 nbs/dl1/lesson1-pets.ipynb")
    printed = {name for p in people() for name in p.printed}
    assert {"lr_min", "lr_steep", "valley", "slide"} <= printed


@pytest.mark.parametrize(
    ("stage", "told"),
    [("frozen", "frozen"), ("unfrozen", "unfrozen"), ("scratch", "scratch"),
     ("custom", None), ("partial", None)],
)  # fmt: skip
def test_a_heuristic_is_told_only_a_stage_it_knows(stage, told):
    assert pick("a", 1e-3, stage).context.stage == told


def test_without_its_first_tenth_a_curve_gives_what_the_tool_itself_printed():
    # A check of the digitised curves that no person's pick enters: fastai 2's own numbers.
    names = {"lr_min": "fastai_minimum", "minimum": "fastai_minimum", "valley": "fastai_valley"}

    def off(as_drawn):
        return [
            abs(math.log10(HEURISTICS[names[name]](p.curve) / rate))
            for p in people(as_drawn=as_drawn)
            for name, rate in p.printed.items()
            if name in names
        ]

    assert len(off(True)) > 50
    assert np.median(off(False)) < 0.05
    assert np.mean(np.array(off(False)) > math.log10(2)) < 0.1
    assert np.mean(off(False)) < np.mean(off(True))


def test_the_constant_leaves_the_author_out():
    # Without a: b's 1e-3 and c's 1e-1 are met equally well by all between; the middle is 1e-2.
    assert left_out(FEW, "a") == pytest.approx(1e-2)
    # Without b: beyond a's 1e-2 each step costs a what it gains c, up to c's 1e-1. Without c: past
    # b's 1e-3 a step costs b 1 and gains a only 2/3 - 1/3.
    assert left_out(FEW, "b") == pytest.approx(10**-1.5)
    assert left_out(FEW, "c") == pytest.approx(1e-3)
    assert left_out(FEW, "a", "unfrozen") == left_out(FEW, "a")
    assert left_out(FEW, "b", "unfrozen") == pytest.approx(1e-4)
    assert left_out([pick("a", 0.5)], "a") == 3e-3


@given(st.floats(-6, 0), st.integers(1, 5))
def test_whatever_an_author_picks_their_own_constant_stays(log_rate, times):
    mine = [replace(pick("a", 10**log_rate), id=f"{i}") for i in range(times)]
    assert left_out([*FEW, *mine], "a") == left_out(FEW, "a")


@given(st.lists(st.tuples(st.sampled_from("bcd"), st.floats(-5.5, -0.5)), min_size=1, max_size=8))
def test_no_other_rate_of_the_grid_costs_the_others_less(told):
    pool = [pick(author, 10**log_rate) for author, log_rate in told]
    logs = [np.array([lr for who, lr in told if who == each]) for each in {who for who, _ in told}]

    def cost(rate):
        return sum(np.abs(each - math.log10(rate)).mean() for each in logs)

    assert cost(left_out(pool, "a")) <= min(map(cost, GRID)) + 1e-8


def test_authors_weigh_the_same():
    row = agreement(FEW).set_index("contestant").loc["constant 1e-2"]
    assert (row.picks, row.authors) == (5, 3)
    # a is 0, 0 and 2 decades off, b 1, c 1: the mean of the authors' means is (2/3 + 1 + 1) / 3,
    # and two of a's three picks, a third of a third each, are met.
    assert row["mean"] == pytest.approx(8 / 9)
    assert row["median"] == pytest.approx(1)
    assert row.within_2 == pytest.approx(2 / 9)
    assert row.within_3 == pytest.approx(2 / 9)
    assert row.abstained == 0


def test_twice_and_three_times_are_counted_in():
    table = agreement([pick("a", 2e-2), pick("b", 3e-2), pick("c", 3.01e-2)])
    row = table.set_index("contestant").loc["constant 1e-2"]
    assert row.within_2 == pytest.approx(1 / 3)
    assert row.within_3 == pytest.approx(2 / 3)


def test_the_gain_is_paired_with_the_two_constants():
    table = agreement(FEW).set_index("contestant")
    # The constants are 1e-2 for a (0, 0 and 2 off), 10^-1.5 for b (1.5 off), 1e-3 for c (2 off).
    constant = (2 / 3 + 1.5 + 2) / 3
    assert table.loc[CONSTANT, "mean"] == pytest.approx(constant)
    assert table.loc["constant 1e-2", "gain"] == pytest.approx(1 - (8 / 9) / constant)
    assert table.loc[CONSTANT, "gain"] == table.loc[STAGE_CONSTANT, "stage_gain"] == 0
    assert table.loc["constant 1e-2", "gain_low"] < table.loc["constant 1e-2", "gain"]


def test_an_abstention_is_scored_as_the_constant():
    flat = [replace(p, curve=FLAT) for p in FEW]
    scored = errors(flat)
    mine = scored[scored.contestant == "min_10"]
    assert mine.abstained.all()
    np.testing.assert_array_equal(mine.error, mine.constant_error)
    row = agreement(flat).set_index("contestant").loc["min_10"]
    assert (row.abstained, row.gain) == (1, 0)


def test_another_person_must_share_dataset_task_and_stage():
    # a's 1e-2 and b's 1e-3 on frozen pets, each way round; nobody else has a partner.
    row = agreement(FEW).set_index("contestant").loc[ANOTHER]
    assert (row.picks, row.authors, row["mean"]) == (2, 2, pytest.approx(1))
    own = [pick("a", 1e-3), pick("a", 1e-2)]
    assert ANOTHER not in set(errors(own).contestant)
    assert agreement(FEW).contestant.iloc[-1] == ANOTHER


def test_the_pool_may_be_wider_than_the_picks():
    alone = [pick("d", 1e-3)]
    assert errors(alone).set_index("contestant").rate[CONSTANT] == 3e-3
    among = errors(alone, [*FEW, *alone]).set_index("contestant").rate[CONSTANT]
    assert among == pytest.approx(left_out(FEW, "d"))


def test_every_heuristic_is_scored_whole_and_per_stage():
    whole, stages = agreement(FEW), by_stage(FEW)
    assert set(HEURISTICS) <= set(whole.contestant)
    assert whole["mean"].iloc[:-1].is_monotonic_increasing
    assert set(stages.stage) == {"frozen", "unfrozen"}
    one = stages[(stages.stage == "unfrozen") & (stages.contestant == "constant 1e-3")].iloc[0]
    assert (one.picks, one["mean"]) == (1, pytest.approx(1))
    assert math.isnan(one.gain_low)
    assert agreement([]).empty
    assert by_stage([]).empty


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_with_equal_weights_the_median_is_the_usual_one(values):
    array = np.array(values)
    assert weighted_median(array, np.full(len(array), 0.3)) == pytest.approx(np.median(array))


def test_weights_move_the_median():
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 1.0])) == 3


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    # An error drawn around .8 against one around 1, partly shared: the true gain is .2.
    covered = 0
    for _ in range(200):
        shared = rng.gamma(4, 0.1, 20)
        mine, theirs = shared + rng.gamma(4, 0.1, 20), shared + rng.gamma(4, 0.15, 20)
        value, low, high = gain(mine, theirs)
        assert low <= value <= high
        covered += low <= 0.2 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_gain_over_nothing_is_no_number():
    assert np.isnan(gain(np.ones(3), np.zeros(3))).all()
    assert gain(np.array([1.0]), np.array([2.0]))[0] == 0.5
    assert np.isnan(gain(np.array([1.0]), np.array([2.0]))[1:]).all()


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not at hand")
def test_the_recorded_tables_are_made_from_the_corpus():
    made = runpy.run_path(str(ROOT / "benchmarks" / "pages" / "people.py"))["tables"](CORPUS)
    assert set(made) == {"people_picks.csv", "people_curves.csv"}
    for name, text in made.items():
        assert shipped(f"benchmarks/recorded/{name}").read_bytes() == text.encode()
