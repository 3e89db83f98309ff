"""A rate that a framework's step sets itself, and methods that no recorded task had, in each."""

import warnings

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import UserError, suggest_lr
from lrsuggest.adapters.dispatch import adapter

pytest.importorskip("pytorch_lightning", reason="missing: pip install 'lrsuggest[peers]'")
pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
pytest.importorskip("transformers", reason="it is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
]
DATA = DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(2, (64,))), 8)
CROSS = nn.functional.cross_entropy


def mixup(x):
    return 0.5 * x + 0.5 * x.flip(0)


class Module(pl.LightningModule):
    def __init__(self, sets=False):
        super().__init__()
        self.net, self.sets = nn.Sequential(nn.Linear(8, 8), DropPath(0.2), nn.Linear(8, 2)), sets

    def training_step(self, batch, index):
        if self.sets:
            self.optimizers().param_groups[0]["lr"] = 1e-3
        return CROSS(self.net(mixup(batch[0])), batch[1])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-3)


def lightning(folder, sets):
    made = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    return made, Module(sets)


class Sets(Callback):
    run_valid = False

    def before_step(self):
        self.opt.set_hyper("lr", 1e-3)


def fastai(folder, sets):
    net = nn.Sequential(nn.Linear(8, 8), DropPath(0.2), nn.Linear(8, 2))
    return FastaiLearner(
        DataLoaders(DATA, DATA), net, loss_func=CROSS, cbs=[Sets()] * sets, path=folder
    )


@pytest.mark.parametrize("make", [lightning, fastai])
def test_what_sets_its_own_rate_is_told(tmp_path, make):
    x = make(tmp_path, True)
    net = x[1].net if isinstance(x, tuple) else x.model
    before = [each.clone() for each in net.parameters()]
    with pytest.raises(UserError, match="something in it sets the rate itself"):
        suggest_lr(x, batches=DATA)
    assert all(map(torch.equal, before, net.parameters()))


@pytest.mark.parametrize(
    ("make", "named"),
    [(lightning, ("MixUp", "stochastic depth")), (fastai, ("stochastic depth",))],
)
def test_unrecorded_methods_are_doubts(tmp_path, make, named):
    found = suggest_lr(make(tmp_path, False), batches=DATA)
    assert found.seen.beside == named
    assert not found.reliable


def test_a_trainer_s_collator_is_looked_at(tmp_path):
    trainer = hf.make(tmp_path)
    with adapter(trainer).borrowed(trainer, batches=None, valid=None) as learner:
        assert learner.beside == []
    plain = trainer.data_collator

    def cutmix_collate(examples):
        return plain(examples)

    trainer.data_collator = cutmix_collate
    with adapter(trainer).borrowed(trainer, batches=None, valid=None) as learner:
        assert learner.beside == ["CutMix"]
