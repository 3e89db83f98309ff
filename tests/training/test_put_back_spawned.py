"""What numpy spawns is put back and seeded, and so are the generators of optimizers and hooks."""

import numpy as np
import pytest
import torch
from helpers import make_learner
from torch.utils.data import DataLoader, Sampler

from lrsuggest import lr_find

pytestmark = pytest.mark.usefixtures("one_thread")


class Spawns(Sampler):
    def __init__(self, bare):
        self.rng = np.random.SeedSequence(3) if bare else np.random.default_rng(3)

    def __len__(self):
        return 256

    def __iter__(self):
        (child,) = self.rng.spawn(1)
        return iter(np.random.default_rng(child).permutation(256).tolist())

    def spawned(self):
        bare = isinstance(self.rng, np.random.SeedSequence)
        held = self.rng if bare else self.rng.bit_generator.seed_seq
        return held.entropy, held.spawn_key, held.n_children_spawned


@pytest.mark.parametrize("bare", [False, True])
def test_spawning_is_put_back_and_seeded(bare):
    learner = make_learner()
    sampler = Spawns(bare)
    learner.batches = DataLoader(learner.batches.dataset, 32, sampler=sampler)
    sampler.rng.spawn(2)
    curves = [lr_find(learner, num_iter=20, end_lr=1e-2, seed=0) for _ in range(2)]
    assert sampler.spawned() == (3, (), 2)
    sampler.rng.spawn(5)
    curves.append(lr_find(learner, num_iter=20, end_lr=1e-2, seed=0))
    assert len({each.loss.tobytes() for each in curves}) == 1


class Noisy(torch.optim.SGD):
    def __init__(self, weights):
        super().__init__(weights, 0.1, momentum=0.9)
        self.drawn = torch.Generator().manual_seed(1)

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad += torch.randn(p.shape, generator=self.drawn)
        return super().step(closure)


@pytest.mark.parametrize("hook", [False, True])
def test_a_seed_reaches_the_generators_of_optimizer_and_hooks(hook):
    drawn = torch.Generator().manual_seed(1)
    plain = lambda model: torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)  # noqa: E731
    learner = make_learner(optimizer=plain if hook else lambda model: Noisy(model.parameters()))

    def noise(optimizer, *_):
        for p in optimizer.param_groups[0]["params"]:
            p.grad += torch.randn(p.shape, generator=drawn)

    if hook:
        learner.optimizer.register_step_pre_hook(noise)
    held = drawn if hook else learner.optimizer.drawn
    one = lr_find(learner, num_iter=20, end_lr=1e-2, seed=0)
    held.manual_seed(99)
    stood = held.get_state()
    assert lr_find(learner, num_iter=20, end_lr=1e-2, seed=0).loss.tobytes() == one.loss.tobytes()
    assert torch.equal(held.get_state(), stood)
