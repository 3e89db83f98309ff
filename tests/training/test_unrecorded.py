"""Settings of optimizers, and methods of training, that no recorded task had, are named."""

from functools import partial

import pytest
import timm.optim
import torch
from helpers import make_learner
from timm.data import Mixup
from timm.layers import DropPath
from torch import nn
from torch.utils.data import DataLoader, default_collate
from torchvision.ops import StochasticDepth
from torchvision.transforms import v2

from lrsuggest import Learner, suggest_lr
from lrsuggest.training.inspection.optimizers import kind_of

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIM = torch.optim
ADAMW, MOMENTUM = partial(OPTIM.AdamW, lr=1e-3), partial(OPTIM.SGD, lr=0.1, momentum=0.9)


class Signed(OPTIM.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = p.grad.sign()
        return super().step(closure)


class Centred(OPTIM.Adam):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad -= p.grad.mean()
        return super().step(closure)


class Replaces(OPTIM.AdamW):
    def step(self, closure=None):
        def shrink(p):
            p.data = p.data * 0.999

        found = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                shrink(p)
        return found


class Logs(OPTIM.Adam):
    def __init__(self, weights, **settings):
        super().__init__(weights, **settings)
        self.norms = {}

    def step(self, closure=None):
        for group in self.param_groups:
            for k, p in enumerate(group["params"]):
                self.norms[k] = p.grad.data.norm()
        return super().step(closure)


def timms(name):
    return lambda weights: timm.optim.create_optimizer_v2(list(weights), opt=name, lr=1e-3)


def hooked(changes):
    def make(weights):
        made = ADAMW(list(weights))

        def before(optimizer, *_):
            for p in optimizer.param_groups[0]["params"]:
                if changes:
                    p.grad = p.grad.sign()

        def watches(optimizer, *_):
            optimizer.seen = [p.grad.data.norm() for p in optimizer.param_groups[0]["params"]]

        made.register_step_pre_hook(before if changes else watches)
        return made

    return make


NAMED = {
    "caution": (timms("cadamw"), "AdamW with caution"),
    "corrected": (timms("adamc"), "AdamW with corrected weight decay"),
    "dampened": (partial(MOMENTUM, dampening=0.9), "SGD with dampening"),
    "maximize": (partial(ADAMW, maximize=True), "AdamW with maximize"),
    "maximize, sgd": (partial(MOMENTUM, maximize=True), "SGD with maximize"),
    "beta 0": (partial(OPTIM.Adam, lr=1e-3, betas=(0.0, 0.99)), "Adam with a first beta of 0"),
    "beta .99": (partial(ADAMW, betas=(0.99, 0.999)), "AdamW with a first beta of 0.99"),
    "eps": (partial(ADAMW, eps=1.0), "AdamW with an eps of 1"),
    "eps, small": (partial(ADAMW, eps=1e-3), "AdamW with an eps of 0.001"),
    "signs": (partial(Signed, lr=0.1, momentum=0.9), "Signed"),
    "centred": (partial(Centred, lr=1e-3), "Centred"),
    "replaces": (partial(Replaces, lr=1e-3), "Replaces"),
    "hook": (hooked(True), "AdamW with a hook that changes tensors"),
    "watching hook": (hooked(False), None),
    "logs": (partial(Logs, lr=1e-3), None),
    "beta .95": (partial(ADAMW, betas=(0.95, 0.99)), None),
    "eps 1e-5": (partial(ADAMW, eps=1e-5), None),
    "timm's own": (timms("adamw"), None),
    "dampening that does nothing": (partial(MOMENTUM, dampening=0), None),
}  # fmt: skip


@pytest.mark.parametrize(("make", "named"), NAMED.values(), ids=NAMED)
def test_settings_and_steps_that_no_recorded_task_had(make, named):
    assert kind_of(make(nn.Linear(3, 2).parameters())).unrecorded == named


def one_group_apart(weights):
    first, *others = weights
    return ADAMW([{"params": [first], "eps": 0.1}, {"params": others}])


def test_one_odd_group_is_enough():
    assert kind_of(one_group_apart(nn.Linear(3, 2).parameters())).unrecorded == (
        "AdamW with an eps of 0.1"
    )


X, Y = torch.randn(64, 8), torch.randint(2, (64,))
DATA = [(X[k], int(Y[k])) for k in range(64)]


def learner(*more, loader=None, loss_fn=nn.functional.cross_entropy, **settings):
    model = nn.Sequential(nn.Linear(8, 8), *more, nn.Linear(8, 2))
    loader = loader or DataLoader(DATA, 16)
    return Learner(model, loss_fn, loader, ADAMW(model.parameters()), **settings)


CUTMIX = v2.RandomChoice([v2.CutMix(num_classes=2), v2.MixUp(num_classes=2)])
MIXUP = Mixup(num_classes=2)


def collated(examples):
    return CUTMIX(*default_collate(examples))


def mixup_data(x, y):
    share = 0.3
    return share * x + (1 - share) * x.flip(0), y


def by_hand(model, batch):
    x, y = mixup_data(*batch)
    return nn.functional.cross_entropy(model(x), y)


def by_timm(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), MIXUP(*batch)[1])


BESIDE = {
    "timm's drop path": (lambda: learner(DropPath(0.2)), ["stochastic depth"]),
    "torchvision's": (lambda: learner(StochasticDepth(0.2, "row")), ["stochastic depth"]),
    "one that drops nothing": (lambda: learner(DropPath(0.0), nn.Dropout(0.3)), []),
    "collation": (lambda: learner(loader=DataLoader(DATA, 16, collate_fn=collated)),
                  ["CutMix", "MixUp"]),
    "a function": (lambda: learner(loss_fn=None, forward=by_hand), ["MixUp"]),
    "timm's mixup": (lambda: learner(loss_fn=None, forward=by_timm), ["MixUp"]),
    "nothing": (learner, []),
}  # fmt: skip


@pytest.mark.parametrize(("make", "named"), BESIDE.values(), ids=BESIDE)
def test_methods_that_no_recorded_task_had(make, named):
    assert make().beside == named


def test_they_are_doubts():
    found = suggest_lr(learner(DropPath(0.2)), seed=0)
    assert not found.reliable
    assert any("No recorded task trained with stochastic depth, so" in x for x in found.reasons)
    assert found.seen.beside == ("stochastic depth",)
    assert make_learner().beside == []
