"""Fixtures that several test modules share."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.training.learner import Learner

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data; without it the tests that want it say what was missing."""
    root = Path(os.environ.get("LRSUGGEST_DATA") or SHARED)
    missing = [name for name in ("camvid11", "face_landmarks") if not (root / name).is_dir()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {root}; set LRSUGGEST_DATA")
    return root


@pytest.fixture
def learner() -> Learner:
    """A small network with dropout and batch norm on two separable classes."""
    return make_learner()


def make_learner(**settings) -> Learner:
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
    lr = np.geomspace(1e-7, 10, n)
    x = np.log10(lr / bottom)
    loss = 2.5 - fall / (1 + np.exp(-3 * (x + 2))) + 2.0 * np.exp(3.5 * (x - 0.6))
    return lr, loss + noise * np.random.default_rng(seed).normal(size=n)
