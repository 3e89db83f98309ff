"""A batch arrives in the model as the loader gave it."""

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from helpers import make_learner
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torchvision import tv_tensors
from transformers import BatchEncoding

from lrsuggest import Learner, lr_find
from lrsuggest.training.batch import count, same_device, state_to, to_device

HERE, AWAY = torch.device("cpu"), torch.device("meta")
Pair = namedtuple("Pair", "x y")


@dataclass(frozen=True)
class Example:
    x: torch.Tensor
    names: list


class Graph:
    """Moves itself, as torch_geometric's batches do."""

    def __init__(self, x):
        self.x, self.num_graphs = x, 2

    def to(self, device):
        if self.x.device == device:
            return self
        return Graph(self.x.to(device))


class Noted(dict):
    """A dict with an attribute."""

    note = None


def noted(**held):
    batch = Noted(held)
    batch.note = "kept"
    return batch


def t():
    return torch.ones(3, 2)


BATCHES = {
    "namedtuple": lambda: Pair(t(), t()),
    "tuple": lambda: (t(), "a", None, [t()]),
    "size": lambda: [torch.Size([3]), t()],
    "packed": lambda: pack_sequence([torch.ones(3, 2), torch.ones(2, 2)]),
    "ordered": lambda: OrderedDict(b=t(), a=t()),
    "default": lambda: defaultdict(list, a=t()),
    "user": lambda: UserDict(a=t()),
    "encoding": lambda: BatchEncoding({"input_ids": t()}),
    "noted": lambda: noted(a=t()),
    "dataclass": lambda: Example(t(), ["a"]),
    "graph": lambda: Graph(t()),
    "nested": lambda: {"a": (Pair(t(), [t()]), "b")},
}


@pytest.mark.parametrize("name", BATCHES)
def test_what_need_not_move_is_the_very_batch(name):
    batch = BATCHES[name]()
    assert to_device(batch, HERE) is batch


def parts(batch):
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, PackedSequence):
        yield batch.data
    elif isinstance(batch, dict | UserDict):
        for each in batch.values():
            yield from parts(each)
    elif isinstance(batch, list | tuple):
        for each in batch:
            yield from parts(each)
    elif isinstance(batch, Example | Graph):
        yield batch.x


@pytest.mark.parametrize("name", BATCHES)
def test_what_moves_keeps_its_type(name):
    batch = BATCHES[name]()
    moved = to_device(batch, AWAY)
    assert type(moved) is type(batch)
    assert all(each.is_meta for each in parts(moved))
    assert list(parts(moved))
    assert not any(each.is_meta for each in parts(batch))


def test_names_attributes_order_and_other_things_stay():
    assert to_device(noted(a=t()), AWAY).note == "kept"
    assert list(to_device(OrderedDict(b=t(), a=t()), AWAY)) == ["b", "a"]
    assert to_device(defaultdict(list, a=t()), AWAY).default_factory is list
    assert to_device(Pair(t(), "x"), AWAY).y == "x"
    box = tv_tensors.BoundingBoxes(torch.ones(1, 4), format="XYXY", canvas_size=(2, 2))
    assert to_device([box], HERE)[0] is box


def test_the_model_meets_the_loaders_own_type():
    class Takes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(2, 1)

        def forward(self, packed):
            assert type(packed) is PackedSequence
            return self.layer(packed)[1].sum()

    model = Takes()
    batches = [pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])]
    learner = Learner(
        model, None, batches, torch.optim.SGD(model.parameters(), lr=0.1),
        forward=lambda model, batch: model(batch),
    )  # fmt: skip
    assert len(lr_find(learner, steps=12, end=1e-2)) == 12


def test_how_many_examples():
    assert count(pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])) == 2
    assert count({"names": ["a"], "x": torch.ones(5)}) == 5
    assert count((None, {"x": [torch.ones(4)]})) == 4
    assert count(Example(torch.ones(3), [])) == 3
    assert count(Graph(torch.ones(9))) == 2
    assert count(UserDict(x=torch.ones(6))) == 6
    assert count(["a", "b"]) == 1


def test_devices_are_compared_whole():
    assert same_device(HERE, torch.device("cpu", 0))
    assert not same_device(torch.device("cuda:0"), torch.device("cuda:1"))
    assert not same_device(HERE, AWAY)


def test_an_optimizers_state_moves_along_with_its_model():
    made = make_learner()
    made.step(made.endless())
    state_to(made.optimizer, AWAY)
    assert made.optimizer.state
    for state in made.optimizer.state.values():
        assert state["exp_avg"].is_meta
        assert not state["step"].is_meta  # AdamW counts on the host
