"""A step's batch run again: as it was, with nothing left behind, or not at all."""

import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from small import data, learner, network, swept
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner
from lrsuggest.training.replay import Replay


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


def test_what_looked_on_is_gone_when_the_sweep_is_over():
    trained, kept = learner(network(nn.ReLU())), []
    made = Replay.__init__

    def noting(self, *args, **settings):
        made(self, *args, **settings)
        kept.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Replay, "__init__", noting)
        assert swept(trained).measured is not None
    assert trained.replay is None
    assert kept[0]() is None  # with no help of the garbage collector
