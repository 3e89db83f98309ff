"""The faults of Lightning's finder (2.6.6), each beside ours on the same trainer and module."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from fault_subjects import (
    MARKS,
    Loss,
    Module,
    Scripted,
    broken_off,
    landscape,
    lightning_trainer,
    loader,
    network,
    ones,
)
from torch import nn

from lrsuggest import set_lr, suggest_lr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_lightning.callbacks import Callback, LearningRateFinder
    from pytorch_lightning.tuner import Tuner

pytestmark = MARKS


def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=module.lr)


def adamw(module):
    return torch.optim.AdamW(module.parameters(), lr=module.lr)


def digits(loss=nn.functional.cross_entropy, make=sgd, lr=1e-3):
    return Module(network(), loss, make, lr)


class Noisy(Module):
    """Adds noise to the loss it tells, none to the gradients."""

    def __init__(self, noise, seed, make=adamw):
        super().__init__(network(), nn.functional.cross_entropy, make)
        self.noise, self.source = noise, torch.Generator().manual_seed(seed)

    def told(self, batch, batch_idx):
        return super().training_step(batch, batch_idx)

    def training_step(self, batch, batch_idx):
        return self.told(batch, batch_idx) + self.noise * torch.randn((), generator=self.source)


class Landscape(Noisy):
    """Tells a loss that hangs on the present rate alone, and the noise."""

    def __init__(self, noise, seed):
        super().__init__(noise, seed, sgd)
        self.model = Scripted([0])

    def told(self, batch, batch_idx):
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        return self.model(batch[0]) + float(landscape(rate))


def decades(ask, make, seeds):
    """The decimal logarithms of what is suggested, a seed each."""
    rates = []
    for seed in seeds:
        torch.manual_seed(seed)
        rates.append(ask(make(seed=seed)))
    return np.log10(rates)


def found(path, module, batches, **settings):
    """What Lightning's finder returns."""
    trainer = lightning_trainer(path, max_epochs=10)
    return Tuner(trainer).lr_find(module, batches, update_attr=False, **settings)


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_lightning_falls_by_decades_under_noise_where_the_right_rate_is_known(tmp_path, noise):
    """The loss is a function of the rate; without noise both find its descent."""
    swept = {"min_lr": 1e-7, "max_lr": 10}
    theirs = partial(
        decades, lambda module: found(tmp_path, module, ones(100), **swept).suggestion()
    )
    ours = partial(
        decades,
        lambda module: suggest_lr((lightning_trainer(tmp_path), module), batches=ones(100)).lr,
    )
    clean, seeds = partial(Landscape, 0), range(6)
    (right,) = theirs(clean, [0])
    assert right == pytest.approx(-3.4, abs=0.1)  # in the descent, which is there to 1e-2
    fall = right - theirs(partial(Landscape, noise), seeds)
    assert fall.max() > (0.3 if noise == 0.05 else 1.5)
    assert np.median(fall) > (0 if noise == 0.05 else 1.5)
    moved = ours(partial(Landscape, noise), seeds) - ours(clean, [0])
    assert abs(moved).max() < 0.3


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_lightning_suggests_rates_that_train_nothing_for_a_noisy_loss(tmp_path, noise):
    """Digits and AdamW: its picks lie below 1e-4, ours where the training is good."""
    data, seeds = partial(loader, 1024, 64), range(5)

    def asked(module):
        return suggest_lr((lightning_trainer(tmp_path), module), batches=data()).lr

    make = partial(Noisy, noise)
    theirs = decades(lambda module: found(tmp_path, module, data()).suggestion(), make, seeds)
    ours = decades(asked, make, seeds)
    assert np.median(theirs) < (-5 if noise == 0.05 else -6)
    assert np.ptp(ours) < 0.4

    def trained(rate):
        module = digits(make=adamw, lr=10.0**rate)
        lightning_trainer(tmp_path, max_epochs=4).fit(module, data())
        x, y = loader(1024, 1024).dataset[:]
        return nn.functional.cross_entropy(module.model.eval()(x), y).item()

    assert trained(np.median(theirs)) > 2
    assert trained(np.median(ours)) < 0.2


def test_lightning_ten_runs_give_ten_answers(tmp_path):
    """Digits in ten orders, no noise but the batches': a decade and more between its answers."""

    def spread(ask):
        rates = []
        for seed in range(10):
            torch.manual_seed(seed)
            rates.append(ask(digits(make=adamw), loader(seed=seed)))
        return np.ptp(np.log10(rates))

    def ours(module, data):
        return suggest_lr((lightning_trainer(tmp_path), module), batches=data).lr

    assert spread(lambda *asked: found(tmp_path, *asked).suggestion()) > 1.3
    assert spread(ours) < 0.4


class Once(LearningRateFinder):
    """Lightning's own callback, asked at the second epoch as its docstring shows."""

    def on_fit_start(self, *_):
        pass

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            self.lr_find(trainer, module)


class Asks(Callback):
    """Asks for ours at the same place."""

    found = None

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            self.found = suggest_lr((trainer, module))


def test_lightning_in_the_middle_of_training_records_one_point_and_suggests_none(tmp_path):
    theirs, ours = Once(), Asks()
    for each in (theirs, ours):
        lightning_trainer(tmp_path, callbacks=[each], max_epochs=3).fit(digits(), loader())
    assert len(theirs.optimal_lr.results["loss"]) == 1
    assert theirs.optimal_lr.suggestion() is None
    assert len(ours.found.curve) > 30
    assert 1e-4 < ours.found.lr < 1
    assert any(each.startswith("This training went on before") for each in ours.found.reasons)


def test_lightning_stops_where_the_data_run_out_and_suggests_all_the_same(tmp_path):
    """Ten batches and max_epochs=3: 30 points of 100, and a rate from where nothing happens."""
    trainer = lightning_trainer(tmp_path, max_epochs=3)
    theirs = Tuner(trainer).lr_find(digits(), loader(160), update_attr=False)
    assert len(theirs.results["loss"]) == 30
    assert theirs.suggestion() < 1e-5
    pair = lightning_trainer(tmp_path, max_epochs=3), digits()
    ours = suggest_lr(pair, batches=loader(160))
    assert len(ours.curve) == 100  # blown up at 10; the training itself has 30 steps
    assert ours.lr > 1e-3


def in_groups(module):
    """A hundredth of the rate for the first layer."""
    first, last = module.model[:2], module.model[4]
    groups = [{"params": first.parameters(), "lr": module.lr / 100}, {"params": last.parameters()}]
    return torch.optim.SGD(groups, lr=module.lr)


class Watched(Module):
    """Notes the groups' rates at each step, where the sweep does not take them back."""

    def __init__(self, seen):
        super().__init__(network(), nn.functional.cross_entropy, in_groups)
        self.notes = seen.append

    def on_before_optimizer_step(self, optimizer):
        self.notes([group["lr"] for group in optimizer.param_groups])


def test_lightning_sets_every_parameter_group_to_one_rate(tmp_path):
    def ratios(do):
        seen = []
        do(lightning_trainer(tmp_path, max_epochs=1), Watched(seen))
        return {round(low / high, 6) for low, high in seen}, max(high for _, high in seen)

    def applied(trainer, module):
        set_lr((trainer, module), 0.02)
        trainer.fit(module, loader())

    def asked(*pair):
        suggest_lr(pair, batches=loader())

    assert ratios(lambda _, module: found(tmp_path, module, loader()))[0] == {1.0}
    assert ratios(asked)[0] == {0.01}
    assert ratios(applied) == ({0.01}, 0.02)


def test_lightning_negative_losses_stop_it_after_two_points(tmp_path):
    class Written(Module):
        def training_step(self, batch, batch_idx):
            return self.model(batch[0])

    def made(offset):
        return Written(Scripted(landscape(np.geomspace(1e-7, 10, 100)) + offset), None, sgd)

    theirs = found(tmp_path, made(-10), ones(100))
    assert len(theirs.results["loss"]) == 2
    assert theirs.suggestion() is None
    negative, plain = (
        suggest_lr((lightning_trainer(tmp_path), made(offset)), batches=ones(100))
        for offset in (-10, 0)
    )
    assert len(negative.curve) == len(plain.curve) > 80
    assert negative.lr == pytest.approx(plain.lr, rel=1e-3)


def settings_of(trainer):
    return list(trainer.callbacks), trainer.limit_val_batches, trainer.max_steps


def test_lightning_leaves_the_trainer_set_for_its_test_after_an_exception(tmp_path):
    """Weights come back from its checkpoint, but the trainer would stop the next fit."""
    trainer = lightning_trainer(tmp_path)
    before = settings_of(trainer)
    tuner = Tuner(trainer)
    broken_off(lambda: tuner.lr_find(digits(Loss(20)), loader(), update_attr=False))
    callbacks, validation, steps = settings_of(trainer)
    assert [type(each).__name__ for each in callbacks] == ["_LRCallback"]
    assert (validation, steps) == (100, 100) != before[1:]
    trainer = lightning_trainer(tmp_path)
    broken_off(lambda: suggest_lr((trainer, digits(Loss(20))), batches=loader()))
    assert settings_of(trainer) == before


def test_lightning_writes_a_checkpoint_to_the_disk(tmp_path):
    folder, written = tmp_path / "theirs", []

    class Looks(Module):
        def on_train_batch_start(self, batch, batch_idx):
            written.extend(each.name for each in folder.rglob("*.ckpt"))

    found(folder, Looks(network(), Loss(), sgd), loader())
    assert {name[:9] for name in written} == {".lr_find_"}
    written.clear()
    folder = tmp_path / "ours"
    module = Looks(network(), Loss(), sgd)
    assert suggest_lr((lightning_trainer(folder), module), batches=loader()).lr
    assert not written
    assert not folder.exists()
