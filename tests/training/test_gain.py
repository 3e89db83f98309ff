"""What a sweep sees of each step beside the loss: its slope, its size, and what it won."""

import itertools

import numpy as np
import pytest
import torch
from helpers import make_learner
from small import data, learner, network, swept
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner, UserError, lr_find, suggest_lr
from lrsuggest.training.settings import RangeTest


def test_a_parabola_as_worked_out_by_hand():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    trained = learner(
        model, batches=[(torch.ones(1, 1), torch.ones(1, 1))],
        loss=lambda output, target: ((output - target) ** 2).mean(),
    )  # fmt: skip
    curve = swept(trained, end_lr=0.4)
    weight, expected = 3.0, []
    for rate in curve.lr:
        gradient = 2 * (weight - 1)
        after = weight - rate * gradient
        expected.append(
            [(after - 1) ** 2, -rate * gradient**2, abs(after - weight), weight, 1 - rate]
        )
        weight = after
    total = curve.measured.total
    loss_after, slope, step, size, gain = np.array(expected).T
    np.testing.assert_allclose(total["loss_after"], loss_after, rtol=1e-4)
    np.testing.assert_allclose(total["slope"], slope, rtol=1e-3)
    np.testing.assert_allclose(total["step_norm"], step, rtol=1e-3)
    np.testing.assert_allclose(total["weight_norm"], size, rtol=1e-6)
    # The best step along a parabola is at a rate of 1/2, and wins half of what the slope promises.
    np.testing.assert_allclose(curve.gain, gain, rtol=2e-3)


@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_of_one_batch_over_and_over_it_is_the_next_loss(optimizer, accumulate_steps):
    trained = learner(
        network(nn.BatchNorm1d(16), nn.ReLU()), optimizer, data(16),
        accumulate_steps=accumulate_steps,
    )  # fmt: skip
    curve = swept(trained)
    np.testing.assert_allclose(curve.measured.loss_after[:-1], curve.loss[1:], rtol=1e-6)


def by_hand(trained, rates, clip=None):
    """The slope of each step from the gradient as the loss made it."""
    found, batches = [], itertools.cycle(trained.batches)
    parameters = list(trained.model.parameters())
    for rate in rates:
        x, y = next(batches)
        trained.loss_fn(trained.model(x), y).backward()
        raw, before = (
            [p.grad.clone() for p in parameters],
            [p.detach().clone() for p in parameters],
        )
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        trained.set_lr([rate])
        trained.optimizer.step()
        trained.optimizer.zero_grad()
        steps = [p.detach() - b for p, b in zip(parameters, before, strict=True)]
        found.append(sum(float((g * s).sum()) for g, s in zip(raw, steps, strict=True)))
    return np.array(found)


@pytest.mark.parametrize("clip", [None, 0.05, 1e6])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_the_slope_is_along_the_gradient_before_it_was_clipped(optimizer, clip):
    curve = swept(learner(network(nn.ReLU()), optimizer, max_grad_norm=clip), end_lr=1e-2)
    slope = by_hand(learner(network(nn.ReLU()), optimizer), curve.lr, clip)
    np.testing.assert_allclose(curve.measured.total["slope"], slope, rtol=2e-3)


class Decays(torch.optim.SGD):
    """Adds the weights to the gradient in place, where no counter of torch's sees it."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.data.add_(p.data, alpha=0.5)
        return super().step(closure)


def hooked(parameters, lr):
    def cut(optimizer, *_):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad.clamp_(-0.01, 0.01)

    made = torch.optim.SGD(parameters, lr=lr)
    made.register_step_pre_hook(cut)
    return made


@pytest.mark.parametrize("optimizer", [Decays, hooked])
def test_no_slope_is_told_where_the_gradient_was_changed_since(optimizer):
    curve = swept(learner(network(nn.ReLU()), optimizer))
    assert np.isnan(curve.measured.total["slope"]).all()
    assert np.isnan(curve.gain).all()
    assert np.isfinite(curve.measured.total["step_norm"]).all()
    assert np.isfinite(curve.measured.loss_after).all()


def test_each_group_has_its_own():
    model = network(nn.ReLU())
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}]
    trained = Learner(model, F.cross_entropy, data(), torch.optim.SGD(groups, lr=0.1))
    curve = swept(trained)
    measured = curve.measured
    assert measured.slope.shape == measured.step_norm.shape == (len(curve), 2)
    first = np.sqrt(sum(float((p.detach() ** 2).sum()) for p in model[0].parameters()))
    assert measured.weight_norm[0, 0] == pytest.approx(first, rel=1e-6)
    # Plain SGD: the slope is minus the step's squared size over the group's rate.
    rates = curve.lr[:, None] * np.array([0.1, 1.0])
    np.testing.assert_allclose(measured.slope, -(measured.step_norm**2) / rates, rtol=5e-3)


def test_sparse_gradients():
    def trained(sparse, optimizer):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(20, 3, sparse=sparse), nn.Flatten())
        words = [(torch.tensor([[1], [4], [4]]), torch.tensor([0, 1, 2]))]
        return learner(model, optimizer, words)

    curves = [swept(trained(sparse, torch.optim.SGD)) for sparse in (True, False)]
    sparse, dense = (curve.measured.total for curve in curves)
    for name, values in dense.items():
        np.testing.assert_allclose(sparse[name], values, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_weights_of_another_format(dtype):
    batches = [(x.to(dtype), y) for x, y in data()]
    curve = swept(
        learner(
            network(nn.ReLU()).to(dtype), batches=batches,
            loss=lambda output, target: F.cross_entropy(output.float(), target),
        ),
        start_lr=1e-2,
    )  # fmt: skip
    wide = swept(learner(network(nn.ReLU())), start_lr=1e-2)
    for name in ("slope", "weight_norm"):
        np.testing.assert_allclose(
            curve.measured.total[name], wide.measured.total[name], rtol=0.15, err_msg=name
        )


def test_a_step_that_the_scaler_skipped_has_no_gain():
    model = network(nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls = [0]

    class Overflows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            calls[0] += 1
            return gradient * (torch.inf if calls[0] == 9 else 1)

    def forward(model, batch):
        return F.cross_entropy(Overflows.apply(model(batch[0])).float(), batch[1])

    trained = Learner(model, batches=data(), optimizer=optimizer, forward=forward, precision="fp16")
    curve = swept(trained)
    assert curve.skipped.sum() == 1
    np.testing.assert_array_equal(np.isnan(curve.gain), curve.skipped)
    assert curve.measured.total["step_norm"][curve.skipped] == 0


def test_frozen_weights_are_not_counted():
    model = network(nn.ReLU())
    for p in model[0].parameters():
        p.requires_grad_(False)
    measured = swept(learner(model)).measured
    last = np.sqrt(sum(float((p.detach() ** 2).sum()) for p in model[2].parameters()))
    assert measured.total["weight_norm"][0] == pytest.approx(last, rel=1e-6)


def test_it_can_be_left_out_and_asked_for_only_where_something_is_trained():
    trained = make_learner()
    assert suggest_lr(trained, sweep=RangeTest(gain=False), seed=0).curve.measured is None
    assert suggest_lr(trained, seed=0).curve.measured is not None
    with pytest.raises(UserError, match="gain must be True or False; got 'yes'"):
        lr_find(trained, gain="yes")
    with pytest.raises(UserError, match="gain must be True or False; got 1"):
        RangeTest(gain=1)


def test_several_sweeps_are_pooled_with_what_they_saw():
    trained = make_learner()
    found = suggest_lr(trained, seed=0, sweep=RangeTest(repeats=3)).curve
    alone = [suggest_lr(trained, seed=k).curve for k in range(3)]
    n = min(map(len, alone))
    assert len(found) >= n
    falls = [c.loss[:n] - c.measured.loss_after[:n] for c in alone]
    np.testing.assert_allclose(
        found.loss[:n] - found.measured.loss_after[:n], np.median(falls, axis=0), atol=1e-12
    )
    slopes = [c.measured.slope[:n] for c in alone]
    np.testing.assert_allclose(found.measured.slope[:n], np.median(slopes, axis=0))
    bare = suggest_lr(trained, seed=0, sweep=RangeTest(repeats=3, gain=False)).curve
    assert bare.measured is None
    np.testing.assert_array_equal(bare.loss, found.loss)
