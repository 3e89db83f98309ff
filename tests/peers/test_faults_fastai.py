"""The faults of fastai's finder (2.8.12), each beside ours on the same Learner."""

import random
import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from fault_subjects import (
    MARKS,
    Loss,
    Scripted,
    broken_off,
    fastai_learner,
    landscape,
    loader,
    lost,
    network,
    ones,
    parts,
    subject,
)

from lrsuggest import Curve, RangeTest, suggest_lr
from lrsuggest.curves.columns import Ended
from lrsuggest.testing import simulated

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback import schedule
    from fastai.callback.training import BnFreeze
    from fastai.learner import Callback
    from fastai.optimizer import SGD

pytestmark = MARKS


class Landscape(Callback):
    """Puts in the loss's place one that hangs on the present rate alone."""

    def after_loss(self):
        here = float(landscape(self.opt.hypers[-1]["lr"]))
        self.learn.loss_grad = self.learn.loss_grad * 0 + here
        self.learn.loss = self.learn.loss_grad.clone()


def scripted(losses, path, **settings):
    return fastai_learner(
        Scripted(losses), ones(400), lambda out, _: out, path, opt_func=SGD, **settings
    )


def theirs(learn, name="valley", **settings):
    """What fastai's lr_find suggests."""
    (rate,) = learn.lr_find(show_plot=False, suggest_funcs=getattr(schedule, name), **settings)
    return rate


def test_fastai_valley_suggests_the_last_rate_for_one_tiny_dip_before_a_rise(tmp_path):
    """The longest valley has two points, and the index before its start is -1."""
    losses = np.concatenate([np.ones(11), [0.9], 1.05 + 0.01 * np.arange(88)])
    assert theirs(scripted(losses, tmp_path)) == pytest.approx(3.31, rel=0.01)
    found = suggest_lr(scripted(losses, tmp_path))
    assert found.lr is None
    assert "The loss only rose" in found.reasons[0]


def test_fastai_valley_moves_with_the_swept_range(tmp_path):
    """The same loss, a function of the rate, swept from and to other rates."""
    ranges = [(1e-8, 100), (1e-7, 10), (1e-6, 0.3), (1e-5, 1), (1e-4, 1), (1e-3, 10)]

    def spread(ask):
        made = (scripted([0], tmp_path, cbs=Landscape()) for _ in ranges)
        rates = [ask(learn, *ends) for learn, ends in zip(made, ranges, strict=True)]
        return np.ptp(np.log10(rates))

    valley = spread(lambda learn, low, high: theirs(learn, start_lr=low, end_lr=high))
    ours = spread(
        lambda learn, low, high: suggest_lr(learn, sweep=RangeTest(start_lr=low, end_lr=high)).lr
    )
    assert valley > 2
    assert ours < 0.25


def test_fastai_ten_runs_give_ten_answers(tmp_path):
    """Digits in ten orders: the default spreads over half a decade, slide over two."""

    def learn(seed):
        torch.manual_seed(seed)
        return fastai_learner(network(), loader(seed=seed), Loss(), tmp_path, lr=1e-3)

    def spread(ask):
        return np.ptp(np.log10([ask(learn(seed)) for seed in range(10)]))

    assert spread(theirs) > 0.4
    assert spread(partial(theirs, name="slide")) > 1.5
    assert spread(lambda learn: suggest_lr(learn).lr) < 0.4


class Counted(list):
    """A list that counts how often one of its items is looked at."""

    looks = 0

    def __getitem__(self, index):
        self.looks += 1
        return super().__getitem__(index)


def test_fastai_valley_takes_a_time_that_grows_with_the_square_of_the_points():
    looks = []
    for n in (100, 200, 400):
        losses = Counted(np.linspace(2, 1, n).tolist())
        schedule.valley(np.geomspace(1e-7, 10, n).tolist(), losses, n)
        looks.append(losses.looks)
    assert looks[1] / looks[0] == pytest.approx(4, rel=0.05)
    assert looks[2] / looks[1] == pytest.approx(4, rel=0.05)

    def seconds(do):
        began = time.process_time()
        do()
        return time.process_time() - began

    lr, loss = simulated(500, 1e-1, 2.0, 0.05, 0)
    valley = seconds(lambda: schedule.valley(torch.tensor(lr), torch.tensor(loss), 500))
    curve = Curve(*simulated(4000, 1e-1, 2.0, 0.05, 0))
    assert suggest_lr(curve).lr is not None
    assert min(seconds(lambda: suggest_lr(curve)) for _ in range(3)) < valley


def test_fastai_slide_suggests_one_index_whatever_the_loss(tmp_path):
    """Where its first test fails it answers with the sixteenth rate from the end."""
    shapes = {
        "level": np.full(100, 2.0),
        "falling": np.linspace(2, 1, 100),
        "noise": 2 + 1e-3 * np.random.default_rng(0).normal(size=100),
        "late fall": np.concatenate([np.full(60, 2.0), np.linspace(2, 1, 40)]),
    }
    answers = {name: theirs(scripted(loss, tmp_path), "slide") for name, loss in shapes.items()}
    assert list(answers.values()) == pytest.approx([0.209] * 4, rel=0.01)
    found = {name: suggest_lr(scripted(loss, tmp_path)) for name, loss in shapes.items()}
    assert not any(each.reliable for each in found.values())
    assert found["level"].lr is None


def test_fastai_negative_losses_stop_it_after_one_point(tmp_path):
    """Four times the best loss is below a negative best, so the first point is the last."""
    loss = landscape(np.geomspace(1e-7, 10, 100))
    learn = scripted(loss - 10, tmp_path)
    with pytest.raises(IndexError, match="size 0"):
        theirs(learn)
    assert len(learn.recorder.losses) == 1
    found, plain = (suggest_lr(scripted(each, tmp_path)) for each in (loss - 10, loss))
    assert len(found.curve) == len(plain.curve) > 80
    assert found.lr == pytest.approx(plain.lr, rel=1e-3)


def modes_in_the_sweep(norm):
    """Notes the mode that a module is in at each forward pass."""
    seen = set()
    norm.register_forward_pre_hook(lambda module, _: seen.add(module.training))
    return seen


def test_fastai_puts_a_frozen_batch_norm_back_into_train_mode(tmp_path):
    """Its fit trains all modules; what a person set to eval is not so afterwards."""
    one = subject("fastai", tmp_path)
    seen = modes_in_the_sweep(one.model[1])
    one.find()
    assert (one.model[1].training, seen) == (True, {True})
    one = subject("fastai", tmp_path)
    one.ask()
    assert not one.model[1].training
    # While swept it is in the mode that learn.fit would train it in: BnFreeze keeps it in eval.
    learn = fastai_learner(network(), loader(), Loss(), tmp_path, cbs=BnFreeze())
    for parameter in learn.model[1].parameters():
        parameter.requires_grad_(False)
    seen = modes_in_the_sweep(learn.model[1])
    suggest_lr(learn)
    assert seen == {False}


def test_fastai_leaves_the_random_states_and_the_loaders_generator_changed(tmp_path):
    one = subject("fastai", tmp_path)
    before = parts(one)
    one.find()
    assert lost(before, parts(one)) >= {"torch's random state", "loader's generator"}
    one = subject("fastai", tmp_path)
    before = parts(one)
    random.random(), np.random.random()  # so that Python's and numpy's count too
    before |= {name: value for name, value in parts(one).items() if "'s random" in name}
    one.ask()
    assert lost(before, parts(one)) == set()


def test_fastai_leaves_the_rate_in_mid_sweep_after_an_exception(tmp_path):
    one = subject("fastai", tmp_path, Loss(fails_at=40))
    broken_off(one.find)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(1e-7 * 10 ** (8 * 0.39), rel=0.1)
    one = subject("fastai", tmp_path, Loss(fails_at=40))
    broken_off(one.ask)
    assert one.optimizer.param_groups[0]["lr"] == 1e-3


def test_fastai_writes_a_checkpoint_to_the_disk(tmp_path):
    """Ours works where nothing can be written; theirs leaves an empty folder."""
    folder, ours = tmp_path / "theirs", tmp_path / "ours"
    written = []

    class Looks(Callback):
        def before_batch(self):
            written.extend(each.name for each in folder.rglob("*.pth"))

    fastai_learner(network(), loader(), Loss(), folder, cbs=Looks()).lr_find(show_plot=False)
    assert "_tmp.pth" in written
    assert (folder / "models").is_dir()
    found = suggest_lr(fastai_learner(network(), loader(), Loss(), ours))
    assert found.curve.ended is Ended.DIVERGED
    assert not ours.exists()
