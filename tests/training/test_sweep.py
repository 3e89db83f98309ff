import itertools
import math
import os
import pty
import queue
import random
import subprocess
import sys
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from helpers import Waits, drained, make_learner, sweep_like
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrsuggest import Learner, UserError, lr_find
from lrsuggest.curves.columns import Ended
from lrsuggest.training import sweep
from lrsuggest.training.sweep import stop_at


def quadratic(offset=0.0):
    """One weight, loss (w - 1)^2 + offset: every value of a sweep can be worked out."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = [(torch.ones(1, 1, dtype=torch.float32), torch.ones(1, 1))]
    return Learner(model, lambda o, t: ((o - t) ** 2).mean() + offset, batches, optimizer)


def test_every_reading_is_the_loss_before_that_rates_step():
    curve = lr_find(quadratic(), start_lr=1e-3, end_lr=0.5, num_iter=20)
    error, expected = 1.0, []
    for rate in np.geomspace(1e-3, 0.5, 20):
        expected.append(error**2)
        error *= 1 - 2 * rate
    np.testing.assert_allclose(curve.loss, expected, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(curve.lr, np.geomspace(1e-3, 0.5, 20))
    assert curve.ended is Ended.COMPLETED


def test_groups_keep_their_ratios_while_swept():
    learner = make_learner(
        optimizer=lambda m: torch.optim.SGD(
            [{"params": m[0].parameters(), "lr": 1e-5}, {"params": m[4].parameters()}], lr=1e-3
        )
    )
    rates = queue.SimpleQueue()  # a list would be as it was
    learner.optimizer.register_step_pre_hook(
        lambda o, *_: rates.put([g["lr"] for g in o.param_groups])
    )
    curve = lr_find(learner, num_iter=12, start_lr=1e-4, end_lr=1e-2)
    seen = drained(rates)
    np.testing.assert_allclose([top for _, top in seen], curve.lr)
    np.testing.assert_allclose([low / top for low, top in seen], 0.01)


def test_a_blow_up_and_a_non_finite_loss_end_it():
    curve = lr_find(quadratic(), start_lr=1e-3, end_lr=100, num_iter=60)
    assert curve.ended is Ended.DIVERGED
    assert len(curve) < 60
    learner = make_learner()
    calls = 0

    def loss_fn(output, target):
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(output, target) * (math.nan if calls == 8 else 1)

    learner.loss_fn = loss_fn
    curve = lr_find(learner, num_iter=60)
    assert (len(curve), curve.ended) == (8, Ended.NON_FINITE)
    assert np.isfinite(curve.loss[:-1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("look_every", [1, 2, 7, 100])
def test_the_curve_does_not_depend_on_how_often_it_is_looked_at(monkeypatch, look_every):
    plain = lr_find(make_learner(), seed=0)
    monkeypatch.setattr(sweep, "_LOOK_EVERY", {"cpu": look_every})
    looked = lr_find(make_learner(), seed=0)
    assert (looked.ended, len(looked)) == (plain.ended, len(plain))
    np.testing.assert_array_equal(looked.loss, plain.loss)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_on_a_cpu_no_step_is_made_after_the_one_that_stops_it(seed, bad):
    given_losses = sweep_like(60, noise=0.1, seed=seed)[1]
    given_losses[50:] = 1e3  # none is left without a blow-up
    if bad is not None:
        given_losses[7 * seed] = bad
    left = iter(given_losses.tolist())
    learner = quadratic()
    learner.loss_fn = lambda output, target: (output * 0).sum() + next(left)
    curve = lr_find(learner, num_iter=60)
    assert 60 - len(list(left)) == len(curve)
    assert (len(curve) - 1, curve.ended) == stop_at(given_losses)


def test_negative_losses_are_swept_like_any_other():
    curves = [
        lr_find(quadratic(offset), start_lr=1e-3, end_lr=100, num_iter=60)
        for offset in (0, -50, 20)
    ]
    assert len({(len(curve), curve.ended) for curve in curves}) == 1
    np.testing.assert_allclose(curves[1].loss, curves[0].loss - 50, rtol=1e-5)


@given(
    st.builds(lambda n, noise, seed: sweep_like(n, noise=noise, seed=seed), st.integers(15, 150),
              st.sampled_from([0.0, 0.02, 0.2]), st.integers(0, 99)),
    st.floats(-3, 3), st.floats(-100, 100), st.integers(1, 150),
)  # fmt: skip
def test_the_stop_rule_is_free_of_scale_and_offset_and_looks_back_only(made, log_a, b, seen):
    loss = made[1]
    rule = stop_at(loss)
    assert stop_at(10**log_a * (loss + b)) == rule
    early = stop_at(loss[:seen])
    assert early == (rule if rule and rule[0] < seen else None)


def test_a_constant_loss_is_swept_to_the_end():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(torch.ones(1, 1), torch.ones(1, 1))]
    learner = Learner(model, lambda o, t: (o * 0).sum() + 1, batches, optimizer)
    curve = lr_find(learner)
    assert curve.ended is Ended.COMPLETED
    assert (curve.loss == 1).all()


def test_a_loader_shorter_than_the_sweep_starts_over():
    learner = make_learner()
    assert len(learner.batches) == 8
    assert len(lr_find(learner, num_iter=50, end_lr=1e-3)) == 50


class Noisy(torch.utils.data.Dataset):
    """Augments with numpy and Python's generator, as many do."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.full((8,), np.random.rand() + random.random()), index % 2


def test_no_step_makes_the_host_wait_for_the_device(monkeypatch):
    monkeypatch.setattr(sweep, "_LOOK_EVERY", {})  # as on a GPU
    learner = make_learner(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9), max_grad_norm=1.0
    )
    data = list(learner.batches)  # a shuffling loader draws its seed on the host
    learner.batches = data
    with Waits() as waits:
        lr_find(learner, num_iter=40, end_lr=1e-2)
    assert waits.count == 0
    with waits:
        learner.step(learner.endless()).item()
    assert waits.count == 1


def test_a_seed_repeats_a_sweep_whatever_draws_the_noise():
    def sweep_noise():
        learner = make_learner()
        learner.batches = torch.utils.data.DataLoader(Noisy(), 16)
        return lr_find(learner, seed=4, num_iter=12).loss

    np.testing.assert_array_equal(sweep_noise(), sweep_noise())


def test_a_seed_repeats_a_sweep():
    a, b = (lr_find(make_learner(), seed=4) for _ in range(2))
    np.testing.assert_array_equal(a.loss, b.loss)
    other = lr_find(make_learner(), seed=5)
    assert (other.loss[:10] != a.loss[:10]).any()


def test_an_infinite_gradient_is_a_skipped_step_and_is_recorded():
    learner = make_learner(precision="fp16")
    calls, weights = itertools.count(1), queue.SimpleQueue()

    def poison(grad):
        return grad * math.inf if next(calls) == 8 else grad  # call 1 is the calibration's

    learner.model[0].weight.register_hook(poison)
    learner.optimizer.register_step_post_hook(lambda *_: weights.put(1))
    curve = lr_find(learner, num_iter=20, end_lr=1e-2)
    assert np.flatnonzero(curve.skipped).tolist() == [6]
    assert weights.qsize() == 19
    assert np.isfinite(curve.loss).all()
    assert learner.scaler.get_scale() == 65536


def test_the_scale_is_found_before_the_sweep():
    learner = make_learner(precision="fp16")
    learner.loss_fn = lambda o, t: nn.functional.cross_entropy(o, t) * 3e3
    curve = lr_find(learner, num_iter=20, end_lr=1e-3)
    assert not curve.skipped.any()
    assert len(curve) == 20
    assert learner.scaler.get_scale() == 65536


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_reads_about_the_same(precision):
    plain = lr_find(make_learner(), seed=0, end_lr=0.1)
    lower = lr_find(make_learner(precision=precision), seed=0, end_lr=0.1)
    assert lower.loss.dtype == np.float64
    np.testing.assert_allclose(lower.loss[:30], plain.loss[:30], rtol=0.05)


def test_accumulation_and_clipping_are_swept_in_optimizer_steps():
    learner = make_learner(accumulate_steps=3, max_grad_norm=0.5)
    steps = queue.SimpleQueue()
    learner.optimizer.register_step_pre_hook(lambda *_: steps.put(1))
    assert len(lr_find(learner, num_iter=15, end_lr=1e-3)) == steps.qsize() == 15


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"start_lr": 1, "end_lr": 0.1}, "got 1 to 0.1"),
     ({"start_lr": 0}, "start_lr must be .*got 0"), ({"num_iter": 1}, "got 1"),
     ({"num_iter": 20.5}, "whole number .*got 20.5"),
     ({"end_lr": math.nan}, "end_lr must be .*got nan")],
)  # fmt: skip
def test_a_range_that_cannot_be_is_refused(settings, says):
    with pytest.raises(UserError, match=says):
        lr_find(make_learner(), **settings)


def clipped(momentum=0.0, **settings):
    """Plain SGD whose clipped gradients move little at a rate of ten."""
    return make_learner(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=momentum),
        max_grad_norm=0.1, **settings,
    )  # fmt: skip


FURTHER = {
    "clipped": clipped,
    "clipped, momentum": lambda: clipped(0.9),
    "clipped, fp16": lambda: clipped(precision="fp16"),
    "clipped, two groups": lambda: make_learner(
        optimizer=lambda m: torch.optim.SGD(
            [{"params": m[0].parameters(), "lr": 1e-2}, {"params": m[4].parameters()}], lr=0.1
        ),
        max_grad_norm=0.1,
    ),
    "blows up in time": make_learner,
}


@pytest.mark.slow
@pytest.mark.parametrize("make", FURTHER.values(), ids=FURTHER)
def test_beyond_the_range_it_goes_on_as_if_the_longer_one_had_been_asked_for(monkeypatch, make):
    short, further = (lr_find(make(), seed=3, furthest=f) for f in (None, 1e3))
    rates = sweep.grid(1e-7, 10, 100, 1e3)
    longer = lr_find(make(), seed=3, num_iter=len(rates), end_lr=float(rates[-1]))
    np.testing.assert_array_equal(further.loss[: len(short)], short.loss)
    np.testing.assert_array_equal(further.loss, longer.loss[: len(further)])
    np.testing.assert_allclose(further.lr, longer.lr[: len(further)], rtol=1e-12)
    assert further.ended is Ended.DIVERGED
    # A device that is looked at every so many steps gives the same curve.
    for look_every in (7, 10, 1000):
        monkeypatch.setattr(sweep, "_LOOK_EVERY", {"cpu": look_every})
        looked = lr_find(make(), seed=3, furthest=1e3)
        assert (looked.ended, len(looked)) == (further.ended, len(further))
        np.testing.assert_array_equal(looked.loss, further.loss)


def test_it_goes_on_only_where_the_loss_has_not_blown_up_and_no_step_too_far():
    assert lr_find(clipped(), seed=3).ended is Ended.COMPLETED
    for furthest in (None, 10.0):
        assert len(lr_find(clipped(), seed=3, furthest=furthest)) == 100
    learner = clipped()
    steps = SimpleQueue()
    learner.optimizer.register_step_pre_hook(lambda *_: steps.put(1))
    curve = lr_find(learner, seed=3, furthest=1e3)
    assert 100 < len(curve) == steps.qsize()
    assert curve.lr[-1] <= 1e3


def test_what_never_blows_up_is_swept_to_the_furthest_rate():
    learner = quadratic()
    learner.loss_fn = lambda output, target: torch.tanh((output * 1e-6).mean() - target.mean())
    curve = lr_find(learner, start_lr=1e-3, end_lr=1e-1, num_iter=21, furthest=1e1)
    assert curve.ended is Ended.COMPLETED
    np.testing.assert_allclose(curve.lr, np.geomspace(1e-3, 10, 41))


@given(st.floats(-9, 0), st.floats(0.1, 9), st.integers(2, 300), st.floats(0, 4))
def test_the_grid_keeps_its_ratio_beyond_the_end_up_to_the_furthest(low, decades, steps, more):
    start, end = 10**low, 10 ** (low + decades)
    rates = sweep.grid(start, end, steps, 10 ** (low + decades + more))
    np.testing.assert_array_equal(rates[:steps], np.geomspace(start, end, steps))
    gaps = np.diff(np.log10(rates))
    assert (gaps > 0).all()
    np.testing.assert_allclose(gaps[:-1], decades / (steps - 1), rtol=1e-6)
    if more > 0:
        assert rates[-1] <= 10 ** (low + decades + more) * (1 + 1e-12)
        assert low + decades + more - np.log10(rates[-1]) < decades / (steps - 1) + 1e-9
    else:
        assert len(rates) == steps


@pytest.mark.slow
def test_a_progress_bar_is_drawn_on_a_terminal():
    code = (
        "import torch; from lrsuggest import Learner, lr_find; m = torch.nn.Linear(1, 1)\n"
        "o = torch.optim.SGD(m.parameters(), lr=.1); b = [(torch.ones(1, 1), torch.ones(1, 1))]\n"
        "lr_find(Learner(m, torch.nn.functional.mse_loss, b, o), num_iter=5, progress=True)"
    )
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    assert done.returncode == 0
    assert b"range test" in os.read(ours, 10_000)
    os.close(ours)
