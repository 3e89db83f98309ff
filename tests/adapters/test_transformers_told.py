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


@pytest.mark.parametrize(
    ("kind", "name"),
    [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant"),
     ("constant_with_warmup", "constant"), ("polynomial", "linear"),
     ("inverse_sqrt", None), ("cosine_with_restarts", None)],
)  # fmt: skip
def test_it_tells_the_schedule_before_and_between_trainings(tmp_path, kind, name):
    trainer = make(tmp_path, lr_scheduler_type=kind, max_steps=2)
    for _ in range(2):
        with borrowed(trainer) as learner:
            assert learner.scheduled.name == name
        trainer.train()
    found = suggest_lr(trainer, sweep=RangeTest(num_iter=12))
    assert (f"the schedule {kind}, so" in str(found)) == (name is None)


def test_a_scheduler_that_it_was_given_goes_before_its_arguments(tmp_path):
    model = hf.classifier()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=12)
    trainer = make(tmp_path, model=model, optimizers=(optimizer, scheduler))
    for _ in range(2):
        with borrowed(trainer) as learner:
            assert learner.scheduled.name == "one_cycle"
        if scheduler.last_epoch == 0:
            trainer.train()


class Schedules(hf.Trainer):
    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.StepLR(optimizer or self.optimizer, 5)
        return self.lr_scheduler


def test_a_scheduler_of_ones_own_making_is_told_once_it_is_made(tmp_path):
    asks = hf.Asks("on_step_end", lambda: suggest_lr(trainer, sweep=RangeTest(num_iter=12)), at=2)
    trainer = make(tmp_path, kind=Schedules, callbacks=[asks], max_steps=3)
    with borrowed(trainer) as learner:
        assert learner.scheduled is None
    trainer.train()
    assert "No recorded task trained with the schedule StepLR, so" in str(asks.answer)
