"""What a range test gives: a column of rates, one of losses, what was skipped, how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrsuggest.errors import UserError

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


def frozen(values: ArrayLike, name: str, ndim: int = 1) -> Floats:
    """Return numbers as an array of their own that nobody can write to.

    Raises:
        UserError: they are none, or of another number of dimensions.
    """
    try:
        found = np.asarray(_detached(values))
        if found.dtype.kind in "cmM":  # complex numbers and dates, which numpy would convert
            raise TypeError
        array = np.array(found, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{name} must hold numbers only; got {values!r:.80}") from None
    if array.ndim != ndim:
        wanted = "one-dimensional" if ndim == 1 else "a table, a step a row"
        raise UserError(f"{name} must be {wanted}; its shape is {array.shape}")
    array.flags.writeable = False
    return array


def _detached(values: Any) -> Any:
    """Return values that torch still keeps for gradients, or on a device, as plain numbers."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        if getattr(values, "is_complex", bool)():
            return values.numpy()
        return values.double().numpy() if hasattr(values, "double") else values
    if isinstance(values, list | tuple) and any(hasattr(each, "detach") for each in values):
        return [_detached(each) for each in values]
    return values


def flags(skipped: Any, n: int) -> NDArray[np.bool_]:
    """Return which steps were skipped.

    Raises:
        UserError: it is no yes or no (or 1 or 0) for each step.
    """
    try:
        found = np.asarray(_detached(skipped))
        right = found.ndim == 1 and bool(np.isin(found, (0, 1)).all())
    except (TypeError, ValueError, RuntimeError):
        right = False
    if not right:
        raise UserError(
            f"skipped must say True or False for each step, or be left out; got {skipped!r:.80}"
        )
    if len(found) != n:
        raise UserError(f"skipped must be as long as lr; they hold {len(found)} and {n} values")
    return found.astype(bool)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a sweep of ours sees of each step beside the loss before it; NaN where it does not.

    Sizes are Euclidean norms over the weights of a parameter group.

    Attributes:
        loss_after: shape (n,), the loss on the same batch after the step, in the loss's units, with
            the same dropout.
        slope: shape (n, groups), the gradient of that loss, before the step, times the step: what
            the loss would change by were it linear.
        step_norm: shape (n, groups), the size of the step.
        weight_norm: shape (n, groups), the size of the weights before it.

    Raises:
        UserError: they are not numbers of these shapes.
    """

    loss_after: Floats
    slope: Floats
    step_norm: Floats
    weight_norm: Floats

    def __post_init__(self) -> None:
        for each in fields(self):
            axes = 1 if each.name == "loss_after" else 2
            object.__setattr__(self, each.name, frozen(getattr(self, each.name), each.name, axes))
        n, shape = len(self.loss_after), self.slope.shape
        if not self.slope.shape == self.step_norm.shape == self.weight_norm.shape or shape[0] != n:
            raise UserError(
                "loss_after, slope, step_norm and weight_norm must hold a value for each step, the "
                f"last three for each group too; their shapes are {self.loss_after.shape}, "
                f"{shape}, {self.step_norm.shape} and {self.weight_norm.shape}"
            )

    def __len__(self) -> int:
        return len(self.loss_after)

    @property
    def groups(self) -> int:
        """How many parameter groups there are."""
        return int(self.slope.shape[1])

    @property
    def total(self) -> dict[str, Floats]:
        """The four over all groups, by name, each (n,)."""
        return {
            "loss_after": self.loss_after,
            "slope": self.slope.sum(axis=1),
            "step_norm": _length(self.step_norm),
            "weight_norm": _length(self.weight_norm),
        }

    def first(self, n: int) -> "Measured":
        """Return what was seen of the first n steps."""
        return Measured(
            self.loss_after[:n], self.slope[:n], self.step_norm[:n], self.weight_norm[:n]
        )


def _length(norms: Floats) -> Floats:
    """Return the norm over all groups of each step, (n, groups) to (n,); of one to the bit."""
    return norms[:, 0] if norms.shape[1] == 1 else np.sqrt((norms**2).sum(axis=1))


@dataclass(frozen=True)
class Columns:
    """What a reader found, before it is looked at as a curve.

    Attributes:
        lr: shape (n,), rates.
        loss: shape (n,), losses in the loss's own units.
        skipped: shape (n,), True where no step was made; None means nowhere.
        ended: how the test ended.
        measured: what else was seen of each step.
    """

    lr: ArrayLike
    loss: ArrayLike
    skipped: Sequence[bool] | NDArray[np.bool_] | None = None
    ended: Ended = Ended.COMPLETED
    measured: Measured | None = None
