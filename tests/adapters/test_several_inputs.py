"""A model of two inputs, the same batches and optimizer in every framework: the same curve."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, suggest_lr

pl = pytest.importorskip("pytorch_lightning", reason="pip install 'lrsuggest[lightning]'")
pytest.importorskip("fastai", reason="pip install 'lrsuggest[fastai]'")
pytest.importorskip("transformers", reason="pip install 'lrsuggest[transformers]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner
    from fastai.optimizer import OptimWrapper
    from transformers import Trainer, TrainingArguments

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
]

PIXELS, DIGITS = load_digits(return_X_y=True)
HALVES = torch.tensor(PIXELS, dtype=torch.float32).div(16).tensor_split(2, dim=1)
DATA = TensorDataset(*HALVES, torch.tensor(DIGITS))


class Two(nn.Module):
    """Reads the upper and the lower half of a digit apart."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.upper, self.lower = nn.Linear(32, 10), nn.Linear(32, 10)

    def forward(self, upper, lower):
        return self.upper(upper) + self.lower(lower)


class WithLoss(Two):
    """As transformers' models: called with what the batch holds, gives its loss."""

    def forward(self, upper, lower, labels):
        return {"loss": nn.functional.cross_entropy(super().forward(upper, lower), labels)}


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = Two()

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(*batch[:2]), batch[2])

    def configure_optimizers(self):
        return sgd(self)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def batches(collate=None):
    return DataLoader(DATA, 16, collate_fn=collate)


def ours(_):
    def loss(model, batch):
        return nn.functional.cross_entropy(model(*batch[:2]), batch[2])

    model = Two()
    return suggest_lr(Learner(model, None, batches(), sgd(model), forward=loss))


def fastais(folder):
    data, model = DataLoaders(batches(), batches()), Two()
    data.n_inp = 2
    opt = OptimWrapper(opt=sgd(model))
    return suggest_lr(
        FastaiLearner(data, model, nn.functional.cross_entropy, opt, lr=0.1, path=folder)
    )


def lightnings(folder):
    trainer = pl.Trainer(
        default_root_dir=folder, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    return suggest_lr((trainer, Module()), batches=batches(), schedule="one_cycle")


def transformers(folder):
    def named(rows):
        names = ("upper", "lower", "labels")
        return dict(zip(names, torch.utils.data.default_collate(rows), strict=True))

    model = WithLoss()
    args = TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to=[], max_grad_norm=0.0, max_steps=100,
        disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    return suggest_lr(Trainer(model, args, optimizers=(sgd(model), None)), batches=batches(named))


@pytest.mark.parametrize("ask", [fastais, lightnings, transformers])
def test_models_of_several_inputs(tmp_path, ask):
    found, plain = ask(tmp_path), ours(tmp_path)
    assert len(found.curve) == len(plain.curve) > 80
    assert np.array_equal(found.curve.loss, plain.curve.loss)
    assert found.lr == pytest.approx(plain.lr, rel=0.5)  # the planned steps differ
