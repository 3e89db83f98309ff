"""Short runs on the rates a curve makes plausible, to see which trains best."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from lrsuggest.curves.answer import Cost
from lrsuggest.curves.heuristics.reasons import Reason, Said
from lrsuggest.curves.smoothing import noise
from lrsuggest.curves.suggestion import Suggestion
from lrsuggest.errors import UserError
from lrsuggest.training import rehearsal
from lrsuggest.training.inspection import misfits
from lrsuggest.training.learner import Learner
from lrsuggest.training.one_cycle import constant, group_rates, schedule, set_momentum
from lrsuggest.training.probe_search import APART_DECADES, Lags, Trials, choose, settle
from lrsuggest.training.settings import FEWEST_STEPS, Probes
from lrsuggest.training.snapshot import Snapshot
from lrsuggest.training.sweep import counted, seed_everything


def length(probes: Probes, total_steps: int | None, sweep_steps: int) -> int:
    """Return the optimizer steps of each probe, as `Probes.steps` says.

    Raises:
        UserError: a probe would be too short to tell anything.
    """
    n = probes.number
    if probes.steps is not None:
        return probes.steps
    if total_steps is None:
        return max(sweep_steps, FEWEST_STEPS)
    if total_steps // n < FEWEST_STEPS:
        raise UserError(
            f"probes={n} in total_steps={total_steps} leaves {total_steps // n} steps a probe, "
            f"and each needs {FEWEST_STEPS}; ask for fewer probes, or give probes=Probes({n}, "
            f"{FEWEST_STEPS})"
        )
    return total_steps // n


def cost(learner: Learner, steps: int, passes: int) -> Cost:
    """Return the cost of so many optimizer steps and passes over the validation data."""
    batches: int | None = 0
    if learner.valid is not None:
        try:
            batches = passes * len(learner.valid)  # type: ignore[arg-type]
        except TypeError:
            batches = None
    return Cost(probe_steps=steps, valid_passes=passes, valid_batches=batches)


class Prober:
    """A function of a rate: trains from the snapshot, returns how well that went.

    One cycle, or at a rate that stays if that is the schedule which the rate is for.

    Judged on the mean validation loss, or, without `valid`, on the mean training loss of the
    last tenth of the steps. All runs see the same batches in the same order, so that they differ
    by the rate alone.

    Attributes:
        made: optimizer steps made so far.
        passes: passes over the validation data made so far.
    """

    def __init__(
        self, learner: Learner, snapshot: Snapshot, steps: int, seed: int | None, progress: bool,
        stays: bool = False,
    ) -> None:  # fmt: skip
        self.made = self.passes = 0
        self._rates, self._momenta = (constant if stays else schedule)(steps)
        self._learner, self._snapshot, self._steps = learner, snapshot, steps
        self._seed, self._progress = seed, progress
        self._window = max(5, steps // 10)  # losses in a level
        self._scale: float | None = None
        if learner.scaler.is_enabled():
            # Else a short run would spend its first steps on finding the scale.
            with learner.training():
                self._scale = learner.calibrate_scale(learner.endless())

    def __call__(self, lr: float, lags: Lags) -> float:
        """Train at a maximum rate; infinity where that diverged, NaN where it was broken off."""
        learner = self._learner
        self._snapshot.rewind()
        if self._scale is not None:
            learner.scaler.update(self._scale)
        with learner.training():
            value = self._train(lr, lags)
            if math.isfinite(value) and learner.valid is not None:
                self.passes += 1
                value = learner.evaluate()["loss"]
        return value

    def _train(self, lr: float, lags: Lags) -> float:
        """Return the mean training loss at the end of the run, infinity or NaN as above."""
        learner, steps = self._learner, self._steps
        tops = group_rates(lr, learner.group_ratios())
        # Not earlier: up to there a high rate has had no time to anneal.
        checkpoints = {steps // 2: 0, 3 * steps // 4: 1}
        look_every = 1 if learner.device.type == "cpu" else 10  # a look makes the host wait
        losses = torch.full((steps,), math.nan, device=learner.device)
        learner.optimizer.zero_grad(set_to_none=True)
        if self._seed is not None:
            seed_everything(learner, self._seed)
        batches = learner.endless()
        for index in counted(steps, self._progress, f"probe at {lr:.1e}"):
            rates = [top * float(self._rates[index]) for top in tops]
            momentum = float(self._momenta[index])
            for group in learner.optimizer.param_groups if math.isfinite(momentum) else ():
                set_momentum(group, momentum)
            losses[index] = misfits.step(learner, batches, rates, index)
            self.made += 1
            done = index + 1
            if done % look_every and done not in checkpoints and done < steps:
                continue
            if not bool(torch.isfinite(losses[max(0, done - look_every) : done]).all()):
                return math.inf
            if done in checkpoints and lags(checkpoints[done], self._fall(losses[:done])):
                return math.nan
        return float(losses[-self._window :].mean())

    def _fall(self, losses: torch.Tensor) -> float:
        """Return how far the loss has come down, with the benefit of the doubt.

        Four standard errors of a level are added, so that runs whose falls drown in the noise
        look alike and none is broken off for it.
        """
        seen = losses.cpu().double().numpy()
        start, now = np.mean(seen[: self._window]), np.mean(seen[-self._window :])
        return float(start - now) + 4 * noise(seen) / math.sqrt(self._window)


def probe(
    learner: Learner,
    suggestion: Suggestion,
    n: int,
    *,
    steps: int,
    total_steps: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Suggestion:
    """Return the suggestion that n short runs correct; the learner is left as it was.

    They train as the suggestion is meant: one cycle, or at a rate that stays if its `schedule` is
    "constant", with the optimizer's own momentum.

    The first runs try the suggestion's own rate, then the other heuristics' within its interval; a
    sampler places the rest (see `choose`). A run that diverges is the worst there is, never an
    error. The best rate of a short run need not be that of a long one, so the curve's interval
    bounds the probes, and the consensus goes halfway to meet theirs (see `settle`); where the best
    of them sits at the interval's end the suggestion says so. An abstention stays one, and
    nothing is run.

    Args:
        learner: what to train; left bitwise as it was, also after an exception.
        suggestion: what the curve says.
        n: how many runs.
        steps: optimizer steps of each.
        total_steps: of the run that the rate is for, None if not known.
        seed: seed of data order and dropout, the same for each; None goes on from the present
            state.
        progress: show bars with the time left on standard error.

    Raises:
        UserError: the learner cannot be trained or evaluated.
    """
    if suggestion.lr is None or suggestion.low is None or suggestion.high is None:
        return suggestion
    with _without_metrics(learner), Snapshot(learner) as snapshot:
        prober = Prober(
            learner, snapshot, steps, seed, progress, stays=suggestion.schedule == "constant"
        )
        candidates = [suggestion.lr, *suggestion.candidates.values()]
        low, high = suggestion.low, suggestion.high
        believed, trials = choose(prober, candidates, low, high, n, seed or 0)
    shorter = max(1.0, (total_steps or steps) / steps)
    lr = believed
    if believed is not None:
        # Any other heuristic was asked for by name, and nothing says how far to trust it.
        lr = settle(
            suggestion.lr, believed, trials, shorter, by_halves=suggestion.heuristic == "consensus"
        )
        lr = min(max(lr, low), high)
    spent = replace(
        cost(learner, prober.made, prober.passes), sweep_steps=suggestion.cost.sweep_steps
    )
    reasons = (*suggestion.reasons, *_doubts(lr, trials, low, high))
    return replace(
        suggestion,
        lr=lr,
        low=low if lr else None,
        high=high if lr else None,
        reliable=not reasons,
        reasons=reasons,
        probes=trials,
        cost=spent,
    )


def rehearse(learner: Learner) -> None:
    """Refuse validation data that probes could not be judged on; the learner stays as it was.

    Raises:
        UserError: they are empty, or do not fit the model and the loss.
    """
    with _without_metrics(learner):
        rehearsal.evaluated(learner)


@contextmanager
def _without_metrics(learner: Learner) -> Iterator[None]:
    """Leave metrics out within, which hold a state of their own."""
    metrics, learner.metrics = learner.metrics, {}
    try:
        yield
    finally:
        learner.metrics = metrics


def _doubts(lr: float | None, trials: Trials, low: float, high: float) -> list[Said]:
    """Say what about the probes speaks against the rate."""
    rates = [rate for rate, _ in trials]
    if lr is None:
        return [Reason.PROBES_DIVERGED.said(low=min(rates), high=max(rates))]
    best = min((value, rate) for rate, value in trials if math.isfinite(value))[1]
    edge = min(abs(math.log10(best / low)), abs(math.log10(best / high)))
    if len(trials) > 1 and best in (min(rates), max(rates)) and edge < APART_DECADES:
        return [Reason.PROBES_AT_THE_END.said(best=best)]
    return []
