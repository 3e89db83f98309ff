"""Bitwise restoration, after a normal end and after an exception at any step."""

import contextlib
import copy
import gc
import random
import weakref

import numpy as np
import pytest
import torch
from helpers import fingerprint, make_learner

from lrsuggest import lr_find, suggest_lr
from lrsuggest.training import snapshot, sweep
from lrsuggest.training.snapshot import Snapshot


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
    curve = lr_find(trained, num_iter=30, seed=5)
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
        lr_find(trained, num_iter=40)
    assert fingerprint(trained) == before


def test_training_goes_on_as_if_nothing_had_been(trained):
    twin_start = Snapshot(trained)

    def five_steps():
        batches = trained.endless()
        return [float(trained.step(batches)) for _ in range(5)]

    plain = five_steps()
    twin_start.restore()
    lr_find(trained, num_iter=20)
    assert five_steps() == plain


def test_a_scheduler_attached_before_is_unmoved(trained):
    scheduler = torch.optim.lr_scheduler.StepLR(trained.optimizer, 2, gamma=0.5)
    trained.optimizer.step()
    scheduler.step()
    before, state = fingerprint(trained), copy.deepcopy(scheduler.state_dict())
    lr_find(trained, num_iter=20)
    assert fingerprint(trained) == before
    assert scheduler.state_dict() == state
    scheduler.step()
    assert trained.lr == pytest.approx(state["base_lrs"][0] * 0.5)


def test_a_fresh_optimizer_is_left_without_state():
    learner = make_learner()
    lr_find(learner, num_iter=15)
    assert not learner.optimizer.state
    assert learner.lr == 1e-3


def test_buffers_that_are_not_saved_and_tensor_rates_come_back():
    learner = make_learner()
    learner.model.register_buffer("hits", torch.zeros(1), persistent=False)
    learner.model.register_forward_hook(lambda m, i, o: m.hits.add_(1) and None)
    rate = torch.tensor(1e-3)
    learner.optimizer.param_groups[0]["lr"] = rate
    lr_find(learner, num_iter=15)
    assert float(learner.model.hits) == 0
    assert learner.optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(1e-3)


class Jittered(torch.utils.data.Dataset):
    """Examples with noise drawn in the worker processes."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.full((8,), index / 64) + torch.rand(8), index % 2


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("seeded", [False, True])
def test_loader_worker_processes_go_on_as_if_nothing_had_been(persistent, seeded):
    def train(sweep_after):
        torch.manual_seed(3)
        learner = make_learner()
        learner.batches = torch.utils.data.DataLoader(
            Jittered(), 16, shuffle=True, num_workers=2, persistent_workers=persistent,
            generator=torch.Generator().manual_seed(4) if seeded else None,
        )  # fmt: skip
        losses = []
        for epoch in range(3):
            if epoch == sweep_after:
                lr_find(learner, num_iter=10, end_lr=1e-2)
            losses += [float(learner.step(iter([batch]))) for batch in learner.batches]
        return losses

    plain = train(sweep_after=None)
    assert train(sweep_after=0) == plain
    assert train(sweep_after=2) == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    "ask",
    [lr_find, suggest_lr, lambda x: suggest_lr(x, probes=2, total_steps=20)],
    ids=["lr_find", "suggest_lr", "probes"],
)
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "raises"])
def test_nothing_holds_the_learner_afterwards(ask, ends):
    """Neither copies of weights nor workers of a loader wait for the garbage collector."""
    learner = make_learner()
    if not ends:
        learner.loss_fn = lambda *_: 1 / 0
    gone = weakref.ref(learner)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ZeroDivisionError):
            kept = ask(learner)  # noqa: F841
        del learner
        assert gone() is None
    finally:
        gc.enable()


def test_fp16_leaves_everything_bitwise():
    learner = make_learner(precision="fp16", max_grad_norm=1.0)
    batches = learner.endless()
    learner.step(batches)
    learner.scaler.update(1024.0)
    before = fingerprint(learner)
    lr_find(learner, num_iter=12, end_lr=1e-2)
    assert fingerprint(learner) == before
    learner.loss_fn = lambda o, t: 1 / 0
    with pytest.raises(ZeroDivisionError):
        lr_find(learner, num_iter=12)
    assert fingerprint(learner) == before


def test_fp16_can_be_trained_after_a_sweep_was_broken_off_in_the_step():
    learner = make_learner(precision="fp16", max_grad_norm=1.0)
    calls = 0

    def interrupt(*_):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    hook = learner.optimizer.register_step_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        lr_find(learner, num_iter=12)
    hook.remove()
    assert torch.isfinite(learner.step(learner.endless()))


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)


def test_there_is_one_copy_of_the_state_and_no_more(trained, monkeypatch):
    taken = []

    def take(learner):
        taken.append(Snapshot(learner))
        return taken[-1]

    monkeypatch.setattr(sweep, "Snapshot", take)
    lr_find(trained, num_iter=12)
    assert len(taken) == 1
    model, optimizer = trained.model, trained.optimizer
    live = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]
    live += list(tensors_in([dict(s) for s in optimizer.state.values()]))
    live += [*trained.batches.dataset.tensors]  # a few kilobytes: a transform may write to them
    held = [saved for _, saved in taken[0]._kept._contents]
    assert sum(t.nbytes for t in held) == sum(t.nbytes for t in live)
    assert not {t.data_ptr() for t in held} & {t.data_ptr() for t in live}


@pytest.mark.parametrize("room", [0, 10**12])
def test_a_crowded_gpu_sends_the_copy_to_host_memory(trained, monkeypatch, room):
    monkeypatch.setattr(snapshot, "gpu_room", lambda device: room)
    before = fingerprint(trained)
    assert not Snapshot(trained).on_host  # on a CPU there is nothing to decide
    trained.device = torch.device("cuda")
    kept = Snapshot(trained)
    assert kept.on_host is (room == 0)
    trained.device = torch.device("cpu")
    trained.step(trained.endless())
    kept.restore()
    assert fingerprint(trained) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpus_state_comes_back_from_host_memory(monkeypatch):
    monkeypatch.setattr(snapshot, "gpu_room", lambda device: 0)
    learner = make_learner(device="cuda", optimizer=momentum)
    learner.step(learner.endless())
    kept = [p.detach().clone() for p in learner.model.parameters()]
    lr_find(learner, num_iter=12)
    for before, after in zip(kept, learner.model.parameters(), strict=True):
        assert after.is_cuda
        assert torch.equal(before, after)


class Averaging(torch.nn.Module):
    """Puts a new tensor in its buffer's place, and fills one that was None."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("last", None)

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        self.last = x.detach()
        return x


def test_buffers_that_are_replaced_come_back():
    learner = make_learner()
    learner.model.append(Averaging())
    before, mean = list(learner.model.state_dict()), learner.model[-1].mean
    lr_find(learner, num_iter=12)
    assert list(learner.model.state_dict()) == before
    assert learner.model[-1].mean is mean
    assert not mean.any()
    assert learner.model[-1].last is None


def test_it_can_be_restored_many_times(trained):
    snapshot, before = Snapshot(trained), fingerprint(trained)
    for _ in range(3):
        trained.step(trained.endless())
        assert fingerprint(trained) != before
        snapshot.restore()
        assert fingerprint(trained) == before
