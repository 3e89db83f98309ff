"""Generators that a framework's loss, callbacks or data draw from are seeded and put back."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import suggest_lr

MAKERS = [torch.Generator, np.random.default_rng, random.Random, np.random.RandomState]
X = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Noise:
    """Draws a factor between a half and one and a half."""

    def __init__(self, generator):
        self.generator = generator

    def factor(self):
        if isinstance(self.generator, torch.Generator):
            return 0.5 + torch.rand((), generator=self.generator).item()
        return 0.5 + float(self.generator.random())

    def state(self):
        held = self.generator
        if isinstance(held, torch.Generator):
            return held.get_state().tolist()
        if isinstance(held, random.Random):
            return held.getstate()
        return str(held.get_state() if hasattr(held, "get_state") else held.bit_generator.state)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


class Loss:
    def __init__(self, noise):
        self.noise = noise

    def __call__(self, output, target):
        return cross_entropy(output, target) * self.noise.factor()


def fastai_learner(where, noise):
    vision = pytest.importorskip("fastai.callback.all")
    basics = pytest.importorskip("fastai.basics")

    class Blurs(vision.Callback):
        def __init__(self):
            self.noise = noise

        def before_batch(self):
            self.learn.xb = tuple(x * self.noise.factor() for x in self.learn.xb)

    class BlursByClosure(vision.Callback):
        def before_batch(self):
            self.learn.xb = tuple(x * noise.factor() for x in self.learn.xb)

    examples = list(zip(X, Y, strict=True))
    loss = {
        "loss": Loss(noise),
        "closure": lambda output, target: cross_entropy(output, target) * noise.factor(),
    }.get(where, nn.CrossEntropyLoss())
    return basics.Learner(
        basics.DataLoaders.from_dsets(examples, examples, bs=8, device="cpu"), net(),
        loss_func=loss,
        cbs={"callback": Blurs, "its closure": BlursByClosure}.get(where),
    )  # fmt: skip


def hugging_face_trainer(where, noise, folder):
    library = pytest.importorskip("transformers")

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x, labels=None):
            output = self.net(x)
            made = {"logits": output}  # a loss function of the Trainer's keeps the labels
            return made if labels is None else {"loss": cross_entropy(output, labels), **made}

    class Draws(library.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return model(**inputs)["loss"] * self.noise.factor()

    def weighed(outputs, labels, num_items_in_batch=None):
        return cross_entropy(outputs["logits"], labels) * noise.factor()

    kind = Draws if where == "attribute" else library.Trainer
    made = kind(
        Plain(),
        library.TrainingArguments(str(folder), report_to=[], use_cpu=True),
        train_dataset=[{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)],
        **({"compute_loss_func": weighed} if where == "compute_loss_func" else {}),
    )
    made.noise = noise
    return made


def datamodule(noise):
    library = pytest.importorskip("pytorch_lightning")

    class Module(library.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net()

        def training_step(self, batch, index):
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    class Data(library.LightningDataModule):
        def __init__(self):
            super().__init__()
            self.noise = noise

        def train_dataloader(self):
            return DataLoader(TensorDataset(X, Y), batch_size=8)

        def on_after_batch_transfer(self, batch, index):
            return batch[0] * self.noise.factor(), batch[1]

    trainer = library.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=2,
    )  # fmt: skip
    return (trainer, Module()), Data()


def check(noise, asked, **data):
    before = noise.state()
    first = suggest_lr(asked, seed=0, **data).curve.loss
    assert noise.state() == before
    noise.factor()  # somebody draws meanwhile
    before = noise.state()
    assert np.array_equal(suggest_lr(asked, seed=0, **data).curve.loss, first)
    assert noise.state() == before
    other = suggest_lr(asked, seed=1, **data).curve.loss
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("where", ["loss", "closure", "callback", "its closure"])
def test_of_fastais_loss_and_callbacks(where, make):
    noise = Noise(make())
    check(noise, fastai_learner(where, noise))


@pytest.mark.parametrize("make", MAKERS[:2], ids=lambda make: make.__name__)
@pytest.mark.parametrize("where", ["attribute", "compute_loss_func"])
def test_of_a_hugging_face_trainer(tmp_path, where, make):
    noise = Noise(make())
    check(noise, hugging_face_trainer(where, noise, tmp_path))


@pytest.mark.parametrize("make", MAKERS[:2], ids=lambda make: make.__name__)
def test_of_lightnings_datamodule(make):
    noise = Noise(make())
    asked, data = datamodule(noise)
    check(noise, asked, batches=data)
