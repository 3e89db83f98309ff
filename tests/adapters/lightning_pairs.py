"""Pairs of Lightning's trainer and module, and what is asked of them in the middle of fit."""

from functools import partial

import pytest
import torch
from everything import changes, everything
from learners import DATA, network, without_addresses
from torch import nn
from torch.utils.data import DataLoader

from lrsuggest import suggest_lr

pl = pytest.importorskip(
    "pytorch_lightning", reason="pytorch_lightning is missing: pip install 'lrsuggest[peers]'"
)
MARKS = [
    pytest.mark.usefixtures("one_thread", "quiet_log"),
    # What Lightning says of few workers, of loops without validation, of no CUDA, and its own.
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


def loader(first=0, last=1024, size=16, *, shuffle=True, **more):
    data = torch.utils.data.Subset(DATA, range(first, last))
    source = torch.Generator().manual_seed(2)
    return DataLoader(data, size, shuffle=shuffle, generator=source, **more)


def held_out():
    return loader(1024, 1280, 64, shuffle=False)


ONE_CYCLE = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=[5e-3, 1e-2], total_steps=128)


class Module(pl.LightningModule):
    def __init__(self, lr=1e-3, make=torch.optim.AdamW, ratio=0.5, schedule=None):
        super().__init__()
        self.save_hyperparameters("lr")
        self.lr, self.make, self.ratio, self.schedule = lr, make, ratio, schedule
        self.body, self.head = network()
        self.losses = []
        self.rates = []

    def forward(self, pixels):
        return self.head(self.body(pixels))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def on_before_optimizer_step(self, optimizer):
        self.rates.append([group["lr"] for group in optimizer.param_groups])

    def configure_optimizers(self):
        groups = [
            {"params": self.body.parameters(), "lr": self.lr * self.ratio},
            {"params": self.head.parameters(), "lr": self.lr},
        ]
        optimizer = self.make(groups, lr=self.lr)
        if self.schedule is None:
            return optimizer
        scheduler = self.schedule(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def train_dataloader(self):
        return loader()

    def val_dataloader(self):
        return held_out()


def trainer(folder, **settings):
    return pl.Trainer(
        **{
            "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_epochs": 1,
            "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
            "default_root_dir": folder, **settings,
        }
    )  # fmt: skip


def make(folder, module=None, **settings):
    torch.manual_seed(3)
    return trainer(folder, **settings), Module() if module is None else module


SETUPS = {
    "plain": dict,
    "sgd": lambda: {"module": Module(make=partial(torch.optim.SGD, momentum=0.9))},
    "accumulate": lambda: {"accumulate_grad_batches": 2},
    "clip": lambda: {"gradient_clip_val": 0.1},
    "bf16": lambda: {"precision": "bf16-mixed"},
}

setups = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)


class Asks(pl.Callback):
    """Does something once, at a hook of training."""

    def __init__(self, hook, do, at=1):
        self.done, self.seen = None, 0

        def ask(trainer, module, *_, **__):
            self.seen += 1
            if self.done is None and self.seen >= at:
                self.done = do((trainer, module))

        setattr(self, hook, ask)


def unchanged(pair, *more, **settings):
    """Ask, and see that nothing has changed."""
    before = everything(pair, *more)
    found = suggest_lr(pair, **settings)
    assert changes(before, everything(pair, *more)) == []
    return found


def state(pair):
    """What training comes to, but for addresses."""
    return without_addresses(
        everything(pair[1].state_dict(), pair[0].optimizers[0].state_dict(), pair[1].losses)
    )


class Given(pl.LightningDataModule):
    def prepare_data(self):
        self.prepared = True

    def setup(self, stage):
        self.data = loader()

    def train_dataloader(self):
        return self.data

    def val_dataloader(self):
        return held_out()


class Bare(Module):
    train_dataloader = pl.LightningModule.train_dataloader
    val_dataloader = pl.LightningModule.val_dataloader
