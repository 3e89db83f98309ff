"""The fit learns what the examples say, judges on families it did not see, and calibrates."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.consensus import COLUMNS, RULE, Rule, place
from lrsuggest.evidence.consensus_fit import (
    CLEAR,
    Examples,
    calibrate,
    examples,
    fit,
    fold_reader,
    folds,
    interval_scores,
    intervals,
    nested,
    read_folds,
    write_folds,
)
from lrsuggest.evidence.response import Response, TaskEvidence

RATES = np.geomspace(1e-5, 1e0, 16)


def task(family: str, best: float, *, noise: float = 0.0, curves: int = 2) -> TaskEvidence:
    """A task whose curve bottoms out at 1e-1 and whose best rate is told."""
    rng = np.random.default_rng(0)
    loss = 1 + (np.log10(RATES / best)) ** 2 / 4 + noise * rng.normal(size=(6, len(RATES)))
    return TaskEvidence(
        f"{family} task", family, family, "scratch", "adam", False,
        tuple(Curve(*sweep_like(noise=0.02, seed=k)) for k in range(curves)),
        Response(RATES, loss, 4.0), steps=100, naive=4.0,
    )  # fmt: skip


def test_examples_weigh_families_and_leave_the_noisy_out():
    found = examples([task("a", 1e-2), task("b", 1e-2, curves=4), task("loud", 1e-2, noise=5.0)])
    assert set(found.family) == {"a", "b"}
    weights = pd.Series(found.weight).groupby(found.family).sum()
    assert weights.tolist() == pytest.approx([0.5, 0.5])
    assert task("loud", 1e-2, noise=5.0).response.error > CLEAR
    assert np.allclose(found.best, -2, atol=0.2)
    at_best, off = (found.loss(np.full(len(found.task), x)) for x in (-2.0, -1.0))
    assert at_best < 0.02 < off
    part = found.take(found.family == "b")
    assert part.weight.sum() == pytest.approx(1)
    assert list(part.told) == list(COLUMNS)


def test_the_fit_goes_where_the_best_rates_are_unless_held_back():
    seen = examples([task(name, 3e-2) for name in "abc"])
    free, held = fit(seen, 1e-4), fit(seen, 100.0)
    assert seen.loss(place(free, seen.told)) < seen.loss(place(Rule(), seen.told)) / 2
    assert np.median(place(free, seen.told)) == pytest.approx(math.log10(3e-2), abs=0.15)
    assert np.median(place(held, seen.told)) == pytest.approx(
        float(np.median(place(Rule(), seen.told))), abs=0.05
    )


def test_folds_hold_every_family_out_once():
    names = np.array(list("aabbbcde"))
    masks = list(folds(names, 3))
    assert len(masks) == 3
    assert (np.sum(masks, axis=0) == 1).all()
    for mask in masks:
        assert not set(names[mask]) & set(names[~mask])


@pytest.mark.slow
def test_a_family_has_no_say_in_its_own_rule(monkeypatch):
    monkeypatch.setattr("lrsuggest.evidence.consensus_fit.PENALTIES", (0.01,))
    usual = [task(name, 1e-2) for name in "abc"]
    one, other = (nested(examples([*usual, task("odd", x)])) for x in (1e-4, 0.5))
    assert one["odd"] == other["odd"]
    assert one["a"] != other["a"]


def test_the_interval_score_by_hand():
    scores = interval_scores(np.array([0.0, 0, 0]), np.array([1.0, 1, 1]), np.array([0.5, -0.2, 3]))
    assert scores == pytest.approx([1.0, 1 + 10 * 0.2, 1 + 10 * 2])


def test_calibration_makes_the_interval_hold_four_fifths():
    rng = np.random.default_rng(0)
    n = 400
    told = {name: np.zeros(n) for name in COLUMNS} | {"clarity": np.full(n, 2.0)}
    middle = place(RULE, told)
    best = middle + rng.normal(0, 0.3, n)
    seen = Examples(
        told, best, np.zeros((n, 601)), np.arange(n), np.full(n, "a"), np.full(n, 1 / n)
    )
    rule = calibrate(Rule(), seen)
    from lrsuggest.curves.heuristics.consensus import interval

    low, _, high = interval(rule, told)
    assert ((low <= best) & (best <= high)).mean() == pytest.approx(0.8, abs=0.05)


def test_folds_travel_in_a_table_and_read_their_family(tmp_path):
    rules = {"a": Rule(blow_up=-2.0), "b": Rule(blow_up=-1.0)}
    write_folds(rules, tmp_path / "folds.csv")
    assert read_folds(tmp_path / "folds.csv") == rules
    assert read_folds(tmp_path / "none.csv") == {}
    read = fold_reader(rules)
    low, high, shipped = (read(task(n, 1e-2), task(n, 1e-2).curves[0]) for n in ("a", "b", "new"))
    assert low < high
    assert shipped not in (low, high)
    assert not isinstance(read(task("a", 1e-2), Curve([], [])), float)


def test_intervals_are_compared_with_the_constants():
    table = intervals([task("a", 1e-2), task("b", 2e-2), task("c", 5e-3)], {})
    assert set(table.contestant) == {"consensus", "constant, out of fold"}
    assert (table.width > 0).all()
    assert (table.score >= table.width - 1e-12).all()
    assert ((table.score == table.width) == table.covered).all()
