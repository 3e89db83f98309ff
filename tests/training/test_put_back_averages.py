"""What hooks and optimizers keep beside the weights is put back."""

from collections import OrderedDict, defaultdict

import pytest
import torch
from helpers import make_learner
from putting_back import check
from torch.optim.swa_utils import AveragedModel

# What a person's script keeps in globals. A test's learner puts its own parts here.
average: list[torch.Tensor] = []
steps_made = 0


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
