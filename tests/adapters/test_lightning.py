"""Lightning's trainer and module: lent, swept as fit would train them, handed back as they were."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, ONE_CYCLE, Asks, Module, make, pl, setups, state, unchanged

from lrsuggest import Probes, RangeTest, suggest_lr
from lrsuggest.curves.heuristics.reasons import Reason

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_lightning.loggers import CSVLogger

pytestmark = MARKS


def test_it_finds_a_rate_that_trains_well(tmp_path):
    found = suggest_lr(make(tmp_path))
    # The rate stays, which is seen and is a doubt; there is no other.
    assert [each.reason for each in found.reasons] == [Reason.CONSTANT]
    reached = {}
    for factor in (0.01, 1, 100):
        pair = make(tmp_path, Module(found.lr * factor), max_epochs=3)
        pair[0].fit(pair[1])
        reached[factor] = pair[0].callback_metrics["loss"].item()
    assert reached[1] < 0.5 < min(reached[0.01], reached[100])


@setups
def test_the_sweep_makes_the_steps_that_fit_would_make(tmp_path, setup):
    """The same rates given to Lightning's own loop bring the same losses, bit for bit."""
    settings = setup()
    every = settings.get("accumulate_grad_batches", 1)
    curve = suggest_lr(make(tmp_path, **settings), sweep=RangeTest(num_iter=30)).curve

    class Sweeps(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            step = min(index // every, len(curve) - 1)
            for group, ratio in zip(trainer.optimizers[0].param_groups, (0.5, 1), strict=True):
                group["lr"] = curve.lr[step] * ratio

    fitter, module = make(tmp_path, callbacks=[Sweeps()], **setup())
    fitter.fit(module)
    theirs = np.array(module.losses[: len(curve) * every], np.float32).reshape(-1, every)
    assert np.array_equal(curve.loss, theirs.mean(1, dtype=np.float32))


@setups
def test_nothing_has_changed_and_training_goes_on_as_if_nobody_had_asked(tmp_path, setup):
    outcomes = []
    for ask in (False, True):
        pair = make(tmp_path, **setup())
        for _ in range(2):
            if ask:
                found = unchanged(
                    pair, sweep=RangeTest(num_iter=20), probes=Probes(1, 10), fallback=1e-3
                )
                assert len(found.curve) > 10
            pair[0].fit(pair[1])
            pair[0].fit_loop.max_epochs += 1
        outcomes.append(state(pair))
    assert changes(*outcomes) == []


HOOKS = (
    "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start",
    "on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step",
    "on_train_batch_end", "on_train_epoch_end", "on_train_end",
)  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_in_the_middle_of_training(tmp_path, hook):
    at = 5 if any(word in hook for word in ("batch", "backward", "grad", "optimizer")) else 1

    def ask(pair):
        return unchanged(pair, sweep=RangeTest(num_iter=20))

    outcomes = []
    for do in (lambda pair: True, ask):
        asks = Asks(hook, do, at)
        module = Module(schedule=ONE_CYCLE)
        pair = make(tmp_path, module, callbacks=[asks], accumulate_grad_batches=2)
        pair[0].fit(pair[1])
        assert asks.done is not None
        outcomes.append(state(pair))
    assert changes(*outcomes) == []
    assert len(asks.done.curve) > 10


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Logs(Module):
    """Tells a logger something past self.log."""

    def training_step(self, batch, batch_idx):
        self.logger.log_metrics({"mine": float(batch_idx)})
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_is_logged_and_no_file_is_written(tmp_path):
    logged = []
    for name, do in (("plain", lambda pair: True), ("asked", suggest_lr)):
        settings = {"logger": CSVLogger(tmp_path / name), "log_every_n_steps": 1}
        asks = Asks("on_train_batch_start", do, at=5)
        folder = tmp_path / name
        pair = make(folder, Logs(), callbacks=[asks], enable_checkpointing=True, **settings)
        if name == "asked":
            suggest_lr(pair, sweep=RangeTest(num_iter=20))
            assert not files(tmp_path / name)
        pair[0].fit(pair[1])
        logged.append(files(folder)["metrics.csv"])
    assert logged[0] == logged[1]


class Fails(Module):
    """Raises in a hook of the twelfth batch."""

    def __init__(self, hook, error):
        super().__init__(schedule=ONE_CYCLE)
        self.left, self.error = 12, error
        setattr(self, hook, partial(self.fail, getattr(self, hook)))

    def fail(self, hook, *arguments):
        self.left -= 1
        if not self.left:
            raise self.error
        return hook(*arguments)


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        ("on_train_batch_start", KeyboardInterrupt("theirs")),
        ("training_step", ValueError("theirs")),
        ("on_after_backward", ValueError("theirs")),
        ("on_train_batch_end", KeyboardInterrupt("theirs")),
    ],
)
def test_nothing_has_changed_after_an_exception(tmp_path, hook, error):
    pair = make(tmp_path, Fails(hook, error), accumulate_grad_batches=2, precision="bf16-mixed")
    for _ in range(2):
        before = everything(pair)
        with pytest.raises(type(error), match="theirs"):
            suggest_lr(pair, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(pair)) == []
        pair[1].left = 10**9
        pair[0].fit(pair[1])
        pair[1].left = 12


def test_after_an_exception_in_the_middle_of_training_it_goes_on_as_if_nobody_had_asked(tmp_path):
    def fail(pair):
        pair[1].left = 12
        before = everything(pair)
        with pytest.raises(ValueError, match="theirs"):
            suggest_lr(pair, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(pair)) == []
        pair[1].left = 10**9
        return True

    outcomes = []
    for do in (lambda pair: True, fail):
        asks, module = (
            Asks("on_train_batch_end", do, 5),
            Fails("on_after_backward", ValueError("theirs")),
        )
        module.left = 10**9
        pair = make(tmp_path, module, callbacks=[asks], accumulate_grad_batches=2)
        pair[0].fit(module)
        assert asks.done
        outcomes.append(state(pair))
    assert changes(*outcomes) == []


def test_a_module_asks_in_its_own_hook(tmp_path):
    class Asking(Module):
        found = None

        def on_train_epoch_start(self):
            self.found = suggest_lr((self.trainer, self), sweep=RangeTest(num_iter=20))

    module = Asking()
    make(tmp_path)[0].fit(module)
    assert len(module.found.curve) > 10


class Prepared(Module):
    """Makes in a hook of the fit's start what its steps need."""

    def on_train_start(self):
        self.factor = torch.rand(())

    def training_step(self, batch, batch_idx):
        return self.factor * super().training_step(batch, batch_idx)


def test_what_the_hooks_of_the_start_make_is_there_and_gone_afterwards(tmp_path):
    found = unchanged(make(tmp_path, Prepared()), sweep=RangeTest(num_iter=20))
    plain = suggest_lr(make(tmp_path), sweep=RangeTest(num_iter=20))
    assert 0 < found.curve.loss[0] < plain.curve.loss[0]
