"""fastai's Learners, and what is asked of them in the middle of fit."""

import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from learners import DATA, network
from torch.utils.data import Subset

from lrsuggest import suggest_lr

pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastai.callback.schedule  # noqa: F401  (it patches the Learner)
    from fastai.callback.fp16 import MixedPrecision
    from fastai.callback.mixup import MixUp
    from fastai.callback.progress import ProgressCallback
    from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
    from fastai.callback.training import BnFreeze, GradientAccumulation, GradientClip
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Callback, Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy
    from fastai.optimizer import SGD, OptimWrapper, ranger
    from fastai.torch_core import params

MARKS = [
    pytest.mark.usefixtures("one_thread", "quiet_output"),
    # fastai's own: numpy.core in load_model, what it says on a machine without CUDA.
    pytest.mark.filterwarnings("ignore:.*numpy.core is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
]
ROWS = list(DATA)
TRAIN, VALID = slice(640), slice(640, 800)


def loaders(rows=DATA, kind=DataLoader):
    random.seed(2)  # of which fastai's make their generators
    train, valid = (Subset(rows, range(*part.indices(len(rows)))) for part in (TRAIN, VALID))
    return kind(train, batch_size=16, shuffle=True), kind(valid, 64)


def layers(model):
    return [params(model[0]), params(model[1])]


def make(folder, **settings):
    """A learner in two layer groups, all of whose randomness comes from one seed."""
    data = settings.pop("loaders", loaders)()
    np.random.seed(2), torch.manual_seed(2)
    given = {
        "model": network(), "loss_func": CrossEntropyLossFlat(), "metrics": accuracy,
        "splitter": layers, "path": folder, "lr": [5e-4, 1e-3], **settings,
    }  # fmt: skip
    learn = Learner(DataLoaders(*data), **given)
    learn.remove_cb(ProgressCallback)
    return learn


SETUPS = {
    "plain": dict,
    "sgd": lambda: {"opt_func": SGD, "wd": 0.3},
    "lookahead": lambda: {"opt_func": ranger},
    "torch's": lambda: {"opt_func": partial(OptimWrapper, opt=torch.optim.AdamW), "lr": 1e-3},
    "mixup": lambda: {"cbs": [MixUp()]},
    "accumulate": lambda: {"cbs": [GradientAccumulation(32)]},
    "clip": lambda: {"cbs": [GradientClip(0.1), BnFreeze()]},
    "half": lambda: {"cbs": [MixedPrecision("bf16")]},
    "track": lambda: {"cbs": [SaveModelCallback(), EarlyStoppingCallback()]},
}

setups = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)


class Asks(Callback):
    """Does something once, at an event of training."""

    order = 5

    def __init__(self, event, do, at=3):
        self.done, self.at, self.seen = None, at, 0

        def ask():
            self.seen += 1
            if self.done is None and self.seen >= self.at:
                self.done = do(self.learn)

        setattr(self, event, ask)


def unchanged(learn, **settings):
    """Ask, and see that nothing has changed."""
    before = everything(learn)
    found = suggest_lr(learn, **settings)
    assert changes(before, everything(learn)) == []
    return found
