"""A mistake in the arguments is one sentence with the mend, before anything trains."""

import math
import re

import numpy as np
import optuna
import pytest
import torch
from helpers import make_learner
from refusals import CURVE, refused
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Curve, NoSuggestion, Probes, RangeTest, lr_find, set_lr, suggest_lr

pytestmark = pytest.mark.usefixtures("one_thread")
NONE = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7)))
MODEL, DATA = nn.Linear(8, 2), DataLoader(TensorDataset(torch.ones(4, 8)), 2)
SGD = torch.optim.SGD(MODEL.parameters(), 0.1)


ANYWHERE = [
    ({"heuristic": "consensu"}, r"no heuristic 'consensu'.*did you mean 'consensus'\?"),
    ({"heuristic": "Steepest"}, r"did you mean 'steepest'\?"),
    ({"heuristic": None}, "no heuristic None; choose one of"),
    ({"heuristic": len}, "no heuristic a builtin_function"),
    ({"fallback": "1e-3"}, "fallback must be a positive rate, or None; got '1e-3': write it"),
    ({"fallback": math.nan}, "fallback must be a positive rate, or None; got nan"),
    ({"fallback": True}, "fallback must be a positive rate, or None; got True"),
    ({"fallback": [1e-3]}, r"fallback must be a positive rate, or None; got \[0.001\]"),
    ({"stage": "frozn"}, r"stage 'frozn' is unknown; use one of .*did you mean 'frozen'\?"),
    ({"stage": True}, "stage True is unknown; use one of frozen"),
    ({"schedule": "onecycle"}, r"did you mean 'one_cycle'\?"),
    ({"schedule": 3}, "schedule 3 is unknown"),
    ({"optimizer": "AdamW"}, r"optimizer 'AdamW' is unknown; .*did you mean 'adamw'\?"),
    ({"optimizer": SGD}, "optimizer a SGD is unknown; use one of adamw, adam, sgd"),
    ({"optimizer": torch.optim.SGD}, "optimizer the class SGD is unknown"),
    ({"total_steps": 1e5}, "total_steps must be a whole number of at least 1, or None; got "
     "100000.0: write 100000$"),
    ({"total_steps": "300"}, "got '300': write 300$"),
    ({"total_steps": 0}, "total_steps must be a whole number of at least 1, or None; got 0$"),
    ({"total_steps": math.inf}, "total_steps must be a whole number of at least 1, .*got inf$"),
    ({"total_steps": True}, "total_steps must be a whole number .*got True"),
    ({"total_steps": 10.5}, "got 10.5$"),
    ({"total_steps": np.arange(3)}, "total_steps must be a whole number .*got .0 1 2."),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, or None; got 0"),
    ({"batch_size": -32}, "batch_size must be .*got -32"),
]  # fmt: skip
TO_SWEEP = [
    ({"seed": 1.5}, "seed must be a whole number; got 1.5"),
    ({"seed": "0"}, "seed must be a whole number; got '0'"),
    ({"sweep": {"end_lr": 1.0}}, r"sweep must be a RangeTest, such as sweep=.*\(end_lr=1.0\); got"),
    ({"sweep": RangeTest}, "sweep must be a RangeTest, .*; got the class RangeTest"),
    ({"sweep": 0}, "sweep must be a RangeTest, .*; got 0"),
    ({"probes": "4"}, "probes must be a whole number of at least 0; got '4': write 4"),
]  # fmt: skip
IN_RECORDS = [
    (RangeTest, {"end_lr": "10"},
     "end_lr must be positive and finite; got '10': write it without quotes"),
    (RangeTest, {"end_lr": math.nan}, "end_lr must be positive and finite; got nan"),
    (RangeTest, {"end_lr": math.inf}, "end_lr must be positive and finite; got inf"),
    (RangeTest, {"end_lr": -1}, "end_lr must be positive and finite; got -1"),
    (RangeTest, {"end_lr": True}, "end_lr must be positive and finite; got True"),
    (RangeTest, {"end_lr": torch.ones(2)},
     r"end_lr must be positive and finite; got tensor\(\[1., 1.\]\)"),
    (RangeTest, {"start_lr": 0}, "start_lr must be positive and finite; got 0"),
    (RangeTest, {"start_lr": (1e-7, 1)}, "start_lr must be positive and finite; got"),
    (RangeTest, {"start_lr": 1, "end_lr": 1e-3}, "0 < start_lr < end_lr; got 1 to 0.001"),
    (RangeTest, {"start_lr": 1e-3, "end_lr": 1e-3}, "0 < start_lr < end_lr"),
    (RangeTest, {"start_lr": 20}, "0 < start_lr < end_lr; got 20 to 10"),
    (RangeTest, {"num_iter": 1}, "num_iter must be a whole number of at least 2; got 1"),
    (RangeTest, {"num_iter": 60.0}, "num_iter must be a whole number .*; got 60.0: write 60"),
    (RangeTest, {"num_iter": "all"}, "num_iter must be a whole number of at least 2; got 'all'"),
    (RangeTest, {"repeats": True}, "repeats must be a whole number"),
    (RangeTest, {"repeats": 0}, "repeats must be a whole number of at least 1; got 0"),
    (RangeTest, {"repeats": 1.5}, "repeats must be .* got 1.5"),
    (Probes, {"number": 0}, "the number of probes must be a whole number of at least 1; got 0"),
    (Probes, {"number": 2, "steps": 9}, "the steps of a probe must be .* at least 10; got 9"),
    (Probes, {"number": 2, "steps": 20.0}, "the steps of a probe must .*; got 20.0: write 20"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "says"), IN_RECORDS)
def test_what_is_asked_of_a_sweep_or_probes_is_refused_when_it_is_made(kind, settings, says):
    refused(says, kind, **settings)


@pytest.mark.parametrize(("settings", "says"), [*ANYWHERE, *TO_SWEEP])
def test_a_learner_makes_no_step_for_it(settings, says, monkeypatch):
    learner = make_learner()
    monkeypatch.setattr(learner, "step", lambda _: pytest.fail("it trained"))
    refused(says, suggest_lr, learner, **settings)


@pytest.mark.parametrize(("settings", "says"), ANYWHERE)
def test_a_curve_is_not_read_for_it(settings, says):
    refused(says, suggest_lr, CURVE, **settings)


@pytest.mark.parametrize(
    "settings",
    [{"sweep": RangeTest(end_lr=1.0)}, {"sweep": RangeTest()}, {"sweep": RangeTest(repeats=3)},
     {"seed": 0}, {"progress": True}, {"valid": DATA}, {"batches": np.zeros(3)},
     {"batches": np.zeros((300, 300))}, {"batches": torch.zeros(3)}, {"batches": []},
     {"probes": 1}, {"probes": Probes(2, 20)}],
)  # fmt: skip
def test_what_a_curve_cannot_use_it_refuses(settings):
    (name,) = settings
    refused(
        f"^{name}=.*a Curve can only be read, so leave {name} out", suggest_lr, CURVE, **settings
    )


def test_numbers_of_every_kind_are_numbers():
    learner = make_learner()
    plain = lr_find(learner, start_lr=1e-6, end_lr=1.0, num_iter=20, seed=3)
    for start, end, steps in (
        (np.float64(1e-6), np.int64(1), np.int32(20)), (1e-6, 1, 20), (torch.tensor(1e-6).double(),
         torch.tensor(1.0), torch.tensor(20)),
    ):  # fmt: skip
        found = suggest_lr(
            learner, sweep=RangeTest(start_lr=start, end_lr=end, num_iter=steps), seed=np.int64(3)
        ).curve
        np.testing.assert_allclose(found.lr, plain.lr, rtol=1e-6)
    rates = [suggest_lr(CURVE, total_steps=each).lr for each in (50, np.int64(50))]
    assert rates[0] == rates[1]
    plainly = suggest_lr(CURVE, sweep=None, probes=np.int64(0), seed=None, progress=np.False_)
    assert plainly.lr == suggest_lr(CURVE).lr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((MODEL, nn.CrossEntropyLoss(), DATA, SGD), "got a Linear, a CrossEntropyLoss, a DataLoader"
         r", an? SGD: wrap a model: suggest_lr\(Learner\(model, loss_fn, batches, optimizer\)\)"),
        ((make_learner(), DATA), "one thing to train, and all else by name"),
        ((CURVE, "adamw"), "one thing to train, and all else by name; got a Curve, a str"),
        ((MODEL,), "not a Linear; wrap any other model"),
        ((SGD,), "not an? SGD; wrap"),
        ((DATA,), "not a DataLoader; wrap"),
        (("resnet",), "not a str; wrap"),
        ((None,), "not None; wrap"),
        ((nn.Linear,), "not the class Linear; wrap"),
        (([make_learner()],), "not a list of 1; wrap"),
        ((np.zeros(3),), r"not an? ndarray of shape \(3,\); wrap"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told_how_to_become_a_learner(given, says):
    refused(says, suggest_lr, *given)


def test_apply_takes_a_rate_then_a_learner():
    found, learner = suggest_lr(CURVE), make_learner()
    set_lr(learner, found)
    assert learner.lr == found
    refused(r"the rate last: set_lr\(x, suggestion\)", set_lr, found, learner)
    refused("the rate last", set_lr, 1e-3, learner)
    refused("a rate is set in a Learner .* got a Linear: a model has none", set_lr, MODEL, found)
    refused("got an? SGD: .*for group in optimizer.param_groups", set_lr, SGD, found)
    for rate in ("1e-3", True, math.nan, 0, None, [1e-3], slice(None), slice(1e-3, None)):
        refused("must be positive and finite", set_lr, learner, rate)
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        set_lr(learner, NONE)
    assert learner.lr == found


def test_a_range_for_a_trial():
    trial, said = (
        optuna.create_study().ask(),
        r"fallback must be \(lowest, highest\) rate; got 0.001",
    )
    refused(said, NONE.suggest_float, trial, fallback=1e-3)
    said = "fallback must be positive and finite; got 'a'"
    refused(said, NONE.suggest_float, trial, fallback=("a", 1))


def test_a_fallback_may_be_a_suggestion():
    flat = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))
    found = suggest_lr(CURVE)
    assert type(suggest_lr(flat, fallback=found).fallback) is float
    assert suggest_lr(flat, fallback=found) == found
    with pytest.raises(NoSuggestion, match=re.escape("The loss is flat")):
        suggest_lr(CURVE, fallback=NONE)
