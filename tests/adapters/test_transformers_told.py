"""What a Hugging Face Trainer tells of itself."""

import math

import pytest
import torch
from hf_watched import EXAMPLES, MARKS, hf, make

from lrsuggest import RangeTest, suggest_lr
from lrsuggest.adapters.transformers.adapter import borrowed

pytestmark = MARKS


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "adamw"), ({"optim": "sgd"}, "sgd"), ({"optim": "rmsprop"}, None),
     ({"optimizer_cls_and_kwargs": (torch.optim.Adam, {"lr": 1e-3})}, "adam")],
)  # fmt: skip
def test_it_tells_the_optimizer(tmp_path, settings, name):
    trainer = make(tmp_path, **settings)
    for _ in range(2):
        with borrowed(trainer) as learner:
            assert learner.optimizer_name == name
        trainer.train()


def test_it_tells_the_stage(tmp_path):
    trainer = make(tmp_path)
    assert suggest_lr(trainer, sweep=RangeTest(num_iter=12)).stage == "scratch"
    for parameter in trainer.model.bert.parameters():
        parameter.requires_grad_(False)
    assert suggest_lr(trainer, sweep=RangeTest(num_iter=12)).stage == "frozen"
    trainer.model.peft_config = {}  # adapters are no head, and a head beside them is not alone
    with borrowed(trainer) as learner:
        assert learner.detected_stage is None


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_it_tells_that_the_training_went_on_before(tmp_path, optim):
    trainer = make(tmp_path, optim=optim, max_steps=4)
    with borrowed(trainer) as learner:
        assert learner.continued is None
    asks = hf.Asks("on_step_end", lambda: suggest_lr(trainer, sweep=RangeTest(num_iter=12)), at=2)
    trainer.add_callback(asks)
    trainer.train()
    with borrowed(trainer) as learner:
        assert learner.continued is True
    assert any(each.startswith("This training went on before") for each in asks.answer.reasons)
    assert not asks.answer.reliable


def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path):
    for optim, named in (("adagrad", "Adagrad"), ("rmsprop", "RMSprop"), ("adamw_torch", None)):
        trainer = make(tmp_path, optim=optim)
        for _ in range(2):  # also as accelerate has wrapped it
            with borrowed(trainer) as learner:
                assert learner.optimizer_kind.unrecorded == named
            trainer.train()


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_steps": -1, "num_train_epochs": 2}, 2 * math.ceil(len(EXAMPLES) / 16)),
        ({"max_steps": -1, "num_train_epochs": 0.5}, math.ceil(0.5 * len(EXAMPLES) / 16)),
        ({"max_steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 4}, 6),
    ],
)
def test_it_tells_what_is_planned_and_the_batch_size(tmp_path, settings, steps):
    trainer = make(tmp_path, per_device_train_batch_size=16, **settings)
    with borrowed(trainer) as learner:
        assert learner.total_steps == steps
        assert learner.batch_size == 16 * settings.get("gradient_accumulation_steps", 1)
    trainer.train()
    assert trainer.state.global_step == steps


def test_in_the_middle_of_training_it_tells_what_is_left(tmp_path):
    def told():
        with borrowed(trainer) as learner:
            return learner.total_steps

    asks = hf.Asks("on_step_end", told, at=4)
    trainer = make(tmp_path, callbacks=[asks], max_steps=12)
    trainer.train()
    assert asks.answer == 8
