"""What Lightning's trainer and module cannot be asked is refused in one sentence."""

import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, Asks, Bare, Given, Module, loader, make
from torch import nn

from lrsuggest import UserError, suggest_lr

pytestmark = MARKS


class Manual(Module):
    automatic_optimization = False


class Two(Module):
    def configure_optimizers(self):
        return [torch.optim.SGD([p], lr=0.1) for p in (self.head.weight, self.head.bias)]


class Closure(Module):
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters())


class NoLoss(Module):
    def training_step(self, batch):
        return {"los": super().training_step(batch, 0)}


class NoSteps(Module):
    def training_step(self, batch):
        return None


class Iterates(Module):
    def training_step(self, dataloader_iter):
        return super().training_step(next(dataloader_iter)[0], 0)


@pytest.mark.parametrize(
    ("module", "settings", "says"),
    [
        (Manual, {}, "Manual optimizes by hand"),
        (Two, {}, "configure_optimizers returns several optimizers"),
        (Iterates, {}, "let it take a batch"),
        (Closure, {}, "LBFGS takes no steps"),
        (NoLoss, {}, "a dict of los; add 'loss'"),
        (NoSteps, {}, "training_step returned None for 100 batches"),
        (Bare, {}, "Bare has no train_dataloader; give batches="),
        (Module, {"precision": "64-true"}, "precision='64-true' is not supported; use one of"),
        (Module, {"strategy": "ddp"}, "DDPStrategy may train on several devices"),
        (lambda: torch.compile(Module()), {}, "torch.compile is not supported"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_sentence(tmp_path, module, settings, says):
    pair = make(tmp_path, module(), **settings)
    before = everything(pair)
    with pytest.raises(UserError, match=says):
        suggest_lr(pair)
    assert changes(before, everything(pair)) == []


def test_what_is_no_pair_is_refused(tmp_path):
    fitter, module = make(tmp_path)
    for x in (fitter, module, (module, fitter), (fitter, nn.Linear(1, 1)), (fitter, module, 3)):
        with pytest.raises(UserError, match=r"given as \(trainer, module\)|is no LightningModule"):
            suggest_lr(x)
    with pytest.raises(UserError, match="batches is a one-shot"):
        suggest_lr((fitter, module), batches=iter(loader()))


def test_in_validation_it_is_refused(tmp_path):
    asks = Asks("on_validation_start", suggest_lr)
    fitter, module = make(tmp_path, callbacks=[asks])
    with pytest.raises(UserError, match="in its stage 'validate'; ask in a hook of training"):
        fitter.fit(module)


@pytest.mark.parametrize(
    ("hook", "do", "says"),
    [
        ("setup", suggest_lr, "fit has no optimizer yet; ask in on_fit_start"),
        ("on_train_start", lambda pair: suggest_lr((pair[0], Module())), "fitting another Module"),
        ("on_train_start", lambda pair: suggest_lr(pair, batches=Given()), "before fit"),
    ],
)
def test_in_fit_it_is_refused_where_it_cannot_be(tmp_path, hook, do, says):
    fitter, module = make(tmp_path, callbacks=[Asks(hook, do)])
    with pytest.raises(UserError, match=says):
        fitter.fit(module)
