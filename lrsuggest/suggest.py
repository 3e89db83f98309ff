"""The front door: one call from a learner, or a curve already recorded, to a rate."""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lrsuggest.adapters.dispatch import adapter
from lrsuggest.curves.answer import DEFAULT_HEURISTIC, Cost
from lrsuggest.curves.arguments import a, number, truth
from lrsuggest.curves.arguments import seed as checked
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.pooling import pool
from lrsuggest.curves.suggestion import Suggestion, asked, suggest
from lrsuggest.deprecated import SUGGEST_LR, renamed
from lrsuggest.errors import LrsuggestWarning, UserError, callers_line
from lrsuggest.extras import need
from lrsuggest.given import (
    kind,
    lent,
    probed,
    probes_of,
    refuse_for_curve,
    several,
    sweep_of,
    swept,
)
from lrsuggest.training.settings import Probes, RangeTest, grid
from lrsuggest.vocabulary import Optimizer, Schedule, Stage

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner


@renamed(SUGGEST_LR, {"sweep": sweep_of, "probes": probes_of})
def suggest_lr(
    x: "Learner | Curve | Any",
    *more: Any,
    batches: Any = None,
    valid: Any = None,
    optimizer: Optimizer | None = None,
    stage: Stage | None = None,
    total_steps: int | None = None,
    batch_size: int | None = None,
    schedule: Schedule | None = None,
    continued: bool | None = None,
    previous: "Suggestion | float | None" = None,
    fallback: float | None = None,
    heuristic: str = DEFAULT_HEURISTIC,
    sweep: RangeTest | None = None,
    probes: int | Probes = 0,
    seed: int | None = None,
    progress: bool = False,
) -> Suggestion:
    """Suggest a learning rate: the maximum of one-cycle training, unless `schedule` says otherwise.

    What can be trained is swept with `lr_find` and left bitwise as it was, also in the middle of
    its training; a curve is only read. What x shows by itself need not be said: the optimizer,
    the stage, whether the training went on before, the schedule, and a framework's planned steps
    and batch size (docs/detection.md tells how far that can be relied on). What is said here goes
    before what is seen.

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
        total_steps: planned number of optimizer steps.
        batch_size: examples per optimizer step.
        schedule: "one_cycle", or "constant" for a rate that does not change: half of the
            one-cycle's maximum by the consensus (docs/consensus.md). "linear" and "cosine", which
            fall from their maximum after a warm-up or without one, are read as one-cycle.
        continued: whether this training went on before.
        previous: the suggestion, or the rate, of the stage before; this training then went on
            before.
        fallback: the rate `float(suggestion)` gives when the curve supports none.
        heuristic: the heuristic to follow, a name in `lrsuggest.HEURISTICS`.
        sweep: how to sweep, such as `RangeTest(end_lr=1.0, repeats=3)`.
        probes: short runs of that schedule after the sweeps, which try the heuristics' rates and
            rates between them, judged on `learner.valid` if there is one: how many, or
            `Probes(number, steps)`.
        seed: seed of data order and dropout in sweeps and probes; None goes on from the present
            state.
        progress: show progress bars on standard error, and first what all this will cost at most.

    Raises:
        UserError: x is none of these, a value is out of range, or probes or progress need a
            package that is not installed.
    """
    if more:
        raise UserError(several(x, more))
    told = Context(
        optimizer, stage, total_steps, batch_size, schedule, continued,
        previous,  # type: ignore[arg-type]  # of which it keeps the rate
    )  # fmt: skip
    asked(heuristic, fallback)
    truth("progress", progress)
    test, short = swept(sweep), probed(probes)
    if isinstance(x, Curve):
        refuse_for_curve(
            sweep=sweep, probes=probes if short else None, progress=progress or None,
            batches=batches, valid=valid, seed=seed,
        )  # fmt: skip
        return suggest(x, told, heuristic=heuristic, fallback=fallback)

    if short:
        need(f"probes={short.number}", "probes", "optuna")
    if progress:
        need("progress=True", "progress", "rich")
    repeats = test.repeats
    seed = checked(seed, repeats - 1)
    from lrsuggest.training import probe
    from lrsuggest.training.inspection import checks
    from lrsuggest.training.seen import gradients
    from lrsuggest.training.seen import seen as shown_by
    from lrsuggest.training.sweep import lr_find

    checks.place()
    with lent(x, batches, valid) as learner:
        checks.ready(learner)
        context, seen = shown_by(learner, told)
        settled = test.settled()
        each = probe.length(short, context.total_steps, settled["num_iter"]) if short else 0
        runs = short.number if short else 0
        budget = replace(
            probe.cost(learner, runs * each, runs if learner.valid is not None else 0),
            sweep_steps=repeats * len(grid(**settled)),
        )
        if short and learner.valid is not None:
            probe.rehearse(learner)
        if progress and (short or repeats > 1):
            _announce(budget)
        with gradients(learner) as got:
            sweeps = [
                lr_find(learner, **settled, seed=each_seed, gain=test.gain, progress=progress)
                for each_seed in _seeds(seed, repeats)
            ]
        idle = tuple(name for name, has in got.items() if not has)
        seen = replace(seen, idle=idle, trainable=len(got))
        _refuse_nan(sweeps)
        if repeats > 1 and all(np.array_equal(s.loss, sweeps[0].loss, True) for s in sweeps):
            warnings.warn(
                f"the {repeats} sweeps are one and the same, since the batches come in a fixed "
                "order: shuffle them, or leave repeats out",
                LrsuggestWarning,
                stacklevel=callers_line(),
            )
        suggestion = replace(
            suggest(
                pool(sweeps),
                context,
                heuristic=heuristic,
                fallback=fallback,
                sweeps=sweeps if repeats > 1 else (),
                seen=seen,
            ),
            cost=Cost(sweep_steps=sum(map(len, sweeps))),
            budget=budget,
        )
        if not short:
            return suggestion
        return probe.probe(
            learner,
            suggestion,
            short.number,
            steps=each,
            total_steps=context.total_steps,
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
            f"a rate is set in a Learner or a framework's; got {kind(x)}" + _elsewhere(x)
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


def _seeds(seed: int | None, repeats: int) -> list[int | None]:
    """Return each sweep's seed; drawn ones come from a copy of the random state, which stays."""
    if seed is not None:
        return [seed + k for k in range(repeats)]
    import torch

    source = torch.Generator()
    source.set_state(torch.get_rng_state())
    drawn: list[int] = torch.randint(2**31, (repeats - 1,), generator=source).tolist()
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
