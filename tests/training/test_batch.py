"""A batch arrives in the model as the loader gave it."""

from collections import OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

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


class Row(Mapping):
    """A mapping that is only read, with an attribute."""

    def __init__(self, held, note):
        self._held, self.note = dict(held), note

    def __getitem__(self, key):
        return self._held[key]

    def __iter__(self):
        return iter(self._held)

    def __len__(self):
        return len(self._held)


class Table(Row, MutableMapping):
    """One that is written, and keeps its items in a dict within."""

    def __setitem__(self, key, value):
        self._held[key] = value

    def __delitem__(self, key):
        del self._held[key]


class DotDict(dict):
    """As on Stack Overflow: it has every attribute that it is asked for."""

    __getattr__ = dict.get
    __setattr__ = dict.__setitem__


class ItsOwnDict(dict):
    def __init__(self, *held, **named):
        super().__init__(*held, **named)
        self.__dict__ = self


class Answering(dict):
    """It raises a KeyError for what it has not, and has an attribute beside."""

    tag = None

    def __getattr__(self, name):
        return self[name]


class Asked(UserDict):
    def __getattr__(self, name):
        return self.data[name]


class Doubled(Pair):
    """Made by one argument, with an attribute."""

    def __new__(cls, x):
        return super().__new__(cls, x, [x])


def tagged(made):
    made.tag = "kept"
    return made


class InPlace:
    """Moves its own tensors and returns nothing, as detectron's lists do."""

    def __init__(self):
        self.x, self.parts = t(), {"y": t()}

    def to(self, device):
        self.x = self.x.to(device)
        self.parts["y"] = self.parts["y"].to(device)


class ReturnsItself(InPlace):
    def to(self, device):
        super().to(device)
        return self


class MadeAnew(InPlace):
    def to(self, device):
        twin = type(self)()
        InPlace.to(twin, device)
        return twin


class Length:
    """A quantity whose `to` is between units."""

    def to(self, unit):
        raise ValueError(f"no unit {unit}")


@dataclass(slots=True, frozen=True)
class Tight:
    x: torch.Tensor
    n: int


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
    "row": lambda: Row({"a": t()}, "kept"),
    "table": lambda: Table({"a": t()}, "kept"),
    "view": lambda: MappingProxyType({"a": t()}),
    "in place": InPlace,
    "returns itself": ReturnsItself,
    "made anew": MadeAnew,
    "unit": lambda: (t(), Length()),
    "deque": lambda: deque([t()], maxlen=3),
    "user list": lambda: UserList([t()]),
    "set": lambda: {t()},
    "space": lambda: SimpleNamespace(x=t(), names=["a"]),
    "tight": lambda: Tight(t(), 3),
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
    elif isinstance(batch, Mapping):
        for each in batch.values():
            yield from parts(each)
    elif isinstance(batch, list | tuple | set | deque | UserList):
        for each in batch:
            yield from parts(each)
    elif isinstance(batch, InPlace):
        yield from (batch.x, batch.parts["y"])
    elif isinstance(batch, Example | Graph | SimpleNamespace | Tight):
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
    assert to_device(Row({"a": t()}, "kept"), AWAY).note == "kept"
    assert to_device(deque([t()], maxlen=3), AWAY).maxlen == 3
    assert to_device((t(), "x", length := Length()), AWAY)[2] is length
    picture = object()
    assert to_device(SimpleNamespace(x=t(), of=picture), AWAY).of is picture
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
    assert len(lr_find(learner, num_iter=12, end_lr=1e-2)) == 12


ATTRIBUTES = {
    "dotdict": lambda: DotDict(x=t(), y=[t()]),
    "its own dict": lambda: ItsOwnDict(x=t(), y=[t()]),
    "answering": lambda: tagged(Answering(x=t(), y=[t()])),
    "user": lambda: Asked(x=t(), y=[t()]),
    "named tuple": lambda: tagged(Doubled(t())),
}


@pytest.mark.parametrize("make", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_mappings_with_attributes_and_named_tuples_of_ones_own(make):
    batch = make()
    assert to_device(batch, HERE) is batch
    moved = to_device(batch, AWAY)
    assert type(moved) is type(batch)
    assert moved.x.is_meta
    assert moved.y[0].is_meta
    assert not batch.x.is_meta
    if "tag" in vars(batch):
        assert moved.tag == "kept"
    if isinstance(batch, dict):
        assert list(moved) == ["x", "y"]
        moved["z"] = 1
        assert moved.z == 1
        assert "z" not in batch
    assert count(batch) == 3


@pytest.mark.parametrize("make", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_they_move_within_other_containers(make):
    moved = to_device(noted(a=[make()], b=t()), AWAY)
    assert type(moved) is Noted
    assert type(moved["a"][0]) is type(make())
    assert moved["a"][0].x.is_meta
    assert moved["a"][0].y[0].is_meta


def test_how_many_examples():
    assert count(pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])) == 2
    assert count({"names": ["a"], "x": torch.ones(5)}) == 5
    assert count((None, {"x": [torch.ones(4)]})) == 4
    assert count(Example(torch.ones(3), [])) == 3
    assert count(Graph(torch.ones(9))) == 2
    assert count(UserDict(x=torch.ones(6))) == 6
    assert count(["a", "b"]) == 1
    assert count(Tight(torch.ones(4, 2), 3)) == 4
    assert count(SimpleNamespace(x=torch.ones(4, 2))) == 4
    pictures = [torch.ones(3, 8, 8)] * 2
    assert count((pictures, [{"boxes": torch.ones(1, 4)}] * 2)) == 2
    assert count((pictures, torch.zeros(2))) == 2
    assert count([{"image": pictures[0], "id": 1}] * 5) == 5
    assert count(([torch.ones(7, 4), torch.ones(9, 4)], [torch.ones(3), torch.ones(5)])) == 2
    assert count([{"x": torch.ones(6)}, {"y": torch.ones(6)}]) == 6  # inputs and targets
    assert count(([torch.ones(6, 1), torch.ones(6, 2)], torch.ones(6))) == 6  # two inputs
    assert count({"temperature": torch.ones(()), "x": torch.ones(8)}) == 8


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
