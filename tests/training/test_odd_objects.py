"""Looks at a person's own objects neither crash nor take an answer to every name for a fact."""

import argparse
import warnings
from collections import UserDict

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, RangeTest, suggest_lr
from lrsuggest.training.restore.attributes import attribute, own
from lrsuggest.training.seen import loaded_from

pytestmark = pytest.mark.usefixtures("one_thread")
X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Raises(dict):
    def __getattr__(self, name):
        return self[name]


class Everything(dict):
    __getattr__ = dict.get


class ItsOwnDict(dict):
    def __init__(self, *held, **named):
        super().__init__(*held, **named)
        self.__dict__ = self


class Loss:
    def __init__(self):
        self.weights = {}

    def __getattr__(self, name):
        return self.__dict__["weights"][name]

    def __call__(self, output, target):
        return nn.functional.cross_entropy(output, target)


class Always(Loss):
    """It answers to every name with itself, as a mock does."""

    def __getattr__(self, name):
        return self


class Asked(torch.optim.SGD):
    def __getattr__(self, name):
        if name in ("grad_scale", "found_inf"):  # torch's own step asks for these
            raise AttributeError(name)
        return self.__dict__[name]


class Tight:
    __slots__ = ("empty", "full")

    def __init__(self):
        self.full = 3

    @property
    def fails(self):
        raise KeyError("fails")


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def learner(model, loss=nn.functional.cross_entropy, optimizer=None):
    made = optimizer or torch.optim.AdamW(model.parameters(), 1e-3)
    return Learner(model, loss, DataLoader(TensorDataset(X, Y), 16, shuffle=True), made)


def configured(config):
    model = net()
    model.config = config
    return model


CONFIGS = {
    "raises": (Raises(width=3), False),
    "everything": (Everything(width=3), False),
    "its own dict": (ItsOwnDict({0: "cat"}, layerdrop=0.1), True),
    "number for a name": (ItsOwnDict({0: "cat"}), False),
    "dict": ({"layerdrop": 0.1}, True),
    "dict, raising": (Raises(encoder_layerdrop=0.1), True),
    "user dict": (UserDict(layer_drop=0.2), True),
    "namespace": (argparse.Namespace(layerdrop=[0.0, 0.1]), True),
    "tensor": (argparse.Namespace(layerdrop=torch.tensor([0.1, 0.2])), True),
    "array's number": (argparse.Namespace(layerdrop=np.float32(0.1)), True),
    "none": (argparse.Namespace(layerdrop=torch.zeros(3)), False),
    "text": ("layerdrop", False),
}


@pytest.mark.parametrize(("config", "drops"), CONFIGS.values(), ids=CONFIGS)
def test_configurations_of_every_sort(config, drops):
    made = learner(configured(config))
    assert made.beside == (["LayerDrop"] if drops else [])
    assert loaded_from(made.model) is None


@pytest.mark.parametrize("loss", [Loss, Always])
def test_losses_that_answer_oddly(loss):
    found = suggest_lr(learner(net(), loss()), seed=0, sweep=RangeTest(num_iter=20, end_lr=1e-2))
    assert found.seen.beside == ()


def test_an_optimizer_that_answers_oddly():
    model = net()
    rule = Asked(model.parameters(), 1e-2, momentum=0.9)
    assert (
        suggest_lr(
            learner(model, optimizer=rule), seed=0, sweep=RangeTest(num_iter=20, end_lr=1e-2)
        ).seen.beside
        == ()
    )


def test_attributes_are_read_without_asking():
    assert attribute(Everything(a=1), "a") is None
    assert attribute(Always(), "first_step", 7) == 7
    assert attribute(Tight(), "full") == 3
    assert attribute(Tight(), "empty", 7) == attribute(Tight(), "fails", 7) == 7
    assert attribute(make_learner(), "lr") == 1e-3
    assert own(Tight()) == {}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("compiled", ["script", "trace", "a part"])
def test_compiled_models_are_asked_and_put_back(compiled):
    model = net()
    if compiled == "script":
        model = torch.jit.script(model)
    elif compiled == "trace":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that batch norm looks at the size of its batch
            model = torch.jit.trace(model, X[:8], check_trace=False)
    else:
        model = nn.Sequential(torch.jit.script(model), nn.Linear(2, 2))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    made = learner(model)
    one, other = (
        suggest_lr(made, seed=0, sweep=RangeTest(num_iter=20, end_lr=1e-1)) for _ in range(2)
    )
    assert one.curve.loss.tobytes() == other.curve.loss.tobytes()
    for name, each in model.state_dict().items():
        assert torch.equal(each, before[name]), name


class Drop(nn.Module):
    def __init__(self, **held):
        super().__init__()
        vars(self).update(held)

    def forward(self, x):
        return x


class DropPathBlock(Drop):
    pass


class StochDepth(Drop):
    pass


class StochasticDepthRow(Drop):
    pass


class RandomMixup(Drop):
    pass


class MyCutMixes(Drop):
    pass


DROPS = {
    "rate": (DropPathBlock(rate=0.1), ["stochastic depth"]),
    "kept": (StochDepth(survival_prob=0.5, dim=3), ["stochastic depth"]),
    "all kept": (StochDepth(survival_prob=1.0, dim=3), []),
    "a share each": (StochasticDepthRow(p=torch.linspace(0, 0.3, 3)), ["stochastic depth"]),
    "listed": (StochasticDepthRow(p=[0.0, 0.2]), ["stochastic depth"]),
    "zero beside a number": (DropPathBlock(drop_prob=0.0, dim=2), []),
    "nothing": (DropPathBlock(rate=0.0, by_sample=True), []),
    "mixed": (RandomMixup(alpha=1.0), ["MixUp"]),
    "cut": (MyCutMixes(), ["CutMix"]),
}


@pytest.mark.parametrize(("part", "named"), DROPS.values(), ids=DROPS)
def test_methods_are_told_by_part_of_a_name_and_any_share(part, named):
    assert learner(nn.Sequential(nn.Linear(8, 2), part)).beside == named
