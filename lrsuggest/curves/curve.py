"""The curve of a learning rate range test: what was measured, and how the test ended."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

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


def _frozen(values: ArrayLike, name: str) -> Floats:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} must hold numbers only; got {values!r:.80}") from None
    if array.ndim != 1:
        raise UserError(f"{name} must be one-dimensional; its shape is {array.shape}")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Curve:
    """Loss against rate, as measured in one range test.

    Attributes:
        lr: shape (n,), the rate of each optimizer step, positive and strictly rising.
        loss: shape (n,), the training loss seen just before that step, in the loss's own units,
            unsmoothed; the last ones may be non-finite.
        smoothed: whether another library has smoothed the losses already; if so they are not
            smoothed again.
        skipped: shape (n,), True where the optimizer skipped the step (a loss scaler found an
            infinity), so that no update was made at that rate. None means none was skipped.
        ended: how the test ended, an `Ended` or its text.

    Raises:
        UserError: the arrays differ in length, or the rates are not positive and rising.
    """

    lr: Floats
    loss: Floats
    smoothed: bool
    skipped: NDArray[np.bool_]
    ended: Ended

    def __init__(
        self,
        lr: ArrayLike,
        loss: ArrayLike,
        *,
        smoothed: bool = False,
        skipped: Sequence[bool] | NDArray[np.bool_] | None = None,
        ended: Ended | str = Ended.COMPLETED,
    ) -> None:
        rates, losses = _frozen(lr, "lr"), _frozen(loss, "loss")
        if len(rates) != len(losses):
            raise UserError(
                f"lr and loss must be equally long; they hold {len(rates)} and {len(losses)} values"
            )
        if not (np.isfinite(rates).all() and (rates > 0).all()):
            bad = rates[~(np.isfinite(rates) & (rates > 0))][0]
            raise UserError(f"every lr must be positive and finite; one is {bad:g}")
        if (np.diff(rates) <= 0).any():
            at = int(np.argmax(np.diff(rates) <= 0))
            raise UserError(
                f"lr must rise from step to step; {rates[at]:g} is followed by {rates[at + 1]:g}"
            )
        skips = np.zeros(len(rates), bool) if skipped is None else np.array(skipped, dtype=bool)
        if skips.shape != rates.shape:
            raise UserError(
                f"skipped must be as long as lr; they hold {len(skips)} and {len(rates)} values"
            )
        skips.flags.writeable = False
        try:
            end = Ended(ended)
        except ValueError:
            known = ", ".join(f'"{e}"' for e in Ended)
            raise UserError(f"ended must be one of {known}; got {ended!r}") from None
        for name, value in (
            ("lr", rates),
            ("loss", losses),
            ("smoothed", bool(smoothed)),
            ("skipped", skips),
            ("ended", end),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.lr)

    def __repr__(self) -> str:
        if not len(self):
            return f"Curve(empty, {self.ended})"
        return f"Curve({len(self)} steps, {self.lr[0]:.2g} to {self.lr[-1]:.2g}, {self.ended})"

    @property
    def step_decades(self) -> float:
        """The median distance between neighbouring rates, in decades; 0 under two points."""
        return float(np.median(np.diff(np.log10(self.lr)))) if len(self) > 1 else 0.0

    def to_json(self) -> str:
        """Return the curve as one line of strict JSON; non-finite losses become null."""
        return json.dumps(
            {
                "lr": self.lr.tolist(),
                "loss": [x if math.isfinite(x) else None for x in self.loss.tolist()],
                "smoothed": self.smoothed,
                "skipped": np.flatnonzero(self.skipped).tolist(),
                "ended": str(self.ended),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Curve":
        """Read what `to_json` wrote; null losses become NaN.

        Raises:
            UserError: the text is no such curve.
        """
        try:
            data = json.loads(text)
            skipped = np.zeros(len(data["lr"]), bool)
            skipped[data["skipped"]] = True
            loss = [math.nan if x is None else x for x in data["loss"]]
            smoothed, ended = data["smoothed"], data["ended"]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise UserError(f"this is no curve in lrsuggest's JSON form: {error}") from None
        return cls(data["lr"], loss, smoothed=smoothed, skipped=skipped, ended=ended)

    def to_csv(self, path: str | Path) -> None:
        """Write the columns lr, loss and skipped (0 or 1), a step a row."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["lr", "loss", "skipped"])
            for lr, loss, skip in zip(self.lr, self.loss, self.skipped, strict=True):
                out.writerow([repr(float(lr)), repr(float(loss)), int(skip)])

    @classmethod
    def from_csv(cls, path: str | Path, *, smoothed: bool = False) -> "Curve":
        """Read a file with a header that names the columns lr and loss (skipped is optional).

        Raises:
            UserError: the file is missing, lacks a column, or holds something not a number.
        """
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"{path} cannot be read as a curve: {reason}") from None
        if not rows or not {"lr", "loss"} <= rows[0].keys():
            raise UserError(f"{path} needs a header line with the columns lr and loss, then rows")
        try:
            lr = [float(row["lr"]) for row in rows]
            loss = [float(row["loss"]) for row in rows]
            skipped = [bool(int(row.get("skipped") or 0)) for row in rows]
        except (TypeError, ValueError) as error:
            raise UserError(f"{path} holds something that is not a number: {error}") from None
        ended = Ended.COMPLETED if np.isfinite(loss).all() else Ended.NON_FINITE
        return cls(lr, loss, smoothed=smoothed, skipped=skipped, ended=ended)
