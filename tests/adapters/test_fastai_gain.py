"""What fastai's steps win on their own batches."""

import numpy as np
import pytest
from fastai_learners import MARKS, make, setups
from torch.nn import functional as F

from lrsuggest import suggest_lr
from lrsuggest.training.settings import RangeTest

pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
from fastai.learner import Callback

pytestmark = MARKS


@setups
def test_small_steps_win_what_their_slope_says_and_the_losses_stay_as_they_were(tmp_path, setup):
    curve, plain = (
        suggest_lr(make(tmp_path, **setup()), seed=1, sweep=RangeTest(gain=gain)).curve
        for gain in (True, False)
    )
    assert curve.loss.tobytes() == plain.loss.tobytes()
    assert plain.measured is None
    assert curve.measured.groups == 2
    small = (curve.lr > 1e-5) & (curve.lr < 1e-3)
    np.testing.assert_allclose(np.nanmedian(curve.gain[small]), 1, atol=0.05)


class Penalty(Callback):
    """Adds to the loss that goes backward what the one that is recorded does not have."""

    def after_loss(self):
        self.learn.loss_grad = self.loss_grad + 0.1 * (self.pred**2).mean()


class Thrice(Callback):
    """Trains on an eighth of a batch more with each batch that it has seen."""

    seen = 0

    def before_batch(self):
        self.seen += 1
        self.learn.xb = tuple(x * (1 + self.seen / 8) for x in self.xb)


@pytest.mark.parametrize("callback", [Penalty, Thrice])
def test_callbacks_take_part_in_it(tmp_path, callback):
    curve = suggest_lr(make(tmp_path, cbs=[callback()]), seed=1).curve
    small = (curve.lr > 1e-5) & (curve.lr < 1e-4)
    np.testing.assert_allclose(np.median(curve.gain[small]), 1, atol=0.1)


def test_what_is_drawn_in_the_loss_is_drawn_again(tmp_path):
    def loss(output, target):
        return F.cross_entropy(F.dropout(output, 0.5), target)

    curve = suggest_lr(make(tmp_path, loss_func=loss), seed=1).curve
    small = (curve.lr > 1e-5) & (curve.lr < 1e-3)
    np.testing.assert_allclose(np.nanmedian(curve.gain[small]), 1, atol=0.05)
