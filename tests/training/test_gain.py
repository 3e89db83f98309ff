"""What a sweep sees of each step beside the loss: its slope, its size, and what it won."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner, UserError, lr_find, suggest_lr
from lrsuggest.training.settings import RangeTest


def data(n=64, size=16):
    source = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=source)
    y = (x @ torch.randn(6, 3, generator=source)).argmax(1)
    return [(x[i : i + size], y[i : i + size]) for i in range(0, n, size)]


def learner(model, optimizer=torch.optim.SGD, batches=None, loss=F.cross_entropy, **settings):
    made = optimizer(model.parameters(), lr=0.1)
    return Learner(model, loss, data() if batches is None else batches, made, **settings)


def network(*middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), *middle, nn.Linear(16, 3))


def swept(trained, **settings):
    given = {"start_lr": 1e-4, "end_lr": 1.0, "num_iter": 20, "seed": 1, **settings}
    return lr_find(trained, **given)


def test_a_parabola_as_worked_out_by_hand():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    trained = learner(
        model, batches=[(torch.ones(1, 1), torch.ones(1, 1))],
        loss=lambda output, target: ((output - target) ** 2).mean(),
    )  # fmt: skip
    curve = swept(trained, end_lr=0.4)
    weight, expected = 3.0, []
    for rate in curve.lr:
        gradient = 2 * (weight - 1)
        after = weight - rate * gradient
        expected.append(
            [(after - 1) ** 2, -rate * gradient**2, abs(after - weight), weight, 1 - rate]
        )
        weight = after
    total = curve.measured.total
    loss_after, slope, step, size, gain = np.array(expected).T
    np.testing.assert_allclose(total["loss_after"], loss_after, rtol=1e-4)
    np.testing.assert_allclose(total["slope"], slope, rtol=1e-3)
    np.testing.assert_allclose(total["step_norm"], step, rtol=1e-3)
    np.testing.assert_allclose(total["weight_norm"], size, rtol=1e-6)
    # The best step along a parabola is at a rate of 1/2, and wins half of what the slope promises.
    np.testing.assert_allclose(curve.gain, gain, rtol=2e-3)


@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_of_one_batch_over_and_over_it_is_the_next_loss(optimizer, accumulate_steps):
    trained = learner(
        network(nn.BatchNorm1d(16), nn.ReLU()), optimizer, data(16),
        accumulate_steps=accumulate_steps,
    )  # fmt: skip
    curve = swept(trained)
    np.testing.assert_allclose(curve.measured.loss_after[:-1], curve.loss[1:], rtol=1e-6)


def by_hand(trained, rates, clip=None):
    """The slope of each step from the gradient as the loss made it."""
    found, batches = [], itertools.cycle(trained.batches)
    parameters = list(trained.model.parameters())
    for rate in rates:
        x, y = next(batches)
        trained.loss_fn(trained.model(x), y).backward()
        raw, before = (
            [p.grad.clone() for p in parameters],
            [p.detach().clone() for p in parameters],
        )
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        trained.set_lr([rate])
        trained.optimizer.step()
        trained.optimizer.zero_grad()
        steps = [p.detach() - b for p, b in zip(parameters, before, strict=True)]
        found.append(sum(float((g * s).sum()) for g, s in zip(raw, steps, strict=True)))
    return np.array(found)


@pytest.mark.parametrize("clip", [None, 0.05, 1e6])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_the_slope_is_along_the_gradient_before_it_was_clipped(optimizer, clip):
    curve = swept(learner(network(nn.ReLU()), optimizer, max_grad_norm=clip), end_lr=1e-2)
    slope = by_hand(learner(network(nn.ReLU()), optimizer), curve.lr, clip)
    np.testing.assert_allclose(curve.measured.total["slope"], slope, rtol=2e-3)


class Decays(torch.optim.SGD):
    """Adds the weights to the gradient in place, where no counter of torch's sees it."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.data.add_(p.data, alpha=0.5)
        return super().step(closure)


def hooked(parameters, lr):
    def cut(optimizer, *_):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad.clamp_(-0.01, 0.01)

    made = torch.optim.SGD(parameters, lr=lr)
    made.register_step_pre_hook(cut)
    return made


@pytest.mark.parametrize("optimizer", [Decays, hooked])
def test_no_slope_is_told_where_the_gradient_was_changed_since(optimizer):
    curve = swept(learner(network(nn.ReLU()), optimizer))
    assert np.isnan(curve.measured.total["slope"]).all()
    assert np.isnan(curve.gain).all()
    assert np.isfinite(curve.measured.total["step_norm"]).all()
    assert np.isfinite(curve.measured.loss_after).all()


def test_each_group_has_its_own():
    model = network(nn.ReLU())
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}]
    trained = Learner(model, F.cross_entropy, data(), torch.optim.SGD(groups, lr=0.1))
    curve = swept(trained)
    measured = curve.measured
    assert measured.slope.shape == measured.step_norm.shape == (len(curve), 2)
    first = np.sqrt(sum(float((p.detach() ** 2).sum()) for p in model[0].parameters()))
    assert measured.weight_norm[0, 0] == pytest.approx(first, rel=1e-6)
    # Plain SGD: the slope is minus the step's squared size over the group's rate.
    rates = curve.lr[:, None] * np.array([0.1, 1.0])
    np.testing.assert_allclose(measured.slope, -(measured.step_norm**2) / rates, rtol=5e-3)


class Recalls(nn.Module):
    """Keeps its last output in an attribute, as a recurrent network its hidden state."""

    def __init__(self):
        super().__init__()
        self.kept, self.calls, self.seen = None, 0, []

    def forward(self, x):
        self.calls += 1
        self.seen.append(self.calls)
        x = x if self.kept is None else x + 0.5 * self.kept
        self.kept = x.detach()
        return x


class Noise(nn.Module):
    """Draws from generators of its own and of every kind."""

    def __init__(self):
        super().__init__()
        self.source, self.other = torch.Generator().manual_seed(3), np.random.default_rng(4)

    def forward(self, x):
        noise = torch.randn(x.shape, generator=self.source) + self.other.normal()
        return x + 0.3 * (noise + torch.rand(()) + np.random.rand())


def annealed():
    step = 0

    def loss(output, target):
        nonlocal step
        step += 1
        return F.cross_entropy(output, target) * (1 + 0.1 * step)

    return loss


def old_spectral_norm():
    with pytest.warns(FutureWarning):
        return nn.utils.spectral_norm(nn.Linear(16, 16))


PASSES = {
    "batch norm": lambda: learner(network(nn.BatchNorm1d(16), nn.ReLU())),
    "dropout": lambda: learner(network(nn.Dropout(0.4))),
    "spectral norm": lambda: learner(
        network(nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16)))
    ),
    "hidden state": lambda: learner(network(Recalls())),
    "generators": lambda: learner(network(Noise())),
    "a count in a closure": lambda: learner(network(nn.ReLU()), loss=annealed()),
    "accumulated": lambda: learner(network(nn.BatchNorm1d(16), nn.Dropout()), accumulate_steps=3),
    "bf16": lambda: learner(network(nn.ReLU()), precision="bf16"),
    "fp16": lambda: learner(network(nn.ReLU()), precision="fp16"),
}  # fmt: skip


@pytest.mark.parametrize("make", PASSES.values(), ids=PASSES)
def test_the_losses_are_the_same_to_the_bit_and_the_pass_is_the_same(make):
    curve, plain = (swept(make(), end_lr=10, gain=gain) for gain in (True, False))
    assert curve.loss.tobytes() == plain.loss.tobytes()
    assert plain.measured is None
    assert plain.gain is None
    assert np.isfinite(curve.measured.loss_after).all()
    # Small steps win what the slope says: only if the same was dropped, drawn and kept.
    small = slice(3, 8) if make not in (PASSES["bf16"], PASSES["fp16"]) else slice(6, 10)
    assert np.median(curve.gain[small]) == pytest.approx(1, abs=0.1)


def test_what_a_pass_writes_down_for_a_person_is_written_once():
    noted = []

    def loss(output, target):
        made = F.cross_entropy(output, target)
        noted.append(made.item())
        return made

    curve = swept(learner(network(nn.ReLU()), loss=loss))
    assert curve.measured is not None
    np.testing.assert_allclose(noted, curve.loss, rtol=1e-6)


def writes(model, batch):
    batch[0].mul_(0.9)
    return F.cross_entropy(model(batch[0]), batch[1])


def draws():
    scales = iter(np.linspace(1, 2, 1000))
    return lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]) * next(scales)


def asks_for_a_gradient(model, batch):
    x = batch[0].clone().requires_grad_()
    out = model(x)
    (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    return F.cross_entropy(out, batch[1]) + (slope**2).mean()


def only_with_gradients(model, batch):
    loss = F.cross_entropy(model(batch[0]), batch[1])
    return loss if torch.is_grad_enabled() else 2 * loss


NOT_AGAIN = {
    "it writes to its batch": lambda: writes, "it draws from an iterator": draws,
    "it needs a gradient": lambda: asks_for_a_gradient,
    "without gradients it is another": lambda: only_with_gradients,
}  # fmt: skip


@pytest.mark.parametrize("make", NOT_AGAIN.values(), ids=NOT_AGAIN)
def test_what_cannot_be_run_again_is_not_and_the_sweep_goes_on(make):
    def trained():
        model = network(nn.ReLU())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = [(x.clone(), y) for x, y in data()]
        return Learner(model, batches=batches, optimizer=optimizer, forward=make())

    curve, plain = (swept(trained(), gain=gain) for gain in (True, False))
    assert curve.measured is None
    assert curve.loss.tobytes() == plain.loss.tobytes()


def test_keys_that_a_pass_takes_out_of_its_batch_are_there_again():
    def forward(model, batch):
        return F.cross_entropy(model(batch.pop("x")), batch.pop("y"))

    model = network(nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    class Anew:
        def __iter__(self):
            return ({"x": x, "y": y} for x, y in data())

    trained = Learner(model, batches=Anew(), optimizer=optimizer, forward=forward)
    assert np.median(swept(trained).gain[3:8]) == pytest.approx(1, abs=0.05)


def test_sparse_gradients():
    def trained(sparse, optimizer):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(20, 3, sparse=sparse), nn.Flatten())
        words = [(torch.tensor([[1], [4], [4]]), torch.tensor([0, 1, 2]))]
        return learner(model, optimizer, words)

    curves = [swept(trained(sparse, torch.optim.SGD)) for sparse in (True, False)]
    sparse, dense = (curve.measured.total for curve in curves)
    for name, values in dense.items():
        np.testing.assert_allclose(sparse[name], values, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_weights_of_another_format(dtype):
    batches = [(x.to(dtype), y) for x, y in data()]
    curve = swept(
        learner(
            network(nn.ReLU()).to(dtype), batches=batches,
            loss=lambda output, target: F.cross_entropy(output.float(), target),
        ),
        start_lr=1e-2,
    )  # fmt: skip
    wide = swept(learner(network(nn.ReLU())), start_lr=1e-2)
    for name in ("slope", "weight_norm"):
        np.testing.assert_allclose(
            curve.measured.total[name], wide.measured.total[name], rtol=0.15, err_msg=name
        )


def test_a_step_that_the_scaler_skipped_has_no_gain():
    model = network(nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls = [0]

    class Overflows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            calls[0] += 1
            return gradient * (torch.inf if calls[0] == 9 else 1)

    def forward(model, batch):
        return F.cross_entropy(Overflows.apply(model(batch[0])).float(), batch[1])

    trained = Learner(model, batches=data(), optimizer=optimizer, forward=forward, precision="fp16")
    curve = swept(trained)
    assert curve.skipped.sum() == 1
    np.testing.assert_array_equal(np.isnan(curve.gain), curve.skipped)
    assert curve.measured.total["step_norm"][curve.skipped] == 0


def test_frozen_weights_are_not_counted():
    model = network(nn.ReLU())
    for p in model[0].parameters():
        p.requires_grad_(False)
    measured = swept(learner(model)).measured
    last = np.sqrt(sum(float((p.detach() ** 2).sum()) for p in model[2].parameters()))
    assert measured.total["weight_norm"][0] == pytest.approx(last, rel=1e-6)


def test_a_want_of_memory_turns_the_columns_off_and_not_the_sweep():
    def trained(fails):
        def forward(model, batch):
            if fails and not torch.is_grad_enabled():
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return F.cross_entropy(model(batch[0]), batch[1])

        model = network(nn.Dropout(0.2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Learner(model, batches=data(), optimizer=optimizer, forward=forward)

    curve, whole = swept(trained(fails=True)), swept(trained(fails=False))
    assert curve.measured is None
    assert whole.measured is not None
    assert curve.loss.tobytes() == whole.loss.tobytes()


SHORT_OF_MEMORY = """
import resource, sys
import torch
from torch import nn
from lrsuggest import Learner, lr_find

def forward(model, batch):
    return (model(batch) ** 2).mean()

SIZE = 64  # MiB of weights
model = nn.Linear(4096, SIZE * 2**20 // 4 // 4096, bias=False)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
learner = Learner(model, batches=[torch.ones(2, 4096)], optimizer=optimizer, forward=forward)
learner.step(learner.endless())  # what torch takes for itself
optimizer.zero_grad()
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
# The snapshot's copy, a gradient, and what SGD multiplies it by; no further copy.
room = float(sys.argv[1]) * SIZE * 2**20
resource.setrlimit(resource.RLIMIT_AS, (int(now + room), resource.RLIM_INFINITY))
curve = lr_find(learner, start_lr=1e-6, end_lr=1e-3, num_iter=12, seed=0)
print(len(curve), curve.measured is not None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_so_it_does_where_memory_is_short_for_real():
    def told(room):
        made = [sys.executable, "-c", SHORT_OF_MEMORY, str(room)]
        return subprocess.run(made, capture_output=True, text=True, check=True).stdout.split()

    assert told(40) == ["12", "True"]
    assert told(2.6) == ["12", "False"]


def test_it_can_be_left_out_and_asked_for_only_where_something_is_trained():
    trained = make_learner()
    assert suggest_lr(trained, sweep=RangeTest(gain=False), seed=0).curve.measured is None
    assert suggest_lr(trained, seed=0).curve.measured is not None
    with pytest.raises(UserError, match="gain must be True or False; got 'yes'"):
        lr_find(trained, gain="yes")
    with pytest.raises(UserError, match="gain must be True or False; got 1"):
        RangeTest(gain=1)


def test_a_pass_that_fails_at_the_end_leaves_what_was_seen_before():
    passes = [0]

    def forward(model, batch):
        if not torch.is_grad_enabled():
            passes[0] += 1
            if passes[0] == 18:
                raise ValueError("what is no probability")
        return F.cross_entropy(model(batch[0]), batch[1])

    model = network(nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trained = Learner(model, batches=data(), optimizer=optimizer, forward=forward)
    curve = swept(trained)
    seen = np.isfinite(curve.measured.loss_after)
    assert seen.tolist() == [True] * 14 + [False] * 6  # three passes were tries
    assert curve.loss.tobytes() == swept(trained, gain=False).loss.tobytes()


def test_several_sweeps_are_pooled_with_what_they_saw():
    trained = make_learner()
    found = suggest_lr(trained, seed=0, sweep=RangeTest(repeats=3)).curve
    alone = [suggest_lr(trained, seed=k).curve for k in range(3)]
    n = min(map(len, alone))
    assert len(found) >= n
    falls = [c.loss[:n] - c.measured.loss_after[:n] for c in alone]
    np.testing.assert_allclose(
        found.loss[:n] - found.measured.loss_after[:n], np.median(falls, axis=0), atol=1e-12
    )
    slopes = [c.measured.slope[:n] for c in alone]
    np.testing.assert_allclose(found.measured.slope[:n], np.median(slopes, axis=0))
    bare = suggest_lr(trained, seed=0, sweep=RangeTest(repeats=3, gain=False)).curve
    assert bare.measured is None
    np.testing.assert_array_equal(bare.loss, found.loss)
