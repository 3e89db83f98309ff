import math

import matplotlib
import numpy as np
import pytest
import torch
from helpers import make_learner
from torch import nn

from lrsuggest import Learner, UserError, fit_one_cycle
from lrsuggest.training.one_cycle import fit_constant, group_rates, schedule

matplotlib.use("agg")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 90])
def test_the_schedule_rises_to_one_and_falls_away(steps):
    rate, momentum = schedule(steps)
    assert rate.shape == momentum.shape == (steps,)
    assert rate.max() == pytest.approx(1, abs=0.35 if steps < 10 else 0.02)
    if steps >= 10:
        top = int(np.argmax(rate))
        assert top / steps == pytest.approx(0.3, abs=0.1)
        assert (np.diff(rate[: top + 1]) > 0).all()
        assert (np.diff(rate[top:]) < 0).all()
        assert rate[0] == pytest.approx(1 / 25)
        assert rate[-1] < 1e-4
        assert int(np.argmin(momentum)) == top
        assert (momentum[0], momentum.min()) == pytest.approx((0.95, 0.85), abs=0.01)


def test_training_trains_and_hands_the_optimizers_settings_back():
    learner = make_learner()
    before = learner.evaluate()["loss"]
    fit = fit_one_cycle(learner, 1e-2, epochs=4, seed=0)
    assert [m["step"] for m in fit.metrics] == [8, 16, 24, 32]
    assert fit.valid_loss < 0.7 * before
    assert fit.lr.max() == pytest.approx(1e-2, rel=0.02)
    assert np.isfinite(fit.loss).all()
    assert not fit.diverged
    group = learner.optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (1e-3, (0.9, 0.999))
    assert "max_lr" not in group


def test_a_seed_repeats_a_run():
    fits = [fit_one_cycle(make_learner(), 1e-2, steps=12, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].loss, fits[1].loss)


def test_a_stray_gradient_does_not_enter_the_run():
    plain, stray = make_learner(), make_learner()
    torch.nn.functional.cross_entropy(
        stray.model.eval()(torch.ones(4, 8)), torch.ones(4).long()
    ).backward()
    stray.model.train()
    fits = [fit_one_cycle(learner, 1e-2, steps=8, seed=0) for learner in (plain, stray)]
    np.testing.assert_array_equal(fits[0].loss, fits[1].loss)


def test_momentum_is_cycled_where_there_is_one():
    def sgd(momentum):
        return lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=momentum)

    seen = []
    learner = make_learner(optimizer=sgd(0.9))
    learner.optimizer.register_step_pre_hook(
        lambda o, *_: seen.append(o.param_groups[0]["momentum"])
    )
    fit = fit_one_cycle(learner, 0.1, steps=20)
    np.testing.assert_allclose(seen, fit.momentum)
    assert learner.optimizer.param_groups[0]["momentum"] == 0.9
    plain = make_learner(optimizer=sgd(0))
    assert np.isnan(fit_one_cycle(plain, 0.1, steps=20).momentum).all()
    assert plain.optimizer.param_groups[0]["momentum"] == 0


def test_divergence_is_a_result():
    model = nn.Linear(1, 1, bias=False)
    batches = [(torch.ones(1, 1), torch.ones(1, 1))]
    learner = Learner(
        model, nn.functional.mse_loss, batches, torch.optim.SGD(model.parameters(), lr=0.1),
        valid=batches,
    )  # fmt: skip
    fit = fit_one_cycle(learner, 1e30, steps=30)
    assert fit.diverged
    assert len(fit.loss) < 30
    assert math.isinf(fit.valid_loss)
    assert learner.lr == 0.1


def test_the_history_can_be_drawn():
    fit = fit_one_cycle(make_learner(), 1e-2, epochs=2)
    losses, rates = fit.plot_losses(), fit.plot_lr()
    assert losses.get_xlabel() == rates.get_xlabel() == "optimizer step"
    assert len(losses.lines[0].get_xdata()) == 16
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["training", "validation"]
    assert [t.get_text() for t in rates.get_legend().get_texts()] == ["learning rate", "momentum"]


def test_rates_over_groups():
    assert group_rates(1e-2, [0.1, 1.0]) == pytest.approx([1e-3, 1e-2])
    assert group_rates(slice(1e-4, 1e-2), [1, 1, 1]) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert group_rates(slice(1e-2), [1, 1, 1]) == pytest.approx([1e-3, 1e-3, 1e-2])
    assert group_rates(slice(1e-4, 1e-2), [1]) == [1e-2]


@pytest.mark.parametrize(
    ("lr", "settings", "says"),
    [
        (0.0, {"steps": 5}, "got 0.0"),
        (math.nan, {"steps": 5}, "got nan"),
        (slice(-1, 1e-2), {"steps": 5}, "the lowest rate must be .*got -1"),
        (1e-2, {"steps": 5, "epochs": 1}, "not both; got 1 and 5"),
        (1e-2, {"steps": 0}, "at least 1; got 0"),
        (1e-2, {"steps": 10.0}, "whole number .*got 10.0"),
        (1e-2, {"epochs": -1}, "at least 1; got -1"),
        (1e-2, {"steps": 5, "evaluations": 0}, "evaluations must .*at least 1; got 0"),
    ],
)
def test_what_cannot_be_run_is_refused(lr, settings, says):
    with pytest.raises(UserError, match=says):
        fit_one_cycle(make_learner(), lr, **settings)


def test_batches_without_a_length_need_steps():
    class Endless:
        def __iter__(self):
            yield torch.ones(2, 8), torch.zeros(2, dtype=torch.long)

    learner = make_learner()
    learner.batches = Endless()
    with pytest.raises(UserError, match="no length, so give steps"):
        fit_one_cycle(learner, 1e-2)
    assert len(fit_one_cycle(learner, 1e-2, steps=4).loss) == 4


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.7)


@pytest.mark.parametrize(
    ("optimizer", "setting", "kept"), [(sgd, "momentum", 0.7), (None, "betas", (0.9, 0.999))]
)
def test_a_constant_rate_stays_and_the_momentum_is_the_optimizers_own(optimizer, setting, kept):
    learner = make_learner(optimizer=optimizer)
    own_rate, seen = learner.lr, []
    learner.optimizer.register_step_pre_hook(
        lambda o, *_: seen.append((o.param_groups[0]["lr"], o.param_groups[0][setting]))
    )
    before = learner.evaluate()["loss"]
    fit = fit_constant(learner, 1e-2, steps=30, seed=0)
    assert seen == [(1e-2, kept)] * 30
    assert fit.lr.tolist() == [1e-2] * 30
    assert np.isnan(fit.momentum).all()
    assert fit.valid_loss < before
    assert learner.lr == own_rate
    assert learner.optimizer.param_groups[0][setting] == kept


def test_a_constant_rate_is_what_a_plain_loop_does():
    learner, plain = make_learner(optimizer=sgd), make_learner(optimizer=sgd)
    fit = fit_constant(learner, 0.02, steps=11, seed=5)
    torch.manual_seed(5)
    plain.batches.generator.manual_seed(5)
    plain.optimizer.param_groups[0]["lr"] = 0.02
    plain.model.train()
    losses = []
    while len(losses) < 11:
        for x, y in plain.batches:
            if len(losses) == 11:
                break
            plain.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(plain.model(x), y)
            loss.backward()
            plain.optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(fit.loss, losses, rtol=1e-5)


@pytest.mark.parametrize("train", [fit_one_cycle, fit_constant])
def test_looking_more_often_changes_nothing(train):
    once, often = make_learner(), make_learner()
    short = train(once, 1e-2, steps=22, seed=1)
    long = train(often, 1e-2, steps=22, evaluations=5, seed=1)
    assert [m["step"] for m in short.metrics] == [22]
    assert [m["step"] for m in long.metrics] == [4, 8, 13, 17, 22]
    np.testing.assert_array_equal(short.loss, long.loss)
    assert short.metrics[-1] == long.metrics[-1]
    assert long.metrics[0]["loss"] > long.metrics[-1]["loss"]
    assert once.model.state_dict().keys() == often.model.state_dict().keys()
    for a, b in zip(*(m.model.state_dict().values() for m in (once, often)), strict=True):
        assert torch.equal(a, b)


def test_a_constant_run_that_diverges_is_a_result_too():
    learner = make_learner(optimizer=sgd)
    fit = fit_constant(learner, slice(1e30), steps=30, evaluations=3, seed=0)
    assert fit.diverged
    assert len(fit.loss) == len(fit.lr) < 30
    assert math.isinf(fit.valid_loss)
    assert learner.lr == 0.1


@pytest.mark.parametrize(
    ("lr", "settings", "says"),
    [
        (0.0, {"steps": 5}, "got 0.0"),
        (1e-2, {"steps": 0}, "at least 1; got 0"),
        (1e-2, {"steps": 5, "evaluations": -1}, "evaluations must .*got -1"),
    ],
)
def test_what_cannot_be_run_at_a_constant_rate_is_refused(lr, settings, says):
    with pytest.raises(UserError, match=says):
        fit_constant(make_learner(), lr, **settings)
