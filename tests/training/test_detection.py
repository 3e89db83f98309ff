"""What a learner shows of itself: optimizer, held layers, earlier training, weights left out."""

import logging
from functools import partial
from itertools import pairwise
from queue import SimpleQueue

import pytest
import timm
import torch
from accelerate import Accelerator
from helpers import drained, make_learner
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lrsuggest import Learner, RangeTest, suggest_lr
from lrsuggest.errors import LrsuggestWarning
from lrsuggest.tasks.models.unet import UNet
from lrsuggest.training.inspection.layers import layers, outside
from lrsuggest.training.inspection.optimizers import Kind, kind_of

ADAMW = partial(torch.optim.AdamW, lr=1e-3)
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


class Heir(torch.optim.AdamW):
    """Inherits all of it."""


class Logs(torch.optim.AdamW):
    def step(self, closure=None):
        logging.getLogger("steps").debug("a step")
        return super().step(closure)


class Named(torch.optim.SGD):
    def step(self, closure=None):
        self.made = getattr(self, "made", 0) + 1
        return torch.optim.SGD.step(self, closure)


class Signs(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad.sign_()
        return super().step(closure)


class Other(torch.optim.AdamW):
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data = weight.data - group["lr"] * weight.grad


class AdamWScheduleFree(torch.optim.Optimizer):
    """As schedule-free's: no relation by class."""

    def __init__(self, weights, lr=1e-3):
        super().__init__(weights, {"lr": lr})

    def step(self, closure=None):
        """Does nothing."""


class PagedAdamW8bit(torch.optim.Optimizer):
    """As bitsandbytes': AdamW in other arithmetic."""

    def __init__(self, weights, lr=1e-3):
        super().__init__(weights, {"lr": lr})


class Wraps:
    """Hands on whatever it is asked, as wrappers for logging do."""

    def __init__(self, optimizer):
        self._optimizer = optimizer

    def step(self, closure=None):
        return self._optimizer.step(closure)

    def __getattr__(self, name):
        return getattr(self.__dict__["_optimizer"], name)


class Lookahead(Wraps):
    def step(self, closure=None):
        super().step(closure)
        for group in self._optimizer.param_groups:
            for weight in group["params"]:
                weight.data.lerp_(weight.data.clone(), 0.5)


class Both(torch.optim.Optimizer):
    """Another optimizer for the matrices than for the rest."""

    def __init__(self, weights):
        weights = list(weights)
        super().__init__(weights, {"lr": 0.1})
        self.muon = torch.optim.Muon([p for p in weights if p.ndim == 2])
        self.adamw = torch.optim.AdamW([p for p in weights if p.ndim < 2])

    def step(self, closure=None):
        self.muon.step()
        self.adamw.step()


def accelerated(optimizer):
    return lambda weights: Accelerator(cpu=True).prepare(optimizer(weights))


KINDS = {
    "adamw": (ADAMW, "adamw", None),
    "adam": (torch.optim.Adam, "adam", None),
    "adam, decay decoupled": (
        partial(torch.optim.Adam, decoupled_weight_decay=True), "adamw", None,
    ),
    "sgd": (SGD, "sgd", None),
    "sgd without momentum": (torch.optim.SGD, "sgd", "SGD without momentum"),
    "sgd, nesterov": (partial(SGD, nesterov=True), "sgd", "SGD with Nesterov momentum"),
    "sgd, long memory": (partial(SGD, momentum=0.99), "sgd", "SGD with momentum 0.99"),
    "an heir": (Heir, "adamw", None),
    "a logging heir": (Logs, "adamw", None),
    "an heir that names its parent": (partial(Named, momentum=0.9), "sgd", None),
    "an heir with signs": (partial(Signs, momentum=0.9), "sgd", "Signs"),
    "an heir with another step": (Other, None, "Other"),
    "schedule-free": (AdamWScheduleFree, None, "AdamWScheduleFree"),
    "eight bits": (PagedAdamW8bit, "adamw", None),
    "wrapped": (lambda weights: Wraps(ADAMW(weights)), "adamw", None),
    "wrapped twice": (lambda weights: Wraps(Wraps(SGD(weights))), "sgd", None),
    "lookahead": (lambda weights: Lookahead(ADAMW(weights)), "adamw", "Lookahead over AdamW"),
    "lookahead, wrapped": (
        lambda weights: Wraps(Lookahead(torch.optim.RAdam(weights))), None, "Lookahead over RAdam",
    ),
    "two in one": (Both, None, "Both"),
    "accelerate's": (accelerated(ADAMW), "adamw", None),
    "accelerate's Adadelta": (accelerated(torch.optim.Adadelta), None, "Adadelta"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "name", "unrecorded"), KINDS.values(), ids=KINDS)
def test_an_optimizer_is_told_within_what_wraps_it(make, name, unrecorded):
    assert kind_of(make(nn.Linear(2, 2).parameters())) == Kind(name, unrecorded)


OF_TORCH = [
    kind for name in dir(torch.optim)
    if isinstance(kind := getattr(torch.optim, name), type)
    and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
]  # fmt: skip


@pytest.mark.parametrize("kind", OF_TORCH, ids=lambda kind: kind.__name__)
def test_every_optimizer_of_torchs_is_known_or_named(kind):
    model = nn.Linear(2, 2)
    found = kind_of(kind([model.weight]))
    if kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
        assert found.name == kind.__name__.lower()
    else:
        assert found == Kind(None, kind.__name__)


def test_an_optimizer_that_no_recorded_task_had_is_a_doubt_whatever_the_caller_names():
    learner = make_learner(optimizer=lambda m: torch.optim.Adadelta(m.parameters()))
    found = suggest_lr(learner, seed=0)
    assert not found.reliable
    assert any("No recorded task trained with Adadelta, so" in each for each in found.reasons)
    told = suggest_lr(learner, seed=0, optimizer="adamw")
    assert "Adadelta" in str(told)
    assert told.context.optimizer == "adamw"
    assert "recorded task" not in str(suggest_lr(found.curve).reasons)  # a curve tells nothing


def linears(*sizes):
    made = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(*(part for each in made for part in (each, nn.ReLU())))


def hold(*parts):
    for part in parts:
        part.requires_grad_(False)


def seen(model, trained=None):
    return layers(model, model.parameters() if trained is None else trained)


class LoRA(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.base = layer
        self.lora_a = nn.Parameter(torch.randn(2, layer.in_features) / 2)
        self.lora_b = nn.Parameter(torch.zeros(layer.out_features, 2))
        hold(layer)

    def forward(self, x):
        return self.base(x) + x @ self.lora_a.T @ self.lora_b.T


def test_a_held_body_under_a_head_is_frozen_its_norms_may_train():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3),
                          nn.LayerNorm((8, 4, 4)), nn.Flatten(), nn.Linear(128, 2))  # fmt: skip
    assert seen(model).head_only is False
    hold(model[0], model[2])
    assert (seen(model).held, seen(model).all, seen(model).head_only) == (2, 3, True)


def test_what_the_optimizer_does_not_move_is_held():
    model = linears(4, 4, 4, 2)
    head = list(model[4].parameters())
    assert seen(model, head).head_only
    groups = [{"params": [p for p in model.parameters() if id(p) not in set(map(id, head))],
               "lr": 0.0}, {"params": head}]  # fmt: skip
    learner = Learner(model, nn.functional.mse_loss, [()], torch.optim.AdamW(groups, lr=1e-3))
    assert learner.layers.held == 2
    assert learner.detected_stage == "frozen"


def test_a_first_layer_held_is_no_frozen_body():
    model = linears(4, 4, 4, 2)
    hold(model[0])
    assert (seen(model).held, seen(model).head_only) == (1, False)


@pytest.mark.parametrize("above", [lambda: nn.LSTM(8, 4), lambda: nn.Linear(8, 2)])
def test_held_word_vectors_are_no_body(above):
    model = nn.Sequential(nn.Embedding(10, 8), above())
    hold(model[0])
    assert not seen(model).head_only


def test_a_held_language_model_under_a_head_is_frozen():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Embedding(10, 8), nn.TransformerEncoder(layer, 2), nn.Linear(8, 2))
    hold(model[0], model[1])
    assert seen(model).head_only


def test_adapters_are_no_head_wherever_they_stand():
    model = nn.Sequential(LoRA(nn.Linear(4, 4)), nn.ReLU(), LoRA(nn.Linear(4, 2)))
    assert (seen(model).held, seen(model).all, seen(model).head_only) == (2, 6, False)
    last = nn.Sequential(linears(4, 4, 4), LoRA(nn.Linear(4, 2)))
    hold(last[0])
    assert not seen(last).head_only
    body = nn.ModuleDict({"body": linears(4, 4, 4), "adapters": linears(4, 2)})
    hold(body["body"])
    assert not seen(body).head_only


def test_a_held_head_a_held_middle_and_nothing_held_are_not_frozen():
    model = linears(4, 4, 4, 2)
    assert seen(model).held == 0
    hold(model[2], model[4])
    assert not seen(model).head_only
    other = linears(4, 4, 4, 2)
    hold(other[2])
    assert not seen(other).head_only


def test_tied_and_parametrized_and_lazy_weights_are_told():
    tied = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4), nn.Linear(4, 8, bias=False))
    tied[2].weight = tied[0].weight
    hold(tied[1])
    assert (seen(tied).held, seen(tied).all, seen(tied).head_only) == (1, 2, False)
    normed = nn.Sequential(weight_norm(nn.Linear(4, 4)), weight_norm(nn.Linear(4, 2)))
    hold(normed[0])
    assert seen(normed).head_only
    lazy = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(2))
    hold(lazy[0])
    assert seen(lazy).head_only


def backbone():
    return timm.create_model("resnet18", pretrained=False, num_classes=3)


def test_a_network_of_timms_is_frozen_where_its_head_alone_trains():
    model = backbone()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith("fc") or "bn" in name)
    found = seen(model)
    assert (found.held, found.all, found.head_only) == (20, 21, True)
    hold(model.fc)
    model.layer4.requires_grad_(True)
    assert not seen(model).head_only
    half = backbone()
    hold(half.conv1, half.layer1)
    assert (seen(half).held, seen(half).head_only) == (5, False)


@pytest.mark.parametrize("body", ["resnet18", "efficientnet_lite0"])
def test_a_unet_on_a_held_encoder_is_frozen(body):
    model = UNet(4, body, pretrained=False)
    hold(model.body)
    assert seen(model).head_only


def test_what_is_held_is_said():
    learner = make_learner()
    hold(learner.model[0])
    found = suggest_lr(learner, seed=0, sweep=RangeTest(num_iter=50))
    assert found.stage == "frozen"
    assert "only a head trains (1 of 2 weight layers is held)" in str(found)
    assert any(each.startswith("The body is pretrained") for each in found.reasons)
    adapted = make_learner()
    adapted.model[0], adapted.model[4] = LoRA(adapted.model[0]), LoRA(adapted.model[4])
    adapted.optimizer = ADAMW(adapted.model.parameters())
    found = suggest_lr(adapted, seed=0, sweep=RangeTest(num_iter=50))
    assert found.stage is None
    assert "Why: No recorded task trained with LoRA, so" in str(found)
    assert "2 of 6 weight layers are held, though the stage is not frozen" in str(found)
    assert not found.reliable
    assert "head trains" not in str(found)


def taken(optimizer, steps=1, **settings):
    learner = make_learner(optimizer=lambda m: optimizer(m.parameters()), **settings)
    batches = learner.endless()
    for _ in range(steps):
        learner.step(batches)
    return learner


BEGAN = [ADAMW, SGD, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.RMSprop,
         torch.optim.NAdam, torch.optim.Rprop, torch.optim.Adafactor,
         accelerated(ADAMW)]  # fmt: skip


@pytest.mark.parametrize("optimizer", BEGAN)
def test_steps_made_tell_that_training_went_on_before(optimizer):
    assert taken(optimizer, 0).continued is None
    assert taken(optimizer).continued is True


def test_a_schedule_tells_where_the_optimizer_has_no_state():
    learner = taken(torch.optim.SGD)
    assert learner.continued is None  # plain SGD keeps nothing
    learner = taken(torch.optim.SGD, 0)
    torch.optim.lr_scheduler.OneCycleLR(learner.optimizer, 0.1, total_steps=10)
    assert learner.continued is None
    learner.step(learner.endless())
    assert learner.continued is True


def test_a_training_that_goes_on_is_a_doubt_whatever_the_stage():
    learner = taken(ADAMW, 3)
    for stage in (None, "scratch"):
        found = suggest_lr(learner, seed=0, stage=stage)
        assert any(each.startswith("This training went on before") for each in found.reasons)
        assert not found.reliable
    assert learner.continued is True
    assert suggest_lr(make_learner(), seed=0).reliable


def test_weights_in_no_group_are_warned_of_before_the_sweep_and_are_a_doubt():
    learner = make_learner(optimizer=lambda m: ADAMW([*m[0].parameters(), *m[1].parameters()]))
    steps = SimpleQueue()
    said = r"no group of the optimizer \(2, 4.weight first\): add them"
    learner.optimizer.register_step_pre_hook(lambda *_: steps.put(len(warned)))
    with pytest.warns(LrsuggestWarning, match=said) as warned:
        found = suggest_lr(learner, seed=0, sweep=RangeTest(num_iter=50))
    assert drained(steps)[0] == 1
    assert any("(2, 4.weight first)" in each for each in found.reasons)
    hold(learner.model[4])
    assert "no group" not in str(suggest_lr(learner, seed=0, sweep=RangeTest(num_iter=50)))


def test_frozen_weights_are_not_left_out():
    model = linears(4, 4, 2)
    hold(model[0])
    assert outside(model, model[2].parameters()) == []
    assert outside(model, model[0].parameters()) == ["2.weight", "2.bias"]
