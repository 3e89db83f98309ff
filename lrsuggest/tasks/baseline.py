"""What the best constant prediction loses: the least that training has to beat."""

import numpy as np
import torch
from torch.nn import functional as F

from lrsuggest.tasks.data.batches import to_unit
from lrsuggest.tasks.data.resident import Resident


def naive_loss(data: Resident, kind: str) -> float:
    """Return the validation loss of the best constant fitted to the training examples.

    The training mean for points and values (mean squared error), the training frequencies for
    classes, masks and tokens (cross entropy, natural logarithm).
    """
    targets = torch.from_numpy(data.targets)
    if kind == "points":
        targets = to_unit(targets, data.size)
    valid = torch.from_numpy(data.valid)
    train, held = targets[~valid], targets[valid]
    if kind in ("points", "regression"):
        return float(F.mse_loss(train.mean(dim=0).expand_as(held), held))
    counts = np.bincount(train.flatten().numpy(), minlength=len(data.classes))
    shares = torch.from_numpy((counts + 1) / (counts.sum() + len(counts)))  # none is impossible
    return float(-shares.log()[held.flatten().long()].mean())
