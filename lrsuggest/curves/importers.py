"""Curves that other libraries' finders have recorded, with their smoothing undone.

None of them keeps the losses, all keep a moving average, which lags: after a step in the loss it
shows half of the fall some two decades late (beta .98). But an average of all that came before
can be taken apart again, step by step. What is lost is what its rounding hid: fastai averages in
single precision, so the losses come back to within 1e-4 of the average's size (4e-5 was the most
seen), far below the noise of a batch; the others average in double precision (errors of 1e-13).

Formulas as in fastai 2.8.12 (learner.py, AvgSmoothLoss), pytorch-lightning 2.6.6
(tuner/lr_finder.py, _LRCallback), torch-lr-finder 0.2.2 (lr_finder.py, range_test) and
pytorch-ignite 0.5.5 (handlers/lr_finder.py, _log_lr_and_loss).
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrsuggest.curves.arguments import shown
from lrsuggest.curves.columns import Columns, Ended, Floats
from lrsuggest.errors import UserError

_LIGHTNING_BETA = 0.98  # not to be chosen there


def fastai(recorder: Any) -> Columns:
    """Return the curve in the recorder of a fastai 2 Learner (see `Curve.from_fastai`)."""
    try:
        lrs, recorded, beta = recorder.lrs, recorder.losses, float(recorder.smooth_loss.beta)
    except AttributeError:
        raise UserError(
            f"from_fastai reads learn.recorder after learn.lr_find(); this "
            f"{type(recorder).__name__} holds no range test"
        ) from None
    lr, average = _numbers(lrs), _numbers(recorded)
    _rising(lr, "learn.recorder", "call learn.lr_find() again and read it before you train on")
    return Columns(lr, taken_apart(average, beta), ended=_ended(average, stops_above=4))


def lightning(finder: Any) -> Columns:
    """Return the curve of a Lightning finder (see `Curve.from_lightning`)."""
    try:
        lr, average = _numbers(finder.results["lr"]), _numbers(finder.results["loss"])
        planned = int(finder.num_training)
    except UserError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"from_lightning reads what Tuner(trainer).lr_find(...) returns; this "
            f"{type(finder).__name__} holds no results"
        ) from None
    # NaN with numbers after it is a training_step that returned None: no update was made.
    numbers = np.flatnonzero(~np.isnan(average))
    skipped = np.isnan(average) & (np.arange(len(average)) < (numbers[-1] if len(numbers) else 0))
    loss = taken_apart(average, _LIGHTNING_BETA, ahead=1)
    ended = _ended(average[~skipped], stops_above=4, short=len(average) < planned)
    return Columns(lr, loss, skipped=skipped, ended=ended)


def torch_lr_finder(history: Mapping[str, Sequence[Any]], smooth_f: float) -> Columns:
    """Return the curve of a torch-lr-finder history (see `Curve.from_torch_lr_finder`)."""
    lr, average = _history(history, "from_torch_lr_finder reads LRFinder.history")
    return Columns(lr, _mixed_apart(average, smooth_f), ended=_ended(average, stops_above=5))


def ignite(finder: Any, smooth_f: float) -> Columns:
    """Return the curve of an ignite finder (see `Curve.from_ignite`)."""
    history = finder.get_results() if hasattr(finder, "get_results") else None
    lr, average = _history(history, "from_ignite reads a FastaiLRFinder after its run")
    # Each recorded rate is the next step's; the first step's own was never written down.
    loss = _mixed_apart(average, smooth_f)[1:]
    return Columns(lr[:-1], loss, ended=_ended(average, stops_above=5))


def taken_apart(average: Floats, beta: float, ahead: int = 0) -> Floats:
    """Return the losses behind a debiased moving average, shape (n,).

    The average a(k) = beta a(k-1) + (1 - beta) loss(k) from a(0) = 0 was recorded as
    a(k) / (1 - beta ** (k + ahead)). A step without a number leaves the average as it was.

    Args:
        average: shape (n,), as recorded.
        beta: share that the average keeps.
        ahead: by how many steps the debiasing is off.
    """
    losses, before = [], 0.0
    for step, value in enumerate(average.tolist(), start=1):
        now = value * (1 - beta ** (step + ahead))
        losses.append((now - beta * before) / (1 - beta))
        before = before if math.isnan(now) else now
    return np.array(losses)


def _mixed_apart(average: Floats, share: float) -> Floats:
    """Return the losses behind average(k) = share loss(k) + (1 - share) average(k - 1)."""
    if not isinstance(share, Real) or not 0 <= float(share) < 1:
        raise UserError(f"smooth_f must lie in 0 to 1, as in range_test; got {shown(share)}")
    if share == 0:  # there it stands for no smoothing
        return average
    with np.errstate(invalid="ignore"):  # after an infinity nothing can be told
        later = (average[1:] - (1 - share) * average[:-1]) / share
    return np.append(average[:1], later)


def _ended(average: Floats, *, stops_above: float, short: bool = False) -> Ended:
    """Tell from the average how the library's own stop rule ended the test."""
    if not np.isfinite(average).all():
        return Ended.NON_FINITE
    if len(average) and average[-1] > stops_above * average.min():
        return Ended.DIVERGED
    return Ended.DATA_RAN_OUT if short else Ended.COMPLETED


def _history(history: Any, what: str) -> tuple[Floats, Floats]:
    """Return (lr, average) of a history with these keys; of several groups the largest rate."""
    try:
        rates, average = history["lr"], _numbers(history["loss"])
    except (KeyError, TypeError):
        raise UserError(f"{what}; this {type(history).__name__} has no lists lr and loss") from None
    lr = _numbers([max(each) if isinstance(each, list) else each for each in rates])
    _rising(lr, "this history", "give the one of an exponential or linear range test")
    return lr, average


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers or tensors of one element as an array.

    Raises:
        UserError: one is neither.
    """
    try:
        return np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(
            f"a range test holds numbers only; got {values!r:.80}; give the finder's own records"
        ) from None


def _rising(lr: Floats, what: str, mend: str) -> None:
    if (np.diff(lr) <= 0).any():
        at = int(np.argmax(np.diff(lr) <= 0))
        raise UserError(
            f"{what} holds no range test: its rate {lr[at]:g} is followed by {lr[at + 1]:g}; {mend}"
        )
