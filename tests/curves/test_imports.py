"""Curves that other libraries' finders recorded: theirs run here, and the raw losses come back."""

import contextlib
import io
import logging
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Curve, UserError, suggest_lr
from lrsuggest.curves import importers
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.heuristics import peers

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Those of the libraries themselves, while they run their own loops.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def library(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            name, reason=f"{name} is missing: pip install 'lrsuggest[peers]'", exc_type=ImportError
        )


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


def batches(size=32):
    x = torch.randn(640, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, (x[:, :3].sum(1) > 0).long())
    return DataLoader(data, size, shuffle=True, generator=torch.Generator().manual_seed(2))


class Noted:
    """Cross entropy that notes every loss it gives out, whatever a library records of it."""

    def __init__(self, scale=1.0, nan_at=None):
        self.scale, self.nan_at, self.losses = scale, nan_at, []

    def __call__(self, output, target):
        scale = np.nan if len(self.losses) == self.nan_at else self.scale
        loss = scale * nn.functional.cross_entropy(output, target)
        self.losses.append(float(loss))
        return loss


losses = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=120).map(np.array)


@given(losses)
def test_what_is_averaged_can_be_taken_apart(loss):
    scale = np.abs(loss).max() + 1e-300
    average = peers.lightning_record(loss)
    back = importers.taken_apart(average, 0.98, ahead=1)
    np.testing.assert_allclose(back, loss[: len(average)], rtol=0, atol=1e-11 * scale)
    history = {"loss": peers.twentieth_record(loss).tolist()}
    history["lr"] = np.geomspace(1e-7, 10, len(history["loss"])).tolist()
    back = Curve.from_torch_lr_finder(history).loss
    np.testing.assert_allclose(back, loss[: len(back)], rtol=0, atol=1e-12 * scale)
    average = peers.fastai_record(loss)
    back = importers.taken_apart(average, 0.98)
    tiny = 1e-40  # below it single precision has no digits
    np.testing.assert_allclose(back, loss[: len(average)], rtol=0, atol=1e-4 * scale + tiny)


@pytest.fixture
def fastai_learner(tmp_path):
    library("fastai")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fastai.callback.progress
        import fastai.callback.schedule
        from fastai.data.core import DataLoaders
        from fastai.learner import Learner
        from fastai.optimizer import SGD

    def make(scale=1.0):
        noted = Noted(scale)
        learner = Learner(
            DataLoaders(batches(), batches()), network(), loss_func=noted, opt_func=SGD,
            path=tmp_path,
        )  # fmt: skip
        learner.remove_cb(fastai.callback.progress.ProgressCallback)
        return learner, noted

    return make


@pytest.mark.parametrize(
    ("scale", "ended"), [(1.0, Ended.COMPLETED), (1e3, Ended.DIVERGED), (1e-3, Ended.COMPLETED)]
)
def test_fastai_gives_back_the_losses_it_averaged(fastai_learner, scale, ended):
    learner, noted = fastai_learner(scale)
    theirs = learner.lr_find(show_plot=False)
    curve = Curve.from_fastai(learner.recorder)
    recorded = np.array([float(x) for x in learner.recorder.losses])
    assert len(curve) == len(noted.losses)
    assert np.all(np.abs(curve.loss - noted.losses) <= 1e-4 * np.abs(recorded))
    np.testing.assert_array_equal(curve.lr, learner.recorder.lrs)
    assert (curve.ended, curve.smoothed) == (ended, False)
    if ended is Ended.COMPLETED:  # fastai trims a tenth of what was planned, not of what was run
        valley = suggest_lr(curve).candidates["fastai_valley"]
        assert valley == pytest.approx(theirs.valley, rel=1e-5)


def test_a_fastai_recorder_without_a_range_test_is_refused(fastai_learner):
    learner, _ = fastai_learner()
    with pytest.raises(UserError, match=r"learn.recorder after learn.lr_find\(\); this Recorder"):
        Curve.from_fastai(learner.recorder)
    learner.fit_one_cycle(1, 1e-2)
    with pytest.raises(UserError, match=r"is followed by .*; call learn.lr_find\(\) again"):
        Curve.from_fastai(learner.recorder)
    with pytest.raises(UserError, match="this Learner holds no range test"):
        Curve.from_fastai(learner)


@pytest.fixture
def lightning_finder(tmp_path, caplog):
    pl = library("pytorch_lightning")
    from pytorch_lightning.tuner import Tuner

    caplog.set_level(logging.ERROR, "pytorch_lightning")

    class Module(pl.LightningModule):
        lr = 1e-3

        def __init__(self, noted, none_every):
            super().__init__()
            self.net, self.noted, self.none_every = network(), noted, none_every

        def training_step(self, batch, index):
            loss = self.noted(self.net(batch[0]), batch[1])
            if self.none_every and len(self.noted.losses) % self.none_every == 0:
                self.noted.losses[-1] = np.nan
                return None
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    def find(none_every=0, steps=60, epochs=100, **settings):
        noted = Noted()
        trainer = pl.Trainer(
            default_root_dir=tmp_path, accelerator="cpu", max_epochs=epochs, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            **settings,
        )  # fmt: skip
        with contextlib.redirect_stderr(io.StringIO()):
            finder = Tuner(trainer).lr_find(
                Module(noted, none_every), train_dataloaders=batches(), num_training=steps,
                max_lr=10, update_attr=False,
            )  # fmt: skip
        return finder, np.array(noted.losses)

    return find


def test_lightning_gives_back_the_losses_it_averaged(lightning_finder):
    finder, noted = lightning_finder()
    curve = Curve.from_lightning(finder)
    np.testing.assert_allclose(curve.loss, noted, rtol=1e-12)
    np.testing.assert_array_equal(curve.lr, finder.results["lr"])
    assert curve.ended is Ended.COMPLETED
    assert not curve.skipped.any()
    # Its first average stands at half the loss: a start that was never measured.
    assert finder.results["loss"][0] < 0.51 * curve.loss[0]
    theirs = finder.suggestion()
    assert suggest_lr(curve).candidates["lightning"] == pytest.approx(theirs)


def test_lightning_steps_without_a_loss_were_skipped(lightning_finder):
    finder, noted = lightning_finder(none_every=7)
    curve = Curve.from_lightning(finder)
    np.testing.assert_array_equal(curve.skipped, np.isnan(noted))
    assert curve.skipped.sum() == 8
    np.testing.assert_allclose(curve.loss, noted, rtol=1e-12)
    assert curve.ended is Ended.COMPLETED


def test_lightning_under_accumulation_gives_a_fixed_share_of_the_last_batch(lightning_finder):
    finder, noted = lightning_finder(accumulate_grad_batches=2)
    np.testing.assert_allclose(Curve.from_lightning(finder).loss, noted[1::2] / 2, rtol=1e-12)


def test_lightning_whose_data_ran_out_says_so(lightning_finder):
    finder, _ = lightning_finder(epochs=1)
    curve = Curve.from_lightning(finder)
    assert (len(curve), curve.ended) == (20, Ended.DATA_RAN_OUT)
    assert any("data ran out" in reason for reason in suggest_lr(curve).reasons)


@pytest.mark.parametrize(
    ("smooth_f", "end", "ended"), [(0.05, 1, Ended.COMPLETED), (0.0, 100, Ended.DIVERGED)]
)
def test_torch_lr_finder_gives_back_the_losses_it_averaged(smooth_f, end, ended):
    finder, noted = torch_lr_finder(Noted(), end, smooth_f)
    curve = Curve.from_torch_lr_finder(finder.history, smooth_f=smooth_f)
    np.testing.assert_allclose(curve.loss, noted.losses, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curve.lr, finder.history["lr"])
    assert curve.ended is ended


def test_after_a_nan_nothing_is_made_up():
    finder, noted = torch_lr_finder(Noted(nan_at=70), 1, 0.05)
    curve = Curve.from_torch_lr_finder(finder.history)
    assert (len(curve), curve.ended) == (80, Ended.NON_FINITE)
    np.testing.assert_allclose(curve.loss[:70], noted.losses[:70], rtol=0, atol=1e-12)
    assert np.isnan(curve.loss[70:]).all()


def torch_lr_finder(noted, end, smooth_f):
    made, model = library("torch_lr_finder"), network()
    finder = made.LRFinder(model, torch.optim.SGD(model.parameters(), lr=1e-7), noted)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        finder.range_test(batches(), end_lr=end, num_iter=80, smooth_f=smooth_f)
    return finder, noted


def test_ignite_gives_back_losses_at_the_rates_that_were_used():
    library("ignite")
    from ignite.engine import Engine
    from ignite.handlers.lr_finder import FastaiLRFinder

    model, noted, used = network(), Noted(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(engine, batch):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = noted(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return float(loss)

    finder = FastaiLRFinder()
    to_save = {"model": model, "optimizer": optimizer}
    with finder.attach(Engine(step), to_save, num_iter=60, end_lr=1.0) as attached:
        attached.run(batches(), max_epochs=5)
    curve = Curve.from_ignite(finder)
    assert len(curve) >= 59
    np.testing.assert_allclose(curve.lr, used[1:], rtol=1e-9)
    np.testing.assert_allclose(curve.loss, noted.losses[1:], rtol=0, atol=1e-12)
    with pytest.raises(UserError, match="FastaiLRFinder after its run"):
        Curve.from_ignite(FastaiLRFinder())


@pytest.mark.parametrize(
    ("read", "given", "says"),
    [
        (Curve.from_fastai, [1, 2], "this list holds no range test"),
        (Curve.from_lightning, None, "this NoneType holds no results"),
        (Curve.from_torch_lr_finder, {}, "this dict has no lists lr and loss"),
        (Curve.from_torch_lr_finder, None, "reads LRFinder.history; this NoneType"),
        (Curve.from_torch_lr_finder, {"lr": [2, 1], "loss": [1, 1]}, "2 is followed by 1"),
        (Curve.from_ignite, "finder", "reads a FastaiLRFinder after its run"),
    ],
)
def test_what_holds_no_curve_is_refused(read, given, says):
    with pytest.raises(UserError, match=says):
        read(given)
    with pytest.raises(UserError, match="smooth_f must lie in 0 to 1, as in range_test; got 1"):
        Curve.from_torch_lr_finder({"lr": [1], "loss": [1]}, smooth_f=1)
