"""Which rates to probe, and which to believe: the decisions of a probing, without the training.

An objective may train (probe.py) or look a value up in a recorded table; the decisions are the
same, and nothing here needs torch.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrsuggest.curves.heuristics.consensus import RULE

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

Lags = Callable[[int, float], bool]
Objective = Callable[[float, Lags], float]
Trials = tuple[tuple[float, float], ...]

APART_DECADES = 0.15  # two rates closer than this are one place
_LAG = 0.5  # share of the best run's fall that a run may miss before it is broken off
_TEMPERATURE = 0.5  # of the weights in `believe`, in distances of the median from the best


def places(candidates: Sequence[float], low: float, high: float) -> list[float]:
    """Return the candidates within [low, high], in their order, each a place of its own.

    A candidate less than 0.15 decades from an earlier one is left out.
    """
    kept: list[float] = []
    for rate in candidates:
        far = all(abs(math.log10(rate / other)) >= APART_DECADES for other in kept)
        if low <= rate <= high and far:
            kept.append(rate)
    return kept


def believe(trials: Trials) -> float | None:
    """Return the rate that the trials speak for, None where every one failed.

    Not the argmin, which under noise is a lucky outlier, but the mean of log rate, weighted by
    exp(-(value - best) / T), T being half the distance of the median value from the best: trials
    that do about as well as the best pull the rate to their middle, hence towards the curve's
    pick they were laid around, and clearly worse ones have no say. On simulated responses with a
    noise of a fiftieth of the fall or more this lost a fifth to a half less than the argmin of
    five trials, and about as much as a fitted parabola or less. A mean that would lie at or beyond
    a failure gives way to the best.

    Args:
        trials: (rate, value) pairs, low values being good; inf or NaN is a failure.
    """
    good = [(rate, value) for rate, value in trials if math.isfinite(value)]
    if not good:
        return None
    rates, values = np.array(good).T
    best = float(rates[values.argmin()])
    worse = values - values.min()
    # Never zero: where all are equal all weigh the same.
    temperature = max(_TEMPERATURE * float(np.median(worse)), 1e-9 * float(worse.max()), 1e-300)
    weights = np.exp(-worse / temperature)
    lr = best * 10 ** float((weights * np.log10(rates / best)).sum() / weights.sum())
    failed = [rate for rate, value in trials if not math.isfinite(value)]
    blocked = any(min(best, lr) <= rate <= max(best, lr) for rate in failed)
    return best if blocked else lr


def settle(
    pick: float, believed: float, trials: Trials, shorter: float, *, by_halves: bool = True
) -> float:
    """Return the rate that the curve and its probes speak for together.

    The best rate of a short run lies above that of a long one (Wu et al., Short-Horizon Bias,
    arXiv:1803.02021), so the probes' is first moved as the consensus moves its own with the length;
    then the two meet halfway, for on the recorded tasks neither was the better alone. A pick that
    failed as a probe has no say.

    Args:
        pick: the curve's.
        believed: what `believe` made of the probes.
        trials: the probes.
        shorter: how many times shorter than the planned run they were; 1 if that is not known.
        by_halves: whether the curve's pick has a say.
    """
    moved = believed * shorter**RULE.steps
    failed = any(rate == pick and not math.isfinite(value) for rate, value in trials)
    return moved if failed or not by_halves else math.sqrt(pick * moved)


def _optuna() -> Any:
    """Import Optuna with no frame of a caller's above it.

    It keeps the tracebacks of what it finds missing as long as the process lives, and those keep
    all frames above, and so the learner with its weights.
    """
    loading = threading.Thread(target=_load)
    loading.start()
    loading.join()
    import optuna

    return optuna


def _load() -> None:
    with contextlib.suppress(ImportError):  # said where it is asked for
        import optuna  # noqa: F401


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging what it does; its verbosity is put back."""
    optuna = _optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def choose(
    objective: Objective, candidates: Sequence[float], low: float, high: float, n: int, seed: int
) -> tuple[float | None, Trials]:
    """Try n rates and return the one to believe, and what was tried.

    The candidates within [low, high] come first, in their order, each a place of its own (see
    `places`); then a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) asks for
    rates in between. It goes by ranks, so that a diverged run or a huge loss does not blind it.

    Args:
        objective: `objective(rate, lags)` gives a value, low being good; inf or NaN for a run
            that diverged. At checkpoints of its own (0, 1, ...) a run may ask
            `lags(checkpoint, fall)`, `fall` being how far its loss has come down; on True it is
            to stop, and what it returns is not looked at. True is said where it has made less
            than half of the fall that the best finished run had made there.
        candidates: rates, the first being the curve's own pick.
        low: lowest rate to try.
        high: highest rate to try.
        n: how many rates to try.
        seed: of the sampler.

    Returns:
        The rate, None where every try failed, and the (rate, value) pairs in the order of the
        tries: inf for a diverged run, NaN for one that was broken off.
    """
    optuna = _optuna()
    from optuna.trial import TrialState

    space: dict[str, BaseDistribution] = {
        "lr": optuna.distributions.FloatDistribution(low, high, log=True)
    }
    trials: list[tuple[float, float]] = []
    best, lead = math.inf, dict[int, float]()  # the best finished run: its value and its falls
    with _quiet():
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=1),
            pruner=optuna.pruners.ThresholdPruner(upper=_LAG),
        )
        for rate in places(candidates, low, high):
            study.enqueue_trial({"lr": rate})
        for _ in range(n):
            trial = study.ask(space)
            value, falls = _attempt(objective, trial, lead)
            if math.isnan(value):
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, value)
            if value < best:
                best, lead = value, falls
            trials.append((float(trial.params["lr"]), value))
    return believe(tuple(trials)), tuple(trials)


def _attempt(
    objective: Objective, trial: "Trial", lead: Mapping[int, float]
) -> tuple[float, dict[int, float]]:
    """Return a run's value, NaN if it was broken off, and its fall at each checkpoint."""
    falls: dict[int, float] = {}
    broken_off = False

    def lags(checkpoint: int, fall: float) -> bool:
        nonlocal broken_off
        falls[checkpoint] = fall
        if lead.get(checkpoint, 0.0) > 0:
            trial.report(1 - fall / lead[checkpoint], checkpoint)
            broken_off = trial.should_prune()
        return broken_off

    value = float(objective(trial.params["lr"], lags))
    if broken_off:
        return math.nan, falls
    return value if math.isfinite(value) else math.inf, falls
