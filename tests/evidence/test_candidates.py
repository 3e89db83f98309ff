"""The rules that may follow the consensus: what they are told, and how they are fitted."""

import dataclasses

import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest.curves.columns import Measured
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.consensus import RULE, told
from lrsuggest.curves.heuristics.consensus import place as placed
from lrsuggest.curves.heuristics.gains import gains
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.evidence.candidates import FORMS, alone, fit, out_of_fold, place, reader, shown, tell
from lrsuggest.evidence.consensus_fit import Examples
from lrsuggest.evidence.response import TaskEvidence

BY_NAME = {form.name: form for form in FORMS}


def parabola(half=1e-2, n=100, groups=1, noise=0.0, seed=0):
    """A curve whose steps go along parabolas: the gain falls as 1 - rate / (2 half)."""
    lr, loss = sweep_like(n)
    gain = 1 - np.asarray(lr) / (2 * half) + noise * np.random.default_rng(seed).normal(size=n)
    slope = -np.asarray(lr)
    sizes = np.ones((n, groups))
    return Curve(lr, loss, measured=Measured(
        np.asarray(loss) + gain * slope, np.tile(slope[:, None] / groups, groups),
        np.asarray(lr)[:, None] * sizes / 50, sizes,
    ))  # fmt: skip


@pytest.mark.parametrize("n", [30, 50, 100, 200])
@pytest.mark.parametrize("half", [1e-3, 1e-1])
def test_the_gain_is_a_half_where_it_was_made_so(n, half):
    found = gains(parabola(half, n))
    assert found.half == pytest.approx(np.log10(half), abs=8 / n + 0.01)
    assert found.quarter == pytest.approx(np.log10(1.5 * half), abs=8 / n + 0.01)
    assert found.reach == pytest.approx(np.log10(50))


def test_single_steps_say_little():
    noisy = [gains(parabola(noise=0.4, seed=seed)).half for seed in range(20)]
    assert np.median(noisy) == pytest.approx(-2, abs=0.3)


def test_scale_and_offset_change_nothing_and_the_rate_goes_along():
    curve = parabola()
    m = curve.measured
    other = Curve(10 * curve.lr, 3 * curve.loss + 7, measured=Measured(
        3 * m.loss_after + 7, 3 * m.slope, m.step_norm, m.weight_norm))  # fmt: skip
    one, two = gains(curve), gains(other)
    assert two.half == pytest.approx(one.half + 1)
    assert two.reach == pytest.approx(one.reach + 1)


def test_a_curve_without_the_columns_or_with_empty_ones_tells_nothing():
    curve = parabola()
    assert gains(Curve(curve.lr, curve.loss)) is None
    nothing = dataclasses.replace(curve.measured, loss_after=np.full(len(curve), np.nan))
    assert gains(Curve(curve.lr, curve.loss, measured=nothing)) is None
    nowhere = dataclasses.replace(curve.measured, loss_after=curve.loss + 1)
    assert gains(Curve(curve.lr, curve.loss, measured=nowhere)) is None


@pytest.mark.parametrize("optimizer", ["adam", "sgd", None])
@pytest.mark.parametrize("stage", ["scratch", "frozen", "finetune", None])
def test_with_its_constants_the_form_of_the_consensus_is_the_consensus(optimizer, stage):
    curve, context = Curve(*sweep_like()), Context(optimizer, stage, total_steps=480)
    names = {name: getattr(RULE, name) for name in BY_NAME["with corrections"].start
             if hasattr(RULE, name)}  # fmt: skip
    names |= {name: getattr(RULE, name) for name in BY_NAME["with corrections"].free
              if hasattr(RULE, name)}  # fmt: skip
    constants = {
        **BY_NAME["with corrections"].constants(np.zeros(len(BY_NAME["with corrections"].free))),
        **names, "steps_adam": RULE.steps, "steps_sgd": RULE.steps,
    }  # fmt: skip
    table = {name: np.array([value]) for name, value in tell(curve, context).items()}
    assert place(BY_NAME["with corrections"], constants, table) == pytest.approx(
        placed(RULE, told(curve, context))
    )


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_every_form_reads_a_curve_without_columns_and_without_a_context(form):
    constants = form.constants(np.zeros(len(form.free)))
    for curve in (parabola(), Curve(*sweep_like())):
        table = {name: np.array([value]) for name, value in tell(curve, Context()).items()}
        assert np.isfinite(place(form, constants, table)).all()


def test_the_gain_counts_by_what_trains():
    constants = BY_NAME["gain"].constants(np.zeros(len(BY_NAME["gain"].free)))

    def pick(half, stage):
        told = tell(parabola(half), Context("adamw", stage))
        return float(
            place(BY_NAME["gain"], constants, {k: np.array([v]) for k, v in told.items()})[0]
        )

    moved = {stage: pick(1e-2, stage) - pick(1e-3, stage)
             for stage in ("scratch", "frozen", "finetune")}  # fmt: skip
    assert 0 < moved["scratch"] < moved["frozen"] < moved["finetune"] < 1


def planted(shift, families=4, each=6, seed=0):
    """Examples whose best rate lies so far from where the gain is a half."""
    source = np.random.default_rng(seed)
    n = families * each
    half = source.uniform(-4, -1, n)
    grid = np.linspace(-9, 3, 601)
    cost = np.clip(np.abs(grid[None] - (half + shift)[:, None]), 0, 1.5)
    told = {
        "descended": source.uniform(-4, -1, n), "rising": source.uniform(-3, 0, n),
        "blow_up": source.uniform(-2, 1, n), "clarity": np.ones(n), "steps": np.zeros(n),
        "sgd": np.zeros(n), "frozen": np.zeros(n), "pretrained": np.ones(n),
        "constant": np.zeros(n), "half": half - 1, "quarter": half, "reach": np.full(n, 2.0),
    }  # fmt: skip
    family = np.repeat([f"f{k}" for k in range(families)], each)
    return Examples(told, half + shift, cost, np.arange(n), family, np.full(n, 1 / n))


def test_a_distance_that_was_planted_is_found():
    seen = planted(0.8)
    constants = fit(BY_NAME["gain"], seen)
    assert constants["gain_pretrained"] > 0.3  # from 0, against a penalty
    before = seen.loss(place(BY_NAME["gain"], BY_NAME["gain"].constants(np.zeros(18)), seen.told))
    assert seen.loss(place(BY_NAME["gain"], constants, seen.told)) < 0.7 * before
    blind = BY_NAME["without corrections"]
    assert seen.loss(place(blind, fit(blind, seen), seen.told)) > before


def test_no_family_has_a_say_in_what_it_is_judged_by():
    seen = planted(0.8)
    folds = out_of_fold(BY_NAME["no sweep"], seen)
    assert folds.keys() == {"f0", "f1", "f2", "f3"}
    other = seen.cost.copy()
    other[seen.family == "f0"] = 0
    again = out_of_fold(BY_NAME["no sweep"], dataclasses.replace(seen, cost=other))
    assert again["f0"] == folds["f0"]
    assert again["f1"] != folds["f1"]


def task(curve, family="f0"):
    return TaskEvidence("t", "t", family, "scratch", "adam", False, (curve,), None, steps=100)


def test_a_task_is_read_by_what_was_fitted_without_its_family():
    form = BY_NAME["gain"]
    low = {**form.constants(np.zeros(len(form.free))), "prior_adam": -6.0, "trust_prior": 9.0}
    high = {**low, "prior_adam": 2.0}
    read = reader(form, {"f0": low}, high)
    curve = parabola()
    assert read(task(curve), curve) < read(task(curve, "another"), curve)
    assert isinstance(read(task(curve), Curve([1e-3], [1.0])), Abstention)
    (bare,) = alone([task(curve)])[0].curves
    assert bare.measured is None
    np.testing.assert_array_equal(bare.loss, curve.loss)


def test_without_tasks_nothing_is_shown():
    assert len(shown([]).best) == 0
