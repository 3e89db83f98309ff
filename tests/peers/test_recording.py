"""The peers' own training loops on scripted losses, point for point."""

import io
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.curves.heuristics import peers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastai.callback.progress
    import fastai.callback.schedule  # noqa: F401  (they patch the Learner)
    import pytorch_lightning as pl
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner
    from fastai.optimizer import SGD
    from ignite.engine import Engine
    from ignite.handlers.lr_finder import FastaiLRFinder
    from pytorch_lightning.tuner import Tuner
    from torch_lr_finder import LRFinder

# Warnings of the peers themselves, while they run their own loops.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Scripted(nn.Module):
    """Gives out written losses; its weight gets zero gradients and stays finite."""

    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.losses = losses.tolist()
        self.calls = 0

    def forward(self, x):
        value = self.losses[min(self.calls, len(self.losses) - 1)]
        self.calls += 1
        return (self.weight * 0).sum() + torch.tensor(value, dtype=torch.float32)


def loader(n):
    return DataLoader(TensorDataset(torch.zeros(n, 1), torch.zeros(n)), batch_size=1)


def same(ours, theirs):
    theirs = np.array([float(x) for x in theirs])
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_fastai(script, tmp_path):
    learner = FastaiLearner(
        DataLoaders(loader(len(script)), loader(2)), Scripted(script),
        loss_func=lambda output, target: output, opt_func=SGD, path=tmp_path,
    )  # fmt: skip
    with learner.no_bar():
        learner.lr_find(num_it=len(script), show_plot=False, suggest_funcs=None)
    same(peers.fastai_record(script), learner.recorder.losses)


def test_lightning(script, tmp_path):
    class Module(pl.LightningModule):
        lr = 1e-3

        def __init__(self):
            super().__init__()
            self.scripted = Scripted(script)

        def training_step(self, batch, index):
            return self.scripted(batch[0])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    trainer = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    found = Tuner(trainer).lr_find(
        Module(), train_dataloaders=loader(len(script)), num_training=len(script), update_attr=False
    )
    same(peers.lightning_record(script), found.results["loss"])


def test_torch_lr_finder(script):
    model = Scripted(script)
    finder = LRFinder(model, torch.optim.SGD(model.parameters(), lr=1e-7), lambda o, t: o + 0)
    with redirect_stdout(io.StringIO()):
        finder.range_test(loader(len(script)), end_lr=10, num_iter=len(script))
    same(peers.twentieth_record(script), finder.history["loss"])
    lr = np.geomspace(1e-7, 10, len(script))[: len(finder.history["lr"])]
    np.testing.assert_allclose(finder.history["lr"], lr)


def test_ignite(script):
    model = Scripted(script)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    used = []

    def step(engine, batch):
        used.append(optimizer.param_groups[0]["lr"])
        return float(model(batch[0]))

    trainer, finder = Engine(step), FastaiLRFinder()
    with finder.attach(
        trainer, {"model": model, "optimizer": optimizer}, num_iter=len(script), end_lr=10.0
    ) as attached:
        attached.run(loader(len(script)))
    history = finder.get_results()
    same(peers.twentieth_record(script), history["loss"][: len(script)])
    # Its recorded rate is one step ahead of the one the step was made with.
    np.testing.assert_allclose(history["lr"][:-1], used[1 : len(history["lr"])], rtol=1e-6)
