"""The learning rate range test (Smith, arXiv:1506.01186): rising rates, one step each."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from lrsuggest.curves.arguments import seed as checked
from lrsuggest.curves.arguments import truth
from lrsuggest.curves.columns import Ended, Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.landmarks import blows_up
from lrsuggest.deprecated import LR_FIND, renamed
from lrsuggest.errors import UserError
from lrsuggest.extras import need
from lrsuggest.training.inspection import checks, misfits
from lrsuggest.training.inspection.gradients import alters_gradients
from lrsuggest.training.learner import Learner
from lrsuggest.training.replay import Replay
from lrsuggest.training.restore.randomness import seed_generator
from lrsuggest.training.settings import grid
from lrsuggest.training.snapshot import Snapshot, generators, taking_part

_FEWEST_BEFORE_STOP = 10
_SEVERAL = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"}
_LOOK_EVERY = {"cpu": 1}  # elsewhere a look makes the host wait, so it is taken every ten steps


def stop_at(loss: Floats) -> tuple[int, Ended] | None:
    """Return where a sweep with these losses should have stopped, and why; None for not yet.

    It stops at the first non-finite loss, or where the median of the last three losses exceeds
    the start by twice the span, the span being the largest fall below the start so far, or four
    standard deviations of the noise where that is more. The start is the median of the first
    five. The rule looks back only, and a*loss + b with a > 0 stops at the same step.

    Args:
        loss: shape (n,), the losses so far, in the order of the steps.
    """
    bad = np.flatnonzero(~np.isfinite(loss))
    end = int(bad[0]) if len(bad) else len(loss)
    verdict = (end, Ended.NON_FINITE) if len(bad) else None
    if end < _FEWEST_BEFORE_STOP:
        return verdict
    finite = loss[:end]
    start, least = _start_and_least_span(finite)
    windows = np.lib.stride_tricks.sliding_window_view(finite, 3)
    calm = np.concatenate([np.full(2, start), np.median(windows, axis=1)])
    fall = start - np.minimum(np.minimum.accumulate(calm), start)
    span = np.maximum(fall, least)
    high = np.flatnonzero(calm[_FEWEST_BEFORE_STOP:] > (start + 2 * span)[_FEWEST_BEFORE_STOP:])
    return (_FEWEST_BEFORE_STOP + int(high[0]), Ended.DIVERGED) if len(high) else verdict


def _start_and_least_span(loss: Floats) -> tuple[float, float]:
    """Return where finite losses start, and the span that the rule takes if they never fall."""
    # Noise from the first steps alone: there the rate is too small to move the loss.
    first = loss[:_FEWEST_BEFORE_STOP]
    jumps = 1.4826 * float(np.median(np.abs(np.diff(first)))) / math.sqrt(2)
    # Nine jumps may all be small by chance, as in one of 429 recorded sweeps; ten losses as well
    # are less likely to be.
    noise = max(jumps, float(np.std(first, ddof=1)))
    tiny = 1e-6 * float(np.abs(first).max())
    return float(np.median(first[:5])), max(4 * noise, tiny)


def seed_everything(learner: Learner, seed: int) -> None:
    """Seed torch, numpy, Python and every generator of the learner's batches, model and loss."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    for generator in generators(learner):
        seed_generator(generator, seed)


@renamed(LR_FIND)
def lr_find(
    learner: Learner,
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    num_iter: int = 100,
    furthest: float | None = None,
    seed: int | None = None,
    gain: bool = True,
    progress: bool = False,
) -> Curve:
    """Run a range test and leave the learner bitwise as it was, also after an exception.

    The rate rises geometrically from start_lr to end_lr; groups keep their ratios, and the rate on
    the curve is the largest group's. The loss at a rate is the one seen just before its step, as
    in fastai: it shows what the rates below have done.

    Args:
        learner: what to test.
        start_lr: first rate.
        end_lr: last rate.
        num_iter: optimizer steps planned; the test stops early when the loss blows up.
        furthest: where the loss has not blown up by the end, go on to higher rates, in the same
            ratio a step, until it does or this rate is reached; None ends there. The curve begins
            as if all those rates had been planned at once.
        seed: seed of data order and dropout; None goes on from the present state.
        gain: see of each step beside the loss what `Curve.measured` has. Costs one more forward
            pass a step and room for one more copy of the weights that train; without that room,
            or where a batch cannot be run again as it was, `measured` is None.
        progress: show a bar with the time left on standard error.

    Raises:
        UserError: the range or the number of steps cannot be used, there are no batches, or the
            model trains in several processes; or progress is wanted and rich is not installed.
    """
    checks.learner(learner, Learner, "lr_find(learner)")
    seed = checked(seed)
    truth("progress", progress)
    truth("gain", gain)
    if progress:
        need("progress=True", "progress", "rich")
    rates = grid(start_lr, end_lr, num_iter, furthest)
    _refuse_several(learner)
    checks.ready(learner)
    scale = None  # where a scaler begins, once that has been found
    with Snapshot(learner) as snapshot:
        if learner.scaler.is_enabled():
            # Else the first steps would be spent on finding the scale, and skipped.
            if seed is not None:  # dropout on a GPU draws from what ran before
                seed_everything(learner, seed)
            with learner.training():
                scale = learner.calibrate_scale(learner.endless())
            snapshot.rewind()
            learner.scaler.update(scale)
        if gain:
            try:
                return _sweep(learner, rates, num_iter, seed, progress, _replay(learner))
            except Exception as error:  # of memory: the same once more, with less
                if not misfits.lacks_memory(error):
                    raise
            snapshot.rewind()
            if scale is not None:
                learner.scaler.update(scale)
        return _sweep(learner, rates, num_iter, seed, progress)


def _replay(learner: Learner) -> Replay:
    """Return what looks on while a learner steps."""
    parts = taking_part(learner)
    return Replay(
        learner.grouped(), learner.again, parts,
        kept=[each for state in learner.optimizer.state.values() for each in _tensors(state)],
        untouched=not learner.edits_gradients and not alters_gradients(learner.optimizer)
        and learner.max_grad_norm is None and not learner.scaler.is_enabled(),
        grad=any(type(each).__name__ == "OptimizedModule" for each in parts),
        half=learner.precision != "fp32",
    )  # fmt: skip


def _tensors(state: object) -> list[torch.Tensor]:
    """Return what an optimizer has noted of a weight."""
    held = state.values() if isinstance(state, dict) else ()
    return [each for each in held if isinstance(each, torch.Tensor)]


@contextmanager
def _watched(learner: Learner, replay: Replay | None) -> Iterator[None]:
    """Let a learner tell of its steps within."""
    learner.replay = replay
    try:
        yield
    finally:
        learner.replay = None
        if replay:
            replay.stop()


def _sweep(
    learner: Learner, rates: Floats, num_iter: int, seed: int | None, progress: bool,
    replay: Replay | None = None,
) -> Curve:  # fmt: skip
    """Step at each of the rates, until the loss blows up; what that changes stays changed."""
    most = len(rates)
    look_every = _LOOK_EVERY.get(learner.device.type, 10)
    losses = torch.full((most,), math.nan, device=learner.device)
    # On a CPU a float goes into an array at a fraction of what a tensor costs in a tensor.
    on_host = np.full(most, math.nan) if look_every == 1 else None
    skipped = np.zeros(most, bool)
    done, ceiling = 0, math.inf
    verdict: tuple[int, Ended] | None = None
    if seed is not None:
        seed_everything(learner, seed)
    ratios = learner.group_ratios()
    learner.optimizer.zero_grad(set_to_none=True)
    batches = learner.endless()
    with learner.training(), _watched(learner, replay):
        scaled = learner.scaler.is_enabled()
        for index in counted(most, progress, "range test"):
            each = [float(rates[index]) * ratio for ratio in ratios]
            scale = learner.scaler.get_scale() if scaled else 0.0
            loss = misfits.step(learner, batches, each, index)
            done = index + 1
            if scaled:  # a scale that was lowered tells of an infinity and of a step not made
                skipped[index] = learner.scaler.get_scale() < scale
            if on_host is None:
                losses[index] = loss
                look = done % look_every == 0
            else:  # a loss below the ceiling cannot be what stops the test
                on_host[index] = value = loss.item()
                look = not (math.isfinite(value) and value <= ceiling)
                if done == _FEWEST_BEFORE_STOP:
                    start_loss, least = _start_and_least_span(on_host[:done])
                    ceiling = start_loss + 2 * least
                look = look or done > num_iter
            if look or done in (num_iter, most):
                seen = losses.cpu().double().numpy() if on_host is None else on_host
                verdict = stop_at(seen[:done])
                if most > num_iter:
                    until = verdict[0] if verdict else done
                    verdict = _risen(rates, seen, skipped, num_iter, until) or verdict
                if verdict:
                    break
    # The verdict names its step, so the curve does not depend on how often the rule was asked.
    last, ended = verdict or (done - 1, Ended.COMPLETED)
    n = last + 1
    return Curve(
        rates[:n], seen[:n], skipped=skipped[:n], ended=ended,
        measured=replay.measured(seen[:n], skipped[:n]) if replay else None,
    )  # fmt: skip


def _risen(
    rates: Floats, loss: Floats, skipped: NDArray[np.bool_], least: int, most: int
) -> tuple[int, Ended] | None:
    """Return the step, of `least` to `most` made, at which the loss has blown up; None for not yet.

    Where the range goes on by itself it need not go as far as the stop rule would have it: once
    the loss stays above its start by more than noise, what follows changes no pick of ours.
    """
    for n in range(least, most + 1):
        if blows_up(Curve(rates[:n], loss[:n], skipped=skipped[:n])):
            return n - 1, Ended.DIVERGED
    return None


def _refuse_several(learner: Learner) -> None:
    """Raise UserError where processes train together: each would stop at a step of its own."""
    kinds = {kind.__name__ for kind in type(learner.model).__mro__}
    distributed = torch.distributed
    together = distributed.is_available() and distributed.is_initialized()
    if together and distributed.get_world_size() > 1 and kinds & _SEVERAL:
        raise UserError(
            f"{type(learner.model).__name__} trains in {distributed.get_world_size()} processes, "
            "which a range test cannot follow; ask in one process, with the model as it was before"
        )


def counted(steps: int, progress: bool, what: str) -> Iterator[int]:
    """Count the steps, on a bar named `what` if wanted."""
    if not progress:
        yield from range(steps)
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(range(steps), what, console=Console(stderr=True), transient=True)
