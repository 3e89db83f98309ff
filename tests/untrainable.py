"""Learners made with a mistake, and how a refusal is seen to move nothing."""

import functools
from queue import SimpleQueue

import torch
from refusals import refused
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, suggest_lr

X, Y = torch.randn(64, 8), torch.randint(2, (64,))
DATA = TensorDataset(X, Y)
LOADER = DataLoader(DATA, 16)
CROSS = nn.functional.cross_entropy


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def make(model=None, loss_fn=CROSS, batches=LOADER, optimizer=None, **settings):
    model = net() if model is None else model
    if optimizer is None:
        optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    return Learner(model, loss_fn, batches, optimizer(model.parameters()), **settings)


def unmoved(learner, says, call=suggest_lr, **settings):
    """Check that it is refused before a step, and leaves weights and random states alone."""
    before = [p.detach().clone() for p in learner.model.parameters()]
    steps, state = SimpleQueue(), torch.get_rng_state()
    if hasattr(learner.optimizer, "register_step_post_hook"):
        learner.optimizer.register_step_post_hook(lambda *_: steps.put(1))
    said = refused(says, call, learner, **settings)
    assert steps.empty()
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, learner.model.parameters()))
    return said


def nan_from(batch, at):
    return [(torch.full_like(x, torch.nan) if i == at else x, y) for i, (x, y) in enumerate(batch)]
