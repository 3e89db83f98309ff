"""A rate set in a Hugging Face Trainer: what train() trains with then."""

import math

import numpy as np
import pytest
import torch
from everything import changes
from hf_watched import MARKS, Watched, all_of, hf, make

from lrsuggest import Curve, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.errors import NoSuggestion

pytestmark = MARKS


def layers(model, **settings):
    groups = [
        {"params": model.bert.parameters(), "lr": 5e-4},
        {"params": model.classifier.parameters()},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, **settings)


def warm_up(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))


def layered(folder, schedule=None, **settings):
    model = hf.classifier()
    optimizer = layers(model)
    pair = (optimizer, schedule and schedule(optimizer))
    return make(folder, kind=Watched, model=model, optimizers=pair, **settings)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("settings", [{}, {"optim": "sgd"}, {"lr_scheduler_type": "linear"},
    {"optimizer_cls_and_kwargs": (torch.optim.Adam, {"lr": 1e-3})}])  # fmt: skip
def test_train_takes_the_rate_applied(tmp_path, trained, settings):
    trainer = make(tmp_path, kind=Watched, **settings)
    if trained:
        trainer.train()
    set_lr(trainer, 0.02)
    trainer.rates.clear()
    trainer.train()
    assert max(trainer.rates) == pytest.approx([0.02] * len(trainer.rates[0]))
    assert trainer.args.learning_rate == 0.02 or "optimizer_cls_and_kwargs" in settings


@pytest.mark.parametrize("schedule", [None, warm_up])
@pytest.mark.parametrize(
    ("rate", "groups"), [(0.04, [0.02, 0.04]), (slice(1e-3, 1e-2), [1e-3, 1e-2])]
)
def test_groups_keep_their_ratios(tmp_path, schedule, rate, groups):
    trainer = layered(tmp_path, schedule)
    found = suggest_lr(trainer, sweep=RangeTest(num_iter=12, end_lr=1e-3))
    assert found.curve.lr[-1] == pytest.approx(1e-3)
    set_lr(trainer, rate)
    trainer.train()
    assert trainer.rates[-1] == pytest.approx(groups)
    assert max(trainer.rates) == pytest.approx(groups)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_in_the_middle_of_training_the_schedule_goes_on_from_the_rate_applied(
    tmp_path, kind, accumulate
):
    def rates(do):
        trainer = make(
            tmp_path, kind=Watched, callbacks=[hf.Asks("on_step_end", lambda: do(trainer), at=5)],
            lr_scheduler_type=kind, warmup_steps=3, gradient_accumulation_steps=accumulate,
        )  # fmt: skip
        trainer.train()
        return np.array(trainer.rates)

    plain, scaled = rates(lambda _: True), rates(lambda trainer: set_lr(trainer, 0.02) or True)
    assert np.array_equal(plain[:5], scaled[:5])
    assert scaled[5:] == pytest.approx(plain[5:] * 20)


def test_an_abstention_changes_nothing(tmp_path):
    trainer = make(tmp_path)
    before = all_of(trainer)
    with pytest.raises(NoSuggestion):
        set_lr(trainer, suggest_lr(Curve([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0])))
    assert changes(before, all_of(trainer)) == []


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, slice(1e-3, 1e-2)])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    trainer = make(tmp_path)
    before = all_of(trainer)
    with pytest.raises(UserError, match=r"must be positive and finite|spreads rates over layers"):
        set_lr(trainer, rate)
    assert changes(before, all_of(trainer)) == []
