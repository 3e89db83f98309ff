"""State that lies in odd places: beside threads, large in closures, sparse, nested, in files."""

import array
import functools
import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from lrsuggest import Learner, RangeTest, lr_find, suggest_lr
from lrsuggest.errors import LrsuggestWarning
from lrsuggest.training.restore.kept import Kept


def examples(n=64):
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(n, 8, generator=drawn)
    return x, (x[:, 0] > 0).long()


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def learner_of(model, *, loss=F.cross_entropy, data=None, forward=None, **loads):
    held = TensorDataset(*examples()) if data is None else data
    batches = DataLoader(held, batch_size=8, **loads)
    rule = torch.optim.SGD(model.parameters(), 0.01)
    return Learner(model, loss, batches, rule, forward=forward)


def steps(learner, n=10):
    """The losses of a few steps."""
    torch.manual_seed(5)
    batches = learner.endless()
    with learner.training():
        return [learner.step(batches).item() for _ in range(n)]


class AtWork(nn.Module):
    """A module with a thread's tool beside its layers and a counter."""

    def __init__(self, tool):
        super().__init__()
        self.net, self.tool, self.calls = net(), tool, 0

    def forward(self, x):
        self.calls += 1
        return self.net(x) * (1 + self.calls % 3)


class Noisy(Dataset):
    def __init__(self, tool):
        self.x, self.y = examples()
        self.source, self.tool = np.random.default_rng(0), tool

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index] + float(self.source.normal()), self.y[index]


def beside_a_lock():
    return learner_of(AtWork(threading.Lock()))


def beside_an_event():
    return learner_of(AtWork(threading.Event()))


def beside_a_pool():
    return learner_of(net(), data=Noisy(ThreadPoolExecutor(1)))


def beside_a_condition():
    return learner_of(net(), data=Noisy(threading.Condition()))


def large_in_a_closure():
    queue, at, model = torch.zeros(2, 200_000), [0], net()

    def forward(model, batch):
        output = model(batch[0])
        loss = F.cross_entropy(output + queue.mean(1), batch[1])
        queue[:, at[0] : at[0] + 8] = 1e5 * output.detach().T
        at[0] += 8
        return loss

    return learner_of(model, loss=None, forward=forward)


class Bank:
    """A loss object with a row for each example there might be."""

    def __init__(self):
        self.rows = torch.zeros(300_000, 2)

    def __call__(self, output, target):
        self.rows[:8] = 0.7 * self.rows[:8] + 0.3 * output.detach()
        return F.cross_entropy(output, target) + (self.rows[:8] * output).mean()


def large_in_an_object_of_a_lambda():
    bank = Bank()
    return learner_of(net(), loss=lambda output, target: bank(output, target))


class Paced(Sampler):
    def __init__(self, n):
        self.weights, self.n = np.ones(n), 64

    def __len__(self):
        return self.n

    def __iter__(self):
        self.weights[: self.n // 2] *= 1.5
        yield from torch.multinomial(torch.tensor(self.weights[: self.n]), self.n).tolist()


def large_in_a_sampler():
    return learner_of(net(), sampler=Paced(400_000))


class Graph(nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.net = net()
        near = torch.eye(8) + torch.eye(8).roll(1, 0)
        self.register_buffer("near", near.to_sparse() if layout == "coo" else near.to_sparse_csr())

    def forward(self, x):
        with torch.no_grad():
            self.near.mul_(1.01)
        return self.net((self.near @ x.T).T)


def sparse_buffer():
    return learner_of(Graph("coo"))


def compressed_buffer():
    return learner_of(Graph("csr"))


class Growing(nn.Module):
    """Finds more neighbours at every call."""

    def __init__(self, layout):
        super().__init__()
        self.net, self.far, self.layout = net(), 1, layout
        self.near = self.made(1)

    def made(self, far):
        near = torch.eye(8) + sum(torch.eye(8).roll(k, 0) for k in range(far))
        return near.to_sparse() if self.layout == "coo" else near.to_sparse_csr()

    def forward(self, x):
        self.far = self.far % 5 + 1
        if self.layout == "coo":
            self.near.copy_(self.made(self.far))
        else:
            self.near.data = self.made(self.far)
        return self.net((self.near @ x.T).T)


def growing_sparse():
    return learner_of(Growing("coo"))


def growing_compressed():
    return learner_of(Growing("csr"))


def sparse_gradient():
    model = nn.Sequential(nn.Embedding(50, 2, sparse=True))
    data = TensorDataset(torch.arange(64) % 50, examples()[1])
    learner = learner_of(model, data=data)
    model(torch.arange(9)).sum().backward()
    return learner


def sparse_batches():
    x, y = examples()

    def forward(model, batch):
        return F.cross_entropy(batch[0] @ model.weight.T, batch[1])

    learner = learner_of(nn.Linear(8, 2), loss=None, forward=forward)
    learner.batches = [(x[i : i + 8].to_sparse(), y[i : i + 8]) for i in range(0, 64, 8)]
    return learner


def nested_batches(layout=torch.strided):
    x, y = examples()
    learner = learner_of(
        nn.Linear(8, 2), loss=None,
        forward=lambda model, batch: F.cross_entropy(
            torch.stack([model(each).mean(0) for each in batch[0].unbind()]), batch[1]
        ),
    )  # fmt: skip
    learner.batches = [
        (torch.nested.nested_tensor([x[i : i + 1], x[i : i + 3]], layout=layout), y[i : i + 2])
        for i in range(0, 60, 2)
    ]
    return learner


def jagged_batches():
    return nested_batches(torch.jagged)


class Reads(Dataset):
    """Reads its examples from a file, one after another."""

    def __init__(self, path):
        self.file = path.open("rb")

    def __len__(self):
        return 64

    def __getitem__(self, index):
        if not (read := self.file.read(8)):
            self.file.seek(0)
            read = self.file.read(8)
        row = torch.tensor(list(read)) / 255
        return row, (row[0] > 0.5).long()


class Cached(Dataset):
    def __init__(self):
        self.x, self.y = examples()
        self.at = functools.lru_cache(None)(self.drawn)

    def drawn(self, index):
        return self.x[index] + torch.randn(8), self.y[index]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.at(index)


def empty_cache():
    return learner_of(net(), data=Cached())


MADE = [
    beside_a_lock, beside_an_event, beside_a_pool, beside_a_condition, large_in_a_closure,
    large_in_an_object_of_a_lambda, large_in_a_sampler, sparse_buffer, compressed_buffer,
    growing_sparse, growing_compressed, sparse_gradient, sparse_batches, nested_batches,
    jagged_batches, empty_cache,
]  # fmt: skip


def made(make):
    torch.manual_seed(0)
    return make()


@pytest.mark.filterwarnings(
    "ignore:.*prototype stage:UserWarning", "ignore:.*[Ss]parse:UserWarning"
)
@pytest.mark.parametrize("make", MADE)
def test_the_training_goes_on_as_if_nobody_had_asked(make):
    plain = steps(made(make))
    learner = made(make)
    one, other = (
        suggest_lr(learner, sweep=RangeTest(num_iter=30), seed=0).curve.loss for _ in range(2)
    )
    assert one.tobytes() == other.tobytes()
    assert steps(learner) == plain


def test_a_file_that_is_read_goes_back_to_where_it_stood(tmp_path):
    path = tmp_path / "examples"
    path.write_bytes(np.random.default_rng(0).bytes(8 * 50))
    learner = learner_of(net(), data=Reads(path))
    steps(learner, 2)
    stood = learner.batches.dataset.file.tell()
    one, other = (lr_find(learner, num_iter=30, seed=0).loss for _ in range(2))
    assert one.tobytes() == other.tobytes()
    assert learner.batches.dataset.file.tell() == stood
    learner.batches.dataset.file.close()


def test_a_file_that_is_written_keeps_what_was_written():
    log = io.StringIO()
    with Kept([log]):
        log.write("a step")
    assert log.getvalue() == "a step"


def test_a_full_cache_is_left_alone():
    squares = functools.lru_cache(lambda n: n * n)
    squares(3)
    with Kept([squares]):
        squares(4)
    assert squares.cache_info().currsize == 2


# --- what is not put back is told -------------------------------------------------


class Large(Dataset):
    """A million numbers that each access may write to."""

    def __init__(self, kind, writes):
        self.x, self.y = examples()
        self.writes = writes
        self.bank = {
            "tensor": lambda: torch.zeros(400_000),
            "numpy": lambda: np.zeros(400_000),
            "bytes": lambda: bytearray(2_000_000),
            "array": lambda: array.array("d", bytes(8 * 400_000)),
        }[kind]()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        if self.writes:
            self.bank[1000 * index + 7] = 1
        return self.x[index], self.y[index]


@pytest.mark.parametrize("kind", ["tensor", "numpy", "bytes", "array"])
def test_large_data_that_is_written_to_is_told_by_name(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(learner_of(net(), data=Large(kind, False)), num_iter=12, end_lr=1e-3)
    with pytest.warns(LrsuggestWarning, match=r"^bank, an? \w+ of .* is changed in place"):
        lr_find(learner_of(net(), data=Large(kind, True)), num_iter=12, end_lr=1e-3)
