"""A small network on a separable set, and a short sweep of it."""

import torch
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner, lr_find


def data(n=64, size=16):
    source = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=source)
    y = (x @ torch.randn(6, 3, generator=source)).argmax(1)
    return [(x[i : i + size], y[i : i + size]) for i in range(0, n, size)]


def learner(model, optimizer=torch.optim.SGD, batches=None, loss=F.cross_entropy, **settings):
    made = optimizer(model.parameters(), lr=0.1)
    return Learner(model, loss, data() if batches is None else batches, made, **settings)


def network(*middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), *middle, nn.Linear(16, 3))


def swept(trained, **settings):
    given = {"start_lr": 1e-4, "end_lr": 1.0, "num_iter": 20, "seed": 1, **settings}
    return lr_find(trained, **given)
