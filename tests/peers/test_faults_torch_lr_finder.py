"""The faults of torch-lr-finder (0.2.2), each beside ours on the same model and optimizer."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from fault_subjects import (
    MARKS,
    Loss,
    Scripted,
    broken_off,
    landscape,
    loader,
    lost,
    network,
    ones,
    parts,
    subject,
)
from matplotlib.figure import Figure
from torch import nn
from torch_lr_finder import LRFinder

from lrsuggest import Learner, RangeTest, suggest_lr
from lrsuggest.curves.columns import Ended

pytestmark = MARKS
LOSS = landscape(np.geomspace(1e-7, 10, 100))


def written(losses):
    """Its finder and our learner over a model that gives out these losses."""

    def made():
        model = Scripted(losses)
        return model, torch.optim.SGD(model.parameters(), lr=1e-7)

    def loss(output, target):
        return output + 0

    model, optimizer = made()
    return LRFinder(*made(), loss), Learner(model, loss, ones(100), optimizer)


def picked(finder):
    """What it suggests, which only its plot tells."""
    with redirect_stdout(io.StringIO()):
        return finder.plot(ax=Figure().subplots())[1]


def test_torch_lr_finder_is_not_stopped_by_nan_and_suggests_the_rate_beside_it():
    finder, learner = written(np.where(np.arange(100) < 50, LOSS, np.nan))
    finder.range_test(ones(100))
    assert len(finder.history["loss"]) == 100
    last_number = finder.history["lr"][49]
    assert picked(finder) == last_number
    found = suggest_lr(learner)
    assert (len(found.curve), found.curve.ended) == (51, Ended.NON_FINITE)
    assert found.lr < last_number / 5


def test_torch_lr_finder_negative_losses_stop_it_after_one_point():
    finder, learner = written(LOSS - 10)
    finder.range_test(ones(100))
    assert len(finder.history["loss"]) == 1
    with pytest.raises(RuntimeError, match="Need at least 17"):
        picked(finder)
    found, plain = suggest_lr(learner), suggest_lr(written(LOSS)[1])
    assert len(found.curve) == len(plain.curve) > 80
    assert found.lr == pytest.approx(plain.lr, rel=1e-3)


def trained(optimizer, model, steps=3):
    for x, y in list(loader())[:steps]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_torch_lr_finder_reset_aliases_its_cache():
    """After one reset the optimizer writes into what is kept for the next."""

    def momentum():
        return [one.optimizer.state[p]["momentum_buffer"].clone() for p in one.model.parameters()]

    def same(before):
        return all(map(torch.equal, before, momentum()))

    one = subject("torch_lr_finder", None)
    before = momentum()
    finder = LRFinder(one.model, one.optimizer, Loss())
    finder.range_test(one.loader, start_lr=1e-7)
    finder.reset()
    assert same(before)
    trained(one.optimizer, one.model)
    finder.reset()
    assert not same(before)
    # Ours after any number of sweeps and trainings between them: each leaves what it found.
    one = subject("torch_lr_finder", None)
    for _ in range(2):
        before = parts(one)
        one.ask()
        assert lost(before, parts(one)) == set()
        trained(one.optimizer, one.model)


def test_torch_lr_finder_leaves_the_gradient_scaler_changed():
    def made():
        model = network()
        scaler = torch.amp.GradScaler("cpu", growth_interval=12)
        return model, torch.optim.SGD(model.parameters(), lr=1e-7), scaler

    model, optimizer, scaler = made()
    finder = LRFinder(
        model, optimizer, nn.functional.cross_entropy, amp_backend="torch",
        amp_config={"device_type": "cpu", "dtype": torch.float16}, grad_scaler=scaler,
    )  # fmt: skip
    before = scaler.state_dict()
    finder.range_test(loader(), end_lr=1e-3)
    finder.reset()
    assert scaler.get_scale() > before["scale"]
    model, optimizer, scaler = made()
    learner = Learner(model, nn.functional.cross_entropy, loader(), optimizer, precision="fp16")
    learner.scaler = scaler
    before = scaler.state_dict()
    assert len(suggest_lr(learner, sweep=RangeTest(end_lr=1e-3)).curve) == 100
    assert scaler.state_dict() == before


def test_torch_lr_finder_cannot_be_asked_twice_without_a_reset():
    one = subject("torch_lr_finder", None)
    finder = LRFinder(one.model, one.optimizer, Loss())
    finder.range_test(one.loader, start_lr=1e-7)
    with pytest.raises(RuntimeError, match="already has a scheduler attached"):
        finder.range_test(one.loader)
    finder.reset()
    first, second = one.ask(), one.ask()
    assert first.lr == second.lr
    assert np.array_equal(first.curve.loss, second.curve.loss)


def test_torch_lr_finder_refuses_an_optimizer_with_a_scheduler():
    one = subject("torch_lr_finder", None)
    scheduler = torch.optim.lr_scheduler.StepLR(one.optimizer, 2)
    with pytest.raises(RuntimeError, match="already has a scheduler attached"):
        LRFinder(one.model, one.optimizer, Loss())
    before, state = parts(one), scheduler.state_dict()
    assert one.ask().lr is not None
    assert lost(before, parts(one)) == set()
    assert scheduler.state_dict() == state


def test_torch_lr_finder_restores_nothing_after_an_exception():
    one = subject("torch_lr_finder", None, Loss(fails_at=40))
    before = parts(one)
    broken_off(one.find)
    assert lost(before, parts(one)) >= {"weights", "buffers", "optimizer's state", "rates"}
    one = subject("torch_lr_finder", None, Loss(fails_at=40))
    broken_off(one.ask)
    assert lost(before, parts(one)) == set()
