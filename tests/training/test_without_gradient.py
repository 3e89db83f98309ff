"""Weights that are to train and get no gradient are a doubt; watching for them leaves no trace."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, suggest_lr

pytestmark = pytest.mark.usefixtures("one_thread")
CROSS = nn.functional.cross_entropy
SAID = "weights that are to train got no gradient"


def loader():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(640, 20, generator=draws)
    y = (x @ torch.randn(20, 4, generator=draws)).argmax(1)
    return DataLoader(TensorDataset(x, y), 32, shuffle=True)


def mlp(n, c):
    return nn.Sequential(nn.Linear(n, 64), nn.ReLU(), nn.Linear(64, c))


class Two(nn.Module):
    """A body, a head, and how the one comes to the other."""

    def __init__(self, way):
        super().__init__()
        self.way, self.body, self.head, self.spare = way, mlp(20, 32), nn.Linear(32, 4), None

    def forward(self, x):
        return self.head(self.way(self.body, x))


def under_no_grad(body, x):
    with torch.no_grad():
        return body(x)


class Experts(nn.Module):
    """Each example goes to one of three, and never to the last."""

    def __init__(self):
        super().__init__()
        self.each = nn.ModuleList(mlp(20, 4) for _ in range(3))

    def forward(self, x):
        left = (x[:, :1] > 0).float()
        return left * self.each[0](x) + (1 - left) * self.each[1](x)


def found(model, **settings):
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    return suggest_lr(Learner(model, CROSS, loader(), optimizer, **settings), seed=0)


@pytest.mark.parametrize(
    ("make", "idle", "first"),
    [
        (lambda: Two(under_no_grad), 4, "body.0.weight"),
        (lambda: Two(lambda body, x: body(x).detach()), 4, "body.0.weight"),
        (lambda: Two(lambda body, x: body(x) * 0 + x[:, :1].repeat(1, 32)), 0, ""),
        (lambda: Two(lambda body, x: x[:, :1].repeat(1, 32)), 4, "body.0.weight"),
        (Experts, 4, "each.2.0.weight"),
    ],
    ids=["no_grad", "detached", "gradients of zero", "not used", "an expert without examples"],
)
def test_it_is_a_doubt(make, idle, first):
    suggestion = found(make())
    said = [reason for reason in suggestion.reasons if SAID in reason]
    assert len(suggestion.seen.idle) == idle
    assert len(said) == bool(idle)
    if idle:
        assert not suggestion.reliable
        assert said[0].startswith(f"{idle} of {suggestion.seen.trainable} ")
        assert f"({first} first)" in said[0]


@pytest.mark.parametrize("settings", [{}, {"accumulate_steps": 2}, {"max_grad_norm": 1.0}])
def test_what_trains_wholly_is_not_doubted_and_nothing_is_left_behind(settings):
    model = Two(lambda body, x: body(x))
    held = model.body[0].weight
    mine = held.register_post_accumulate_grad_hook(lambda p: None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    suggestion = found(model, **settings)
    assert suggestion.seen.idle == ()
    assert suggestion.seen.trainable == 6
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(held._post_accumulate_grad_hooks) == 1
    mine.remove()
    assert model.head.weight._post_accumulate_grad_hooks is None
    assert model.head.weight.grad is None


def test_what_is_held_is_not_to_train():
    model = Two(under_no_grad)
    model.body.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.head.parameters(), 1e-3)
    suggestion = suggest_lr(Learner(model, CROSS, loader(), optimizer), seed=0)
    assert suggestion.stage == "frozen"
    assert suggestion.seen.idle == ()


def test_an_error_leaves_no_hook_behind():
    model = Two(lambda body, x: body(x)[:, :3])
    with pytest.raises(Exception, match="first training step failed"):
        found(model)
    assert all(p._post_accumulate_grad_hooks is None for p in model.parameters())
