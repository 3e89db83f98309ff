"""What a framework does in a step of training and a range test leaves out is a doubt by name."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.adapters.dispatch import adapter

pytest.importorskip("pytorch_lightning", reason="missing: pip install 'lrsuggest[peers]'")
pytest.importorskip("transformers", reason="it is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl
    from pytorch_lightning import callbacks as theirs
    from transformers import TrainerCallback

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
]
DATA = DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(2, (64,))), 8)


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(8, 2)

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-3)


class Decaying(Module):
    def optimizer_step(self, *args, **kwargs):
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.net.weight.mul_(0.9)


class Signs(pl.Callback):
    def on_after_backward(self, trainer, module):
        for p in module.parameters():
            p.grad.sign_()


class Heir(Signs):
    pass


class RandomMixUp(pl.Callback):
    pass


class Watching(pl.Callback):
    def on_train_epoch_end(self, trainer, module):
        pass

    def on_validation_end(self, trainer, module):
        pass


def lightning(folder, module, *callbacks):
    made = pl.Trainer(
        accelerator="cpu", logger=False, max_epochs=1, callbacks=[*callbacks],
        enable_progress_bar=False, default_root_dir=folder,
    )  # fmt: skip
    with adapter((made, module)).borrowed((made, module), batches=DATA) as learner:
        return learner.beside


@pytest.mark.parametrize(
    ("module", "callbacks", "named"),
    [
        (Module, (), []),
        (Module, (Watching(), theirs.ModelCheckpoint()), []),
        (Module, (Signs(),), ["the callback Signs, which a sweep leaves out"]),
        (Module, (Heir(),), ["the callback Heir, which a sweep leaves out"]),
        (Module, (RandomMixUp(),), ["MixUp"]),
        (Module, (theirs.StochasticWeightAveraging(1e-2),), ["StochasticWeightAveraging"]),
        (Module, (theirs.GradientAccumulationScheduler({0: 4}),),
         ["GradientAccumulationScheduler"]),
        (Decaying, (), ["an optimizer_step of the module's own, which a sweep leaves out"]),
    ],
    ids=range(8),
)  # fmt: skip
def test_lightning_s(tmp_path, module, callbacks, named):
    assert lightning(tmp_path, module(), *callbacks) == named


class HuggingSigns(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **more):
        for p in model.parameters():
            p.grad.sign_()


class HuggingWatching(TrainerCallback):
    def on_step_end(self, args, state, control, **more):
        pass

    def on_log(self, args, state, control, **more):
        pass


@pytest.mark.parametrize(
    ("callback", "named"),
    [
        (HuggingWatching, []),
        (HuggingSigns, ["the callback HuggingSigns, which a sweep leaves out"]),
    ],
)
def test_hugging_face_s(tmp_path, callback, named):
    trainer = hf.make(tmp_path, callbacks=[callback()])
    with adapter(trainer).borrowed(trainer) as learner:
        assert learner.beside == named
