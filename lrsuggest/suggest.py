"""The front door: one call from a learner, or a curve already recorded, to a rate."""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import Context
from lrsuggest.curves.pooling import pool
from lrsuggest.curves.suggestion import DEFAULT_HEURISTIC, Cost, Suggestion, suggest
from lrsuggest.errors import LrsuggestWarning, UserError

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner


def suggest_lr(
    x: "Learner | Curve",
    *,
    optimizer: str | None = None,
    stage: str | None = None,
    train_steps: int | None = None,
    batch_size: int | None = None,
    fallback: float | None = None,
    heuristic: str = DEFAULT_HEURISTIC,
    replicates: int = 1,
    probes: int = 0,
    probe_steps: int | None = None,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    seed: int | None = None,
    progress: bool = False,
) -> Suggestion:
    """Suggest a maximum rate for one-cycle training.

    A learner is swept with `lr_find` (start, end, steps, seed and progress go there) and left
    bitwise as it was; a curve is only read. What a learner shows by itself (optimizer, a frozen
    body) need not be said.

    Args:
        x: a `Learner` or a recorded `Curve`.
        optimizer: "adamw", "adam" or "sgd".
        stage: "frozen" (head only), "unfrozen" (goes on after a frozen stage), "finetune"
            (pretrained, all trainable from the start) or "scratch".
        train_steps: planned number of optimizer steps.
        batch_size: examples per optimizer step.
        fallback: the rate `float(suggestion)` gives when the curve supports none.
        heuristic: the reading to follow, a name in `lrsuggest.curves.heuristics.HEURISTICS`.
        replicates: sweeps over other data orders (seed, seed + 1, ...; without a seed the present
            order first, then orders drawn from the present random state), pooled to one curve; a
            noisy loss needs some three to five.
        probes: short one-cycle runs after the sweeps, which try the readings' rates and rates
            between them, judged on `learner.valid` if there is one.
        probe_steps: optimizer steps of each probe; by default train_steps // probes, so that all
            together cost at most one training, or what one sweep costs if train_steps is unknown.
        start: first rate of the sweep.
        end: last rate of the sweep.
        steps: optimizer steps of each sweep.
        seed: seed of data order and dropout in sweeps and probes; None goes on from the present
            state.
        progress: show progress bars on standard error, and first what all this will cost at most.

    Raises:
        UserError: x is neither, or a value is out of range.
    """
    context = Context(optimizer, stage, train_steps, batch_size)
    if isinstance(x, Curve):
        for name, value, none in (
            ("replicates", replicates, 1), ("probes", probes, 0), ("probe_steps", probe_steps, None)
        ):  # fmt: skip
            if value != none:
                raise UserError(
                    f"{name}={value} needs a Learner to train; a Curve can only be read, so leave "
                    f"{name} out"
                )
        return suggest(x, context, heuristic=heuristic, fallback=fallback)

    from lrsuggest.training import probe
    from lrsuggest.training.learner import Learner, whole
    from lrsuggest.training.sweep import lr_find

    if not isinstance(x, Learner):
        raise UserError(
            f"suggest_lr takes a lrsuggest Learner or a Curve, not a {type(x).__name__}; "
            "wrap the model: Learner(model, loss_fn, batches, optimizer)"
        )
    whole("replicates", replicates, 1)
    whole("probes", probes, 0)
    whole("steps", steps, 2)
    context = Context(
        optimizer or x.optimizer_name, stage or x.detected_stage, train_steps, batch_size
    )
    if probe_steps is not None and not probes:
        raise UserError(f"probe_steps={probe_steps} says how long probes are; give probes too")
    each = probe.length(probes, probe_steps, train_steps, steps) if probes else 0
    planned = replace(
        probe.cost(x, probes * each, probes if x.valid is not None else 0),
        sweep_steps=replicates * steps,
    )
    if progress and (probes or replicates > 1):
        _announce(planned)
    sweeps = [
        lr_find(x, start=start, end=end, steps=steps, seed=each_seed, progress=progress)
        for each_seed in _seeds(seed, replicates)
    ]
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
        ),
        cost=Cost(sweep_steps=sum(len(sweep) for sweep in sweeps)),
        planned=planned,
    )
    if not probes:
        return suggestion
    return probe.probe(
        x, suggestion, probes, steps=each, train_steps=train_steps, seed=seed, progress=progress
    )


def _seeds(seed: int | None, replicates: int) -> list[int | None]:
    """Return each sweep's seed; drawn ones come from a copy of the random state, which stays."""
    if seed is not None:
        return [seed + k for k in range(replicates)]
    import torch

    source = torch.Generator()
    source.set_state(torch.get_rng_state())
    drawn: list[int] = torch.randint(2**31, (replicates - 1,), generator=source).tolist()
    return [None, *drawn]


def _announce(cost: Cost) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False).print(f"At most {cost}.", soft_wrap=True)
