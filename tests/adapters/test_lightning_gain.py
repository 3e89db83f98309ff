"""What Lightning's steps win on their own batches."""

import numpy as np
import pytest
import torch
from lightning_pairs import MARKS, Module, trainer
from torch import nn

from lrsuggest import suggest_lr
from lrsuggest.training.settings import RangeTest

pytestmark = MARKS


class Drops(Module):
    def training_step(self, batch, batch_idx):
        dropped = nn.functional.dropout(self(batch[0]), 0.4)
        return {"loss": nn.functional.cross_entropy(dropped, batch[1])}


class PassesOver(Module):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) if batch_idx % 3 else None


class Scales(Module):
    def on_after_backward(self):
        for p in self.parameters():
            p.grad.mul_(0.5)


SETUPS = {
    "plain": (Module, {}),
    "accumulated": (Module, {"accumulate_grad_batches": 2}),
    "clipped": (Module, {"gradient_clip_val": 0.1}),
    "bf16": (Module, {"precision": "bf16-mixed"}),
    "dropout": (Drops, {}),
    "no loss": (PassesOver, {}),
    "a gradient scaled": (Scales, {}),
}


@pytest.mark.parametrize(("module", "settings"), SETUPS.values(), ids=SETUPS)
def test_small_steps_win_what_their_slope_says_and_the_losses_stay_as_they_were(
    tmp_path, module, settings
):
    curve, plain = (
        suggest_lr(
            (trainer(tmp_path, **settings), module(make=torch.optim.SGD)), seed=1,
            sweep=RangeTest(start_lr=1e-3, end_lr=0.1, num_iter=40, gain=gain),
        ).curve
        for gain in (True, False)
    )  # fmt: skip
    assert curve.loss.tobytes() == plain.loss.tobytes()
    assert curve.measured.groups == 2
    np.testing.assert_allclose(np.median(curve.gain[:20]), 1, atol=0.1)


def test_clipped_by_value_the_gradient_is_another_and_no_gain_is_told(tmp_path):
    clipped = trainer(tmp_path, gradient_clip_val=0.001, gradient_clip_algorithm="value")
    curve = suggest_lr((clipped, Module()), seed=1).curve
    assert np.isnan(curve.gain).all()
    assert np.isfinite(curve.measured.loss_after).all()
