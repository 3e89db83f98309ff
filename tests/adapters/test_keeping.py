"""Whatever is done to what can be reached, it is put back."""

import argparse
import collections
import copy
import random
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from everything import changes, everything
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.training.restore.kept import Kept


class Thing:
    def __init__(self, **held):
        self.__dict__.update(held)


leaves = st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.none())
things = st.recursive(
    leaves,
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.dictionaries(st.text(max_size=3), inside, max_size=4),
        st.lists(inside, max_size=4).map(tuple),
        st.lists(inside, max_size=4).map(collections.deque),
        st.sets(st.integers(), max_size=4),
        st.dictionaries(st.sampled_from("abcd"), inside).map(lambda held: Thing(**held)),
        st.lists(st.floats(width=32), max_size=3).map(torch.tensor),
        st.lists(st.floats(), max_size=3).map(np.array),
        st.integers(0, 9).map(random.Random),
        st.integers(0, 9).map(np.random.default_rng),
    ),
    max_leaves=12,
)


def spoil(value, rng):
    """Change everything that can be changed in place, the parts first."""
    if isinstance(value, dict):
        for each in list(value.values()):
            spoil(each, rng)
        for key in [key for key in value if rng.random() < 0.5]:
            del value[key]
        value["new"] = 3
        value.update({key: value[key] for key in reversed(value)})
    elif isinstance(value, Thing):
        spoil(value.__dict__, rng)
    elif isinstance(value, list | collections.deque | tuple):
        for each in value:
            spoil(each, rng)
        if not isinstance(value, tuple):
            value.reverse()
            value.append("new")
    elif isinstance(value, set):
        value.add(-1)
        value.discard(1)
    elif isinstance(value, torch.Tensor):
        value.add_(1)
    elif isinstance(value, np.ndarray):
        value += 1
    elif isinstance(value, random.Random | np.random.Generator):
        value.random()


@given(things, st.integers(0, 2**16))
def test_it_comes_back_whatever_it_is(value, seed):
    root = Thing(value=value, model=nn.Linear(1, 1))
    before = everything(root)
    with Kept(root, model=root.model):
        spoil(root, random.Random(seed))
        assert changes(before, everything(root))
        torch.rand(1), np.random.random(), random.random()
    assert changes(before, everything(root)) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_also_after_an_exception(error):
    root = Thing(items=[1, {"a": torch.zeros(2)}], model=nn.Linear(1, 1))
    before = everything(root)
    with pytest.raises(error), Kept(root, model=root.model):  # noqa: PT012
        spoil(root, random.Random(0))
        raise error
    assert changes(before, everything(root)) == []


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.seen = []
        self.sum = torch.zeros(())
        self.other = [nn.Linear(2, 2)]  # reached, but no part of the model


def test_a_models_surroundings_come_back_and_gradients_are_laid_aside():
    model = Counting()
    model.inner(torch.randn(4, 2)).sum().backward()
    model.inner[1].eval()
    before = everything(model)
    with Kept(model, model=model):
        assert all(p.grad is None for p in model.parameters())
        model.inner(torch.randn(4, 2)).sum().backward()
        model.train()
        model.inner[0].weight.requires_grad_(False)
        model.inner[0].weight.data = model.inner[0].weight.data.clone()
        model.seen.append(1)
        model.sum += 3
        model.extra = nn.Linear(1, 1)
        model.register_buffer("late", torch.zeros(1))
        with torch.no_grad():
            model.other[0].weight.add_(1)
        saved = copy.deepcopy(model.inner.state_dict())
    after = everything(model)
    for name, value in saved.items():  # the content of weights and buffers is a Snapshot's to keep
        assert torch.equal(value, model.inner.state_dict()[name])
    assert changes(before, after) == []


def test_a_loader_keeps_its_generator_its_workers_and_its_dataset():
    data = TensorDataset(torch.zeros(4))
    data.calls = 0
    loader = DataLoader(data, shuffle=True, generator=torch.Generator().manual_seed(1))
    model = nn.Linear(1, 1)
    before = everything(loader)
    with Kept(loader, model=model):
        next(iter(loader))
        loader._iterator = "new"
        data.calls = 5
        data.tensors[0].add_(1)
        assert changes(before, everything(loader))
    assert changes(before, everything(loader)) == []


def test_what_is_at_work_elsewhere_is_left_alone():
    closed = Thing(items=[1])
    logger = argparse.Namespace(worker=threading.Thread(target=print), items=[1])
    with Kept(Thing(logger=logger), model=nn.Linear(1, 1)):
        logger.items.append(2)
    assert logger.items == [1, 2]
    with Kept(closed, model=nn.Linear(1, 1), closed=(Thing,)):
        closed.items.append(2)
    assert closed.items == [1, 2]


def test_beside_a_thread_a_persons_own_object_is_put_back():
    thread, pool = threading.Thread(target=print), ThreadPoolExecutor(1)
    root = Thing(thread=thread, items=[1], stop=threading.Event(), pool=pool)
    module = nn.Dropout()
    module.lock, module.calls = threading.Lock(), 0
    with Kept(root, module):
        root.items.append(2)
        root.thread = None
        module.calls = 3
        root.stop.set()
    assert root.items == [1]
    assert root.thread is thread
    assert root.stop.is_set()  # others may wait for it
    assert not module.calls


def test_namespaces_and_counters_are_entered():
    root = Thing(space=types.SimpleNamespace(n=1), counter=collections.Counter("aab"))
    with Kept(root, model=nn.Linear(1, 1)):
        root.space.n = 2
        root.counter["a"] += 1
    assert root.space.n == 1
    assert root.counter == collections.Counter("aab")
