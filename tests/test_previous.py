"""What the caller says of the training before: continued= and previous=."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_learner, sweep_like

from lrsuggest import Curve, UserError, suggest_lr
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Context

CURVE = Curve(*sweep_like())
FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))


def kinds(found):
    return [each.reason for each in found.reasons]


def test_a_suggestion_is_taken_by_its_rate_and_kept_as_a_number():
    first = suggest_lr(CURVE)
    found = suggest_lr(CURVE, previous=first)
    assert type(found.context.previous) is float
    assert found.context.previous == first.lr
    assert found.context.continued is True
    assert Reason.CONTINUED in kinds(found)
    assert found.lr == first.lr  # no rule uses it yet
    told = json.loads(json.dumps(found.to_dict()))
    assert (told["previous"], told["continued"]) == (first.lr, True)
    assert pickle.loads(pickle.dumps(found)).context == found.context


def test_an_abstention_is_taken_by_its_fallback_or_as_nothing():
    for fallback in (3e-3, None):
        none = suggest_lr(FLAT, fallback=fallback)
        found = suggest_lr(CURVE, previous=none)
        assert found.context.previous == fallback
        assert found.context.continued is True


@pytest.mark.parametrize("rate", [2e-3, np.float32(0.5), torch.tensor(0.25)])
def test_a_rate_is_taken_as_a_number(rate):
    assert Context(previous=rate).previous == pytest.approx(float(rate))


@pytest.mark.parametrize(
    "wrong", [-1.0, 0, float("nan"), float("inf"), "1e-3", True, [1e-3], CURVE]
)
def test_no_other_thing_is_a_rate(wrong):
    learner = make_learner(forward=lambda *_: pytest.fail("it trained"))
    with pytest.raises(
        UserError, match="previous must be a suggestion or a positive rate, or None"
    ):
        suggest_lr(learner, previous=wrong)


@pytest.mark.parametrize("x", [CURVE, None])
def test_what_contradicts_itself_is_refused_before_anything_trains(x):
    learner = x or make_learner(forward=lambda *_: pytest.fail("it trained"))
    with pytest.raises(UserError, match="continued=False that there was none: leave one"):
        suggest_lr(learner, previous=1e-3, continued=False)
    with pytest.raises(UserError, match="continued must be True or False; got 'yes'"):
        suggest_lr(learner, continued="yes")


def test_told_goes_before_seen():
    learner = make_learner()
    learner.step(learner.endless())
    assert Reason.CONTINUED in kinds(suggest_lr(learner, seed=0))
    found = suggest_lr(learner, seed=0, continued=False)
    assert Reason.CONTINUED not in kinds(found)
    assert found.context.continued is False
    assert found.seen.continued is True
    assert suggest_lr(make_learner(), seed=0).context.continued is None
    assert Reason.CONTINUED in kinds(suggest_lr(make_learner(), seed=0, continued=True))


def test_a_context_of_earlier_versions_has_neither():
    kept = Context(optimizer="sgd")
    state = {name: value for name, value in vars(kept).items()
             if name not in ("continued", "previous")}  # fmt: skip
    old = object.__new__(Context)
    old.__setstate__(state)
    assert old == kept
    assert replace(kept, previous=1e-3).continued is True
