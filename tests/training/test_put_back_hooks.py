"""What hooks on weights keep is put back, wherever a backward pass calls them from."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrsuggest import Learner, lr_find


class Smooth:
    """Divides gradients by a running mean of their norms, which so takes part in the training."""

    def __init__(self):
        self.mean, self.calls, self.recent = torch.ones(()), 0, []

    def __call__(self, grad):
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * grad.norm()
        self.recent = [*self.recent[-2:], float(self.mean)]
        return grad / self.mean

    def state(self):
        return self.mean.item(), self.calls, list(self.recent)


def on_the_weight(weight, smooth):
    weight.register_hook(smooth)


def by_its_method(weight, smooth):
    weight.register_hook(smooth.__call__)


def after_accumulation(weight, smooth):
    def shrink(p):
        p.grad = smooth(p.grad)

    weight.register_post_accumulate_grad_hook(shrink)


def before_its_node(weight, smooth):
    node = torch.autograd.graph.get_gradient_edge(weight).node
    node.register_prehook(lambda grads: (smooth(grads[0]),))
    return node  # autograd itself holds it weakly


def after_its_node(weight, smooth):
    node = torch.autograd.graph.get_gradient_edge(weight).node

    def shrink(*_):
        weight.grad.copy_(smooth(weight.grad))

    node.register_hook(shrink)
    return node


def of_several(weight, smooth):
    def together(grads):
        smooth(grads[0])

    return torch.autograd.graph.register_multi_grad_hook([weight], together)


HOOKS = [
    on_the_weight, by_its_method, after_accumulation, before_its_node, after_its_node, of_several,
]  # fmt: skip


def learner(hang):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(32, 4)
    batches = list(zip(x.split(8), (x[:, 0] > 0).long().split(8), strict=True))
    smooth = Smooth()
    held = hang(model[0].weight, smooth)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Learner(model, F.cross_entropy, batches, optimizer), smooth, held


def losses(ours):
    drawn = ours.endless()
    with ours.training():
        return [ours.step(drawn).item() for _ in range(8)]


@pytest.mark.parametrize("hang", HOOKS)
def test_the_state_of_a_hook_is_put_back(hang):
    plain, undisturbed, _held = learner(hang)
    expected = losses(plain)
    assert undisturbed.calls == 8
    ours, smooth, _held = learner(hang)
    lr_find(ours)
    assert smooth.state() == (1.0, 0, [])
    assert losses(ours) == expected
    assert smooth.state() == undisturbed.state()


@pytest.mark.parametrize("hang", HOOKS)
def test_it_is_put_back_after_an_error(hang):
    ours, smooth, _held = learner(hang)
    calls = []

    def trip(module, given):
        calls.append(1)
        if len(calls) == 5:
            raise OSError("the disk is full")

    ours.model.register_forward_pre_hook(trip)
    with pytest.raises(OSError, match="the disk is full"):
        lr_find(ours)
    assert smooth.state() == (1.0, 0, [])
