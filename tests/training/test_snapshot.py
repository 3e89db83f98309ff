"""Bitwise restoration, after a normal end and after an exception at any step."""

import copy
import random

import numpy as np
import pytest
import torch
from helpers import make_learner

from lrsuggest import lr_find
from lrsuggest.training.snapshot import Snapshot


def fingerprint(learner):
    """Everything a sweep could touch, as comparable bytes."""
    state = []
    for name, tensor in [*learner.model.named_parameters(), *learner.model.named_buffers()]:
        state.append((name, tensor.data_ptr(), tensor.detach().numpy().tobytes()))
    for name, parameter in learner.model.named_parameters():
        grad = parameter.grad
        state.append((name, None if grad is None else grad.numpy().tobytes()))
        held = learner.optimizer.state.get(parameter, {})
        state += [(name, k, v.numpy().tobytes() if hasattr(v, "numpy") else v)
                  for k, v in sorted(held.items())]  # fmt: skip
    for group in learner.optimizer.param_groups:
        state.append(copy.deepcopy({k: v for k, v in group.items() if k != "params"}))
    state += [module.training for module in learner.model.modules()]
    state.append(learner.scaler.state_dict())
    state.append(torch.get_rng_state().numpy().tobytes())
    state.append(learner.batches.generator.get_state().numpy().tobytes())
    state.append(random.getstate())
    state += [str(x) for x in np.random.get_state()]
    return state


def momentum(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True)


@pytest.fixture(params=[momentum, adam], ids=["sgd", "adam"])
def trained(request):
    """A learner in the middle of training: optimizer state, gradients, a frozen batch norm."""
    learner = make_learner(optimizer=request.param)
    learner.model[1].eval()
    batches = learner.endless()
    for _ in range(3):
        learner.step(batches)
    x, y = next(batches)
    torch.nn.functional.cross_entropy(learner.model(x), y).backward()
    return learner


def test_a_sweep_leaves_everything_bitwise(trained):
    before = fingerprint(trained)
    curve = lr_find(trained, steps=30, seed=5)
    assert len(curve) > 10
    assert fingerprint(trained) == before


@pytest.mark.parametrize("at", [1, 2, 7, 25])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_so_does_an_exception_at_any_step(trained, at, error):
    before = fingerprint(trained)
    calls = 0

    def loss_fn(output, target):
        nonlocal calls
        calls += 1
        random.random()
        np.random.random()
        if calls == at:
            raise error("in the middle")
        return torch.nn.functional.cross_entropy(output, target)

    trained.loss_fn = loss_fn
    with pytest.raises(error, match="in the middle"):
        lr_find(trained, steps=40)
    assert fingerprint(trained) == before


def test_training_goes_on_as_if_nothing_had_been(trained):
    twin_start = Snapshot(trained)

    def five_steps():
        batches = trained.endless()
        return [float(trained.step(batches)) for _ in range(5)]

    plain = five_steps()
    twin_start.restore()
    lr_find(trained, steps=20)
    assert five_steps() == plain


def test_a_scheduler_attached_before_is_unmoved(trained):
    scheduler = torch.optim.lr_scheduler.StepLR(trained.optimizer, 2, gamma=0.5)
    trained.optimizer.step()
    scheduler.step()
    before, state = fingerprint(trained), copy.deepcopy(scheduler.state_dict())
    lr_find(trained, steps=20)
    assert fingerprint(trained) == before
    assert scheduler.state_dict() == state
    scheduler.step()
    assert trained.lr == pytest.approx(state["base_lrs"][0] * 0.5)


def test_a_fresh_optimizer_is_left_without_state():
    learner = make_learner()
    lr_find(learner, steps=15)
    assert not learner.optimizer.state
    assert learner.lr == 1e-3


def test_buffers_that_are_not_saved_and_tensor_rates_come_back():
    learner = make_learner()
    learner.model.register_buffer("hits", torch.zeros(1), persistent=False)
    learner.model.register_forward_hook(lambda m, i, o: m.hits.add_(1) and None)
    rate = torch.tensor(1e-3)
    learner.optimizer.param_groups[0]["lr"] = rate
    lr_find(learner, steps=15)
    assert float(learner.model.hits) == 0
    assert learner.optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(1e-3)


def test_it_can_be_restored_many_times(trained):
    snapshot, before = Snapshot(trained), fingerprint(trained)
    for _ in range(3):
        trained.step(trained.endless())
        assert fingerprint(trained) != before
        snapshot.restore()
        assert fingerprint(trained) == before
