"""The curve of a learning rate range test: what was measured, and how the test ended."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrsuggest.curves import csv, importers
from lrsuggest.curves.arguments import a, truth
from lrsuggest.curves.columns import Columns, Ended, Floats, Measured, flags, frozen
from lrsuggest.errors import UserError
from lrsuggest.files import output


def _nulls(values: list[Any]) -> list[Any]:
    """Make a list, or a list of lists, fit for JSON: what is not finite becomes None."""
    return [_nulls(x) if isinstance(x, list) else x if math.isfinite(x) else None for x in values]


def _nans(values: list[Any]) -> list[Any]:
    """Make None NaN."""
    return [_nans(x) if isinstance(x, list) else math.nan if x is None else x for x in values]


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
        measured: what our own sweep sees of each step beside the loss; None in any other curve.

    Raises:
        UserError: the arrays differ in length, or the rates are not positive and rising.
    """

    lr: Floats
    loss: Floats
    smoothed: bool
    skipped: NDArray[np.bool_]
    ended: Ended
    measured: Measured | None = None

    def __init__(
        self,
        lr: ArrayLike,
        loss: ArrayLike,
        *,
        smoothed: bool = False,
        skipped: Sequence[bool] | NDArray[np.bool_] | None = None,
        ended: Ended | str = Ended.COMPLETED,
        measured: Measured | None = None,
    ) -> None:
        rates, losses = frozen(lr, "lr"), frozen(loss, "loss")
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
        truth("smoothed", smoothed)
        skips = np.zeros(len(rates), bool) if skipped is None else flags(skipped, len(rates))
        skips.flags.writeable = False
        try:
            end = Ended(ended)
        except ValueError:
            known = ", ".join(f'"{e}"' for e in Ended)
            raise UserError(f"ended must be one of {known}; got {ended!r}") from None
        if measured is not None and not isinstance(measured, Measured):
            raise UserError(f"measured must be a Measured, or None; got {a(measured)}")
        if measured is not None and len(measured) != len(rates):
            raise UserError(
                f"measured must be as long as lr; they hold {len(measured)} and {len(rates)} values"
            )
        for name, value in (
            ("lr", rates),
            ("loss", losses),
            ("smoothed", bool(smoothed)),
            ("skipped", skips),
            ("ended", end),
            ("measured", measured),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def _of(cls, columns: Columns, *, smoothed: bool = False) -> Self:
        return cls(
            columns.lr, columns.loss,
            smoothed=smoothed, skipped=columns.skipped, ended=columns.ended,
            measured=columns.measured,
        )  # fmt: skip

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

    @property
    def gain(self) -> Floats | None:
        """What each step won on its own batch, as a share of what the slope promised; shape (n,).

        1 where the loss is as good as straight along the step, 1/2 at the best length of a step
        along a parabola, 0 where the step wins nothing. NaN where it was not seen or no fall was
        promised; None without `measured`.
        """
        if self.measured is None:
            return None
        total = self.measured.total
        promised = np.where(total["slope"] < 0, -total["slope"], np.nan)
        return np.asarray((self.loss - total["loss_after"]) / promised)

    def to_json(self) -> str:
        """Return the curve as one line of strict JSON; what is not finite becomes null."""
        told = {
            "lr": self.lr.tolist(),
            "loss": _nulls(self.loss.tolist()),
            "smoothed": self.smoothed,
            "skipped": np.flatnonzero(self.skipped).tolist(),
            "ended": str(self.ended),
        }
        if self.measured is not None:
            each = vars(self.measured).items()
            told["measured"] = {name: _nulls(values.tolist()) for name, values in each}
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; null becomes NaN.

        Raises:
            UserError: the text is no such curve.
        """
        if not isinstance(text, str):
            raise UserError(
                f"from_json reads the text that to_json wrote; got {a(text)}: read a file first, "
                "Path(...).read_text()"
            )
        try:
            data = json.loads(text.removeprefix("\ufeff"))
            lr, loss, places = data["lr"], data["loss"], data["skipped"]
            smoothed, ended = data["smoothed"], data["ended"]
            for name, values, kinds in (
                ("lr", lr, (int, float)), ("loss", loss, (int, float, type(None))),
                ("skipped", places, (int,)), ("smoothed", [smoothed], (bool,)),
                ("ended", [ended], (str,)),
            ):  # fmt: skip
                if type(values) is not list or any(type(value) not in kinds for value in values):
                    raise ValueError(f"{name} is of another type")
            if not all(0 <= place < len(lr) for place in places):
                raise ValueError(f"skipped must hold places from 0 to {len(lr) - 1}")
            measured = data.get("measured")
            if measured is not None:
                each: Any = {name: _nans(values) for name, values in measured.items()}
                measured = Measured(**each)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            said = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise UserError(f"this is no curve in lrsuggest's JSON form: {said}") from None
        skipped = np.zeros(len(lr), bool)
        skipped[places] = True
        return cls(
            lr, _nans(loss), smoothed=smoothed, skipped=skipped, ended=ended, measured=measured
        )

    def to_csv(self, path: str | Path) -> None:
        """Write the columns lr, loss and skipped (0 or 1), a step a row.

        What was measured beside them follows: loss_after, slope, step_norm and weight_norm, of
        several groups also group by group (slope_group_1, ...). Numbers are written so that
        `from_csv` reads the same bits. `smoothed` and `ended` are not written; `to_json` keeps
        them.

        Raises:
            UserError: the file cannot be written; one that was there stays as it is.
        """
        with output(path) as file:
            file.write(csv.write(self.lr, self.loss, self.skipped, self.measured).encode())

    @classmethod
    def from_csv(cls, path: str | Path, *, smoothed: bool = False) -> Self:
        """Read a table of text whose header names the columns lr and loss.

        Also learning_rate, train_loss and training_loss, in capitals, with spaces or units, and as
        loggers name them (train/loss, train_loss_step, lr-AdamW); `skipped` (0 or 1) and what else
        `to_csv` writes are optional, other columns are left alone. Commas, semicolons or tabs
        divide the columns, a point the decimals, or a comma if it does so in all of them and cannot
        mean thousands. Blank lines and comments (with # before them) do not count, nor do rows
        with neither rate nor loss (an evaluation); rate and loss in two rows of one step are one. A
        loss may be nan or inf; the last may be empty, which means nan.

        Args:
            path: the file, UTF-8.
            smoothed: whether the losses have been smoothed already.

        Raises:
            UserError: the file or a column is missing, a value is not a number, or the rates do
                not rise; the sentence names the line and the value.
        """
        truth("smoothed", smoothed)
        return cls._of(csv.read(path, smoothed=smoothed), smoothed=smoothed)

    @classmethod
    def from_fastai(cls, recorder: Any) -> Self:
        """Read `learn.recorder` after fastai 2's `learn.lr_find()`.

        The recorded moving average is undone (lrsuggest/curves/importers.py), so these are the
        losses themselves, to within 1e-4 of the average's size.

        Raises:
            UserError: it holds no range test, or a training run has replaced it.
        """
        return cls._of(importers.fastai(recorder))

    @classmethod
    def from_lightning(cls, finder: Any) -> Self:
        """Read what Lightning's `Tuner(trainer).lr_find(...)` returns.

        The recorded moving average is undone, its exponent too high by one included. A step
        whose `training_step` returned None counts as skipped. Under gradient accumulation
        Lightning records the last batch of each step, divided by their number.

        Raises:
            UserError: it holds no results.
        """
        return cls._of(importers.lightning(finder))

    @classmethod
    def from_torch_lr_finder(
        cls, history: Mapping[str, Sequence[Any]], *, smooth_f: float = 0.05
    ) -> Self:
        """Read `LRFinder.history` of torch-lr-finder; its smoothing is undone.

        Args:
            history: lists "lr" and "loss".
            smooth_f: what `range_test` was given.

        Raises:
            UserError: it holds no range test, or smooth_f is out of range.
        """
        return cls._of(importers.torch_lr_finder(history, smooth_f))

    @classmethod
    def from_ignite(cls, finder: Any, *, smooth_f: float = 0.05) -> Self:
        """Read ignite's `FastaiLRFinder` after its run; its smoothing is undone.

        Each rate ignite records is the next step's, which is put right. The first step ran at a
        rate that was not recorded, and is left out.

        Args:
            finder: with `get_results()`.
            smooth_f: what `attach` was given.

        Raises:
            UserError: it holds no range test, or smooth_f is out of range.
        """
        return cls._of(importers.ignite(finder, smooth_f))
