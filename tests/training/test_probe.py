"""Probing: what is decided, what it costs, and that nothing of it stays behind."""

import itertools
import math
import queue
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import drained, fingerprint, make_learner, sweep_like
from torch import nn

from lrsuggest import Curve, Learner, Probes, RangeTest, UserError, fit_one_cycle, suggest_lr
from lrsuggest.curves.heuristics.consensus import CONSTANT
from lrsuggest.curves.suggestion import Suggestion
from lrsuggest.training.one_cycle import fit_constant
from lrsuggest.training.probe import probe
from lrsuggest.training.probe_search import believe, choose, places, settle
from lrsuggest.training.snapshot import Snapshot

pytestmark = pytest.mark.usefixtures("one_thread")


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def suggestion(lr, low, high, *others):
    candidates = {f"reading {k}": rate for k, rate in enumerate(others)}
    return Suggestion(lr, low, high, candidates, True, (), Curve(*sweep_like()))


def in_training(**settings):
    """A learner in the middle of training: optimizer state, gradients, a frozen batch norm."""
    learner = make_learner(**settings)
    learner.model[1].eval()
    batches = learner.endless()
    for _ in range(3):
        learner.step(batches)
    x, y = next(batches)
    nn.functional.cross_entropy(learner.model(x), y).backward()
    return learner


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_everything_is_left_bitwise(precision, seed):
    learner = in_training(optimizer=sgd, precision=precision)
    learner.metrics = {"mine": lambda output, target: 1 / 0}  # a probe needs none
    before = fingerprint(learner)
    found = suggest_lr(
        learner, sweep=RangeTest(num_iter=40, repeats=2), probes=Probes(3, 12), seed=seed
    )
    assert len(found.probes) == 3
    assert fingerprint(learner) == before
    assert list(learner.metrics) == ["mine"]


@pytest.mark.parametrize("at", [1, 8, 17, 30])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_so_does_an_exception_in_any_probe(at, error):
    learner, calls = in_training(), itertools.count(1)
    before = fingerprint(learner)

    def loss_fn(output, target):
        np.random.random()
        if next(calls) == at:
            raise error("in the middle")
        return nn.functional.cross_entropy(output, target)

    learner.loss_fn = loss_fn
    with pytest.raises(error, match="in the middle"):
        probe(learner, suggestion(0.01, 0.001, 0.1, 0.03), 3, steps=12)
    assert fingerprint(learner) == before


def test_all_probes_see_the_same_batches_from_the_same_start():
    learner, sums = make_learner(), queue.SimpleQueue()
    learner.model.register_forward_pre_hook(
        lambda m, x: sums.put(float(x[0].sum())) if m.training else None
    )
    probe(learner, suggestion(0.01, 0.005, 0.02), 2, steps=10)
    seen = drained(sums)
    assert seen[:10] == seen[10:]
    assert len(set(seen[:10])) == 10
    first = probe(learner, suggestion(0.01, 0.005, 0.02, 0.016), 2, steps=10).probes[0]
    assert probe(learner, suggestion(0.01, 0.005, 0.02), 1, steps=10).probes[0] == first


def test_a_probes_value_is_what_fit_one_cycle_reaches():
    learner = make_learner(optimizer=sgd)
    found = probe(learner, suggestion(0.1, 0.05, 0.2), 1, steps=20, seed=5)
    with Snapshot(learner):
        fit = fit_one_cycle(learner, 0.1, steps=20, seed=5)
    assert found.probes == ((0.1, fit.valid_loss),)
    assert found.lr == 0.1
    learner.valid = None
    found = probe(learner, suggestion(0.1, 0.05, 0.2), 1, steps=60, seed=5)
    fit = fit_one_cycle(learner, 0.1, steps=60, seed=5)
    assert found.probes[0][1] == pytest.approx(fit.loss[-6:].mean())
    assert (found.cost.valid_passes, found.cost.valid_batches) == (0, 0)


def line():
    """One weight, loss (w - 1)^2: gradient descent diverges beyond the rate 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return Learner(model, nn.functional.mse_loss, [(torch.ones(1, 1), torch.ones(1, 1))], optimizer)


def test_a_diverging_probe_is_the_worst_and_no_error():
    found = probe(line(), suggestion(40.0, 0.005, 50.0, 0.1, 0.01), 3, steps=60)
    assert found.probes[0] == (40.0, math.inf)
    assert found.lr < 1
    assert found.cost.probe_steps < 180
    assert "diverged" in [text.get_text() for text in found.plot().child_axes[0].texts]
    lost = probe(line(), suggestion(40.0, 30.0, 50.0), 2, steps=60)
    assert (lost.lr, lost.low, lost.high, lost.reliable) == (None, None, None, False)
    assert "diverged: try lower rates" in str(lost)


def test_a_clearly_worse_probe_is_broken_off_and_saves_its_steps():
    found = probe(line(), suggestion(0.1, 1e-5, 0.2, 1e-4, 1e-5), 3, steps=40)
    assert math.isfinite(found.probes[0][1])
    assert [math.isnan(value) for _, value in found.probes] == [False, True, True]
    assert found.cost.probe_steps == 40 + 20 + 20
    assert found.lr == 0.1


def test_noise_alone_breaks_nothing_off():
    learner = make_learner()
    learner.loss_fn = lambda o, t: nn.functional.cross_entropy(o, t) * (0.5 + torch.rand(()))
    found = probe(learner, suggestion(1e-6, 1e-7, 1e-5, 1e-7, 1e-5, 3e-7), 4, steps=20)
    assert all(math.isfinite(value) for _, value in found.probes)


def test_probes_better_a_pick_that_is_far_off():
    learner = make_learner(optimizer=sgd)
    found = suggest_lr(learner, heuristic="constant 1e-3", probes=5, total_steps=200, seed=0)

    def reached(lr):
        with Snapshot(learner):
            return fit_one_cycle(learner, lr, steps=200, seed=9).valid_loss

    best = min(reached(lr) for lr in np.geomspace(found.low, found.high, 9))
    span = learner.evaluate()["loss"] - best
    assert (reached(1e-3) - best) / span > 0.5
    assert (reached(found.lr) - best) / span < 0.1
    assert found.low <= found.lr <= found.high
    assert found.cost.probe_steps <= found.budget.probe_steps == 200
    assert found.budget.valid_passes == 5
    assert found.budget.valid_batches == 20
    assert found.low <= found.lr <= found.high


@pytest.mark.parametrize(
    ("optimizer", "key"),
    [(sgd, "momentum"), (lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3), "betas")],
)
def test_probes_train_on_the_schedule_that_the_rate_is_for(optimizer, key):
    """What the optimizer's groups hold in every step of training, after the sweep."""

    def steps_of(schedule):
        learner, seen = make_learner(optimizer=optimizer), queue.SimpleQueue()
        before = learner.optimizer.param_groups[0][key]
        taken = learner.optimizer.register_step_post_hook(
            lambda it, *_: seen.put((it.param_groups[0]["lr"], it.param_groups[0][key]))
        )
        found = suggest_lr(
            learner, sweep=RangeTest(num_iter=40), probes=Probes(3, 20), schedule=schedule, seed=0
        )
        taken.remove()
        seen = drained(seen)[found.cost.sweep_steps :]
        assert len(seen) == found.cost.probe_steps
        return found, before, seen

    found, before, seen = steps_of("constant")
    assert {rate for rate, _ in seen} <= {rate for rate, _ in found.probes}
    assert {held for _, held in seen} == {before}
    assert [rate for rate, _ in seen[:20]] == [found.probes[0][0]] * 20
    cycle, before, seen = steps_of("one_cycle")
    assert len({rate for rate, _ in seen[:20]}) > 10
    assert {held for _, held in seen} != {before}
    # The first probe tries the curve's pick, which lies lower where the rate stays.
    assert found.probes[0][0] == pytest.approx(cycle.probes[0][0] * 10**CONSTANT)


def test_a_constant_rate_is_settled_between_its_own_pick_and_its_own_probes():
    learner = make_learner(optimizer=sgd)
    told = {"schedule": "constant", "total_steps": 80, "seed": 0}
    alone = suggest_lr(learner, sweep=RangeTest(num_iter=40), **told)
    found = suggest_lr(learner, sweep=RangeTest(num_iter=40), probes=Probes(3, 20), **told)
    wanted = settle(alone.lr, believe(found.probes), found.probes, 80 / 20)
    assert found.lr == pytest.approx(min(max(wanted, alone.low), alone.high))
    assert found.schedule == "constant"


def test_a_probe_at_a_constant_rate_is_worth_what_such_a_training_reaches():
    learner = make_learner(optimizer=sgd)
    found = suggest_lr(
        learner, sweep=RangeTest(num_iter=40), probes=Probes(2, 20), schedule="constant", seed=0
    )
    rate, value = found.probes[0]
    with Snapshot(learner):
        assert fit_constant(learner, rate, steps=20, seed=0).valid_loss == pytest.approx(value)


def test_an_abstention_stays_one_and_costs_no_probe():
    learner = line()
    learner.loss_fn = lambda o, t: (o * 0).sum() + 1
    found = suggest_lr(learner, probes=3)
    assert found.lr is None
    assert found.probes == ()
    assert found.cost.probe_steps == 0


def test_the_valid_data_are_needed_to_hold_something():
    learner = make_learner()
    learner.valid = []
    before = fingerprint(learner)
    with pytest.raises(UserError, match="valid is empty"):
        probe(learner, suggestion(0.01, 0.001, 0.1), 2, steps=10)
    assert fingerprint(learner) == before


def bowl(rate, lags=None):
    return math.log10(rate / 2e-2) ** 2 if rate < 0.08 else math.inf


def test_the_choice_replays_on_a_table_and_needs_no_torch():
    lr, trials = choose(bowl, [3e-3, 3.2e-3, 5.0, 0.03, 0.05], 1e-3, 0.1, 8, seed=0)
    assert [rate for rate, _ in trials[:3]] == [3e-3, 0.03, 0.05]
    assert all(1e-3 <= rate <= 0.1 for rate, _ in trials)
    assert abs(math.log10(lr / 2e-2)) < 0.15
    assert choose(bowl, [3e-3, 3.2e-3, 5.0, 0.03, 0.05], 1e-3, 0.1, 8, seed=0) == (lr, trials)
    code = (
        "import sys, lrsuggest.training.probe_search as c; assert 'optuna' not in sys.modules\n"
        "c.choose(lambda lr, lags: lr, [1.0], .1, 10., 4, 0); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_places_are_apart_and_within():
    assert places([1e-2, 1.3e-2, 1e-2, 2e-2, 9e-5, 0.2, 1e-4], 1e-4, 0.1) == [1e-2, 2e-2, 1e-4]


def test_belief_is_free_of_scale_and_offset_and_steadier_than_the_argmin():
    rates = np.geomspace(1e-3, 1e-1, 7)
    misses = []
    for seed in range(200):
        noise = 0.05 * np.random.default_rng(seed).normal(size=7)
        values = np.log10(rates / 1e-2) ** 2 * 0.2 + noise
        lr = believe(tuple(zip(rates, values, strict=True)))
        moved = believe(tuple(zip(rates, 40 * values - 7, strict=True)))
        assert moved == pytest.approx(lr)
        misses.append([np.log10(lr / 1e-2), np.log10(rates[values.argmin()] / 1e-2)])
    ours, argmins = np.sqrt(np.square(misses).mean(axis=0))
    assert ours < 0.75 * argmins


def test_belief_at_the_corners():
    assert believe(((0.1, math.inf), (0.2, math.nan))) is None
    assert believe(((0.1, 2.0),)) == 0.1
    assert believe(((0.1, 1.0), (0.001, 1.0))) == pytest.approx(0.01)
    assert believe(((0.1, 1.0), (0.02, math.inf), (0.001, 1.0))) == 0.1
