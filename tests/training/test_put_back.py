"""Everything that takes part in training is put back: weights anywhere, attributes, averages."""

import dataclasses
import functools
import math
from collections import deque

import numpy as np
import pytest
import torch
from helpers import make_learner
from putting_back import check, in_a_closure, train, with_loss
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner, lr_find
from lrsuggest.curves.columns import Ended

# What the functions of a person's script name. A test's learner puts its own part here.
extra: nn.Module | None = None


def as_module(learner, margin):
    learner.loss_fn = margin


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
