"""One-cycle training (Smith and Topin, arXiv:1708.07120), as the course ran it."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lrsuggest.curves.arguments import number, whole
from lrsuggest.curves.arguments import seed as checked
from lrsuggest.curves.columns import Floats
from lrsuggest.errors import UserError
from lrsuggest.extras import need
from lrsuggest.training import rehearsal
from lrsuggest.training.inspection import checks, misfits
from lrsuggest.training.learner import Learner
from lrsuggest.training.sweep import counted, seed_everything

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# fastai 1's values, in force when the course's rates were picked.
_WARM_UP = 0.3
_DIV = 25.0
_FINAL_DIV = 1e4
_MOMENTUM = (0.95, 0.85)


@dataclass(frozen=True, eq=False)
class Fit:
    """What a one-cycle run saw.

    Attributes:
        lr: shape (n,), the largest group's rate at each optimizer step.
        momentum: shape (n,), SGD's momentum or Adam's first beta; NaN where there is neither.
        loss: shape (n,), the training loss before each step, in the loss's units.
        metrics: one dict per evaluation ("loss" is the validation loss), with "step".
        diverged: whether the training or the validation loss became non-finite; the run then
            stopped early.
    """

    lr: Floats
    momentum: Floats
    loss: Floats
    metrics: tuple[dict[str, float], ...]
    diverged: bool

    def plot_losses(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the training loss over the steps, and the validation losses; returns the axes."""
        ax = _axes(ax)
        ax.plot(np.arange(1, len(self.loss) + 1), self.loss, color="0.5", lw=1, label="training")
        if self.metrics:
            at = [(m["step"], m["loss"]) for m in self.metrics]
            ax.plot(*zip(*at, strict=True), "o-", color="#0072B2", label="validation")
        ax.set_xlabel("optimizer step")
        ax.set_ylabel("loss")
        ax.legend(frameon=False)
        return ax

    def plot_lr(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the rate over the steps, and the momentum if there is one; returns the axes."""
        ax = _axes(ax)
        steps = np.arange(1, len(self.lr) + 1)
        lines = ax.plot(steps, self.lr, color="#0072B2", label="learning rate")
        ax.set_xlabel("optimizer step")
        ax.set_ylabel("learning rate")
        if np.isfinite(self.momentum).any():
            right = ax.twinx()
            lines += right.plot(steps, self.momentum, "--", color="#D55E00", label="momentum")
            right.set_ylabel("momentum")
        ax.legend(handles=lines, frameon=False)
        return ax

    @property
    def valid_loss(self) -> float:
        """The last validation loss; infinity for a diverged run, NaN without validation data."""
        if self.diverged:
            return math.inf
        return self.metrics[-1]["loss"] if self.metrics else math.nan


def _axes(ax: "Axes | None") -> "Axes":
    if ax is None:
        need("a plot", "plot", "matplotlib")
        from matplotlib import pyplot as plt

        ax = plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
    return ax


def schedule(steps: int) -> tuple[Floats, Floats]:
    """Return one-cycle's rate, as a fraction of the maximum, and momentum; shapes (steps,).

    torch's OneCycleLR drives a throw-away optimizer, so that the real one, whose `step` a
    scheduler would wrap for good, is left alone. Under four steps there is no cycle to make: the
    rate stays at its maximum.
    """
    if steps < 4:
        return np.ones(steps), np.full(steps, _MOMENTUM[1])
    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        dummy,
        max_lr=1.0,
        total_steps=steps,
        pct_start=_WARM_UP,
        div_factor=_DIV,
        final_div_factor=_FINAL_DIV,
        max_momentum=_MOMENTUM[0],
        base_momentum=_MOMENTUM[1],
    )
    rate, momentum = np.empty(steps), np.empty(steps)
    for step in range(steps):
        rate[step] = dummy.param_groups[0]["lr"]
        momentum[step] = dummy.param_groups[0]["momentum"]
        dummy.step()
        if step < steps - 1:
            cycle.step()
    return rate, momentum


def group_rates(lr: float | slice, ratios: Sequence[float]) -> list[float]:
    """Return the maximum rate of each parameter group, first layers first.

    A number keeps the groups' present ratios. As in fastai, slice(lo, hi) spreads the rates
    geometrically and slice(hi) gives the last group hi and the others hi / 10.

    Raises:
        UserError: a rate is not positive and finite.
    """
    n = len(ratios)
    if not isinstance(lr, slice):
        return [number("the rate", lr) * ratio for ratio in ratios]
    if lr.stop is None or lr.step is not None:
        raise UserError(
            f"a slice's rates must be positive and finite, slice(lo, hi) or slice(hi); got {lr}"
        )
    high = number("the highest rate", lr.stop)
    if lr.start is None:
        return [high / 10] * (n - 1) + [high]
    low = number("the lowest rate", lr.start)
    return [float(x) for x in np.geomspace(low, high, n)] if n > 1 else [high]


def fit_one_cycle(
    learner: Learner,
    lr: float | slice,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    evaluations: int = 1,
    seed: int | None = None,
    progress: bool = False,
) -> Fit:
    """Train for one cycle: the rate rises to `lr` and falls away, the momentum mirrors it.

    Trains the learner's model in place. The optimizer's own rates and momenta are put back at
    the end. A loss that stops being finite ends the run and is a result, not an error.

    Args:
        learner: what to train; evaluated at the end (and after every epoch, if `epochs` is
            given) where it has `valid`.
        lr: maximum rate, or slice(lo, hi) or slice(hi) over the parameter groups.
        epochs: passes over the batches, 1 if neither this nor `steps` is given; needs batches
            with a length.
        steps: optimizer steps; the batches start over as often as needed.
        evaluations: with `steps`, how often to evaluate, evenly spaced, the last at the end.
        seed: seed of data order and dropout; None goes on from the present state.
        progress: show a bar with the time left on standard error.

    Raises:
        UserError: a value cannot be used.
    """
    checks.learner(learner, Learner, "fit_one_cycle(learner, lr)")
    if epochs is not None and steps is not None:
        raise UserError(f"give epochs or steps, not both; got {epochs} and {steps}")
    if steps is None:
        try:
            batches_per_epoch = len(learner.batches)  # type: ignore[arg-type]
        except TypeError:
            raise UserError("batches has no length, so give steps instead of epochs") from None
        # One evaluation an epoch: evenly spaced too.
        evaluations = whole("epochs", 1 if epochs is None else epochs, 1)
        steps = max(1, batches_per_epoch // learner.accumulate_steps) * evaluations
    steps = whole("steps", steps, 1)
    rate, momentum = schedule(steps)
    return _fit(learner, lr, rate, momentum, _spaced(steps, evaluations), seed, progress)


def fit_constant(
    learner: Learner,
    lr: float | slice,
    *,
    steps: int,
    evaluations: int = 1,
    seed: int | None = None,
    progress: bool = False,
) -> Fit:
    """Train at a constant rate and the optimizer's own momentum, as `fit_one_cycle` does otherwise.

    Raises:
        UserError: a value cannot be used.
    """
    checks.learner(learner, Learner, "fit_constant(learner, lr)")
    steps = whole("steps", steps, 1)
    rate, momentum = constant(steps)
    return _fit(learner, lr, rate, momentum, _spaced(steps, evaluations), seed, progress)


def constant(steps: int) -> tuple[Floats, Floats]:
    """Return a rate that stays, as `schedule` returns a cycle's: shares of 1, and NaN for momenta.

    NaN leaves the optimizer's own momentum alone.
    """
    return np.ones(steps), np.full(steps, math.nan)


def _spaced(steps: int, evaluations: int) -> set[int]:
    """Return after which steps to evaluate."""
    evaluations = whole("evaluations", evaluations, 1)
    if evaluations > steps:
        raise UserError(
            f"evaluations={evaluations} is more than the {steps} steps there are to evaluate "
            "after; ask for no more than those"
        )
    return {steps * (k + 1) // evaluations for k in range(evaluations)}


def _fit(
    learner: Learner,
    lr: float | slice,
    rate: Floats,
    momentum: Floats,
    evaluate_after: set[int],
    seed: int | None,
    progress: bool,
) -> Fit:
    """Train along a schedule of rates, as shares of the maximum, and momenta (NaN: leave it)."""
    seed = checked(seed)
    if progress:
        need("progress=True", "progress", "rich")
    checks.ready(learner)
    steps = len(rate)
    tops = group_rates(lr, learner.group_ratios())
    groups = learner.optimizer.param_groups
    momenta = ("momentum", "betas")
    kept: list[dict[str, Any]] = [{k: group[k] for k in momenta if k in group} for group in groups]
    kept_rates = [float(group["lr"]) for group in groups]
    cycles = bool(np.isfinite(momentum).all()) and any(
        set_momentum(group, 0.9, dry=True) for group in groups
    )
    losses = torch.full((steps,), math.nan, device=learner.device)
    look_every = 1 if learner.device.type == "cpu" else 10
    metrics: list[dict[str, float]] = []
    done, diverged = 0, False
    undone: AbstractContextManager[None]
    undone = rehearsal.undone_on_error(rehearsal.evaluated(learner))
    with learner.training():
        learner.optimizer.zero_grad(set_to_none=True)  # a stray gradient is none of the run's
        if seed is not None:
            seed_everything(learner, seed)
        batches = learner.endless()
        try:
            for index in counted(steps, progress, "one-cycle"):
                for group in groups if cycles else ():
                    set_momentum(group, float(momentum[index]))
                rates = [top * float(rate[index]) for top in tops]
                with undone:
                    losses[index] = misfits.step(learner, batches, rates, index)
                undone = nullcontext()
                done = index + 1
                if done % look_every == 0 or done == steps:
                    recent = losses[done - min(done, look_every) : done]
                    diverged = not bool(torch.isfinite(recent).all())
                if done in evaluate_after and not diverged and learner.valid is not None:
                    with torch.random.fork_rng(devices=[]):  # a DataLoader draws at every pass
                        metrics.append({"step": done, **learner.evaluate()})
                    diverged = not math.isfinite(metrics[-1]["loss"])
                if diverged:
                    break
        finally:
            learner.set_lr(kept_rates)
            for group, values in zip(groups, kept, strict=True):
                group.update(values)
    return Fit(
        lr=max(tops) * rate[:done],
        momentum=momentum[:done] if cycles else np.full(done, math.nan),
        loss=losses[:done].cpu().double().numpy(),
        metrics=tuple(metrics),
        diverged=diverged,
    )


def set_momentum(group: dict[str, object], value: float, *, dry: bool = False) -> bool:
    """Set a group's momentum or first beta; says whether it has one (SGD's 0 counts as none)."""
    betas = group.get("betas")
    if isinstance(betas, tuple):
        if not dry:
            group["betas"] = (value, *betas[1:])
        return True
    if group.get("momentum"):
        if not dry:
            group["momentum"] = value
        return True
    return False
