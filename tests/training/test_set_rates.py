"""Steps that set the rate themselves, layers left out and models loaded by name are doubts."""

import pytest
import torch
import torchvision
from helpers import make_learner
from torch import nn

from lrsuggest import UserError, lr_find, suggest_lr
from lrsuggest.curves.curve import Curve
from lrsuggest.testing import simulated
from lrsuggest.training.inspection.methods import beside
from lrsuggest.training.inspection.optimizers import kind_of
from lrsuggest.training.inspection.stages import loaded_from

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


class Scaled(torch.optim.AdamW):
    def step(self, closure=None):
        old = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.01
        super().step(closure)
        for group, lr in zip(self.param_groups, old, strict=True):
            group["lr"] = lr


class Times(torch.optim.AdamW):
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] *= 0.5
        super().step(closure)
        for group in self.param_groups:
            group["lr"] *= 2


class Aside(torch.optim.SGD):
    def _turn(self, factor):
        for group in self.param_groups:
            group.update(lr=group["lr"] * factor)

    def step(self, closure=None):
        self._turn(0.1)
        super().step(closure)
        self._turn(10)


class Decays(torch.optim.AdamW):
    def step(self, closure=None):
        for group in self.param_groups:
            group["weight_decay"] = 0.1 * group["lr"]
        super().step(closure)

    def set_rate(self, lr):
        for group in self.param_groups:
            group["lr"] = lr


class Wrapper:
    def __init__(self, inner):
        self.inner, self.param_groups, self.state = inner, inner.param_groups, inner.state

    def step(self):
        old = self.param_groups[0]["lr"]
        self.param_groups[0]["lr"] = 1e-3
        self.inner.step()
        self.param_groups[0]["lr"] = old


def over(kind, **settings):
    return kind(nn.Linear(2, 2).parameters(), lr=1e-3, **settings)


def hooked(optimizer, args, kwargs):
    for group in optimizer.param_groups:
        group["lr"] = 1e-3


@pytest.mark.parametrize("kind", [Scaled, Times, Aside])
def test_a_step_that_sets_the_rate_is_named(kind):
    settings = {"momentum": 0.9} if kind is Aside else {}
    found = kind_of(over(kind, **settings))
    assert found.unrecorded == f"{kind.__name__}, whose step sets the rate itself"
    assert found.name == ("sgd" if kind is Aside else "adamw")


def test_a_wrapper_s_and_a_hook_s_too():
    assert kind_of(Wrapper(over(torch.optim.AdamW))).unrecorded.startswith("Wrapper, whose step")
    for place in ("register_step_pre_hook", "register_step_post_hook"):
        optimizer = over(torch.optim.AdamW)
        getattr(optimizer, place)(hooked)
        assert kind_of(optimizer).unrecorded == "AdamW with a hook that sets the rate"


def test_what_only_reads_the_rate_is_not():
    assert kind_of(over(Decays)).unrecorded is None
    optimizer = over(torch.optim.AdamW)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)
    assert kind_of(optimizer).unrecorded is None
    optimizer.step()
    assert kind_of(optimizer).unrecorded is None


def test_it_is_a_doubt():
    found = suggest_lr(make_learner(optimizer=lambda m: Scaled(m.parameters(), 1e-3)), seed=0)
    assert any("with Scaled, whose step sets the rate itself" in each for each in found.reasons)


class Block(nn.Module):
    def __init__(self, p=None):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        if p is not None:
            self.drop_path_rate = p

    def forward(self, x):
        return x + torchvision.ops.stochastic_depth(self.inner(x), 0.2, "row", self.training)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop_path = nn.Identity()

    def forward(self, x):
        return self.drop_path(x)


def bart(share):
    return transformers.BartForSequenceClassification(
        transformers.BartConfig(
            vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
            decoder_ffn_dim=16, decoder_layerdrop=share,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Block, ["stochastic depth"]),
        (lambda: Block(0.1), ["stochastic depth"]),
        (lambda: Block(0.0), []),
        (Own, []),
        (lambda: bart(0.2), ["LayerDrop"]),
        (lambda: bart(0.0), []),
        (lambda: torchvision.ops.StochasticDepth(0.0, "row"), []),
    ],
    ids=["function", "share", "share of zero", "of its name", "bart", "bart of zero", "module"],
)
def test_layers_left_out_at_random_are_named(make, said):
    assert beside(make()) == said


def tiny():
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=2,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


@pytest.mark.slow
def test_a_model_that_was_loaded_is_doubted_until_its_stage_is_told(tmp_path):
    fresh = tiny()
    assert loaded_from(fresh) is None
    fresh.save_pretrained(tmp_path)
    loaded = transformers.BertForSequenceClassification.from_pretrained(tmp_path)
    assert loaded_from(loaded) == loaded_from(nn.ModuleDict({"inner": loaded})) == str(tmp_path)
    ids = torch.randint(50, (64, 6), generator=torch.Generator().manual_seed(0))
    batches = [{"input_ids": each, "labels": each[:, 0] % 2} for each in ids.split(16)]
    for model, doubted in ((loaded.train(), True), (fresh, False)):
        learner = make_learner()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        learner = type(learner)(model, None, batches, optimizer)
        said = [
            any("as one that was loaded" in each for each in suggest_lr(learner, **told).reasons)
            for told in ({"seed": 0}, {"seed": 0, "stage": "scratch"})
        ]
        assert said == [doubted, False]


@pytest.mark.parametrize("value", ["no", None, 1, []])
def test_progress_is_true_or_false(value):
    curve = Curve(*simulated(100, 0.1, 2.0, 0.0, 0))
    for ask in (lambda: suggest_lr(curve, progress=value),
                lambda: suggest_lr(make_learner(), progress=value),
                lambda: lr_find(make_learner(), progress=value)):  # fmt: skip
        with pytest.raises(UserError, match="progress must be True or False; got"):
            ask()
