"""A suggestion as the search space of a real Optuna study."""

import numpy as np
import optuna
import pytest
from helpers import sweep_like

from lrsuggest import Curve, NoSuggestion, UserError, suggest_lr

FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))


@pytest.fixture
def found():
    return suggest_lr(Curve(*sweep_like(noise=0.02)))


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))


def test_a_study_tries_the_suggested_rate_first_and_stays_in_the_interval(found, study):
    assert found.enqueue(study, "max_lr") == found.lr
    used = []

    def objective(trial):
        used.append(found.suggest_float(trial, "max_lr"))
        return abs(np.log(used[-1] / found.high))

    study.optimize(objective, n_trials=25)
    assert used[0] == found.lr
    assert found.low <= min(used) < max(used) <= found.high
    assert [trial.params["max_lr"] for trial in study.trials] == used
    (space,) = {trial.distributions["max_lr"] for trial in study.trials}
    expected = optuna.distributions.FloatDistribution(found.low, found.high, log=True)
    assert space == expected
    assert study.best_params["max_lr"] > found.lr


def test_asking_twice_puts_one_trial_in_the_queue(found, study):
    found.enqueue(study)
    found.enqueue(study)
    assert [trial.system_attrs["fixed_params"] for trial in study.trials] == [{"lr": found.lr}]


def test_what_a_person_enqueues_or_fixes_is_kept(found, study):
    study.enqueue_trial({"lr": float(found)})
    assert found.suggest_float(study.ask()) == found.lr
    fixed = optuna.trial.FixedTrial({"lr": found.low})
    assert found.suggest_float(fixed, "lr") == found.low


def test_an_abstention_needs_a_range(study):
    flat = suggest_lr(FLAT)
    with pytest.raises(NoSuggestion, match=r"The loss is flat.*Give fallback=\(lowest, highest\)"):
        flat.suggest_float(study.ask())
    with pytest.raises(NoSuggestion, match="no learning rate can be suggested: The loss is flat"):
        flat.enqueue(study)
    rates = [flat.suggest_float(study.ask(), fallback=(1e-4, 1e-2)) for _ in range(20)]
    assert 1e-4 <= min(rates) < 5e-4 < 2e-3 < max(rates) <= 1e-2
    for low, high in ((1e-2, 1e-4), (0, 1), (1e-3, np.inf), (np.nan, 1)):
        with pytest.raises(UserError, match=r"fallback must (satisfy 0 < lowest|be positive)"):
            flat.suggest_float(study.ask(), fallback=(low, high))
    assert suggest_lr(FLAT, fallback=3e-3).enqueue(study) == 3e-3


def test_a_suggestion_needs_no_fallback(found, study):
    inside = found.suggest_float(study.ask(), fallback=(1.0, 2.0))
    assert found.low <= inside <= found.high


def test_anything_else_is_refused(found, study):
    for given, name in (({}, "a dict"), (study.ask(), "a Trial")):
        with pytest.raises(UserError, match=f"enqueue takes an Optuna study, not {name}"):
            found.enqueue(given)
    for given, name in (({}, "a dict"), (study, "a Study")):
        with pytest.raises(UserError, match=f"suggest_float takes an Optuna trial, not {name}"):
            found.suggest_float(given)
