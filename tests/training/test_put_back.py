"""Everything that takes part in training is put back: weights anywhere, attributes, averages."""

import copy
import dataclasses
import functools
import math
import random
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from lrsuggest import Learner, lr_find
from lrsuggest.curves.columns import Ended

# What the functions of a person's script name. A test's learner puts its own parts here.
extra: nn.Module | None = None
average: list[torch.Tensor] = []
steps_made = 0


class Margin(nn.Module):
    """A loss with a weight and a buffer of its own, as metric learning has them."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.eye(2))
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, output, target):
        self.calls += 1
        self.seen += len(target)
        return F.cross_entropy(output @ self.centres, target)


def with_loss(wrap):
    """A learner whose loss is a Module of its own, its weights in the optimizer's second group."""
    margin = Margin()

    def optimizer(model):
        groups = [{"params": model.parameters()}, {"params": margin.parameters()}]
        return torch.optim.Adam(groups, lr=1e-2)

    learner = make_learner(optimizer=optimizer)
    wrap(learner, margin)
    return learner, lambda: (margin.state_dict(), margin.calls, margin.centres.grad)


def as_module(learner, margin):
    learner.loss_fn = margin


def in_a_closure(learner, margin):
    learner.loss_fn = lambda output, target: margin(output, target)


def in_a_partial(learner, margin):
    def loss(scale, output, target, *, inner):
        return scale * inner(output, target)

    learner.loss_fn = functools.partial(loss, 2.0, inner=margin)


def as_a_bound_method(learner, margin):
    learner.loss_fn = margin.forward


def in_a_default(learner, margin):
    learner.loss_fn = lambda output, target, inner=margin: inner(output, target)


def in_forward(learner, margin):
    held = [margin]
    learner.forward = lambda model, batch: held[0](model(batch[0]), batch[1])


def in_a_global(learner, margin):
    global extra
    extra = margin
    learner.loss_fn = by_its_global_name


def by_its_global_name(output, target):
    return extra(output, target)


class Holder:
    """A person's own callable, with slots."""

    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, output, target):
        return self.inner(output, target)


def in_slots(learner, margin):
    learner.loss_fn = Holder(margin)


@dataclasses.dataclass(frozen=True)
class Frozen:
    parts: dict

    def __call__(self, output, target):
        return self.parts["loss"](output, target)


def in_a_dataclass(learner, margin):
    learner.loss_fn = Frozen({"loss": margin})


WRAPS = [
    as_module, in_a_closure, in_a_partial, as_a_bound_method, in_a_default, in_forward,
    in_a_global, in_slots, in_a_dataclass,
]  # fmt: skip


def bits(value):
    """A value with all its tensors and arrays as bytes, to compare with ==."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, dict):
        return type(value), [(key, bits(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [bits(each) for each in value]
    return copy.copy(value)


def train(learner, steps=6):
    """The losses of some more steps."""
    torch.manual_seed(3)
    learner.batches.generator.manual_seed(3)
    batches = learner.endless()
    return [float(learner.step(batches)) for _ in range(steps)]


def check(make):
    """Asked twice in the middle of a training: one curve, all as it was, and it goes on the same.

    make() gives a learner, and a function that returns the state which is to be put back.
    """
    plain, _ = make()
    expected = train(plain) + train(plain)
    learner, state = make()
    losses = train(learner)
    before = bits(state())
    first, second = (lr_find(learner, num_iter=25, seed=0) for _ in range(2))
    assert bits(state()) == before
    assert first.loss.tobytes() == second.loss.tobytes()
    assert losses + train(learner) == expected


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_loss_with_weights_and_buffers_of_its_own(wrap):
    check(lambda: with_loss(wrap))


def test_a_weight_that_only_the_optimizer_knows():
    def make():
        learner = make_learner()
        scale = torch.ones((), requires_grad=True)  # no Parameter
        learner.optimizer.add_param_group({"params": [scale], "lr": 0.1})
        learner.loss_fn = lambda output, target: F.cross_entropy(output * scale, target)
        return learner, lambda: scale

    check(make)


class Remembers(nn.Module):
    """A recurrent layer that keeps its hidden state, a counter and what it saw last."""

    count = 0  # of all of them

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(8, 8)
        self.hidden = None
        self.steps = 0
        self.history = deque(maxlen=4)
        self.sums = np.zeros(8)

    def forward(self, x):
        hidden = torch.zeros(8) if self.hidden is None else self.hidden
        out = self.cell(x, hidden.expand(len(x), 8))
        self.hidden = out.detach().mean(0)
        self.steps += 1
        Remembers.count += 1
        self.history.append(float(x.sum()))
        self.sums += x.numpy().sum(0)
        return out


def remembering():
    learner = make_learner()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Remembers()
    learner.model.insert(0, layer)
    learner.optimizer.add_param_group({"params": layer.parameters()})
    start = Remembers.count

    def state():
        now = (layer.hidden, layer.steps, layer.history, layer.sums)
        return (*now, Remembers.count - start)

    return learner, state


def test_a_hidden_state_counters_and_what_a_class_counts():
    check(remembering)


def test_after_a_sweep_that_ended_non_finite_training_begins_as_if_nothing_had_been():
    learner, _ = remembering()
    plain = train(remembering()[0])

    def blow_up(layer, *_):
        if layer.steps > 20:
            layer.hidden = layer.hidden * math.inf

    learner.model[0].register_forward_hook(blow_up)
    assert lr_find(learner, num_iter=40, end_lr=1e-2).ended is Ended.NON_FINITE
    assert learner.model[0].hidden is None
    assert train(learner) == plain


def hooked(register):
    """A learner with an average that a hook updates after each step."""

    def make():
        learner = make_learner()
        state = register(learner)
        return learner, state

    return make


def average_in_a_closure(learner):
    ema = [p.detach().clone() for p in learner.model.parameters()]

    def update(*_):
        for mean, p in zip(ema, learner.model.parameters(), strict=True):
            mean.data.lerp_(p.data, 0.1)  # no version tells of it

    learner.optimizer.register_step_post_hook(update)
    return lambda: ema


def average_that_is_replaced(learner):
    smooth, calls = None, 0

    def update(module, inputs, output):
        nonlocal smooth, calls
        calls += 1
        mean = output.detach().mean()
        smooth = mean if smooth is None else 0.9 * smooth + 0.1 * mean

    learner.model.register_forward_hook(update)
    return lambda: (smooth, calls)


def average_in_a_global(learner):
    global average, steps_made
    average, steps_made = [p.detach().clone() for p in learner.model.parameters()], 0
    learner.optimizer.register_step_post_hook(update_the_global)
    return lambda: (average, steps_made)


def update_the_global(optimizer, *_):
    global average, steps_made
    steps_made += 1
    weights = optimizer.param_groups[0]["params"]
    average = [0.9 * mean + 0.1 * p.detach() for mean, p in zip(average, weights, strict=True)]


def averaged_model(learner):
    swa = AveragedModel(learner.model, use_buffers=True)
    learner.optimizer.register_step_post_hook(lambda *_: swa.update_parameters(learner.model))
    return lambda: swa.state_dict()


def norms_by_weight(learner):
    norms = defaultdict(list)
    for p in learner.model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: norms[p.shape].append(float(p.grad.norm())))
    return lambda: norms


REGISTERS = [
    average_in_a_closure, average_that_is_replaced, average_in_a_global, averaged_model,
    norms_by_weight,
]  # fmt: skip


@pytest.mark.parametrize("register", REGISTERS)
def test_what_hooks_keep(register):
    check(hooked(register))


class Lookahead(torch.optim.Optimizer):
    """Slow weights over another optimizer (Zhang et al., arXiv:1907.08610)."""

    def __init__(self, base, k=3):
        self.base, self.k, self.turn = base, k, 0
        super().__init__(base.param_groups, base.defaults)
        self.param_groups = base.param_groups
        self.slow = [[p.detach().clone() for p in group["params"]] for group in self.param_groups]

    def step(self, closure=None):
        self.base.step()
        self.turn += 1
        if self.turn % self.k == 0:
            for group, slow in zip(self.param_groups, self.slow, strict=True):
                for p, mean in zip(group["params"], slow, strict=True):
                    mean.lerp_(p.detach(), 0.5)
                    p.data.copy_(mean)


class Counting(torch.optim.SGD):
    """An optimizer with attributes beside its state."""

    def __init__(self, params):
        super().__init__(params, lr=0.01, momentum=0.9)
        self.norms, self.made = OrderedDict(), 0

    def step(self, closure=None):
        self.made += 1
        self.norms[self.made] = float(self.param_groups[0]["params"][0].grad.norm())
        return super().step(closure)


def test_an_optimizer_round_another():
    def make():
        learner = make_learner(
            optimizer=lambda model: Lookahead(torch.optim.Adam(model.parameters(), lr=1e-2))
        )
        outer = learner.optimizer
        inner = outer.base
        return learner, lambda: (
            outer.turn, outer.slow,
            [inner.state[p] for p in inner.param_groups[0]["params"]],
        )  # fmt: skip

    check(make)


def test_an_optimizer_with_attributes():
    def make():
        learner = make_learner(optimizer=lambda model: Counting(model.parameters()))
        return learner, lambda: (learner.optimizer.norms, learner.optimizer.made)

    check(make)


def test_a_buffer_made_in_inference_mode():
    learner = make_learner()
    with torch.inference_mode():
        table = torch.arange(8.0)
    learner.model.register_buffer("table", table)
    train(learner)
    state = torch.get_rng_state()
    lr_find(learner, num_iter=25)
    assert learner.model.table is table
    assert table.tolist() == list(range(8))
    assert learner.lr == 1e-3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_one_part_that_fails_does_not_keep_the_rest_from_being_put_back(error):
    learner = make_learner()
    train(learner)
    before = bits(learner.model.state_dict())
    rate, random_state = learner.lr, random.getstate()
    locked = np.zeros(3)
    learner.model.locked = locked

    def loss(output, target):
        random.random()
        locked.flags.writeable = True
        locked[0] += 1
        locked.flags.writeable = False
        if error and locked[0] == 5:
            raise error("in the middle")
        return F.cross_entropy(output, target)

    learner.loss_fn = loss
    with pytest.raises(error or RuntimeError) as caught:
        lr_find(learner, num_iter=25)
    said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert "1 of the parts that a sweep may move could not be put back" in said
    assert "read-only" in said
    assert bits(learner.model.state_dict()) == before
    assert learner.lr == rate
    assert random.getstate() == random_state


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["forward", "loss", "loader", "hook", "optimizer"])
def test_also_after_an_exception_anywhere(where, error):
    learner, state = with_loss(in_a_closure)
    train(learner)
    before, weights = bits(state()), bits(learner.model.state_dict())
    left = [5]

    def trip(*_, **__):
        left[0] -= 1
        if not left[0]:
            raise error("in the middle")

    if where == "forward":
        learner.model.register_forward_hook(trip)
    elif where == "loss":
        margin = learner.loss_fn
        learner.loss_fn = lambda output, target: (trip(), margin(output, target))[1]
    elif where == "loader":
        collate = learner.batches.collate_fn
        learner.batches.collate_fn = lambda items: (trip(), collate(items))[1]
    elif where == "hook":
        learner.model[0].weight.register_hook(trip)
    else:
        learner.optimizer.register_step_pre_hook(trip)
    with pytest.raises(error, match="in the middle"):
        lr_find(learner, num_iter=25)
    assert bits(state()) == before
    assert bits(learner.model.state_dict()) == weights
    assert left == [5]


def test_an_interrupt_while_all_is_put_back_is_heard_when_it_has_been():
    from lrsuggest.training.snapshot import Snapshot

    learner = make_learner()
    before = bits(learner.model.state_dict())
    snapshot = Snapshot(learner)
    calls = iter([True])

    def interrupt():
        if next(calls, False):
            raise KeyboardInterrupt

    snapshot._kept._structure.insert(3, ("signal", interrupt))
    train(learner)
    with pytest.raises(KeyboardInterrupt):
        snapshot.restore()
    assert bits(learner.model.state_dict()) == before
    assert not learner.optimizer.state


def test_a_learner_of_ones_own_with_attributes():
    class Mine(Learner):
        seen = 0

        def step(self, batches):
            self.seen += 1
            return super().step(batches)

    made = make_learner()
    learner = Mine(made.model, made.loss_fn, made.batches, made.optimizer)
    lr_find(learner, num_iter=12)
    assert learner.seen == 0
