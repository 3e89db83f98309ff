"""What the best constant prediction loses: the least that training has to beat."""

import numpy as np

from lrsuggest.tasks.data.resident import Resident


def naive_loss(data: Resident, kind: str) -> float:
    """Return the validation loss of the best constant fitted to the training examples.

    The training mean for points (as shares of the side, from -1 to 1) and values (mean squared
    error), the training frequencies for classes, masks and tokens (cross entropy, natural
    logarithm). Without torch, which a report has no other need of.
    """
    train, held = data.targets[~data.valid], data.targets[data.valid]
    if kind in ("points", "regression"):
        error = held.astype(np.float64) - train.mean(axis=0, dtype=np.float64)
        if kind == "points":
            height, width = data.size
            error = error * 2 / (width, height)
        return float(np.mean(error**2))
    counts = np.bincount(train.ravel(), minlength=len(data.classes))
    shares = (counts + 1) / (counts.sum() + len(counts))  # none is impossible
    seen = np.bincount(held.ravel(), minlength=len(shares))
    return float(-np.average(np.log(shares), weights=seen))
