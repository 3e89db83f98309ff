"""What fastai's Learner tells of itself."""

import warnings
from functools import partial

import pytest
import torch
from fastai_learners import MARKS, SETUPS, Asks, make

from lrsuggest import RangeTest, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.mixup import CutMix, MixUp
    from fastai.optimizer import SGD, Adam, Lamb, Larc, OptimWrapper, RAdam, RMSProp, ranger

pytestmark = MARKS


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "adamw"),
        ({"opt_func": partial(Adam, decouple_wd=False)}, "adam"),
        ({"opt_func": SGD}, "sgd"),
        ({"opt_func": partial(SGD, mom=0.9)}, "sgd"),
        ({"opt_func": RMSProp}, None),
        ({"opt_func": ranger}, None),
        ({"opt_func": partial(OptimWrapper, opt=torch.optim.Adam), "lr": 1e-3}, "adam"),
    ],
)
def test_it_tells_the_optimizer(tmp_path, settings, name):
    with borrowed(make(tmp_path, **settings)) as learner:
        assert learner.optimizer_name == name


@pytest.mark.parametrize(
    ("opt_func", "named"),
    [(Adam, None), (RAdam, "radam"), (RMSProp, "rms_prop"), (Larc, "larc"), (Lamb, "lamb"),
     (ranger, "Lookahead"), (SGD, "SGD without momentum"), (partial(SGD, mom=0.9), None),
     (partial(OptimWrapper, opt=torch.optim.Adadelta), "Adadelta")],
)  # fmt: skip
def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path, opt_func, named):
    with borrowed(make(tmp_path, opt_func=opt_func, lr=1e-3)) as learner:
        found = learner.optimizer_kind.unrecorded
    assert found == named if named is None else named in found


@pytest.mark.parametrize(
    ("opt_func", "named"),
    [(partial(Adam, eps=0.1), "AdamW with an eps of 0.1"),
     (partial(Adam, mom=0.5), "AdamW with a first beta of 0.5"),
     (partial(Adam, decouple_wd=False, mom=0.5), "Adam with a first beta of 0.5"),
     (partial(Adam, eps=1e-5), None)],
)  # fmt: skip
def test_settings_that_no_recorded_task_had_are_named(tmp_path, opt_func, named):
    with borrowed(make(tmp_path, opt_func=opt_func)) as learner:
        assert learner.optimizer_kind.unrecorded == named


@pytest.mark.parametrize(("callback", "named"), [(MixUp, ["MixUp"]), (CutMix, ["CutMix"])])
def test_examples_mixed_by_a_callback_are_a_doubt(tmp_path, callback, named):
    learn = make(tmp_path, cbs=callback())
    with borrowed(learn) as learner:
        assert learner.beside == named
    if callback is MixUp:  # the other cuts pictures, which these are not
        found = suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert any("No recorded task trained with MixUp, so" in each for each in found.reasons)
    with borrowed(make(tmp_path)) as learner:
        assert learner.beside == []


@pytest.mark.parametrize("opt_func", [SGD, Adam])
def test_it_tells_that_the_training_went_on_before(tmp_path, opt_func):
    learn = make(tmp_path, opt_func=opt_func)
    with borrowed(learn) as learner:
        assert learner.continued is None
    asks = Asks("before_batch", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=5)
    learn.fit(1, cbs=asks)
    assert any(each.startswith("This training went on before") for each in asks.done.reasons)
    assert not asks.done.reliable
    learn = make(tmp_path, opt_func=opt_func)
    asks = Asks("before_batch", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=1)
    learn.fit(1, cbs=asks)
    assert not any(each.startswith("This training went on before") for each in asks.done.reasons)


@pytest.mark.parametrize("setup", ["plain", "torch's"])
def test_it_tells_the_stage(tmp_path, setup):
    def stage():
        with borrowed(learn) as learner:
            return learner.detected_stage

    learn = make(tmp_path, **SETUPS[setup]())
    assert stage() == "scratch"
    learn.freeze()
    assert stage() == "frozen"
    learn.fit(1)
    assert stage() == "frozen"
    learn.unfreeze()
    # torch's keep no gradients to tell it by; the norms and the head have trained, as from scratch.
    unfrozen = "unfrozen" if setup == "plain" else None
    assert stage() == unfrozen
    assert suggest_lr(learn, sweep=RangeTest(num_iter=30)).stage == unfrozen
    told = suggest_lr(learn, sweep=RangeTest(num_iter=30), previous=1e-3)
    assert told.stage == "unfrozen"
    learn.fit(1)  # with an optimizer that began anew when all was unfrozen
    assert stage() == (None if setup == "plain" else "finetune")


@pytest.mark.parametrize(("settings", "size"), [({}, 16), (SETUPS["accumulate"](), 32)])
def test_it_tells_the_batch_size_and_what_is_planned(tmp_path, settings, size):
    def told(learn):
        with borrowed(learn) as learner:
            return learner.batch_size, learner.total_steps

    asks = Asks("before_batch", told, at=11)
    learn = make(tmp_path, **settings)
    assert told(learn) == (size, None)
    learn.fit(2, cbs=asks)
    assert asks.done == (size, (80 - 10) // (size // 16))
    assert told(learn) == (size, None)


@pytest.mark.parametrize(
    ("method", "arguments", "name", "named"),
    [
        ("fit", (1,), "constant", None),
        ("fit_one_cycle", (1,), "one_cycle", None),
        ("fit_flat_cos", (1,), None, "ParamScheduler"),
        ("fit_sgdr", (1, 1), "cosine", None),
        ("fit_sgdr", (2, 1), None, "ParamScheduler"),
    ],
)
def test_in_a_fit_it_tells_the_schedule(tmp_path, method, arguments, name, named):
    learn = make(tmp_path)
    with borrowed(learn) as learner:
        assert learner.scheduled is None  # a fit is told its own
    asks = Asks("before_batch", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=5)
    getattr(learn, method)(*arguments, cbs=asks)
    assert asks.done.schedule == name
    assert asks.done.stage == "scratch"  # so few steps take no norm that far
    said = [each for each in asks.done.reasons if "with the schedule" in each]
    assert len(said) == (named is not None)
    assert all(named in each for each in said)
