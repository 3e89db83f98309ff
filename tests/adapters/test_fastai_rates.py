"""A rate set in fastai's Learner: what fit trains with then."""

import math
import warnings
from functools import partial

import pytest
from everything import changes, everything
from fastai_learners import MARKS, Asks, make

from lrsuggest import Curve, UserError, set_lr, suggest_lr
from lrsuggest.errors import NoSuggestion

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.optimizer import Adam

pytestmark = MARKS


def used(learn, **fit):
    """The rates that fastai's own recorder saw in an epoch, and the groups' at its end."""
    learn.fit(1, **fit)
    return sorted(set(learn.recorder.lrs)), [hyper["lr"] for hyper in learn.opt.hypers]


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    ("lr", "rate", "groups"),
    [
        ([5e-4, 1e-3], 0.02, [0.01, 0.02]),
        (1e-3, 0.02, [0.02, 0.02]),
        (slice(1e-3), 0.02, [0.002, 0.02]),
        (slice(1e-4, 1e-3), 0.02, [0.002, 0.02]),
        (1e-3, slice(1e-3, 1e-2), [1e-3, 1e-2]),
    ],
)
def test_fit_takes_the_rate_applied(tmp_path, fitted, lr, rate, groups):
    learn = make(tmp_path, lr=lr)
    if fitted:
        learn.fit(1)
    set_lr(learn, rate)
    top, now = used(learn)
    assert top == pytest.approx([groups[-1]])
    assert now == pytest.approx(groups)
    set_lr(learn, rate)
    learn.fit_one_cycle(1)
    assert max(learn.recorder.lrs) == pytest.approx(groups[-1], rel=1e-2)


def test_a_suggestion_is_applied_and_an_abstention_is_not(tmp_path):
    learn = make(tmp_path)
    found = suggest_lr(learn)
    set_lr(learn, found)
    assert used(learn)[1] == pytest.approx([found.lr / 2, found.lr])
    set_lr(learn, found.slice)
    assert used(learn)[1] == pytest.approx([found.lr / 10, found.lr])
    nothing = suggest_lr(Curve([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0]))
    before = everything(learn)
    with pytest.raises(NoSuggestion):
        set_lr(learn, nothing)
    assert changes(before, everything(learn)) == []


def test_a_rate_of_opt_func_is_overruled(tmp_path):
    learn = make(tmp_path, opt_func=partial(Adam, lr=0.3))
    set_lr(learn, 0.02)
    assert used(learn)[1] == [0.02, 0.02]


def test_in_the_middle_of_fit_the_rate_is_applied_at_once_but_not_against_a_schedule(tmp_path):
    asks = Asks("before_batch", lambda learn: set_lr(learn, 0.02) or True, at=5)
    learn = make(tmp_path)
    learn.fit(1, cbs=asks)
    assert learn.recorder.lrs[:4] == [1e-3] * 4
    assert learn.recorder.lrs[4:] == [0.02] * 36
    asks = Asks("before_batch", lambda learn: set_lr(learn, 0.02) or True, at=5)
    with pytest.raises(UserError, match=r"ParamScheduler sets .* give it to the next fit"):
        learn.fit_one_cycle(1, 1e-2, cbs=asks)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, slice(None), slice(1e-3, -1.0)])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    learn = make(tmp_path)
    before = everything(learn)
    with pytest.raises(UserError, match="must be positive and finite"):
        set_lr(learn, rate)
    assert changes(before, everything(learn)) == []
