"""The batches that a sweep with Lightning takes, and those it is judged on."""

from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from lightning_pairs import MARKS, Bare, Given, Module, held_out, loader, make, unchanged

from lrsuggest import Probes, RangeTest, suggest_lr
from lrsuggest.adapters.lightning.adapter import borrowed

pytestmark = MARKS


def test_replicates_see_other_orders(tmp_path):
    found = suggest_lr(make(tmp_path), sweep=RangeTest(repeats=2, num_iter=40), seed=7)
    assert len(set(found.replicates)) == 2
    alone = [
        suggest_lr(make(tmp_path), seed=seed, sweep=RangeTest(num_iter=40)).lr for seed in (7, 8)
    ]
    assert found.replicates == tuple(alone)


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
