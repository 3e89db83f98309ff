"""What the tests of the peers' faults train: digits, written losses, losses that hang on the rate.

A subject is one model with its optimizer and loader in the hands of one framework, twice asked:
`find` runs the released finder on it, `ask` ours, through the adapter where there is one.
"""

import gc
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from lrsuggest import Learner, suggest_lr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastai.callback.schedule  # (it patches the Learner)
    import fastai.learner
    import pytorch_lightning as pl
    from fastai.callback.progress import ProgressCallback
    from fastai.data.core import DataLoaders
    from fastai.optimizer import OptimWrapper
    from ignite.engine import create_supervised_trainer
    from ignite.handlers.lr_finder import FastaiLRFinder
    from pytorch_lightning.tuner import Tuner
    from torch_lr_finder import LRFinder

# Nothing of what the peers and their frameworks say of themselves is a test's.
MARKS = [
    pytest.mark.usefixtures("one_thread", "quiet"),
    pytest.mark.filterwarnings("ignore:.*numpy.core is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:ignite"),  # "run completed without diverging"
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]
PIXELS, DIGITS = load_digits(return_X_y=True)
DATA = TensorDataset(torch.tensor(PIXELS, dtype=torch.float32) / 16, torch.tensor(DIGITS))
ALL = ("fastai", "lightning", "torch_lr_finder", "ignite")


def loader(rows: int = 1024, size: int = 16, seed: int = 2) -> DataLoader:
    """Digits in an order of the loader's own generator."""
    source = torch.Generator().manual_seed(seed)
    return DataLoader(Subset(DATA, range(rows)), size, shuffle=True, generator=source)


def network() -> nn.Sequential:
    """A small network with batch norm and dropout, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10)
        )


class Scripted(nn.Module):
    """Gives out written losses; its weight gets zero gradients and stays finite."""

    def __init__(self, losses: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.script = np.asarray(losses, dtype=float).tolist()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        return (self.weight * 0).sum() + torch.tensor(value, dtype=torch.float32)


def landscape(lr: Any, bottom: float = 0.1) -> Any:
    """A loss that hangs on the rate alone: level, a descent, a minimum at `bottom`, a blow-up."""
    x = np.log10(np.asarray(lr) / bottom)
    return 2.5 - 2 / (1 + np.exp(-3 * (x + 2))) + 2 * np.exp(np.minimum(3.5 * (x - 0.6), 6))


def ones(batches: int) -> DataLoader:
    """So many batches of nothing, for models that do not look at them."""
    return DataLoader(TensorDataset(torch.zeros(batches, 1), torch.zeros(batches)), batch_size=1)


@dataclass
class Loss:
    """Cross entropy that raises at its n-th call, 0 for never."""

    fails_at: int = 0
    calls: int = 0

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.fails_at:
            raise ZeroDivisionError("in the middle")
        return nn.functional.cross_entropy(output, target)


@dataclass
class Subject:
    """One set-up: `find()` is the peer's range test, `ask()` ours, on the same objects."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loader: DataLoader
    find: Callable[[], Any]
    ask: Callable[[], Any]


def fastai_learner(model: nn.Module, data: DataLoader, loss: Any, path: Any, **more: Any) -> Any:
    """A fastai Learner without a progress bar."""
    learn = fastai.learner.Learner(
        DataLoaders(data, ones(2)), model, loss_func=loss, path=path, **more
    )
    learn.remove_cb(ProgressCallback)
    return learn


class Module(pl.LightningModule):
    """A module of Lightning's whose loss is `loss(output, target)`."""

    def __init__(self, model: nn.Module, loss: Any, make: Any, lr: float = 1e-3) -> None:
        super().__init__()
        self.model, self.loss, self.make, self.lr = model, loss, make, lr

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(self.model(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return self.make(self)


def lightning_trainer(path: Any, **settings: Any) -> Any:
    """A trainer that writes nothing of its own."""
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_epochs": 2,
        "enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": path,
    }  # fmt: skip
    return pl.Trainer(**{**quiet, **settings})


def subject(peer: str, path: Any, loss: Any = None) -> Subject:
    """Digits in the hands of a peer, trained for some steps, one batch norm frozen.

    The optimizer is torch's own, live in all but Lightning's, which makes one for each fit.
    """
    random.seed(4), np.random.seed(4), torch.manual_seed(4)
    model, data, loss = network(), loader(), loss or Loss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    for x, y in list(data)[:3]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model[1].eval()
    if peer == "fastai":
        learn = fastai_learner(
            model, data, loss, path, opt_func=OptimWrapper(opt=optimizer), lr=1e-3
        )
        return Subject(
            model, optimizer, data, lambda: learn.lr_find(show_plot=False),
            lambda: suggest_lr(learn),
        )  # fmt: skip
    if peer == "lightning":
        pair = lightning_trainer(path), Module(model, loss, lambda _: optimizer)
        return Subject(
            model, optimizer, data,
            lambda: Tuner(pair[0]).lr_find(pair[1], data, update_attr=False),
            lambda: suggest_lr(pair, batches=data),
        )  # fmt: skip
    ours = Learner(model, loss, data, optimizer)
    if peer == "torch_lr_finder":

        def test() -> Any:
            finder = LRFinder(model, optimizer, loss)
            finder.range_test(data, start_lr=1e-7)
            finder.reset()
            return finder

        return Subject(model, optimizer, data, test, lambda: suggest_lr(ours))

    def run() -> Any:
        trainer, finder = create_supervised_trainer(model, optimizer, loss), FastaiLRFinder()
        saved = {"model": model, "optimizer": optimizer}
        with finder.attach(trainer, saved, num_iter=100, start_lr=1e-7) as attached:
            attached.run(data)
        return finder

    return Subject(model, optimizer, data, run, lambda: suggest_lr(ours))


def parts(one: Subject) -> dict[str, Any]:
    """Everything that training changes, as comparable values by the name of its part."""
    model, optimizer = one.model, one.optimizer
    bits = lambda tensor: None if tensor is None else tensor.detach().numpy().tobytes()  # noqa: E731
    return {
        "weights": [bits(p) for p in model.parameters()],
        "buffers": [bits(b) for b in model.buffers()],
        "gradients": [bits(p.grad) for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "optimizer's state": [
            (key, bits(value) if isinstance(value, torch.Tensor) else value)
            for p in model.parameters() for key, value in sorted(optimizer.state[p].items())
        ],
        "rates": [group["lr"] for group in optimizer.param_groups],
        "other settings": [
            {k: v for k, v in group.items() if k not in ("params", "lr")}
            for group in optimizer.param_groups
        ],
        "torch's random state": bits(torch.get_rng_state()),
        "numpy's random state": str(np.random.get_state()),
        "Python's random state": random.getstate(),
        "loader's generator": bits(one.loader.generator.get_state()),
    }  # fmt: skip


def broken_off(do: Callable[[], Any]) -> None:
    """Call what raises a Loss's error, and let go of what the error holds.

    fastai's finder leaves the folder with its checkpoint behind, and Python says so.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            do()
        gc.collect()


def lost(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The names of the parts that are not as they were."""
    return {name for name in before if before[name] != after[name]}
