"""What a sweep neither wakes, calls nor rewinds, though what takes part leads to it."""

import collections
import subprocess
import sys
import threading

import numpy as np
import optuna
import pytest
import sqlalchemy
import torch
from helpers import make_learner
from sqlalchemy.pool import QueuePool
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrsuggest import Learner, RangeTest, lr_find, suggest_lr
from lrsuggest.errors import LrsuggestWarning

CALLS = []
X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


class Paths(list):
    """Paths held, images given."""

    def __getitem__(self, index):
        CALLS.append("item")
        return "image", super().__getitem__(index)

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __len__(self):
        CALLS.append("len")
        return super().__len__()


class ByName(dict):
    def __getitem__(self, name):
        CALLS.append("item")
        return "image", super().__getitem__(name)

    def __iter__(self):
        CALLS.append("iter")
        return super().__iter__()

    def keys(self):
        return list(self)

    def values(self):
        return [self[name] for name in self]

    def items(self):
        return [(name, self[name]) for name in self]


class InOrder(collections.OrderedDict):
    def values(self):
        CALLS.append("values")
        return [1, 2]

    def items(self):
        CALLS.append("items")
        return [("x", 1)]


class Waiting(collections.deque):
    def __iter__(self):
        CALLS.append("iter")
        return iter("loaded")


class Unlike(set):
    def __iter__(self):
        CALLS.append("iter")
        return iter("loaded")

    def __ne__(self, other):
        CALLS.append("ne")
        return True


class Pair(tuple):
    __slots__ = ()

    def __iter__(self):
        CALLS.append("iter")
        return iter("loaded")


class Proxy:
    """As Django's SimpleLazyObject and werkzeug's LocalProxy: asked what it is, it wakes."""

    __class__ = property(lambda self: CALLS.append("woken") or list)

    def __getattr__(self, name):
        CALLS.append(name)
        raise RuntimeError(name)


class Hidden:
    @property
    def __dict__(self):
        CALLS.append("dict")
        raise RuntimeError("no attributes for you")


class Holding(Dataset):
    def __init__(self, held):
        self.held = held

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return X[index], index % 2


LAZY = {
    "list": (lambda: Paths(["a.png", "b.png"]), list.__repr__),
    "dict": (lambda: ByName(a="a.png", b="b.png"), dict.__repr__),
    "ordered": (lambda: InOrder(b=3, a=4), lambda x: list(collections.OrderedDict.items(x))),
    "deque": (lambda: Waiting("ab"), lambda x: list(collections.deque.__iter__(x))),
    "set": (lambda: Unlike("a"), lambda x: list(set.__iter__(x))),
    "tuple": (lambda: Pair("ab"), lambda x: list(tuple.__iter__(x))),
    "proxy": (Proxy, lambda x: None),
    "no attributes": (Hidden, lambda x: None),
}


@pytest.mark.parametrize("where", ["data", "model", "closure"])
@pytest.mark.parametrize(("make", "content"), LAZY.values(), ids=LAZY)
def test_what_loads_at_a_look_is_not_looked_at(make, content, where):
    held = make()
    loss_fn = nn.functional.cross_entropy
    if where == "closure":
        loss_fn = lambda o, t: nn.functional.cross_entropy(o, t) if held is not None else None  # noqa: E731
    model = nn.Linear(8, 2)
    if where == "model":
        model.__dict__["held"] = held
    loader = DataLoader(Holding(held if where == "data" else None), 16, shuffle=True)
    learner = Learner(model, loss_fn, loader, torch.optim.SGD(model.parameters(), 0.1))
    before = content(held)
    CALLS.clear()
    lr_find(learner, num_iter=10)
    assert not CALLS
    assert content(held) == before


def test_what_a_lazy_list_gained_is_taken_out_again():
    held = Paths(["a.png"])

    def loss_fn(outputs, targets):
        held.append("in the sweep")
        return nn.functional.cross_entropy(outputs, targets)

    learner = make_learner()
    learner.loss_fn = loss_fn
    lr_find(learner, num_iter=10)
    assert list.__repr__(held) == "['a.png']"


def test_a_study_of_other_threads_goes_on():
    """Optuna's storage in memory is reached from a trial that the forward reads."""

    def objective(trial):
        trial.suggest_float("s", 0.5, 1.0)
        learner = make_learner()
        learner.loss_fn = lambda o, t: trial.params["s"] * nn.functional.cross_entropy(o, t)
        return float(lr_find(learner, num_iter=20).loss[0])

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.optimize(objective, n_trials=12, n_jobs=3)
    assert [each.state.name for each in study.trials] == ["COMPLETE"] * 12


def test_a_pool_of_connections_is_left_alone():
    engine = sqlalchemy.create_engine("sqlite://", poolclass=QueuePool)

    class Rows(Holding):
        def __getitem__(self, index):
            with self.held.connect() as connection:
                connection.execute(sqlalchemy.text("select 1"))
            return super().__getitem__(index)

    learner = make_learner()
    learner.batches = DataLoader(Rows(engine), 16)
    for _ in range(3):
        lr_find(learner, num_iter=10)
    assert engine.pool.checkedout() == 0
    assert engine.pool.checkedin() == 1


class Prefetcher:
    """Starts its thread in its first pass."""

    def __init__(self):
        self.thread, self.started, self.buffer = None, 0, []
        self.changed = threading.Condition()

    def work(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: len(self.buffer) < 4)
                self.buffer.append((X[:16], torch.arange(16) % 2))
                self.changed.notify_all()

    def __iter__(self):
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, daemon=True)
            self.thread.start()
            self.started += 1
        for _ in range(8):
            with self.changed:
                assert self.changed.wait_for(lambda: self.buffer, timeout=10)
                batch = self.buffer.pop(0)
                self.changed.notify_all()
            yield batch

    def __len__(self):
        return 8


def test_a_thread_that_the_sweep_started_keeps_its_object():
    learner = make_learner()
    weights = [each.detach().clone() for each in learner.model.parameters()]
    learner.batches = ahead = Prefetcher()
    with pytest.warns(LrsuggestWarning, match="started the thread 'thread', which goes on"):
        lr_find(learner, num_iter=10)
    for each, before in zip(learner.model.parameters(), weights, strict=True):
        assert torch.equal(each, before)
    for _ in ahead:
        pass
    assert ahead.started == 1
    suggest_lr(
        learner, sweep=RangeTest(num_iter=20)
    )  # it was at work before this one: nothing is rewound or said
    for _ in ahead:
        pass
    assert ahead.started == 1


@pytest.mark.slow
def test_optuna_does_not_keep_the_learner_for_good():
    """Only the first import in a process could show it."""
    code = (
        "import gc, sys, weakref; sys.path.insert(0, 'tests')\n"
        "from helpers import make_learner\n"
        "from lrsuggest import suggest_lr\n"
        "assert 'optuna' not in sys.modules\n"
        "learner = make_learner(); gone = weakref.ref(learner)\n"
        "suggest_lr(learner, probes=2, total_steps=40)\n"
        "del learner; gc.collect()\n"
        "assert 'optuna' in sys.modules and gone() is None\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_arrays_of_objects_are_looked_into_without_a_call():
    held = np.empty(2, dtype=object)
    held[0] = Proxy()
    learner = make_learner()
    learner.model.__dict__["held"] = held
    CALLS.clear()
    lr_find(learner, num_iter=10)
    assert not CALLS
