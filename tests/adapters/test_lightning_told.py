"""What Lightning's trainer and module tell of themselves."""

import warnings
from functools import partial

import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, ONE_CYCLE, Asks, Module, make

from lrsuggest import RangeTest, suggest_lr
from lrsuggest.adapters.lightning.adapter import borrowed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_lightning.callbacks import BackboneFinetuning

pytestmark = MARKS


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (torch.optim.AdamW, "adamw"),
        (torch.optim.Adam, "adam"),
        (torch.optim.SGD, "sgd"),
        (torch.optim.RMSprop, None),
    ],
)
def test_it_tells_the_optimizer(tmp_path, optimizer, name):
    with borrowed(make(tmp_path, Module(make=optimizer))) as learner:
        assert learner.optimizer_name == name


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_it_tells_that_the_training_went_on_before(tmp_path, optimizer):
    asks = Asks("on_train_batch_start", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=5)
    pair = make(tmp_path, Module(make=optimizer), callbacks=[asks])
    first = suggest_lr(pair, sweep=RangeTest(num_iter=30))
    assert not any(each.startswith("This training went on before") for each in first.reasons)
    pair[0].fit(pair[1])
    for found in (asks.done, suggest_lr(pair, sweep=RangeTest(num_iter=30))):
        assert any(each.startswith("This training went on before") for each in found.reasons)
        assert not found.reliable


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [(torch.optim.AdamW, None), (torch.optim.Adadelta, "Adadelta"),
     (partial(torch.optim.SGD, momentum=0.9, nesterov=True), "SGD with Nesterov momentum")],
)  # fmt: skip
def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path, optimizer, named):
    found = suggest_lr(make(tmp_path, Module(make=optimizer)), sweep=RangeTest(num_iter=30))
    said = [each for each in found.reasons if each.startswith("No recorded task trained with")]
    assert len(said) == (named is not None)
    assert all(f" {named}, so" in each for each in said)


class Bodied(Module):
    backbone = property(lambda self: self.body)


def test_it_tells_the_stage(tmp_path):
    def stage(pair):
        return suggest_lr(pair, sweep=RangeTest(num_iter=30)).stage

    pair = make(tmp_path)
    assert stage(pair) == "scratch"
    for parameter in pair[1].body.parameters():
        parameter.requires_grad_(False)
    assert stage(pair) == "frozen"
    tuned = BackboneFinetuning(unfreeze_backbone_at_epoch=5)
    module = Bodied()
    pair = make(tmp_path, module, callbacks=[tuned])
    before = everything(pair)
    assert stage(pair) == "frozen"
    assert changes(before, everything(pair)) == []


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 64),
        ({"max_epochs": 3}, 192),
        ({"max_epochs": 3, "accumulate_grad_batches": 3}, 66),
        ({"max_epochs": -1, "max_steps": 50}, 50),
        ({"max_epochs": 3, "max_steps": 50}, 50),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, 64),
        ({"max_epochs": 2, "limit_train_batches": 10}, 20),
        ({"max_epochs": -1}, None),
    ],
)
def test_it_tells_what_is_planned_and_the_batch_size(tmp_path, settings, steps):
    pair = make(tmp_path, **settings)
    with borrowed(pair) as learner:
        assert learner.total_steps == steps
        assert learner.batch_size == 16 * settings.get("accumulate_grad_batches", 1)
    if steps:
        pair[0].fit(pair[1])
        assert pair[0].global_step == steps


def test_in_the_middle_of_fit_it_tells_what_is_left(tmp_path):
    def told(pair):
        with borrowed(pair) as learner:
            return learner.total_steps, learner.batch_size

    asks = Asks("on_train_batch_start", told, at=11)
    fitter, module = make(tmp_path, callbacks=[asks], accumulate_grad_batches=2, max_epochs=2)
    fitter.fit(module)
    assert asks.done == (64 - 5, 32)


COSINE = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=64)


def shown(pair, **settings):
    return suggest_lr(pair, sweep=RangeTest(num_iter=30), **settings)


@pytest.mark.parametrize(
    ("schedule", "name", "named"),
    [
        (None, "constant", None),
        (ONE_CYCLE, "one_cycle", None),
        (COSINE, "cosine", None),
        (partial(torch.optim.lr_scheduler.StepLR, step_size=3), None, "StepLR"),
    ],
)
def test_it_tells_the_schedule(tmp_path, schedule, name, named):
    found = shown(make(tmp_path, Module(schedule=schedule), max_epochs=2))
    assert found.schedule == name
    said = [each for each in found.reasons if "with the schedule" in each]
    assert len(said) == (named is not None)
    assert all(f"the schedule {named}, so" in each for each in said)


class ByEpoch(Module):
    def configure_optimizers(self):
        made = super().configure_optimizers()
        made["lr_scheduler"]["interval"] = "epoch"
        return made


class Warms(Module):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)


def test_a_schedule_by_the_epoch_is_told_and_a_step_of_ones_own_is_not(tmp_path):
    with borrowed(make(tmp_path, ByEpoch(schedule=COSINE))) as learner:
        assert (learner.scheduled.name, learner.scheduled.to_come) == ("cosine", None)
    with borrowed(make(tmp_path, ByEpoch(schedule=ONE_CYCLE))) as learner:  # it never gets far
        assert (learner.scheduled.name, learner.scheduled.called[:10]) == (None, "OneCycleLR")
    with borrowed(make(tmp_path, Warms())) as learner:
        assert learner.scheduled is None


def test_without_an_end_a_schedule_tells_the_planned_steps(tmp_path):
    found = shown(make(tmp_path, Module(schedule=ONE_CYCLE), max_epochs=-1))
    assert found.total_steps == 128


def test_what_follows_a_fit_of_the_head_is_told(tmp_path):
    fitter, module = make(tmp_path)
    for weight in module.body[1].parameters():
        torch.nn.init.uniform_(weight, 0.9, 1.1)  # as a short training leaves a norm
    module.body.requires_grad_(False)
    first = shown((fitter, module))
    fitter.fit(module)
    module.body.requires_grad_(True)
    found = shown((fitter, module))
    assert (found.stage, found.context.continued) == (None, True)  # or is it all from scratch?
    assert shown((fitter, module), previous=first).stage == "unfrozen"
