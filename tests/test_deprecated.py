"""Earlier names still work, each with a warning that names the new one."""

import importlib

import numpy as np
import optuna
import pytest
from helpers import make_learner, sweep_like

import lrsuggest
from lrsuggest import Curve, NoSuggestion, UserError, suggest_lr
from lrsuggest.curves.heuristics import registry
from lrsuggest.curves.heuristics.all import HEURISTICS

FOUND = suggest_lr(Curve(*sweep_like()))
FLAT = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7)))


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


def test_apply_is_set_lr_the_other_way_round():
    learner = make_learner()
    with pytest.warns(DeprecationWarning, match=r"set_lr\(x, rate\)") as told:
        lrsuggest.apply(FOUND, learner)
    assert learner.lr == FOUND.lr
    assert told[0].filename == __file__
    with (
        pytest.warns(DeprecationWarning, match="set_lr"),
        pytest.raises(UserError, match=r"takes the rate first: apply\(suggestion, x\)"),
    ):
        lrsuggest.apply(learner, FOUND)


def test_to_optuna_is_a_suggestions_own(study):
    new = r"suggestion.enqueue\(study\) and suggestion.suggest_float\(trial\)"
    with pytest.warns(DeprecationWarning, match=new) as told:
        assert lrsuggest.to_optuna(FOUND, study, "max_lr") == FOUND.lr
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=new):
        assert lrsuggest.to_optuna(FOUND, study.ask(), "max_lr") == FOUND.lr
    with (
        pytest.warns(DeprecationWarning, match=new),
        pytest.raises(NoSuggestion, match="no interval"),
    ):
        lrsuggest.to_optuna(FLAT, study.ask())
    with pytest.warns(DeprecationWarning, match=new):
        assert 1e-4 <= lrsuggest.to_optuna(FLAT, study.ask(), fallback=(1e-4, 1e-2)) <= 1e-2
    with (
        pytest.warns(DeprecationWarning, match=new),
        pytest.raises(UserError, match="the suggestion first"),
    ):
        lrsuggest.to_optuna(study, FOUND)


@pytest.mark.parametrize("name", ["heuristic", "Abstention", "Context", "Reason", "HEURISTICS"])
def test_heuristics_are_found_where_they_were(name):
    old = importlib.import_module("lrsuggest.curves.heuristics")
    with pytest.warns(DeprecationWarning, match=f"from lrsuggest import {name}$"):
        found = getattr(old, name)
    assert found is getattr(lrsuggest, name)
    assert found is getattr(registry, name)


def test_a_module_of_another_time_is_still_a_newcomers():
    with pytest.warns(DeprecationWarning, match="from lrsuggest import"):
        exec(
            "from lrsuggest.curves.heuristics import Abstention, Context, Reason, heuristic\n"
            "@heuristic('of another time', 'nobody')\n"
            "def of_another_time(curve, context):\n"
            "    return float(curve.lr[len(curve.lr) // 2])\n",
            {"__name__": "of_another_time"},
        )
    assert HEURISTICS.pop("of another time")(FOUND.curve) == FOUND.curve.lr[len(FOUND.curve) // 2]
    with pytest.raises(AttributeError, match="no attribute 'heuristics'"):
        importlib.import_module("lrsuggest.curves.heuristics").heuristics  # noqa: B018
