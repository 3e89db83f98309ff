"""Lightning's trainer and module: lent, swept as fit would train them, handed back as they were."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Curve, Probes, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.adapters.lightning.adapter import borrowed
from lrsuggest.errors import NoSuggestion

pl = pytest.importorskip(
    "pytorch_lightning", reason="pytorch_lightning is missing: pip install 'lrsuggest[peers]'"
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_lightning.callbacks import BackboneFinetuning
    from pytorch_lightning.loggers import CSVLogger

pytestmark = [
    pytest.mark.usefixtures("one_thread", "quiet"),
    # What Lightning says of few workers, of loops without validation, of no CUDA, and its own.
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]

PIXELS, DIGITS = load_digits(return_X_y=True)
DATA = TensorDataset(torch.tensor(PIXELS, dtype=torch.float32) / 16, torch.tensor(DIGITS))


@pytest.fixture
def quiet(caplog):
    caplog.set_level("ERROR")


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
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.body = nn.Sequential(
                nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1)
            )
            self.head = nn.Linear(32, 10)
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


def test_it_finds_a_rate_that_trains_well(tmp_path):
    found = suggest_lr(make(tmp_path))
    assert found.reliable
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


def unchanged(pair, *more, **settings):
    """Ask, and see that nothing has changed."""
    before = everything(pair, *more)
    found = suggest_lr(pair, **settings)
    assert changes(before, everything(pair, *more)) == []
    return found


def state(pair):
    """What training comes to, but for addresses."""
    found = everything(pair[1].state_dict(), pair[0].optimizers[0].state_dict(), pair[1].losses)
    return {
        path: value[1:] if isinstance(value, tuple) and len(value) == 6 else value
        for path, value in found.items()
    }


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


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (torch.optim.AdamW, "adamw"),
        (torch.optim.Adam, "adam"),
        (torch.optim.SGD, "sgd"),
        (torch.optim.RMSprop, None),
    ],
)
def test_it_tells_the_optimizer(tmp_path, optimizer, name):
    with borrowed(make(tmp_path, Module(make=optimizer))) as learner:
        assert learner.optimizer_name == name


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_it_tells_that_the_training_went_on_before(tmp_path, optimizer):
    asks = Asks("on_train_batch_start", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=5)
    pair = make(tmp_path, Module(make=optimizer), callbacks=[asks])
    first = suggest_lr(pair, sweep=RangeTest(num_iter=30))
    assert not any(each.startswith("This training went on before") for each in first.reasons)
    pair[0].fit(pair[1])
    for found in (asks.done, suggest_lr(pair, sweep=RangeTest(num_iter=30))):
        assert any(each.startswith("This training went on before") for each in found.reasons)
        assert not found.reliable


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [(torch.optim.AdamW, None), (torch.optim.Adadelta, "Adadelta"),
     (partial(torch.optim.SGD, momentum=0.9, nesterov=True), "SGD with Nesterov momentum")],
)  # fmt: skip
def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path, optimizer, named):
    found = suggest_lr(make(tmp_path, Module(make=optimizer)), sweep=RangeTest(num_iter=30))
    said = [each for each in found.reasons if each.startswith("No recorded task trained with")]
    assert len(said) == (named is not None)
    assert all(f" {named}, so" in each for each in said)


class Bodied(Module):
    backbone = property(lambda self: self.body)


def test_it_tells_the_stage(tmp_path):
    def stage(pair):
        return suggest_lr(pair, sweep=RangeTest(num_iter=30)).stage

    pair = make(tmp_path)
    assert stage(pair) is None
    for parameter in pair[1].body.parameters():
        parameter.requires_grad_(False)
    assert stage(pair) == "frozen"
    tuned = BackboneFinetuning(unfreeze_backbone_at_epoch=5)
    module = Bodied()
    pair = make(tmp_path, module, callbacks=[tuned])
    before = everything(pair)
    assert stage(pair) == "frozen"
    assert changes(before, everything(pair)) == []


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 64),
        ({"max_epochs": 3}, 192),
        ({"max_epochs": 3, "accumulate_grad_batches": 3}, 66),
        ({"max_epochs": -1, "max_steps": 50}, 50),
        ({"max_epochs": 3, "max_steps": 50}, 50),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, 64),
        ({"max_epochs": 2, "limit_train_batches": 10}, 20),
        ({"max_epochs": -1}, None),
    ],
)
def test_it_tells_what_is_planned_and_the_batch_size(tmp_path, settings, steps):
    pair = make(tmp_path, **settings)
    with borrowed(pair) as learner:
        assert learner.total_steps == steps
        assert learner.batch_size == 16 * settings.get("accumulate_grad_batches", 1)
    if steps:
        pair[0].fit(pair[1])
        assert pair[0].global_step == steps


def test_in_the_middle_of_fit_it_tells_what_is_left(tmp_path):
    def told(pair):
        with borrowed(pair) as learner:
            return learner.total_steps, learner.batch_size

    asks = Asks("on_train_batch_start", told, at=11)
    fitter, module = make(tmp_path, callbacks=[asks], accumulate_grad_batches=2, max_epochs=2)
    fitter.fit(module)
    assert asks.done == (64 - 5, 32)


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


def test_replicates_see_other_orders(tmp_path):
    found = suggest_lr(make(tmp_path), sweep=RangeTest(repeats=2, num_iter=40), seed=7)
    assert len(set(found.replicates)) == 2
    alone = [
        suggest_lr(make(tmp_path), seed=seed, sweep=RangeTest(num_iter=40)).lr for seed in (7, 8)
    ]
    assert found.replicates == tuple(alone)


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


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_overfitting_a_few_batches(tmp_path):
    pair = make(tmp_path, overfit_batches=3)
    found = unchanged(pair, sweep=RangeTest(num_iter=20))
    few = unchanged(
        make(tmp_path), batches=loader(0, 48, shuffle=False), sweep=RangeTest(num_iter=20)
    )
    pair[0].fit(pair[1])
    assert few.curve.loss[:3].tolist() == found.curve.loss[:3].tolist()


class Dicts(Module):
    """Takes batches that are dicts, and returns one."""

    def training_step(self, batch):
        return {"loss": super().training_step((batch["pixels"], batch["digit"]), 0), "extra": 3}


def named(batches):
    def collate(rows):
        pixels, digits = torch.utils.data.default_collate(rows)
        return {"pixels": pixels, "digit": digits}

    batches.collate_fn = collate
    return batches


def test_batches_of_dicts(tmp_path):
    found = suggest_lr(
        make(tmp_path, Dicts()), batches=named(loader()), valid=named(held_out()),
        probes=Probes(1, 20),
    )  # fmt: skip
    assert np.array_equal(found.curve.loss, suggest_lr(make(tmp_path)).curve.loss)
    assert found.cost.valid_passes == 1


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


@pytest.mark.parametrize("given", [loader, Given, lambda: [loader()], lambda: {"a": loader()}])
def test_other_batches(tmp_path, given):
    class Takes(Bare):
        def training_step(self, batch, batch_idx):
            if isinstance(batch, dict):
                batch = batch["a"]
            return super().training_step(batch if len(batch) == 2 else batch[0], batch_idx)

    pair, batches = make(tmp_path, Takes()), given()
    before = everything(pair, batches)
    found = suggest_lr(pair, batches=batches)
    assert changes(before, everything(pair, batches)) == []
    assert np.array_equal(found.curve.loss, suggest_lr(make(tmp_path)).curve.loss)


def test_probes_are_judged_on_validation_data_by_the_loss_of_training(tmp_path):
    found = suggest_lr(make(tmp_path), probes=Probes(2, 30))
    bare = partial(suggest_lr, batches=loader(), probes=Probes(2, 30))
    other = bare(make(tmp_path, Bare()), valid=held_out())
    assert found.probes == other.probes
    assert found.cost.valid_batches == 8
    assert bare(make(tmp_path, Bare())).cost.valid_passes == 0
    pair = make(tmp_path)
    pair[0].fit(pair[1])
    with borrowed(pair) as learner:
        assert learner.evaluate()["loss"] == pytest.approx(pair[0].callback_metrics["loss"].item())


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
