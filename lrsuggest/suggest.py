"""The front door: one call from a learner, or a curve already recorded, to a rate."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lrsuggest.adapters.dispatch import adapter
from lrsuggest.curves.answer import DEFAULT_HEURISTIC, Cost
from lrsuggest.curves.arguments import a, number, shown, truth, whole
from lrsuggest.curves.arguments import seed as checked
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.pooling import pool
from lrsuggest.curves.suggestion import Suggestion, asked, suggest
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.extras import need

_TAKEN = (
    "a lrsuggest or fastai Learner, Lightning's (trainer, module), a Hugging Face Trainer "
    "or a Curve"
)
_WRAP = "model: suggest_lr(Learner(model, loss_fn, batches, optimizer))"

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner


_START, _END, _FURTHEST = 1e-7, 10.0, 1e3  # of a sweep whose range the caller leaves to us
# docs/findings.md, "How far a pick moves": half as many steps move it by .19 decades in the median,
# where another order of the data does by .12; fewer were not measured.
_STEPS, _FEWEST_STEPS = 100, 50


def suggest_lr(
    x: "Learner | Curve | Any",
    *more: Any,
    batches: Any = None,
    valid: Any = None,
    optimizer: str | None = None,
    stage: str | None = None,
    train_steps: int | None = None,
    batch_size: int | None = None,
    schedule: str | None = None,
    fallback: float | None = None,
    heuristic: str = DEFAULT_HEURISTIC,
    replicates: int = 1,
    probes: int = 0,
    probe_steps: int | None = None,
    start: float | None = None,
    end: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Suggestion:
    """Suggest a learning rate: the maximum of one-cycle training, unless `schedule` says otherwise.

    What can be trained is swept with `lr_find` (start, end, steps, seed and progress go there) and
    left bitwise as it was, also in the middle of its training; a curve is only read. What x shows
    by itself (optimizer, a frozen body, a framework's planned steps and batch size) need not be
    said.

    Args:
        x: a `Learner`, a fastai Learner, Lightning's (trainer, module), a Hugging Face Trainer, or
            a recorded `Curve`, which takes nothing of what a sweep alone could use.
        more: nothing; what stands here is answered with how to give it.
        batches: data to sweep on, where a framework's object has none or others are wanted: a
            DataLoader, or whatever `fit` takes (for Lightning also a LightningDataModule).
        valid: data for probes to be judged on, likewise.
        optimizer: "adamw", "adam" or "sgd".
        stage: "frozen" (head only), "unfrozen" (goes on after a frozen stage), "finetune"
            (pretrained, all trainable from the start) or "scratch".
        train_steps: planned number of optimizer steps.
        batch_size: examples per optimizer step.
        schedule: "one_cycle", or "constant" for a rate that does not change: half of the
            one-cycle's maximum by the consensus (docs/consensus.md).
        fallback: the rate `float(suggestion)` gives when the curve supports none.
        heuristic: the heuristic to follow, a name in `lrsuggest.HEURISTICS`.
        replicates: sweeps over other data orders (seed, seed + 1, ...; without a seed the present
            order first, then orders drawn from the present random state), pooled to one curve; a
            noisy loss needs some three to five.
        probes: short runs of that schedule after the sweeps, which try the readings' rates and
            rates between them, judged on `learner.valid` if there is one.
        probe_steps: optimizer steps of each probe; by default train_steps // probes, so that all
            together cost at most one training, or what one sweep costs if train_steps is unknown.
        start: first rate of the sweep, by default 1e-7.
        end: last rate of the sweep. By default 10, and where the loss has not blown up by then the
            sweep goes on, in the same ratio a step, until it does or the rate is 1,000.
        steps: optimizer steps of each sweep, from start to end. By default 100, or as many as the
            training has where that is less, but 50 at least.
        seed: seed of data order and dropout in sweeps and probes; None goes on from the present
            state.
        progress: show progress bars on standard error, and first what all this will cost at most.

    Raises:
        UserError: x is none of these, a value is out of range, or probes or progress need a
            package that is not installed.
    """
    if more:
        raise UserError(_several(x, more))
    context = Context(optimizer, stage, train_steps, batch_size, schedule)
    asked(heuristic, fallback)
    truth("progress", progress)
    replicates = whole("replicates", replicates, 1)
    probes = whole("probes", probes, 0)
    if isinstance(x, Curve):
        for name, value, needless in (
            ("replicates", replicates, 1), ("probes", probes, 0), ("progress", progress, False),
            *((name, value, None) for name, value in {
                "probe_steps": probe_steps, "batches": batches, "valid": valid, "start": start,
                "end": end, "steps": steps, "seed": seed,
            }.items()),
        ):  # fmt: skip
            if value is not needless and (needless is None or value != needless):
                raise UserError(
                    f"{name}={shown(value)} needs a Learner to train; a Curve can only be read, "
                    f"so leave {name} out"
                )
        return suggest(x, context, heuristic=heuristic, fallback=fallback)

    if probe_steps is not None and not probes:
        raise UserError(
            f"probe_steps={shown(probe_steps)} says how long probes are; give probes too"
        )
    if probes:
        need(f"probes={probes}", "probes", "optuna")
    if progress:
        need("progress=True", "progress", "rich")
    seed = checked(seed, replicates - 1)
    if steps is not None:
        steps = whole("steps", steps, 2)
    from lrsuggest.training import probe
    from lrsuggest.training.inspection import checks
    from lrsuggest.training.seen import gradients
    from lrsuggest.training.seen import seen as shown_by
    from lrsuggest.training.sweep import grid, lr_find

    start = _START if start is None else start
    last, furthest = (_END, _FURTHEST) if end is None else (end, None)
    grid(start, last, _STEPS if steps is None else steps)  # refused before anything is touched
    checks.place()
    with _lent(x, batches, valid) as learner:
        checks.ready(learner)
        context = Context(
            optimizer or learner.optimizer_name,
            stage or learner.detected_stage,
            train_steps or learner.train_steps,
            batch_size or learner.batch_size,
            schedule,
        )
        seen = shown_by(learner, optimizer)
        if steps is None:
            steps = min(_STEPS, max(_FEWEST_STEPS, context.train_steps or _STEPS))
        each = probe.length(probes, probe_steps, context.train_steps, steps) if probes else 0
        planned = replace(
            probe.cost(learner, probes * each, probes if learner.valid is not None else 0),
            sweep_steps=replicates * len(grid(start, last, steps, furthest)),
        )
        if probes and learner.valid is not None:
            probe.rehearse(learner)
        if progress and (probes or replicates > 1):
            _announce(planned)
        with gradients(learner) as got:
            sweeps = [
                lr_find(
                    learner, start=start, end=last, steps=steps, furthest=furthest, seed=each_seed,
                    progress=progress,
                )
                for each_seed in _seeds(seed, replicates)
            ]  # fmt: skip
        idle = tuple(name for name, has in got.items() if not has)
        seen = replace(seen, idle=idle, trainable=len(got))
        _refuse_nan(sweeps)
        if replicates > 1 and all(np.array_equal(s.loss, sweeps[0].loss, True) for s in sweeps):
            warnings.warn(
                f"the {replicates} sweeps are one and the same, since the batches come in a fixed "
                "order: shuffle them, or leave replicates out",
                LrsuggestWarning,
                stacklevel=2,
            )
        suggestion = replace(
            suggest(
                pool(sweeps),
                context,
                heuristic=heuristic,
                fallback=fallback,
                sweeps=sweeps if replicates > 1 else (),
                seen=seen,
            ),
            cost=Cost(sweep_steps=sum(len(sweep) for sweep in sweeps)),
            planned=planned,
        )
        if not probes:
            return suggestion
        return probe.probe(
            learner,
            suggestion,
            probes,
            steps=each,
            train_steps=context.train_steps,
            seed=seed,
            progress=progress,
        )


def set_lr(x: "Learner | Any", rate: "Suggestion | float | slice") -> None:
    """Set a rate where x takes its own from: each framework's own way.

    A suggestion and a number stand for the rate of the parameter group that has the largest; the
    others keep their ratios to it, with which it was found. A slice (`suggestion.slice`) sets
    the groups' rates one by one, as in fastai.

    Args:
        x: what `suggest_lr` was given, in the middle of its training or before it.
        rate: a suggestion, a number, or a slice.

    Raises:
        NoSuggestion: the suggestion has no rate and no fallback; nothing was changed.
        UserError: x takes no rate, or not this one.
    """
    if isinstance(x, Suggestion | float | slice):
        raise UserError(f"set_lr takes the rate last: set_lr(x, suggestion); got {a(x)} first")
    lr = rate if isinstance(rate, slice) else number("the rate", rate)
    if isinstance(lr, slice):
        from lrsuggest.training.one_cycle import group_rates

        group_rates(lr, [1.0, 1.0])
    found = adapter(x)
    if found is not None:
        found.set_lr(x, lr)
        return
    from lrsuggest.training.learner import Learner
    from lrsuggest.training.one_cycle import group_rates

    if not isinstance(x, Learner):
        raise UserError(
            f"a rate is set in a Learner or a framework's; got {_kind(x)}" + _elsewhere(x)
        )
    if any("initial_lr" in group for group in x.optimizer.param_groups):
        raise UserError(
            f"a scheduler was made over this optimizer and sets the rate at each of its steps, so "
            f"{lr} would not last: set it before you make the scheduler, or give it the rate, such "
            "as OneCycleLR(optimizer, suggestion)"
        )
    x.set_lr(group_rates(lr, x.group_ratios()))


def _elsewhere(x: Any) -> str:
    """Say how an optimizer, or what has one, is given a rate."""
    if hasattr(x, "param_groups"):
        return ": set an optimizer's own, for group in optimizer.param_groups: group['lr'] = ..."
    return ": a model has none, its optimizer has; give its Learner, or make the optimizer anew"


def _lent(x: Any, batches: Any, valid: Any) -> "AbstractContextManager[Learner]":
    """Return what lends x as a Learner.

    Raises:
        UserError: it cannot be.
    """
    found = adapter(x)
    if found is not None:
        lent: AbstractContextManager[Any] = found.borrowed(x, batches=batches, valid=valid)
        return lent
    from lrsuggest.training.learner import Learner

    if isinstance(x, list) and any(adapter(each) is not None for each in x):
        raise UserError(
            f"suggest_lr takes Lightning's (trainer, module) in round brackets; got {a(x)}"
        )
    if not isinstance(x, Learner):
        raise UserError(f"suggest_lr takes {_TAKEN}, not {_kind(x)}; wrap any other {_WRAP}")
    for name, given in (("batches", batches), ("valid", valid)):
        if given is not None:
            raise UserError(f"a Learner has its own data: give it {name} there, not here")
    return nullcontext(x)


def _several(x: object, more: tuple[Any, ...]) -> str:
    """Say how to give what was given one after the other."""
    every = (x, *more)
    if any(adapter(each) is not None for each in every):
        return (
            f"suggest_lr takes {_TAKEN}, and all else by name; got "
            f"{', '.join(map(a, every))}: put Lightning's in brackets, and data after batches="
        )
    return (
        f"suggest_lr takes one thing to train, and all else by name; got "
        f"{', '.join(map(a, every))}: wrap a {_WRAP}"
    )


def _kind(x: object) -> str:
    if isinstance(x, tuple):
        return f"a tuple of {', '.join(type(each).__name__ for each in x)}"
    return a(x)


def _seeds(seed: int | None, replicates: int) -> list[int | None]:
    """Return each sweep's seed; drawn ones come from a copy of the random state, which stays."""
    if seed is not None:
        return [seed + k for k in range(replicates)]
    import torch

    source = torch.Generator()
    source.set_state(torch.get_rng_state())
    drawn: list[int] = torch.randint(2**31, (replicates - 1,), generator=source).tolist()
    return [None, *drawn]


def _refuse_nan(sweeps: list[Curve]) -> None:
    """Raise UserError where the first loss, that no rate has touched, is not finite."""
    for sweep in sweeps:
        if len(sweep) == 1 and not np.isfinite(sweep.loss[0]):
            raise UserError(
                f"the loss of the first batch is {sweep.loss[0]:g} before any step was made, so "
                "it is not the rate: look for values that are not finite in that batch, and at "
                "the model and its loss"
            )


def _announce(cost: Cost) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False).print(f"At most {cost}.", soft_wrap=True)
