"""A rate set in Lightning's trainer and module: what fit trains with then."""

import math
import warnings

import numpy as np
import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, ONE_CYCLE, Asks, Module, loader, make, pl, trainer
from torch import nn

from lrsuggest import Curve, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.errors import NoSuggestion

pytestmark = MARKS


def warm_up(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10))


SCHEDULES = {"constant": None, "one_cycle": ONE_CYCLE, "warm_up": warm_up}


@pytest.mark.parametrize("rate", [0.02, slice(1e-3, 1e-2)])
@pytest.mark.parametrize("schedule", ["constant", "warm_up"])
def test_fit_takes_the_rate_applied_before_it(tmp_path, schedule, rate):
    module = Module(schedule=SCHEDULES[schedule])
    pair = make(tmp_path, module)
    if isinstance(rate, slice):
        with pytest.raises(UserError, match="before fit there is one rate to set, not slice"):
            set_lr(pair, rate)
        return
    set_lr(pair, rate)
    pair[0].fit(module)
    assert module.rates[-1] == [0.01, 0.02]
    assert max(module.rates) == [0.01, 0.02]


def test_a_rate_that_configure_optimizers_multiplies(tmp_path):
    class Doubling(Module):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=2 * self.lr)

    pair = make(tmp_path, Doubling())
    found = suggest_lr(pair, sweep=RangeTest(num_iter=40))
    set_lr(pair, found)
    pair[0].fit(pair[1])
    assert pair[1].rates == [[pytest.approx(found.lr)]] * 64


def test_a_rate_in_hparams(tmp_path):
    class Hyper(pl.LightningModule):
        def __init__(self, learning_rate=1e-3):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Linear(64, 10)

        def training_step(self, batch):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)

    module = Hyper()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = suggest_lr(
            (trainer(tmp_path), module), batches=loader(), sweep=RangeTest(num_iter=40)
        )
        set_lr((trainer(tmp_path), module), 0.02)
    assert found.lr is not None
    assert module.hparams.learning_rate == 0.02


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("rate", "groups"), [(0.04, [0.02, 0.04]), (slice(1e-3, 1e-2), [1e-3, 1e-2])]
)
def test_in_the_middle_of_fit_the_schedule_goes_on_from_the_rate_applied(
    tmp_path, schedule, rate, groups
):
    def rates(do):
        asks = Asks("on_train_batch_start", do, at=21)
        module = Module(1e-2, schedule=SCHEDULES[schedule])
        pair = make(tmp_path, module, callbacks=[asks])
        pair[0].fit(module)
        return np.array(module.rates)

    def change(pair):
        set_lr(pair, rate)
        for each in pair[0].lr_scheduler_configs:  # what is logged of it
            now = [group["lr"] for group in pair[0].optimizers[0].param_groups]
            assert each.scheduler.get_last_lr() == now
        return True

    plain, scaled = rates(lambda pair: True), rates(change)
    assert np.array_equal(plain[:20], scaled[:20])
    factors = np.array(groups) / ([5e-3, 1e-2])
    assert scaled[20:] == pytest.approx(plain[20:] * factors)


def test_an_abstention_changes_nothing(tmp_path):
    pair = make(tmp_path)
    before = everything(pair)
    with pytest.raises(NoSuggestion):
        set_lr(pair, suggest_lr(Curve([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0])))
    assert changes(before, everything(pair)) == []


class Fixed(Module):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Rateless(Fixed):
    def __init__(self):
        super().__init__()
        del self.lr, self.hparams["lr"]


class Broken(Module):
    def configure_optimizers(self):
        raise UserError("theirs")


@pytest.mark.parametrize(
    ("module", "rate", "says"),
    [
        (Fixed, 0.02, "configure_optimizers asks for 0.1 whatever lr is; let it read self.lr"),
        (Broken, 0.02, "theirs"),
        (Rateless, 0.02, "has neither lr nor learning_rate"),
        (Module, math.nan, "must be positive and finite"),
        (Module, -1.0, "must be positive and finite"),
    ],
)
def test_a_rate_that_cannot_be_set_is_refused_and_nothing_has_changed(tmp_path, module, rate, says):
    pair = make(tmp_path, module())
    before = everything(pair)
    with pytest.raises(UserError, match=says):
        set_lr(pair, rate)
    assert changes(before, everything(pair)) == []
