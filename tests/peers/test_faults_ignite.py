"""The faults of ignite's FastaiLRFinder (0.5.5), each beside ours on the same model."""

import warnings

import numpy as np
import pytest
import torch
from fault_subjects import (
    MARKS,
    Loss,
    Scripted,
    broken_off,
    landscape,
    loader,
    lost,
    network,
    ones,
    parts,
    subject,
)

from lrsuggest import Learner, suggest_lr
from lrsuggest.curves.columns import Ended

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ignite.engine import create_supervised_trainer
    from ignite.handlers.lr_finder import FastaiLRFinder

pytestmark = MARKS
LOSS = landscape(np.geomspace(1e-7, 10, 100))


def swept(model, optimizer, loss, data):
    """A finder after its test, and the rates that the steps were really made with."""
    used = []
    optimizer.register_step_pre_hook(lambda made, *_: used.append(made.param_groups[0]["lr"]))
    trainer, finder = create_supervised_trainer(model, optimizer, loss), FastaiLRFinder()
    saved = {"model": model, "optimizer": optimizer}
    with finder.attach(trainer, saved, num_iter=100, start_lr=1e-7, end_lr=10.0) as attached:
        attached.run(data)
    return finder, used


def written(losses):
    model = Scripted(losses)
    return model, torch.optim.SGD(model.parameters(), lr=1e-7), lambda output, target: output + 0


def ours(model, optimizer, loss, data):
    """Our suggestion, and the rates that the steps were really made with."""
    used = []
    optimizer.register_step_pre_hook(lambda made, *_: used.append(made.param_groups[0]["lr"]))
    return suggest_lr(Learner(model, loss, data, optimizer)), used


def test_ignite_is_not_stopped_by_nan_and_suggests_a_rate_beside_it():
    losses = np.where(np.arange(100) < 50, LOSS, np.nan)
    finder, _ = swept(*written(losses), ones(100))
    history = finder.get_results()
    assert len(history["loss"]) == 100
    first_nan = history["lr"][50]
    assert finder.lr_suggestion() > first_nan / 2
    found, _ = ours(*written(losses), ones(100))
    assert (len(found.curve), found.curve.ended) == (51, Ended.NON_FINITE)
    assert found.lr < first_nan / 5


def test_ignite_negative_losses_stop_it_after_one_point():
    finder, _ = swept(*written(LOSS - 10), ones(100))
    assert len(finder.get_results()["loss"]) == 1
    with pytest.raises(RuntimeError, match="unexpected curve shape"):
        finder.lr_suggestion()
    (found, _), (plain, _) = (ours(*written(each), ones(100)) for each in (LOSS - 10, LOSS))
    assert len(found.curve) == len(plain.curve) > 80
    assert found.lr == pytest.approx(plain.lr, rel=1e-3)


def digits(rate):
    model = network()
    return model, torch.optim.SGD(model.parameters(), lr=rate), Loss(), loader()


def test_ignite_makes_the_first_step_at_the_optimizers_rate():
    """Asked to begin at 1e-7, it first takes a step at about the .5 that stood there."""
    assert swept(*digits(0.5))[1][0] == pytest.approx(0.5, rel=0.05)
    assert ours(*digits(0.5))[1][0] == 1e-7


def test_ignite_records_each_rate_one_step_ahead_of_its_use():
    finder, used = swept(*digits(1e-7))
    recorded = finder.get_results()["lr"]
    assert recorded[:50] == pytest.approx(used[1:51])
    assert recorded[1] / used[1] > 1.1
    found, used = ours(*digits(1e-7))
    assert used == found.curve.lr.tolist()


def test_ignite_restores_nothing_after_an_exception():
    one = subject("ignite", None, Loss(fails_at=40))
    before = parts(one)
    broken_off(one.find)
    assert lost(before, parts(one)) >= {"weights", "buffers", "optimizer's state", "rates"}
    one = subject("ignite", None, Loss(fails_at=40))
    broken_off(one.ask)
    assert lost(before, parts(one)) == set()


def test_ignite_leaves_its_handlers_attached_after_an_exception():
    """The trainer's next run would be a range test again. Ours attaches nothing."""
    model, optimizer, _, data = digits(1e-3)
    trainer = create_supervised_trainer(model, optimizer, Loss(fails_at=40))

    def handlers():
        return sum(len(each) for each in trainer._event_handlers.values())

    def find():
        saved = {"model": model, "optimizer": optimizer}
        with FastaiLRFinder().attach(trainer, saved, num_iter=100, start_lr=1e-7) as attached:
            attached.run(data)

    def hooks():
        return sum(
            len(each) for each in (
                optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks,
                *(module._forward_hooks for module in model.modules()),
            )
        )  # fmt: skip

    before = hooks()
    broken_off(lambda: suggest_lr(Learner(model, Loss(fails_at=40), data, optimizer)))
    assert (handlers(), hooks()) == (0, before)
    broken_off(find)
    assert handlers() == 6


def test_ignite_writes_a_checkpoint_to_the_disk(tmp_path, monkeypatch):
    """Ours works where there is no folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written = []

    class Looks(Loss):
        def __call__(self, output, target):
            written.extend(each.name for each in tmp_path.rglob("*.pt"))
            return super().__call__(output, target)

    model, optimizer, _, data = digits(1e-3)
    swept(model, optimizer, Looks(), data)
    assert set(written) == {"ignite_lr_finder_cache.pt"}
    written.clear()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    model, optimizer, _, data = digits(1e-3)
    assert ours(model, optimizer, Looks(), data)[0].lr
    assert not written
