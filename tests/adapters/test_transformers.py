"""A Hugging Face Trainer: lent, swept as its train() would train it, handed back as it was."""

import numpy as np
import pytest
import torch
from everything import changes
from hf_watched import EXAMPLES, MARKS, Watched, all_of, hf, make, setups, state, unchanged
from transformers import Trainer

from lrsuggest import Probes, RangeTest, suggest_lr
from lrsuggest.curves.heuristics.reasons import Reason

pytestmark = MARKS


def test_it_finds_a_rate_that_trains_well(tmp_path):
    settings = {"per_device_train_batch_size": 16, "max_steps": 50, "eval_dataset": EXAMPLES}
    found = suggest_lr(make(tmp_path, **settings))
    # The rate stays, which is seen and is a doubt; there is no other.
    assert [each.reason for each in found.reasons] == [Reason.CONSTANT]
    reached = {}
    for factor in (0.01, 1, 100):
        trainer = make(tmp_path, learning_rate=found.lr * factor, **settings)
        trainer.train()
        reached[factor] = trainer.evaluate()["eval_loss"]
    assert reached[1] < 0.75 * min(reached[0.01], reached[100])


@setups
def test_the_sweep_makes_the_steps_that_train_would_make(tmp_path, setup):
    """The same rates given to the Trainer's own loop bring the same losses, bit for bit."""
    curve = suggest_lr(make(tmp_path, **setup()), sweep=RangeTest(num_iter=12, end_lr=10)).curve
    trainer = make(tmp_path, kind=Watched, **setup())
    trainer.plan = curve.lr
    trainer.train()
    assert len(curve) == 12
    assert np.array_equal(curve.loss, torch.stack(trainer.losses).numpy())


@setups
def test_nothing_has_changed_and_training_goes_on_as_if_nobody_had_asked(tmp_path, setup):
    outcomes = []
    for ask in (False, True):
        trainer = make(tmp_path, eval_dataset=EXAMPLES[:20], **setup())
        for _ in range(2):
            if ask:
                found = unchanged(
                    trainer, sweep=RangeTest(num_iter=12), probes=Probes(1, 10), fallback=1e-3
                )
                assert len(found.curve) > 8
            trainer.train()
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []


EVENTS = (
    "on_train_begin", "on_epoch_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
    "on_optimizer_step", "on_step_end", "on_evaluate", "on_log", "on_epoch_end", "on_train_end",
)  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_in_the_middle_of_training(tmp_path, event):
    def ask():
        return unchanged(trainer, sweep=RangeTest(num_iter=10))

    outcomes = []
    for do in (lambda: True, ask):
        asks = hf.Asks(event, do, at=0 if "begin" in event else 2)
        trainer = make(
            tmp_path, callbacks=[asks], gradient_accumulation_steps=2, lr_scheduler_type="cosine",
            eval_strategy="steps", eval_steps=4, logging_strategy="steps", logging_steps=3,
            eval_dataset=EXAMPLES[:40], max_steps=9,
        )  # fmt: skip
        trainer.train()
        assert asks.answer is not None
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []
    assert len(asks.answer.curve) > 5


class Fails(Trainer):
    """Raises in the twelfth batch, before or after its backward pass."""

    where, error, left = "", None, 12

    def training_step(self, *arguments, **settings):
        self.left -= 1
        if not self.left and self.where == "before":
            raise self.error
        loss = super().training_step(*arguments, **settings)
        if not self.left:
            raise self.error
        return loss


@pytest.mark.parametrize(
    ("where", "error"),
    [("before", KeyboardInterrupt("theirs")), ("after", ValueError("theirs"))],
)
def test_nothing_has_changed_after_an_exception(tmp_path, where, error):
    trainer = make(tmp_path, kind=Fails, gradient_accumulation_steps=2, bf16=True)
    trainer.where, trainer.error = where, error
    for _ in range(2):
        before = all_of(trainer)
        with pytest.raises(type(error), match="theirs"):
            suggest_lr(trainer, sweep=RangeTest(num_iter=12))
        assert trainer.left == 12
        assert changes(before, all_of(trainer)) == []
        trainer.left = 10**9
        trainer.train()
        trainer.left = 12


def test_after_an_exception_in_the_middle_of_training_it_goes_on_as_if_nobody_had_asked(tmp_path):
    def fail(trainer):
        trainer.where, trainer.error, trainer.left = "after", ValueError("theirs"), 12
        before = all_of(trainer)
        with pytest.raises(ValueError, match="theirs"):
            suggest_lr(trainer, sweep=RangeTest(num_iter=12))
        assert changes(before, all_of(trainer)) == []
        trainer.left = 10**9
        return True

    outcomes = []
    for do in (lambda trainer: True, fail):
        asks = hf.Asks("on_step_end", lambda: do(trainer), at=3)  # noqa: B023
        trainer = make(
            tmp_path, kind=Fails, callbacks=[asks], gradient_accumulation_steps=2,
            lr_scheduler_type="cosine",
        )  # fmt: skip
        trainer.left = 10**9
        trainer.train()
        assert asks.answer
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []


def test_nothing_has_changed_when_the_data_fail(tmp_path):
    trainer = hf.make(tmp_path, train_dataset=[*EXAMPLES, {"input_ids": [1, 2]}])
    before = all_of(trainer)
    with pytest.raises(KeyError, match="attention_mask"):
        suggest_lr(trainer, sweep=RangeTest(num_iter=20, start_lr=1e-9, end_lr=1e-8))
    assert changes(before, all_of(trainer)) == []
