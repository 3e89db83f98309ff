"""Asks for a rate where two processes train together; each prints what it is told.

Run twice at a time by test_refusals.py, with RANK, WORLD_SIZE and the like in the environment.
"""

import contextlib
import io
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, UserError, suggest_lr

DATA = TensorDataset(torch.randn(64, 8), torch.randint(2, (64,)))


def ours():
    model = DistributedDataParallel(nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Learner(model, nn.functional.cross_entropy, DataLoader(DATA, 8), optimizer)


def fastais():
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner

    model = DistributedDataParallel(nn.Linear(8, 2))
    loss = nn.functional.cross_entropy
    return FastaiLearner(DataLoaders(DataLoader(DATA, 8), DataLoader(DATA, 8)), model, loss)


def lightnings():
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(8, 2)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    return trainer, Module()


def transformers():
    import hf_trainers as hf

    return hf.make(Path(tempfile.mkdtemp()), per_device_train_batch_size=4)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for make in (ours, fastais, lightnings, transformers):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = make()
        try:
            suggest_lr(made)
        except UserError as error:
            print(f"{make.__name__}: {error}", flush=True)
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
