"""What torch.save writes of a suggestion is a plain float, wherever it stands in a checkpoint."""

import argparse
import sys
from collections import OrderedDict, namedtuple

import pytest
import torch
from helpers import sweep_like
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Curve, suggest_lr

FOUND = suggest_lr(Curve(*sweep_like(100)))
RATE = float(FOUND)
Pair = namedtuple("Pair", "lr decay")


class Named(dict):
    """A dict with attributes, as frameworks keep hyperparameters in."""

    __getattr__ = dict.__getitem__


def saved(thing, tmp_path, **settings):
    torch.save(thing, tmp_path / "it.pt")
    return torch.load(tmp_path / "it.pt", **settings)


@pytest.mark.parametrize(
    "thing",
    [
        FOUND,
        {"lr": FOUND},
        {"hyper_parameters": OrderedDict(lr=FOUND, heads=[(FOUND, 2)])},
        [FOUND, [FOUND]],
        {FOUND.reliable: {"deep": {"er": (1, FOUND)}}},
    ],
    ids=range(5),
)
def test_it_loads_with_weights_only(thing, tmp_path):
    loaded = saved(thing, tmp_path, weights_only=True)
    assert loaded == thing

    def rates(each):
        if isinstance(each, float):
            yield each
        elif isinstance(each, dict | list | tuple):
            for part in each.values() if isinstance(each, dict) else each:
                yield from rates(part)

    found = list(rates(loaded))
    assert found
    assert all(type(each) is float and each == RATE for each in found)


def test_what_is_saved_stays_as_it_was(tmp_path):
    given = Named(lr=FOUND, more=Pair(FOUND, 0.1), weights=OrderedDict(a=torch.ones(2)))
    given["self"] = given
    loaded = saved(given, tmp_path, weights_only=False)
    assert type(loaded) is Named
    assert type(loaded["more"]) is Pair
    assert type(loaded["lr"]) is type(loaded["more"].lr) is float
    assert given["lr"] is FOUND
    assert given["more"].lr is FOUND
    whole = saved(argparse.Namespace(lr=0.1), tmp_path, weights_only=False)
    assert whole == argparse.Namespace(lr=0.1)


def test_keys_and_members_of_sets_are_plain_floats_too(tmp_path):
    given = OrderedDict({FOUND / 10: 0.3, FOUND: 0.4, "tried": {FOUND, 0.1}, "best": FOUND})
    given["ever"] = frozenset([FOUND])
    loaded = saved(given, tmp_path, weights_only=False)
    assert list(loaded) == list(given)
    assert [type(key) for key in loaded] == [float, float, str, str, str]
    assert {type(each) for each in (*loaded["tried"], *loaded["ever"])} == {float}
    assert loaded == given
    assert next(key for key in given if key == RATE) is FOUND
    assert saved({"tried": {FOUND: {FOUND}}}, tmp_path, weights_only=True) == {
        "tried": {RATE: {RATE}}
    }


class Range(tuple):
    """A tuple with a name for its first part, and one that it is given."""

    @property
    def low(self):
        return self[0]


class Unlooked(list):
    def __copy__(self):
        raise RuntimeError("not for copying")


def test_saving_never_fails_for_what_a_container_does(tmp_path):
    given = Range((FOUND / 10, FOUND))
    given.note = "tried"
    loaded = saved({"range": given}, tmp_path, weights_only=False)["range"]
    assert type(loaded) is Range
    assert loaded.low == RATE / 10
    assert loaded.note == "tried"
    assert [type(each) for each in loaded] == [float, float]
    assert saved(Unlooked([FOUND]), tmp_path, weights_only=False) == [RATE]


def test_an_abstention_is_none_in_a_file(tmp_path):
    flat = suggest_lr(Curve(FOUND.curve.lr, [0.7] * len(FOUND.curve)))
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=flat or 1e-3)
    given = {"optimizer": optimizer.state_dict(), "hyper": {"lr": flat}, "rates": [flat, FOUND]}
    loaded = saved(given, tmp_path, weights_only=True)
    assert loaded["hyper"] == {"lr": None}
    assert loaded["rates"] == [None, RATE]
    assert given["hyper"]["lr"] is flat


def test_what_is_shared_and_what_lies_deep_costs_nothing(tmp_path):
    shared, deep = [FOUND], []
    for _ in range(60):
        shared = [shared, shared]
    loaded = saved(shared, tmp_path, weights_only=True)
    for _ in range(60):
        loaded = loaded[0]
    assert type(loaded[0]) is float
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(RecursionError):  # pickle's own
        saved(deep, tmp_path)


def test_the_order_of_a_moved_entry_stays(tmp_path):
    given = OrderedDict(a=FOUND, b=2.0)
    given.move_to_end("a")
    assert list(saved(given, tmp_path, weights_only=True).items()) == [("b", 2.0), ("a", RATE)]


def test_a_state_dict_keeps_its_class_and_metadata(tmp_path):
    state = nn.Sequential(nn.Linear(2, 2)).state_dict()
    loaded = saved(state, tmp_path, weights_only=True)
    assert type(loaded) is OrderedDict
    assert loaded._metadata == state._metadata
    with_rate = saved({"model": state, "lr": FOUND}, tmp_path, weights_only=True)
    assert with_rate["model"]._metadata == state._metadata


def test_another_library_s_scheduler_loads_with_weights_only(tmp_path):
    schedulers = pytest.importorskip("timm.scheduler")
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=FOUND)
    made = schedulers.CosineLRScheduler(
        optimizer, 10, lr_min=FOUND, warmup_lr_init=FOUND, warmup_t=2
    )
    loaded = saved(made.state_dict(), tmp_path, weights_only=True)
    assert type(loaded["lr_min"]) is type(loaded["warmup_lr_init"]) is float
    assert loaded["lr_min"] == RATE


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_a_lightning_checkpoint_with_it_as_a_hyperparameter_loads_and_resumes(package, tmp_path):
    pl = pytest.importorskip(package)

    class Module(pl.LightningModule):
        def __init__(self, lr=1e-2, more=None):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Linear(4, 2)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), self.hparams.lr)

    def trainer(epochs):
        return pl.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip

    data = DataLoader(TensorDataset(torch.randn(16, 4), torch.arange(16) % 2), 8)
    first = trainer(1)
    first.fit(Module(FOUND, more={"rates": [FOUND]}), data)
    path = tmp_path / "it.ckpt"
    first.save_checkpoint(path)
    loaded = Module.load_from_checkpoint(path)
    assert type(loaded.hparams.lr) is float
    assert loaded.hparams.lr == RATE
    assert loaded.hparams.more == {"rates": [RATE]}
    again = trainer(2)
    again.fit(Module(FOUND), data, ckpt_path=path)
    assert again.global_step == 4
