"""What a range test gives: a column of rates, one of losses, what was skipped, how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Ended(StrEnum):
    """How a range test came to its end."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"
    DATA_RAN_OUT = "data ran out"

    @property
    def sentence(self) -> str:
        """Say it in a sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Ended.COMPLETED: "Every planned rate was tried.",
    Ended.DIVERGED: "The loss blew up and the test was stopped there.",
    Ended.NON_FINITE: "The loss became infinite or not a number and the test was stopped there.",
    Ended.DATA_RAN_OUT: "The data ran out before every planned rate was tried.",
}


@dataclass(frozen=True)
class Columns:
    """What a reader found, before it is looked at as a curve.

    Attributes:
        lr: shape (n,), rates.
        loss: shape (n,), losses in the loss's own units.
        skipped: shape (n,), True where no step was made; None means nowhere.
        ended: how the test ended.
    """

    lr: ArrayLike
    loss: ArrayLike
    skipped: Sequence[bool] | NDArray[np.bool_] | None = None
    ended: Ended = Ended.COMPLETED
