"""Random generators of every sort, wherever they stand: put back, and seeded."""

import random

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler, Subset, TensorDataset

from lrsuggest import RangeTest, fit_one_cycle, lr_find, suggest_lr

KINDS = {
    "torch": lambda: torch.Generator().manual_seed(1),
    "python": lambda: random.Random(1),
    "numpy": lambda: np.random.default_rng(1),
    "numpy, another": lambda: np.random.Generator(np.random.Philox(1)),
    "numpy, old": lambda: np.random.RandomState(1),
    "numpy, old round new": lambda: np.random.RandomState(np.random.PCG64(1)),
}


def draw(source):
    """A number in [0, 1) from a generator of any sort."""
    if isinstance(source, torch.Generator):
        return float(torch.rand((), generator=source))
    return float(source.random() if hasattr(source, "random") else source.random_sample())


def state(source):
    if isinstance(source, torch.Generator):
        return source.get_state().tolist()
    if isinstance(source, random.Random):
        return source.getstate()
    if isinstance(source, np.random.RandomState):
        return str(source.get_state(legacy=False))
    return str(source.bit_generator.state)


class Shuffled(Sampler):
    def __init__(self, n, source):
        self.n, self.of_mine = n, source

    def __iter__(self):
        return iter(sorted(range(self.n), key=lambda _: draw(self.of_mine)))

    def __len__(self):
        return self.n


class Grouped(Sampler):
    def __init__(self, n, source):
        self.settings = {"size": 32, "order": [source]}
        self.n = n

    def __iter__(self):
        order = sorted(range(self.n), key=lambda _: draw(self.settings["order"][0]))
        for start in range(0, self.n, 32):
            yield order[start : start + 32]

    def __len__(self):
        return self.n // 32


class Jitter:
    """A transform."""

    __slots__ = ("source",)

    def __init__(self, source):
        self.source = source

    def __call__(self, x):
        return x + 0.5 * draw(self.source)


class Augmented(Dataset):
    def __init__(self, data, *transforms):
        self.data, self.steps = data, list(transforms)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        for step in self.steps:
            x = step(x)
        return x, y


def data():
    x = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, :3].sum(1) > 0).long())


def in_the_sampler(learner, source):
    learner.batches = DataLoader(data(), 32, sampler=Shuffled(256, source))


def in_the_batch_sampler(learner, source):
    learner.batches = DataLoader(data(), batch_sampler=Grouped(256, source))


def in_a_transform(learner, source):
    learner.batches = DataLoader(Augmented(data(), Jitter(source)), 32)


def in_a_subset_of_several(learner, source):
    both = ConcatDataset([data(), Augmented(data(), abs, Jitter(source))])
    learner.batches = DataLoader(Subset(both, range(128, 384)), 32)


def in_the_collate_function(learner, source):
    def collate(items):
        x, y = torch.utils.data.default_collate(items)
        return x + draw(source), y

    learner.batches = DataLoader(data(), 32, collate_fn=collate)


def in_a_collate_objects_method(learner, source):
    class Mixes:
        def __init__(self):
            self.dice = source

        def mix(self, items):
            x, y = torch.utils.data.default_collate(items)
            return x + draw(self.dice), y

    learner.batches = DataLoader(data(), 32, collate_fn=Mixes().mix)


def in_batches_of_ones_own(learner, source):
    class Mine:
        def __init__(self):
            self.table = data().tensors

        def __iter__(self):
            for _ in range(8):
                rows = [int(256 * draw(source)) for _ in range(32)]
                yield tuple(part[rows] for part in self.table)

    learner.batches = Mine()


def in_the_model(learner, source):
    class Noise(torch.nn.Module):
        noise = source  # an attribute of the class

        def forward(self, x):
            return x + draw(self.noise)

    learner.model.insert(0, Noise())


def in_the_loss(learner, source):
    learner.loss_fn = lambda output, target: F.cross_entropy(output, target) * draw(source)


PLACES = [
    in_the_sampler, in_the_batch_sampler, in_a_transform, in_a_subset_of_several,
    in_the_collate_function, in_a_collate_objects_method, in_batches_of_ones_own, in_the_model,
    in_the_loss,
]  # fmt: skip


def check(kind, place):
    source = KINDS[kind]()
    learner = make_learner()
    place(learner, source)
    draw(source)
    before = state(source)
    one, other = (lr_find(learner, num_iter=20, seed=0) for _ in range(2))
    assert state(source) == before
    assert one.loss.tobytes() == other.loss.tobytes()
    draw(source)  # seeded: whatever was drawn before
    assert lr_find(learner, num_iter=20, seed=0).loss.tobytes() == one.loss.tobytes()
    assert lr_find(learner, num_iter=20, seed=1).loss.tobytes() != one.loss.tobytes()


@pytest.mark.parametrize("place", PLACES)
def test_a_generator_is_put_back_and_seeded_wherever_it_stands(place):
    check("numpy", place)


@pytest.mark.parametrize("kind", KINDS)
def test_so_is_one_of_any_sort(kind):
    check(kind, in_the_sampler)


def test_a_bare_stream_of_bits():
    bits = np.random.PCG64(1)
    learner = make_learner()
    learner.loss_fn = lambda o, t: F.cross_entropy(o, t) * (bits.random_raw() % 97)
    before = str(bits.state)
    one, other = (lr_find(learner, num_iter=20, seed=0) for _ in range(2))
    assert str(bits.state) == before
    assert one.loss.tobytes() == other.loss.tobytes()


def test_the_systems_own_randomness_is_let_be():
    source = random.SystemRandom()
    learner = make_learner()
    learner.loss_fn = lambda o, t: F.cross_entropy(o, t) + 0 * source.random()
    assert len(lr_find(learner, num_iter=12, seed=0))


def test_a_sampler_that_counts_epochs_and_a_dataset_that_counts_and_caches():
    class Epochs(Shuffled):
        epoch = 0

        def __iter__(self):
            self.epoch += 1
            return iter(np.random.default_rng(self.epoch).permutation(self.n).tolist())

    class Caching(Augmented):
        def __init__(self, data):
            super().__init__(data)
            self.cache, self.seen = {}, np.zeros(len(data), int)

        def __getitem__(self, index):
            self.seen[index] += 1
            return self.cache.setdefault(index, super().__getitem__(index))

    def make():
        learner = make_learner()
        examples = Caching(data())
        learner.batches = DataLoader(examples, 32, sampler=Epochs(256, None))
        return learner, examples

    plain = fit_one_cycle(make()[0], 0.01, steps=20, seed=0).loss
    learner, examples = make()
    suggest_lr(learner, sweep=RangeTest(num_iter=30))
    assert learner.batches.sampler.epoch == 0
    assert not examples.cache
    assert not examples.seen.any()
    assert fit_one_cycle(learner, 0.01, steps=20, seed=0).loss.tobytes() == plain.tobytes()


def test_batches_that_a_model_writes_to():
    learner = make_learner()
    x, y = data().tensors
    rows = np.ones((256, 8), np.float32)
    learner.batches = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 256, 32)]
    learner.model.register_forward_pre_hook(lambda _, inputs: (inputs[0].mul_(1.1), None)[1])
    learner.model.rows = rows
    learner.model.register_forward_hook(lambda *_: (rows.__imul__(2), None)[1])
    before = x.clone()
    lr_find(learner, num_iter=20)
    assert torch.equal(x, before)
    assert (rows == 1).all()


def test_large_data_are_neither_copied_nor_touched():
    from lrsuggest.training.snapshot import Snapshot

    learner = make_learner()
    pages = np.zeros((2**20, 8), np.float32)
    table = torch.from_numpy(pages)
    learner.batches = DataLoader(TensorDataset(table, torch.zeros(2**20).long()), 32)
    snapshot = Snapshot(learner)
    assert sum(content.nbytes for _, content in snapshot._kept._contents) < 2**20
    pages.flags.writeable = False  # whoever wrote to it now would be told
    snapshot.restore()


def test_mps_generator_is_put_back(monkeypatch):
    states = [torch.arange(16, dtype=torch.uint8)]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    learner = make_learner()
    before = states[-1]
    lr_find(learner, num_iter=12)
    assert len(states) > 1
    assert states[-1] is before


def test_a_negative_seed_is_one_too():
    for make in KINDS.values():
        learner = make_learner()
        in_the_sampler(learner, make())
        one, other = (lr_find(learner, num_iter=12, seed=-1) for _ in range(2))
        assert one.loss.tobytes() == other.loss.tobytes()
