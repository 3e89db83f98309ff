"""The faults that the released finders share, each beside ours on the same objects."""

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import partial

import numpy as np
import pytest
import torch
from fault_subjects import (
    ALL,
    DATA,
    MARKS,
    FastaiLRFinder,
    Loss,
    LRFinder,
    Module,
    Scripted,
    Tuner,
    broken_off,
    create_supervised_trainer,
    fastai_learner,
    landscape,
    lightning_trainer,
    loader,
    lost,
    network,
    ones,
    parts,
    subject,
)
from helpers import Waits
from matplotlib.figure import Figure
from torch import nn

from lrsuggest import Learner, suggest_lr
from lrsuggest.training import sweep

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.schedule import steep
    from fastai.optimizer import SGD

pytestmark = MARKS
peers = pytest.mark.parametrize("peer", ALL)
RATES = np.geomspace(1e-7, 10, 100)


def quietly(do):
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return do()


class Written(Module):
    def __init__(self, losses):
        super().__init__(Scripted(losses), None, lambda m: torch.optim.SGD(m.parameters(), m.lr))

    def training_step(self, batch, batch_idx):
        return self.model(batch[0])


def written(peer, losses, path):
    """What a peer makes of these losses, a step each: (rates, recorded losses, its suggestion)."""
    if peer == "fastai":
        learn = fastai_learner(Scripted(losses), ones(400), lambda o, _: o, path, opt_func=SGD)
        pick = learn.lr_find(show_plot=False, suggest_funcs=steep).steep
        return learn.recorder.lrs, [float(each) for each in learn.recorder.losses], pick
    if peer == "lightning":
        found = Tuner(lightning_trainer(path)).lr_find(
            Written(losses), ones(100), min_lr=1e-7, max_lr=10, update_attr=False
        )
        return found.results["lr"], found.results["loss"], found.suggestion()
    model = Scripted(losses)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    if peer == "torch_lr_finder":
        finder = LRFinder(model, optimizer, lambda output, _: output + 0)
        finder.range_test(ones(100))
        return *finder.history.values(), finder.plot(ax=Figure().subplots())[1]
    trainer, finder = create_supervised_trainer(model, optimizer, lambda o, _: o), FastaiLRFinder()
    saved = {"model": model, "optimizer": optimizer}
    with finder.attach(trainer, saved, num_iter=100, end_lr=10.0) as attached:
        attached.run(ones(100))
    return *finder.get_results().values(), finder.lr_suggestion()


def asked(peer, losses, path):
    """Our suggestion on the same losses, through the adapter where there is one."""
    if peer == "fastai":
        return suggest_lr(
            fastai_learner(Scripted(losses), ones(400), lambda o, _: o, path, opt_func=SGD)
        )
    if peer == "lightning":
        return suggest_lr((lightning_trainer(path), Written(losses)), batches=ones(100))
    model = Scripted(losses)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    return suggest_lr(Learner(model, lambda output, _: output, ones(100), optimizer))


STEP = np.where(RATES < 1e-4, 2.0, 1.0)


def half_fall(rates, losses):
    """Where the second half of the fall begins, in decades after the step at 1e-4."""
    above = np.flatnonzero(np.array(losses) > 1.5)
    return np.log10(rates[above[-1] + 1] / 1e-4)


@pytest.mark.parametrize(
    ("peer", "late"),
    [("fastai", 1.72), ("lightning", 1.72), ("torch_lr_finder", 1.12), ("ignite", 1.16)],
)
def test_all_show_a_fall_late_since_a_moving_average_lags(tmp_path, peer, late):
    rates, losses, _ = quietly(partial(written, peer, STEP, tmp_path))
    assert half_fall(rates, losses) == pytest.approx(late, abs=0.1)
    curve = asked(peer, STEP, tmp_path).curve
    assert half_fall(curve.lr, curve.loss) < 0.1


@peers
def test_all_read_the_steepest_slope_too_high(tmp_path, peer):
    """The loss falls fastest at 1e-3. Lightning's, over the linear rate, is not of that kind."""
    theirs = quietly(partial(written, peer, landscape(RATES), tmp_path))[2]
    bias = np.log10(theirs / 1e-3)
    assert bias < -0.3 if peer == "lightning" else bias > 0.5
    ours = asked(peer, landscape(RATES), tmp_path)
    for name in ("steepest", "steepest_gaussian", "steepest_robust"):
        assert abs(np.log10(ours.candidates[name] / 1e-3)) < 0.1


def test_lightning_records_a_constant_loss_of_one_as_a_half(tmp_path):
    """Its moving average is debiased by one step too many."""
    losses = written("lightning", np.ones(100), tmp_path)[1]
    assert losses[:3] == pytest.approx([0.505, 0.673, 0.758], abs=1e-3)
    assert (asked("lightning", np.ones(100), tmp_path).curve.loss == 1).all()


@peers
def test_all_make_the_host_wait_for_the_device_at_each_step(tmp_path, monkeypatch, peer):
    """On a GPU: ours waits for the loader's seeds, and twice to see what was trained before."""
    monkeypatch.setattr(sweep, "_LOOK_EVERY", {})  # as on a GPU
    with Waits() as theirs:
        quietly(subject(peer, tmp_path).find)
    assert theirs.count > 90
    with Waits() as ours:
        steps = len(subject(peer, tmp_path).ask().curve)
    assert steps > 80
    assert ours.count <= 5


RANDOM = {"torch's random state", "loader's generator"}
BROKEN = RANDOM | {"weights", "buffers", "gradients", "modes", "optimizer's state", "rates"}
NOT_RESTORED = {
    "fastai": (RANDOM | {"gradients", "modes", "optimizer's state"}, BROKEN),
    "lightning": (
        {"gradients", "loader's generator"},
        RANDOM | {"gradients"},  # and the trainer's settings, see there
    ),
    "torch_lr_finder": (RANDOM | {"gradients", "modes"}, BROKEN | {"other settings"}),
    "ignite": (RANDOM | {"gradients", "modes"}, BROKEN | {"other settings"}),
}


@peers
def test_all_leave_something_unrestored_after_a_sweep(tmp_path, peer):
    """torch-lr-finder after its reset(), ignite after its context."""
    one = subject(peer, tmp_path)
    before = parts(one)
    quietly(one.find)
    assert lost(before, parts(one)) == NOT_RESTORED[peer][0]
    one = subject(peer, tmp_path)
    before = parts(one)
    one.ask()
    assert lost(before, parts(one)) == set()


@peers
def test_all_leave_more_unrestored_after_an_exception(tmp_path, peer):
    one = subject(peer, tmp_path, Loss(fails_at=40))
    before = parts(one)
    broken_off(partial(quietly, one.find))
    assert lost(before, parts(one)) == NOT_RESTORED[peer][1]
    one = subject(peer, tmp_path, Loss(fails_at=40))
    before = parts(one)
    broken_off(one.ask)
    assert lost(before, parts(one)) == set()


@peers
def test_all_answer_otherwise_when_asked_again(tmp_path, peer):
    """Each of theirs has moved the random states that the next begins with."""
    seen = []

    def loss(output, target):
        seen.append(nn.functional.cross_entropy(output, target))
        return seen[-1]

    def losses(do):
        seen.clear()
        quietly(do)
        return torch.stack(seen[:20]).detach()

    one = subject(peer, tmp_path, loss)
    assert not torch.equal(losses(one.find), losses(one.find))
    one = subject(peer, tmp_path, loss)
    assert torch.equal(losses(one.ask), losses(one.ask))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_monai_sweeps_under_amp_with_a_call_that_does_not_exist(tmp_path, precision):
    """MONAI 1.6.1 calls torch.cuda.amp.scale_loss; ours sweeps in the precision it is given."""
    assert not hasattr(torch.cuda.amp, "scale_loss")

    def swept(precision):
        model = network()
        return suggest_lr(
            Learner(model, Loss(), loader(), torch.optim.SGD(model.parameters(), lr=1e-3),
                    precision=precision), seed=0,
        )  # fmt: skip

    plain, lower = swept("fp32"), swept(precision)
    assert not np.array_equal(lower.curve.loss[:40], plain.curve.loss[:40])
    assert lower.curve.loss[:40] == pytest.approx(plain.curve.loss[:40], rel=0.02)
    assert abs(np.log10(lower.lr / plain.lr)) < 0.2


@pytest.mark.parametrize("seed", range(2))
def test_in_autocast_the_adapter_sweeps_as_the_framework_trains(tmp_path, seed):
    """bf16-mixed in Lightning: near the sweep in single precision, not the same."""

    def swept(precision):
        torch.manual_seed(seed)
        made = Module(network(), nn.functional.cross_entropy, lambda m: torch.optim.SGD(
            m.parameters(), lr=m.lr))  # fmt: skip
        trainer = lightning_trainer(tmp_path, precision=precision)
        return suggest_lr((trainer, made), batches=loader(len(DATA), seed=seed)).curve.loss[:40]

    plain, lower = swept("32-true"), swept("bf16-mixed")
    assert not np.array_equal(plain, lower)
    assert lower == pytest.approx(plain, rel=0.02)
