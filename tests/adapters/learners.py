"""What the learners of all frameworks train on, and how what came of it is compared."""

import torch
from everything import changes
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

PIXELS, DIGITS = load_digits(return_X_y=True)
DATA = TensorDataset(torch.tensor(PIXELS, dtype=torch.float32) / 16, torch.tensor(DIGITS))


def network():
    """A body with dropout and batch norm, and a head."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        return nn.Sequential(body, nn.Linear(32, 10))


def without_addresses(found):
    """What `everything` found, but for where tensors lie."""
    return {
        path: value[1:] if isinstance(value, tuple) and len(value) == 6 else value
        for path, value in found.items()
    }


def assert_same(one, other):
    """Equal but for addresses and what time it took."""
    assert changes(without_addresses(one), without_addresses(other)) == []
