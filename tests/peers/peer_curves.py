"""Curves and scripted losses for the comparison with the released peers."""

import numpy as np

from lrsuggest.testing import simulated


def sweeps(count: int = 220) -> list[tuple[np.ndarray, np.ndarray]]:
    """Simulated range tests of many lengths, depths and noises."""
    rng = np.random.default_rng(0)
    out = []
    for seed in range(count):
        n = int(rng.choice([40, 71, 100, 150]))
        noise = float(rng.choice([0, 0.01, 0.05, 0.2]))
        out.append(simulated(n, 10 ** rng.uniform(-4, 0), rng.uniform(0.3, 2.4), noise, seed))
    return out


def oddities(count: int = 120) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random walks, constants, short, negative and non-finite sequences."""
    rng = np.random.default_rng(1)
    out = []
    for seed in range(count):
        n = int(rng.integers(1, 120))
        lr = np.geomspace(1e-7, 10, n) if n > 1 else np.array([1e-3])
        loss = 5 + np.cumsum(rng.normal(-0.02, 0.1, n))
        kind = seed % 6
        if kind == 1:
            loss[:] = 1.0
        elif kind == 2:
            loss[rng.integers(n)] = np.nan
        elif kind == 3:
            loss -= 8
        elif kind == 4:
            loss[rng.integers(n) :] = np.inf
        elif kind == 5:
            loss = np.round(loss, 1)
        out.append((lr, loss))
    return out


SCRIPTS = {
    "descent and blow-up": sweeps(3)[2][1],
    "noisy": simulated(100, 1e-2, 2.0, 0.3, 5)[1],
    "constant": np.ones(60),
    "negative": np.linspace(-1, -3, 60),
    "from positive to negative": np.linspace(2, -2, 60),
    "nan in the middle": np.where(np.arange(60) == 30, np.nan, np.linspace(3, 1, 60)),
    "nan first": np.where(np.arange(40) == 0, np.nan, np.linspace(3, 1, 40)),
    "inf at the end": np.where(np.arange(60) >= 50, np.inf, np.linspace(3, 1, 60)),
    "sudden divergence": np.where(np.arange(80) >= 40, 1e4, 2.0 - 0.02 * np.arange(80)),
    "slow divergence": np.concatenate([np.linspace(3, 0.5, 40), np.geomspace(0.5, 500, 60)]),
}
