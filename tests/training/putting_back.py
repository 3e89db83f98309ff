"""A training that is asked in its middle, and everything of it as comparable bytes."""

import copy
from collections import deque

import numpy as np
import torch
from helpers import make_learner
from torch import nn
from torch.nn import functional as F

from lrsuggest import lr_find


class Margin(nn.Module):
    """A loss with a weight and a buffer of its own, as metric learning has them."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.eye(2))
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, output, target):
        self.calls += 1
        self.seen += len(target)
        return F.cross_entropy(output @ self.centres, target)


def with_loss(wrap):
    """A learner whose loss is a Module of its own, its weights in the optimizer's second group."""
    margin = Margin()

    def optimizer(model):
        groups = [{"params": model.parameters()}, {"params": margin.parameters()}]
        return torch.optim.Adam(groups, lr=1e-2)

    learner = make_learner(optimizer=optimizer)
    wrap(learner, margin)
    return learner, lambda: (margin.state_dict(), margin.calls, margin.centres.grad)


def in_a_closure(learner, margin):
    learner.loss_fn = lambda output, target: margin(output, target)


def bits(value):
    """A value with all its tensors and arrays as bytes, to compare with ==."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, dict):
        return type(value), [(key, bits(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [bits(each) for each in value]
    return copy.copy(value)


def train(learner, steps=6):
    """The losses of some more steps."""
    torch.manual_seed(3)
    learner.batches.generator.manual_seed(3)
    batches = learner.endless()
    return [float(learner.step(batches)) for _ in range(steps)]


def check(make):
    """Asked twice in the middle of a training: one curve, all as it was, and it goes on the same.

    make() gives a learner, and a function that returns the state which is to be put back.
    """
    plain, _ = make()
    expected = train(plain) + train(plain)
    learner, state = make()
    losses = train(learner)
    before = bits(state())
    first, second = (lr_find(learner, num_iter=25, seed=0) for _ in range(2))
    assert bits(state()) == before
    assert first.loss.tobytes() == second.loss.tobytes()
    assert losses + train(learner) == expected
