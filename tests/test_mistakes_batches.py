"""Batches that nothing can train on are told in one sentence, as are those that end it."""

import re

import numpy as np
import pytest
import torch
from helpers import make_learner
from refusals import refused
from torch import nn
from untrainable import CROSS, X, Y, make, nan_from, net

from lrsuggest import RangeTest, UserError, suggest_lr

pytestmark = pytest.mark.usefixtures("one_thread")


class Tuples(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        return self.inner(x), x


class TakesWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, words):
        return self.inner(words)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batches": [(X, Y, X)]}, r"got a (tuple|list) of 3 \(a Tensor of shape \(64, 8\), a .*"
         r" of shape \(64,\), a Tensor of .*: give forward=lambda model, batch: loss"),
        ({"batches": [[X]]}, r"got a list of 1 \(a Tensor of shape \(64, 8\)\)"),
        ({"batches": [X]}, r"got a Tensor of shape \(64, 8\)"),
        ({"batches": [{"x": X, "labels": Y}], "model": TakesWords()},
         "TakesWords does not take a batch of x, labels .*: give forward=lambda model, batch"),
        ({"batches": [{"words": X}], "model": TakesWords()}, "output has no .loss; give"),
        ({"loss_fn": None}, "give loss_fn"),
        ({"model": Tuples()}, "the model returns a tuple of 2, which loss_fn does not take .*forw"),
        ({"loss_fn": lambda o, t: CROSS(o, t).detach()}, "the loss hangs on no weight that trains"),
        ({"loss_fn": lambda o, t: torch.tensor(1.0)}, "the loss hangs on no weight that trains"),
        ({"loss_fn": lambda o, t: CROSS(o, t).item()}, r"no \.item\(\)\); got a float"),
        ({"loss_fn": lambda o, t: None}, "must be one number .*; got None"),
        ({"loss_fn": nn.CrossEntropyLoss(reduction="none")}, r"got a Tensor of shape \(64,\)"),
        ({"batches": [(X, Y.float())]}, "the first training step failed.* with RuntimeError: "),
        ({"batches": [(X, Y + 2)]}, "the first training step failed.* with IndexError: Target"),
        ({"batches": [(X[:, :5], Y)]}, "the first training step failed.* with RuntimeError: mat1"),
        ({"batches": [(X.numpy(), Y)]}, "the first training step failed.* with TypeError"),
        ({"batches": [(X.long(), Y)]}, "the first training step failed.* with RuntimeError"),
        ({"batches": []}, "batches is empty"),
        ({"batches": nan_from([(X, Y)], 0)}, "the loss of the first batch is nan before any step"),
        ({"loss_fn": lambda o, t: CROSS(o, t) / 0}, "the loss of the first batch is inf"),
    ],
)  # fmt: skip
def test_what_the_first_batch_shows(settings, says):
    learner = make(**{"batches": [(X, Y)]} | settings)
    before = [p.detach().clone() for p in learner.model.parameters()]
    refused(says, suggest_lr, learner)
    assert all(map(torch.equal, before, learner.model.parameters()))


def test_an_infinite_loader_and_a_compiled_model_are_swept():
    class Endless:
        def __iter__(self):
            while True:
                yield X, Y

    assert len(suggest_lr(make(batches=Endless()), sweep=RangeTest(num_iter=12)).curve)
    torch.manual_seed(0)
    plain = make()
    compiled = make(torch.compile(plain.model, backend="eager"))
    curves = [
        suggest_lr(each, sweep=RangeTest(num_iter=20), seed=0).curve for each in (plain, compiled)
    ]
    np.testing.assert_allclose(curves[0].loss, curves[1].loss, rtol=1e-5)


def test_a_first_loss_that_is_not_finite_costs_a_batch_and_no_step():
    learner = make_learner()
    learner.batches = nan_from(learner.batches, 0)
    before = [p.detach().clone() for p in learner.model.parameters()]
    refused("the loss of the first batch is nan", suggest_lr, learner,
            sweep=RangeTest(repeats=2))  # fmt: skip
    assert all(map(torch.equal, before, learner.model.parameters()))


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (
            1e-7,
            r"Step 4, at a rate of [\d.]+e-07, has a loss that is not finite: look at that batch",
        ),
        (1e-2, r"Step 4, at a rate of 0?[\d.e-]+, has a loss .*: look at that rate or that batch"),
    ],
)
def test_one_batch_that_is_not_finite_is_told_with_its_step_and_rate(start, says):
    learner = make_learner()
    learner.batches = nan_from(learner.batches, 3)
    found = suggest_lr(learner, sweep=RangeTest(start_lr=start))
    assert found.reasons[0] == "The curve has fewer than 10 usable points."
    assert re.match(says, found.reasons[1])
    with pytest.raises(UserError, match=says):
        float(found)


class Once:
    """Re-iterable by its looks, but what it draws from is one generator."""

    def __init__(self):
        self.drawn = iter([(X, Y)] * 5)

    def __iter__(self):
        yield from self.drawn


def test_batches_that_give_nothing_the_second_time():
    refused(
        r"batches \(an? Once\) gives nothing when iterated again", suggest_lr, make(batches=Once())
    )
