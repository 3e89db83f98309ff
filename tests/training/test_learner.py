import math
import types

import pytest
import torch
from helpers import make_learner
from torch import nn

from lrsuggest import Learner, UserError
from lrsuggest.errors import LrsuggestWarning


def test_a_step_is_what_torch_does():
    ours, theirs = make_learner(), make_learner()
    torch.manual_seed(3)
    batches = ours.endless()
    losses = [ours.step(batches) for _ in range(5)]
    torch.manual_seed(3)
    for mine, (x, y) in zip(losses, theirs.batches, strict=False):
        loss = nn.functional.cross_entropy(theirs.model(x), y)
        assert torch.equal(mine, loss.detach())
        loss.backward()
        theirs.optimizer.step()
        theirs.optimizer.zero_grad()
    for a, b in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_accumulation_over_batches_is_one_step_on_their_union():
    def sgd(model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

    one, two = make_learner(optimizer=sgd), make_learner(optimizer=sgd, accumulate_steps=2)
    for learner in (one, two):  # batch norm and dropout see batches, so they would differ
        learner.model[1] = nn.Identity()
        learner.model[3] = nn.Identity()
    x, y = next(iter(one.batches))
    whole = one.step(iter([(x, y)]))
    halves = two.step(iter([(x[:16], y[:16]), (x[16:], y[16:])]))
    assert torch.allclose(whole, halves)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_clipping_bounds_the_step():
    def sgd(model):
        return torch.optim.SGD(model.parameters(), lr=1.0)

    learner = make_learner(optimizer=sgd, max_grad_norm=1e-3)
    before = [p.detach().clone() for p in learner.model.parameters()]
    learner.step(learner.endless())
    moved = sum(
        ((a - b) ** 2).sum() for a, b in zip(before, learner.model.parameters(), strict=True)
    )
    assert 0 < moved.sqrt() <= 1e-3 * 1.01


def test_evaluation_weighs_examples_and_leaves_modes_alone():
    learner = make_learner(metrics={"accuracy": lambda o, t: (o.argmax(1) == t).float().mean()})
    learner.valid = [*list(learner.valid), (torch.zeros(3, 8), torch.zeros(3, dtype=torch.long))]
    learner.model[1].eval()
    values = learner.evaluate()
    assert learner.model.training
    assert not learner.model[1].training
    learner.model.eval()
    x = torch.cat([b[0] for b in learner.valid])
    y = torch.cat([b[1] for b in learner.valid])
    with torch.no_grad():
        output = learner.model(x)
    assert values["loss"] == pytest.approx(float(nn.functional.cross_entropy(output, y)), rel=1e-5)
    assert values["accuracy"] == pytest.approx(float((output.argmax(1) == y).float().mean()))


class WithLoss(nn.Module):
    """As Hugging Face's models: a dict in, an object with .loss out."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x, y):
        return types.SimpleNamespace(loss=((self.layer(x)[:, 0] - y) ** 2).mean())


def test_dict_batches_work_with_a_loss_in_the_output_or_a_forward():
    model = WithLoss()
    batches = [{"x": torch.ones(2, 4), "y": torch.ones(2)}]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    by_output = Learner(model, None, batches, optimizer)
    by_forward = Learner(model, None, batches, optimizer, forward=lambda m, b: m(**b).loss)
    first = by_output.step(by_output.endless())
    assert by_forward.step(by_forward.endless()) < first
    plain = Learner(nn.Linear(4, 1), None, [{"input": torch.ones(2, 4)}], optimizer)
    with pytest.raises(UserError, match=r"no \.loss; give forward"):
        plain.step(plain.endless())


def test_the_loss_function_may_be_left_out():
    model = WithLoss()
    batches = [{"x": torch.ones(2, 4), "y": torch.ones(2)}]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def by_hand(model, batch):
        return model(**batch).loss

    for learner in (
        Learner(model, batches=batches, optimizer=optimizer, forward=by_hand),
        Learner(model, batches=batches, optimizer=optimizer),
        Learner(model, None, batches, optimizer, forward=by_hand),
    ):
        assert learner.loss_fn is None
        assert math.isfinite(learner.step(learner.endless()))
    with pytest.raises(
        UserError, match=r"got a list of 1: without a loss_fn give the rest by name, batches="
    ):
        Learner(model, batches, optimizer, forward=by_hand)
    with pytest.raises(UserError, match="batches must give batches; got None"):
        Learner(model, optimizer=optimizer, forward=by_hand)
    with pytest.raises(UserError, match="optimizer must be a torch optimizer; got None: make one"):
        Learner(model, batches=batches, forward=by_hand)


def test_a_model_in_eval_mode_is_trained_and_handed_back():
    learner = make_learner()
    learner.model.eval()
    with pytest.warns(LrsuggestWarning, match="eval mode"), learner.training():
        assert all(module.training for module in learner.model.modules())
    assert not any(module.training for module in learner.model.modules())


def test_groups_keep_their_ratios():
    def groups(model):
        return torch.optim.SGD(
            [{"params": model[0].parameters(), "lr": 1e-4}, {"params": model[4].parameters()}],
            lr=1e-2,
        )

    learner = make_learner(optimizer=groups)
    assert learner.lr == 1e-2
    assert learner.group_ratios() == pytest.approx([0.01, 1.0])


def test_names_are_told():
    learner = make_learner()
    assert learner.optimizer_name == "adamw"
    assert learner.detected_stage == "scratch"
    learner.model[0].weight.requires_grad_(False)  # as fastai freezes: norms go on training
    assert learner.detected_stage == "frozen"
    odd = make_learner(optimizer=lambda m: torch.optim.RMSprop(m.parameters()))
    assert odd.optimizer_name is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"precision": "fp8"}, "got 'fp8'"),
        ({"accumulate_steps": 0}, "got 0"),
        ({"max_grad_norm": -1.0}, "got -1.0"),
    ],
)
def test_bad_settings_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        make_learner(**settings)


def test_batches_that_cannot_be_used_are_refused():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UserError, match="one-shot generator"):
        Learner(model, nn.functional.mse_loss, (b for b in []), optimizer)
    empty = Learner(model, nn.functional.mse_loss, [], optimizer)
    with pytest.raises(UserError, match="batches is empty"):
        empty.step(empty.endless())
    with pytest.raises(UserError, match="give the Learner valid"):
        empty.evaluate()
    with pytest.raises(UserError, match="no parameters"):
        Learner(nn.ReLU(), nn.functional.mse_loss, [], optimizer)
    whole = Learner(
        model, lambda o, t: (o - t) ** 2, [(torch.ones(2, 1), torch.ones(2, 1))], optimizer
    )
    with pytest.raises(UserError, match=r"must be one number .*shape \(2, 1\)"):
        whole.step(whole.endless())
    with pytest.raises(UserError, match=r"metrics \(accuracy\) need an output"):
        Learner(model, None, [], optimizer, forward=lambda m, b: m(b), metrics={"accuracy": max})
    two = Learner(model, nn.functional.mse_loss, [torch.ones(2, 1)], optimizer)
    with pytest.raises(UserError, match="got a Tensor"):
        two.step(two.endless())
    odd = Learner(model, nn.functional.mse_loss, [torch.ones(3)], optimizer)
    with pytest.raises(UserError, match=r"\(input, target\) or a dict; got a Tensor"):
        odd.step(odd.endless())
