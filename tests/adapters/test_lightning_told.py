"""What Lightning's trainer and module tell of themselves."""

import warnings
from functools import partial

import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, Asks, Module, make

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
