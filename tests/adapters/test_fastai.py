"""fastai's Learner: lent, swept as its own fit would train it, and handed back as it was."""

import warnings

import numpy as np
import pytest
import torch
from everything import changes, everything
from fastai_learners import MARKS, ROWS, Asks, loaders, make, setups, unchanged
from learners import assert_same, network

from lrsuggest import Probes, RangeTest, UserError, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.fp16 import MixedPrecision
    from fastai.callback.mixup import MixUp
    from fastai.callback.training import GradientAccumulation
    from fastai.learner import Callback
    from fastai.optimizer import OptimWrapper, ranger

pytestmark = MARKS


def test_it_finds_a_rate_that_trains_well(tmp_path):
    found = suggest_lr(make(tmp_path))
    assert found.reliable
    reached = {}
    for factor in (0.01, 1, 100):
        learn = make(tmp_path)
        learn.fit_one_cycle(5, found.lr * factor)
        reached[factor] = learn.validate()[0]
    assert reached[1] < 0.5 < min(reached[0.01], reached[100])


@setups
def test_the_sweep_makes_the_steps_that_fit_would_make(tmp_path, setup):
    """The same rates given to fastai's own loop bring the same losses, bit for bit."""
    learn = make(tmp_path, **setup())
    with borrowed(learn) as learner:
        every, ratios = learner.accumulate_steps, learner.group_ratios()
    curve = suggest_lr(learn, sweep=RangeTest(num_iter=20)).curve
    losses = []

    class Sweeps(Callback):
        def before_batch(self):
            if self.training:
                step = min(self.iter // every, len(curve) - 1)
                self.opt.set_hypers(lr=[curve.lr[step] * ratio for ratio in ratios])

        def after_loss(self):
            if self.training:
                losses.append(self.learn.loss.item())

    learn.fit(1, cbs=Sweeps())
    theirs = np.array(losses[: len(curve) * every], np.float32).reshape(-1, every)
    assert np.array_equal(curve.loss, theirs.mean(1, dtype=np.float32))


@setups
def test_nothing_has_changed_and_training_goes_on_as_if_nobody_had_asked(tmp_path, setup):
    outcomes = []
    for ask in (False, True):
        learn = make(tmp_path, **setup())
        for _ in range(2):
            if ask:
                found = unchanged(
                    learn, sweep=RangeTest(num_iter=20), probes=Probes(1, 10), fallback=1e-3
                )
                assert len(found.curve) > 10
            learn.fit_one_cycle(1, 1e-2)
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)


EVENTS = (
    "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "after_loss",
    "before_backward", "after_backward", "before_step", "after_step", "after_batch", "after_train",
    "before_validate", "after_validate", "after_epoch", "after_fit",
)  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_in_the_middle_of_training(tmp_path, event):
    at = 3 if event.endswith(("batch", "pred", "loss", "backward", "step")) else 1

    def ask(learn):
        return unchanged(learn, sweep=RangeTest(num_iter=20))

    outcomes = []
    for do in (lambda learn: True, ask):
        asks = Asks(event, do, at)
        learn = make(tmp_path, cbs=[asks, MixUp(), GradientAccumulation(32)])
        learn.fit_one_cycle(1, 1e-2)
        assert asks.done is not None
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)
    assert len(asks.done.curve) > 10


def autocast_depth():
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


class Fails(Callback):
    """Raises at an event of the twelfth batch."""

    order = 20

    def __init__(self, event, error):
        setattr(self, event, self.fail)
        self.error, self.left = error, 12

    def fail(self):
        self.left -= 1
        if not self.left:
            raise self.error


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("before_batch", KeyboardInterrupt("theirs")),
        ("after_pred", ValueError("theirs")),
        ("before_backward", ValueError("theirs")),
        ("after_step", KeyboardInterrupt("theirs")),
    ],
)
def test_nothing_has_changed_after_an_exception(tmp_path, event, error):
    depth = autocast_depth()
    cbs = [Fails(event, error), MixedPrecision("bf16"), MixUp(), GradientAccumulation(32)]
    learn = make(tmp_path, opt_func=ranger, cbs=cbs)
    for _ in range(2):
        before = everything(learn)
        with pytest.raises(type(error), match="theirs"):
            suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(learn)) == []
        assert autocast_depth() == depth
        learn.fails.left = 10**9
        learn.fit_one_cycle(1, 1e-2)
        learn.fails.left = 12


def test_after_an_exception_in_the_middle_of_training_it_goes_on_as_if_nobody_had_asked(tmp_path):
    def fail(learn):
        learn.fails.left = 12
        before = everything(learn)
        with pytest.raises(ValueError, match="theirs"):
            suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(learn)) == []
        learn.fails.left = 10**9
        return True

    outcomes = []
    for do in (lambda learn: True, fail):
        asks, fails = Asks("after_batch", do), Fails("after_step", ValueError("theirs"))
        fails.left = 10**9
        learn = make(tmp_path, cbs=[asks, fails, MixUp(), GradientAccumulation(32)])
        learn.fit_one_cycle(1, 1e-2)
        assert asks.done
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)


def test_nothing_has_changed_when_the_data_or_the_model_fail(tmp_path):
    rows = [*ROWS[:200], (torch.zeros(63), torch.tensor(0)), *ROWS[201:400]]
    learn = make(tmp_path, loaders=lambda: loaders(rows))
    before = everything(learn)
    with pytest.raises(RuntimeError, match="size"):
        suggest_lr(learn, sweep=RangeTest(num_iter=60, start_lr=1e-9, end_lr=1e-8))
    assert changes(before, everything(learn)) == []


def test_an_optimizer_built_beforehand(tmp_path):
    outcomes = []
    for ask in (False, True):
        model = network()
        opt = OptimWrapper(opt=torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True))
        learn = make(tmp_path, model=model, opt_func=opt, wd=0.1, lr=1e-3)
        if ask:
            unchanged(learn, sweep=RangeTest(num_iter=20))
        learn.fit(1)
        outcomes.append(everything(learn.model, learn.opt.state_dict()))
    assert_same(*outcomes)


def test_a_callback_that_asks_within_fastais_range_test_is_told_so(tmp_path):
    asks = Asks("before_fit", suggest_lr, at=1)
    with pytest.raises(UserError, match="in the middle of a range test"):
        make(tmp_path, cbs=[asks]).lr_find(show_plot=False)
