"""The batches that a sweep with fastai takes, those it is judged on, and those it refuses."""

import itertools
import math
import random
import warnings

import numpy as np
import pytest
import torch
from everything import changes, everything
from fastai_learners import MARKS, ROWS, loaders, make, setups
from learners import network
from torch import nn
from torch.utils.data import IterableDataset

from lrsuggest import Probes, RangeTest, UserError, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.core import CancelBatchException
    from fastai.callback.fp16 import ModelToHalf
    from fastai.data.load import DataLoader
    from fastai.learner import Callback
    from fastai.torch_core import params

pytestmark = MARKS


def test_replicates_see_other_orders(tmp_path):
    found = suggest_lr(make(tmp_path), sweep=RangeTest(repeats=2, num_iter=40), seed=7)
    assert len(set(found.replicates)) == 2
    alone = [
        suggest_lr(make(tmp_path), seed=seed, sweep=RangeTest(num_iter=40)).lr for seed in (7, 8)
    ]
    assert found.replicates == tuple(alone)


class Endless(IterableDataset):
    def __iter__(self):
        return itertools.cycle(ROWS[:640])


def test_data_without_a_length(tmp_path):
    learn = make(tmp_path)
    found = suggest_lr(
        learn, batches=torch.utils.data.DataLoader(Endless(), 16), sweep=RangeTest(num_iter=40)
    )
    again = suggest_lr(
        learn, batches=torch.utils.data.DataLoader(ROWS[:640], 16), sweep=RangeTest(num_iter=40)
    )
    assert np.array_equal(found.curve.loss, again.curve.loss)


class Named(nn.Module):
    """Takes a dict, as tokenizers make them."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, batch):
        return self.net(batch["pixels"])


def test_batches_of_dicts(tmp_path):
    rows = [({"pixels": pixels}, digit) for pixels, digit in ROWS]
    named = make(tmp_path, loaders=lambda: loaders(rows), model=Named(), splitter=params, lr=1e-3)
    plain = make(tmp_path, splitter=params, lr=1e-3)
    found = suggest_lr(named, probes=Probes(1, 20))
    assert np.array_equal(found.curve.loss, suggest_lr(plain).curve.loss)
    assert math.isfinite(found.probes[0][1])


@pytest.mark.parametrize("kind", [DataLoader, torch.utils.data.DataLoader])
def test_other_batches_and_other_validation(tmp_path, kind):
    plain, other = make(tmp_path), make(tmp_path, loaders=lambda: loaders(ROWS[:64]))
    random.seed(5), torch.manual_seed(5)
    train, valid = loaders(kind=kind)
    before = everything(other, train, valid)
    found = suggest_lr(other, batches=train, valid=valid, probes=Probes(2, 30))
    assert changes(before, everything(other, train, valid)) == []
    plain.dls.loaders = [train, valid]
    again = suggest_lr(plain, probes=Probes(2, 30))
    assert np.array_equal(found.curve.loss, again.curve.loss)
    assert found.probes == again.probes
    with pytest.raises(UserError, match="batches is a one-shot"):
        suggest_lr(plain, batches=iter(train))


@setups
def test_probes_are_judged_by_what_validate_says(tmp_path, setup):
    learn = make(tmp_path, **setup())
    learn.fit(1, 1e-2)
    said = learn.validate()[0]
    with borrowed(learn) as learner:
        assert learner.evaluate()["loss"] == pytest.approx(said, rel=1e-5)


def test_without_validation_probes_are_judged_by_training(tmp_path):
    learn = make(tmp_path, loaders=lambda: loaders()[:1])
    found = suggest_lr(learn, probes=Probes(2, 20))
    assert found.cost.valid_passes == 0
    assert all(math.isfinite(value) for _, value in found.probes)


class CancelsAll(Callback):
    def before_batch(self):
        raise CancelBatchException


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (lambda: {"model": nn.DataParallel(network()), "splitter": params, "lr": 1e-3},
         "fastai's DataParallel: train on one device"),
        (lambda: {"cbs": [ModelToHalf()]}, "fastai's ModelToHalf: use learn.to_fp16"),
        (lambda: {"cbs": [CancelsAll()]}, "is there a callback that cancels every batch"),
        (lambda: {"loaders": lambda: loaders([])}, "batches is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused_in_one_sentence(tmp_path, settings, says):
    learn = make(tmp_path, **settings())
    before = everything(learn)
    with pytest.raises(UserError, match=says):
        suggest_lr(learn)
    assert changes(before, everything(learn)) == []
