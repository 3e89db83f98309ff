"""Optimizers, losses and plans that a framework's object cannot train with: one sentence each."""

from functools import partial

import mistaken as made
import numpy as np
import pytest
import torch
import transformers
from refusals import refused
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Curve, Learner, RangeTest, suggest_lr

pytestmark = made.MARKS
CROSS, X, Y = made.CROSS, made.X, made.Y
LOSS = r"the loss must be one number \(reduction='mean'\)"
LOSSES = {
    "None": lambda p, y: None,
    "tuple": lambda p, y: (CROSS(p, y), 1, 2),
    "item": lambda p, y: CROSS(p, y).item(),
    "int": lambda p, y: 1,
    "vector": lambda p, y: CROSS(p, y, reduction="none"),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_is_no_loss(loss, tmp_path):
    refused(LOSS, suggest_lr, made.fastais(loss=loss), seed=0)

    class Trainer(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **more):
            return loss(model.inner(inputs["x"]), inputs["labels"])

    model = made.Wrapper()
    args = made.huggings(tmp_path, model).args
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    trainer = Trainer(model, args, train_dataset=data)
    refused(LOSS, suggest_lr, trainer, seed=0)
    assert "compute_loss" not in vars(trainer)


@pytest.mark.parametrize(
    "maker",
    [
        torch.optim.AdamW,
        partial(torch.optim.SGD, momentum=0.9),
        None,
        torch.optim.AdamW([torch.ones(1)]),
    ],
    ids=["class", "partial", "None", "instance"],
)
def test_fastai_with_torchs_optimizer(maker):
    learn = made.fastais(opt_func=maker)
    mend = r"partial\(OptimWrapper, opt=torch.optim.AdamW\)"
    refused(mend, suggest_lr, learn, seed=0)
    right = made.fastais(opt_func=partial(made.OptimWrapper, opt=torch.optim.AdamW))
    assert suggest_lr(right, seed=0).context.optimizer == "adamw"


def test_fastai_with_a_loss_that_is_a_class():
    refused("loss_func is the class L1Loss", suggest_lr, made.fastais(loss=nn.L1Loss), seed=0)


@pytest.mark.parametrize("returned", [[], {"lr": 1}, None, 3, torch.optim.AdamW])
def test_configure_optimizers_that_returns_none(returned, tmp_path):
    module = made.Module()
    module.configure_optimizers = lambda: returned
    x = made.lightnings(tmp_path, module)
    refused("configure_optimizers must return one optimizer", suggest_lr, x, seed=0)


def test_a_key_error_of_a_person_s_own_is_passed_on(tmp_path):
    module = made.Module()
    module.configure_optimizers = lambda: {}["optimizer"]
    with pytest.raises(KeyError) as raised:
        suggest_lr(made.lightnings(tmp_path, module), seed=0)
    assert type(raised.value) is KeyError


@pytest.mark.parametrize("name", ["batches", "valid"])
def test_lightning_with_no_batches(name, tmp_path):
    x = made.lightnings(tmp_path, made.Module())
    refused(f"{name} is empty", suggest_lr, x, seed=0, **{name: []})


@pytest.mark.parametrize("name", ["max_epochs", "max_steps", "limit_train_batches"])
def test_lightning_that_plans_no_step(name, tmp_path):
    trainer = made.pl.Trainer(
        **{"max_epochs": 2, name: 0}, accelerator="cpu", logger=False, default_root_dir=tmp_path,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    refused(f"no training step, {name}=0", suggest_lr, (trainer, made.Module()), seed=0)


def test_hugging_face_that_plans_no_step_or_has_no_example(tmp_path):
    trainer = made.huggings(tmp_path, made.Wrapper())
    trainer.args.num_train_epochs = 0
    refused("no training step, num_train_epochs=0", suggest_lr, trainer, seed=0)
    trainer.args.num_train_epochs, trainer.train_dataset = 1, []
    refused("train_dataset is empty", suggest_lr, trainer, seed=0)


def test_adafactor_that_makes_its_rate_itself(tmp_path):
    kind = transformers.optimization.Adafactor
    model = made.net()
    said = "Adafactor with lr=None or relative_step=True makes its rate itself"
    refused(said, suggest_lr, Learner(model, CROSS, made.LOADER, kind(model.parameters())))
    refused(
        said, suggest_lr,
        made.lightnings(tmp_path, made.Module(optimizer=lambda p, lr: kind(p))),
    )  # fmt: skip
    wrapper = made.Wrapper()
    huggings = made.huggings(tmp_path, wrapper, optimizers=(kind(wrapper.parameters()), None))
    refused(said, suggest_lr, huggings)


def test_an_optimizer_whose_groups_are_gone():
    model = made.net()
    optimizer = torch.optim.AdamW(model.parameters())
    learner = Learner(model, CROSS, made.LOADER, optimizer)
    optimizer.param_groups.clear()
    refused("the optimizer has no groups", suggest_lr, learner, seed=0)


def test_classes_in_the_place_of_objects_are_named(tmp_path):
    wrapper = made.Wrapper()
    huggings = made.huggings(tmp_path, wrapper, optimizers=(torch.optim.AdamW, None))
    refused("the class AdamW is no torch optimizer", suggest_lr, huggings, seed=0)
    trainer, _ = made.lightnings(tmp_path, made.Module())
    refused("the class Module is no", suggest_lr, (trainer, made.Module), seed=0)


def test_a_label_out_of_range_in_a_later_batch_is_named_with_its_step():
    torch.manual_seed(0)
    batches = [
        (x, y + 9 * (i == 5)) for i, (x, y) in enumerate(zip(X.split(8), Y.split(8), strict=True))
    ]
    model = made.net()
    before = [p.detach().clone() for p in model.parameters()]
    learner = Learner(model, CROSS, batches, torch.optim.AdamW(model.parameters()))
    refused("it failed in step 6 with IndexError: Target", suggest_lr, learner, seed=0)
    assert all(map(torch.equal, before, model.parameters()))


class Fails(TensorDataset):
    def __getitem__(self, index):
        raise ValueError("no such picture")


def test_a_worker_s_error_is_its_last_line():
    model = made.net()
    loader = DataLoader(Fails(X, Y), 8, num_workers=1)
    learner = Learner(model, CROSS, loader, torch.optim.AdamW(model.parameters()))
    refused("ValueError: no such picture", suggest_lr, learner, seed=0)


def test_a_rate_in_half_precision_is_compared_at_that_precision():
    model = made.net()
    rate = torch.tensor(1e-3, dtype=torch.float16)
    learner = Learner(model, CROSS, made.LOADER, torch.optim.AdamW(model.parameters(), rate))
    assert len(suggest_lr(learner, seed=0, sweep=RangeTest(start_lr=1e-4)).curve) > 10


@pytest.mark.parametrize(
    "lr", [np.array(["2020", "2021"], "datetime64[Y]"), np.array([1e-3, 1e-2]) + 0j]
)
def test_a_curve_of_dates_or_complex_numbers(lr):
    refused("must hold numbers only", Curve, lr, [1.0, 2.0])
    refused("must hold numbers only", Curve, [1e-3, 1e-2], lr)
