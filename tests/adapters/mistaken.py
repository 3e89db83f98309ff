"""Small learners of each framework, for what cannot be trained."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
pl = pytest.importorskip(
    "pytorch_lightning", reason="it is missing: pip install 'lrsuggest[peers]'"
)
pytest.importorskip("transformers", reason="it is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner
    from fastai.optimizer import OptimWrapper  # noqa: F401  (for the tests)

MARKS = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]
X, Y = torch.randn(64, 8), torch.randint(2, (64,))
LOADER = DataLoader(TensorDataset(X, Y), 16)
CROSS = nn.functional.cross_entropy


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def fastais(model=None, loss=CROSS, loader=LOADER, **settings):
    return FastaiLearner(DataLoaders(loader, loader), model or net(), loss, **settings)


class Module(pl.LightningModule):
    def __init__(self, model=None, optimizer=None, loss=CROSS, lr=0.1):
        super().__init__()
        self.model, self.optimizer = model or net(), optimizer or torch.optim.SGD
        self.loss, self.lr = loss, lr

    def training_step(self, batch, index):
        return self.loss(self.model(batch[0]), batch[1])

    def train_dataloader(self):
        return LOADER

    def configure_optimizers(self):
        return self.optimizer([p for p in self.parameters() if p.requires_grad], lr=self.lr)


def lightnings(folder, module):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        enable_checkpointing=False,
        **quiet,
    )
    return trainer, module


class Wrapper(nn.Module):
    """A model as transformers' Trainer takes it."""

    def __init__(self, inner=None, detach=False):
        super().__init__()
        self.inner, self.detach = inner or net(), detach

    def forward(self, x, labels):
        loss = CROSS(self.inner(x), labels)
        return {"loss": loss.detach() if self.detach else loss}


def huggings(folder, model, **settings):
    args = hf.TrainingArguments(
        str(folder), report_to=[], use_cpu=True, num_train_epochs=2, remove_unused_columns=False,
        disable_tqdm=True,
    )  # fmt: skip
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    return hf.Trainer(model, args, train_dataset=data, **settings)
