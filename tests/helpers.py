"""What several test modules build on."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.testing import simulated
from lrsuggest.training.learner import Learner


def make_learner(**settings) -> Learner:
    """A small network with dropout and batch norm on two separable classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=generator)
    y = (x[:, :3].sum(1) > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)
        )
    data = TensorDataset(x, y)
    train = DataLoader(data, 32, shuffle=True, generator=torch.Generator().manual_seed(2))
    valid = DataLoader(data, 64)
    optimizer = settings.pop("optimizer", None)
    made = optimizer(model) if optimizer else torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Learner(model, nn.functional.cross_entropy, train, made, valid=valid, **settings)


def sweep_like(
    n: int = 100, *, bottom: float = 1e-1, fall: float = 2.0, noise: float = 0.0, seed: int = 0
):
    """A curve with the shape of a range test: flat, a descent, a minimum, a blow-up."""
    return simulated(n, bottom, fall, noise, seed)
