"""What a Hugging Face Trainer's steps win on their own batches."""

import numpy as np
import pytest
from hf_trainers import Trainer, classifier, make, writer
from hf_watched import MARKS

from lrsuggest import suggest_lr
from lrsuggest.training.settings import RangeTest

pytestmark = MARKS

SETUPS = {
    "dropout": {},
    "accumulated": {"gradient_accumulation_steps": 3},
    "labels counted together": {"model": writer, "gradient_accumulation_steps": 2},
    "labels smoothed, which takes them out of the batch": {"label_smoothing_factor": 0.1},
    "clipped": {"max_grad_norm": 0.01},
    "sgd": {"optim": "sgd"},
    "bf16": {"bf16": True},
}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_small_steps_win_what_their_slope_says_and_the_losses_stay_as_they_were(tmp_path, setup):
    def swept(gain):
        given = {**setup, "model": setup.get("model", classifier)()}
        sweep = RangeTest(start_lr=1e-4, end_lr=1e-2, num_iter=12, gain=gain)
        return suggest_lr(make(tmp_path, **given), seed=1, sweep=sweep).curve

    curve, plain = swept(True), swept(False)
    assert curve.loss.tobytes() == plain.loss.tobytes()
    assert curve.measured.groups == 2  # with and without weight decay
    np.testing.assert_allclose(np.median(curve.gain[:5]), 1, atol=0.2)


class Twice(Trainer):
    """Trains on a batch twice a step, as adversarial training does."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        super().training_step(model, dict(inputs), num_items_in_batch)
        return super().training_step(model, inputs, num_items_in_batch)


def test_a_step_of_ones_own_is_not_run_again(tmp_path):
    assert suggest_lr(make(tmp_path, kind=Twice), seed=1).curve.measured is None
