"""Which schedule of the rate is set, and how many steps it plans, as torch's schedulers show it."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch.optim import lr_scheduler as torchs

from lrsuggest import RangeTest, suggest_lr
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.testing import simulated
from lrsuggest.training.inspection import schedules

ONE_CYCLE = partial(torchs.OneCycleLR, max_lr=1e-2, total_steps=120)
COSINE = partial(torchs.CosineAnnealingLR, T_max=60)
SHORT = RangeTest(num_iter=30)


def then(optimizer, after):
    warm_up = torchs.LinearLR(optimizer, 0.1, total_iters=5)
    return torchs.SequentialLR(optimizer, [warm_up, after(optimizer)], [5])


MADE = {
    "one-cycle": (ONE_CYCLE, "one_cycle", 120),
    "cosine": (COSINE, "cosine", 60),
    "down a line": (partial(torchs.LinearLR, start_factor=1.0, end_factor=0.1), "linear", 5),
    "up a line": (partial(torchs.LinearLR, start_factor=0.1), "constant", None),
    "constant": (torchs.ConstantLR, "constant", None),
    "polynomial": (partial(torchs.PolynomialLR, total_iters=7), "linear", 7),
    "square": (partial(torchs.PolynomialLR, total_iters=7, power=2), None, None),
    "warm-up, cosine": (partial(then, after=COSINE), "cosine", 65),
    "warm-up, two": (
        lambda o: torchs.SequentialLR(o, [COSINE(o), torchs.StepLR(o, 9)], [60]), None, None,
    ),
    "chain": (lambda o: torchs.ChainedScheduler([torchs.ConstantLR(o), COSINE(o)]), "cosine", 60),
    "steps": (partial(torchs.StepLR, step_size=3), None, None),
    "restarts": (partial(torchs.CosineAnnealingWarmRestarts, T_0=5), None, None),
    "plateau": (torchs.ReduceLROnPlateau, None, None),
    "a lambda": (partial(torchs.LambdaLR, lr_lambda=lambda step: 0.9**step), None, None),
}  # fmt: skip


def optimizer_of_one():
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)


@pytest.mark.parametrize(("make", "name", "steps"), MADE.values(), ids=MADE)
def test_a_scheduler_is_told_by_its_class(make, name, steps):
    made = make(optimizer_of_one())
    found = schedules.of(made)
    assert (found.name, found.steps) == (name, steps)
    if name is None:
        assert found.called == type(made).__name__
    assert schedules.of(SimpleNamespace(scheduler=made)) == found  # within accelerate's


def test_transformers_functions_are_told_by_their_names():
    transformers = pytest.importorskip("transformers")
    for kind, name in (("linear", "linear"), ("cosine", "cosine"), ("polynomial", "linear"),
                       ("inverse_sqrt", None), ("cosine_with_restarts", None)):  # fmt: skip
        made = transformers.get_scheduler(kind, optimizer_of_one(), 5, 50)
        assert schedules.of(made).name == name
        assert schedules.by_name(kind, {}).name == name
    assert schedules.by_name("polynomial", {"power": 2}).name is None


def test_a_scheduler_over_a_learners_optimizer_is_found_by_its_name():
    learner = make_learner()
    assert learner.scheduled is None
    scheduler = COSINE(learner.optimizer)
    found = suggest_lr(learner, seed=0, sweep=SHORT)
    assert found.schedule == "cosine"
    assert found.total_steps is None  # by the step or by the epoch?
    assert [each.reason for each in found.reasons] == [Reason.FALLING]
    assert "No recorded task had a cosine schedule" in str(found)
    batches = learner.endless()
    for _ in range(3):
        learner.step(batches)
        scheduler.step()
    assert learner.scheduled.to_come == 57


def test_one_held_by_an_object_or_a_list_is_found_and_one_of_another_optimizer_is_not():
    learner = make_learner()
    held = SimpleNamespace(schedulers=[ONE_CYCLE(learner.optimizer)])
    assert learner.scheduled.to_come == 120
    other = make_learner()
    assert other.scheduled is None
    assert held.schedulers


def test_a_one_cycle_is_told_by_the_groups_where_no_name_holds_it():
    learner = make_learner()
    ONE_CYCLE(learner.optimizer)
    assert learner.scheduled == schedules.Scheduled("one_cycle", "OneCycleLR")
    learner = make_learner()
    COSINE(learner.optimizer)
    assert learner.scheduled is None


def test_what_is_told_goes_before_what_is_seen_with_a_doubt():
    learner = make_learner()
    scheduler = ONE_CYCLE(learner.optimizer)
    found = suggest_lr(learner, seed=0, sweep=SHORT, schedule="constant")
    assert found.schedule == "constant"
    said = "The rate is for the schedule that was named, constant, but the one that is set is one_"
    assert any(each.startswith(said) for each in found.reasons)
    found = suggest_lr(learner, seed=0, sweep=SHORT, schedule="one_cycle")
    assert (found.schedule, found.total_steps, found.reasons) == ("one_cycle", 120, ())
    assert scheduler.last_epoch == 0


def test_a_schedule_that_no_task_had_is_named():
    learner = make_learner()
    scheduler = torchs.StepLR(learner.optimizer, 5)
    found = suggest_lr(learner, seed=0, sweep=SHORT)
    assert found.schedule is None
    assert "No recorded task trained with the schedule StepLR, so" in str(found)
    assert scheduler.last_epoch == 0


def test_lines_and_cosines_are_read_as_one_cycle():
    curve = Curve(*simulated(100, 0.1, 2.0, 0.0, 0))
    whole = suggest_lr(curve, schedule="one_cycle")
    for name in ("linear", "cosine"):
        found = suggest_lr(curve, schedule=name)
        assert found.lr == whole.lr
        assert str(found).startswith("Maximum learning rate")
        assert [each.reason for each in found.reasons] == [Reason.FALLING]


def up(at):
    return cos(0.04, 1, at)


def down(at):
    return cos(1, 0, at)


def cos(start, end, at):
    return start + (1 - np.cos(np.pi * at)) * (end - start) / 2


SHAPES = {
    "one-cycle": (lambda at: up(at / 0.25) if at < 0.25 else down((at - 0.25) / 0.75),
                  "one_cycle"),
    "constant": (lambda _: [1e-3, 1e-2], "constant"),
    "a line": (lambda at: 1 - at, "linear"),
    "a warm-up and a line": (lambda at: min(at / 0.1, (1 - at) / 0.9), "linear"),
    "a cosine": (lambda at: cos(1, 0, at), "cosine"),
    "a warm-up and a cosine": (lambda at: at / 0.1 if at < 0.1 else cos(1, 0, (at - 0.1) / 0.9),
                               "cosine"),
    "flat, then a cosine": (lambda at: 1 if at < 0.75 else cos(1, 0, (at - 0.75) / 0.25), None),
    "an exponential": (lambda at: 0.01**at, None),
    "restarts": (lambda at: cos(1, 0, (2 * at) % 1), None),
    "nothing": (lambda _: 0.0, None),
}  # fmt: skip


@pytest.mark.parametrize(("rate_at", "name"), SHAPES.values(), ids=SHAPES)
def test_a_schedule_is_told_by_its_shape(rate_at, name):
    assert schedules.by_shape(rate_at) == name
