"""What a framework's object cannot train is told in a sentence, and the object left as it was."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from mistaken import (
    CROSS,
    LOADER,
    MARKS,
    Module,
    OptimWrapper,
    Wrapper,
    X,
    Y,
    fastais,
    hf,
    huggings,
    lightnings,
    net,
    pl,
)
from refusals import refused
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, NoSuggestion, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.curves.curve import Curve
from lrsuggest.testing import simulated

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.core import Callback
    from fastai.vision.gan import GANTrainer

pytestmark = MARKS
FOUND = suggest_lr(Curve(*simulated(100, 0.1, 2.0, 0.0, 0)))


def lazy():
    return nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))


def frozen():
    return net().requires_grad_(False)


def sharp(params, **settings):
    """An optimizer of two steps."""
    made = torch.optim.SGD(params, **settings)
    return type("TwoSteps", (torch.optim.SGD,), {"first_step": 0, "second_step": 0})(
        made.param_groups, **settings
    )


def lbfgs(params, **settings):
    return torch.optim.LBFGS(params, **settings)


def detached(output, target):
    return CROSS(output, target).detach()


def nan(output, target):
    return CROSS(output, target) * torch.nan


CASES = {
    "fastai lazy": (lambda _: fastais(lazy()), "no shape before the first batch"),
    "fastai frozen": (lambda _: fastais(frozen()), "everything is frozen, so unfreeze"),
    "fastai closure": (
        lambda _: fastais(opt_func=partial(OptimWrapper, opt=torch.optim.LBFGS)),
        "LBFGS needs a closure",
    ),
    "fastai detached": (lambda _: fastais(loss=detached), "the loss hangs on no weight"),
    "fastai nan": (lambda _: fastais(loss=nan), "the loss of the first batch is nan"),
    "fastai targets": (
        lambda _: fastais(loader=DataLoader(TensorDataset(X, Y + 2), 16)),
        "the first training step failed.* with IndexError",
    ),
    "fastai GAN": (
        lambda _: fastais(cbs=[GANTrainer(), Callback()]),
        "ask for each network alone with lrsuggest's Learner",
    ),
    "Lightning lazy": (lambda d: lightnings(d, Module(lazy())), "no shape before the first batch"),
    "Lightning frozen": (lambda d: lightnings(d, Module(frozen())), "everything is frozen"),
    "Lightning closure": (lambda d: lightnings(d, Module(optimizer=sharp)), "TwoSteps needs a cl"),
    "Lightning LBFGS": (lambda d: lightnings(d, Module(optimizer=lbfgs)), "LBFGS takes no steps"),
    "Lightning detached": (lambda d: lightnings(d, Module(loss=detached)), "hangs on no weight"),
    "Lightning nan": (lambda d: lightnings(d, Module(loss=nan)), "the loss of the first batch"),
    "Hugging Face lazy": (lambda d: huggings(d, Wrapper(lazy())), "no shape before the first"),
    "Hugging Face frozen": (lambda d: huggings(d, Wrapper(frozen())), "everything is frozen"),
    "Hugging Face detached": (lambda d: huggings(d, Wrapper(detach=True)), "hangs on no weight"),
    "Hugging Face keys": (
        lambda d: huggings(d, nn.Sequential(net())),
        "the first training step failed.* with TypeError: .*unexpected keyword argument",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_in_a_sentence(tmp_path, case):
    make, says = CASES[case]
    x = make(tmp_path)
    seen = x[1] if isinstance(x, tuple) else x.model
    values = {} if "lazy" in case else {k: v.clone() for k, v in seen.state_dict().items()}
    state = torch.get_rng_state()
    refused(says, suggest_lr, x)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, seen.state_dict()[k]) for k, v in values.items())


def test_an_optimizer_of_another_copy(tmp_path):
    other = torch.optim.AdamW(Wrapper().parameters(), lr=1e-3)
    x = huggings(tmp_path, Wrapper(), optimizers=(other, None))
    refused("none of the weights in the AdamW is the model's", suggest_lr, x)
    lbfgs_too = huggings(tmp_path, model := Wrapper(), optimizers=(lbfgs(model.parameters()), None))
    refused("LBFGS needs a closure", suggest_lr, lbfgs_too)


@pytest.mark.parametrize("batches", [LOADER.dataset, "data", X, iter(LOADER), 3])
def test_batches_that_are_none(tmp_path, batches):
    says = "batches (is|must)"
    for x in (
        fastais(), lightnings(tmp_path, Module()), huggings(tmp_path, Wrapper()),
    ):  # fmt: skip
        refused(says, suggest_lr, x, batches=batches)


@pytest.mark.parametrize(
    "settings",
    [
        {"heuristic": "consensu"},
        {"total_steps": 0},
        {"sweep": "10"},
        {"fallback": -1},
        {"stage": "x"},
    ],
)
def test_arguments_are_checked_before_anything_is_set_up(tmp_path, settings):
    for x in (fastais(), lightnings(tmp_path, Module()), huggings(tmp_path, Wrapper())):
        before = everything(x)
        refused(f"{next(iter(settings))}", suggest_lr, x, **settings)
        assert changes(before, everything(x)) == []


def test_a_pair_that_is_none(tmp_path):
    trainer, module = lightnings(tmp_path, Module())
    says = r"all else by name; got a Trainer, a Module: put Lightning's in brackets"
    refused(says, suggest_lr, trainer, module)
    refused("by name; got a Learner, a DataLoader", suggest_lr, fastais(), LOADER)


def test_gradients_that_a_person_turned_off(tmp_path):
    with torch.no_grad():
        for x in (lightnings(tmp_path, Module()), huggings(tmp_path, Wrapper())):
            refused(r"within torch.no_grad\(\)", suggest_lr, x)
        assert suggest_lr(
            fastais(), sweep=RangeTest(num_iter=12)
        ).curve.ended  # as in a callback of validation
    with torch.inference_mode():
        for x in (fastais(), lightnings(tmp_path, Module()), huggings(tmp_path, Wrapper())):
            refused(r"within torch.inference_mode\(\)", suggest_lr, x)


class Adversaries(pl.LightningModule):
    """Two networks that train by hand, one against the other."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.maker, self.judge = nn.Linear(4, 8), nn.Linear(8, 1)

    def training_step(self, batch, index):
        for optimizer, loss in zip(self.optimizers(), (self.fools, self.tells), strict=True):
            optimizer.zero_grad()
            self.manual_backward(loss(batch))
            optimizer.step()

    def fools(self, batch):
        return nn.functional.softplus(-self.judge(self.maker(batch[0][:, :4]))).mean()

    def tells(self, batch):
        fake = self.judge(self.maker(batch[0][:, :4]).detach())
        return (nn.functional.softplus(fake) + nn.functional.softplus(-self.judge(batch[0]))).mean()

    def train_dataloader(self):
        return LOADER

    def configure_optimizers(self):
        return [torch.optim.Adam(each.parameters()) for each in (self.maker, self.judge)]


def test_a_gan_is_sent_where_it_can_be_asked(tmp_path):
    """The mend is true: each network's rate is found alone, and neither network is moved."""
    x = lightnings(tmp_path, Adversaries())
    refused(
        "optimizes by hand .*: ask for each optimizer alone, with|; ask for each opt", suggest_lr, x
    )
    gan = x[1]
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    made = gan.configure_optimizers()
    parts = ((gan.maker, gan.fools), (gan.judge, gan.tells))
    for (network, loss), optimizer in zip(parts, made, strict=True):
        learner = Learner(
            network, None, LOADER, optimizer, forward=lambda _, batch, loss=loss: loss(batch)
        )
        assert len(suggest_lr(learner, seed=0).curve) > 10
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())


def test_a_suggestion_is_the_rate_that_frameworks_take(tmp_path):
    learn = fastais()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, FOUND)
        assert learn.opt.hypers[-1]["lr"] == FOUND
        learn.fit_one_cycle(1, FOUND)
    trainer, module = lightnings(tmp_path, Module(lr=FOUND))
    trainer.fit(module)
    assert trainer.optimizers[0].param_groups[0]["lr"] == FOUND
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    states = torch.load(tmp_path / "it.ckpt", weights_only=True)["optimizer_states"]
    assert type(states[0]["param_groups"][0]["lr"]) is float
    args = hf.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True, learning_rate=FOUND)
    assert args.to_dict()["learning_rate"] == FOUND
    assert f'"learning_rate": {float(FOUND)}' in args.to_json_string()


def test_apply_says_what_it_cannot_do(tmp_path):
    none = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7)))
    for x in (fastais(), lightnings(tmp_path, Module()), huggings(tmp_path, Wrapper())):
        with pytest.raises(NoSuggestion, match="The loss is flat"):
            set_lr(x, none)
        refused("must be positive and finite; got '1e-3'", set_lr, x, "1e-3")
        refused("the rate last", set_lr, FOUND, x)
        set_lr(x, FOUND)


def test_apply_refuses_a_learner_whose_scheduler_would_undo_it():
    for make in (
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1.0),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o, [torch.optim.lr_scheduler.StepLR(o, 1), torch.optim.lr_scheduler.StepLR(o, 2)], [3]
        ),
    ):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        learner = Learner(model, CROSS, LOADER, optimizer)
        set_lr(learner, 1e-3)
        assert learner.lr == 1e-3
        make(optimizer)
        now = learner.lr
        refused(
            "a scheduler was made over this optimizer.* 0.01 would not last", set_lr, learner, 1e-2
        )
        assert learner.lr == now


def test_a_userror_is_what_it_was(tmp_path):
    with pytest.raises(UserError):
        suggest_lr(lightnings(tmp_path, Module(loss=nan)))
