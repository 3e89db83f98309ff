"""Random generators of every sort: where they stand, put back and seeded."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

Generator = (
    torch.Generator
    | random.Random
    | np.random.Generator
    | np.random.RandomState
    | np.random.BitGenerator
)
SeedSequence = np.random.SeedSequence


def rewind(generator: Any) -> Callable[[], object] | None:
    """Return what puts a generator back to its present state; None where it has none."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.SystemRandom):
        return None
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state(legacy=False))
    if isinstance(generator, np.random.Generator):
        generator = generator.bit_generator
    if isinstance(generator, SeedSequence):
        return _sequence_back(generator)
    return partial(_set_bits, generator, generator.state, _sequence_back(generator.seed_seq))


def _set_bits(bits: np.random.BitGenerator, state: Any, back: Callable[[], object]) -> None:
    """Put back where a generator stands, and what the next ones are spawned from."""
    bits.state = state
    back()


def _sequence_back(sequence: Any) -> Callable[[], object]:
    """Return what puts a seed sequence back, and how many were spawned from it."""
    if not isinstance(sequence, SeedSequence):
        return lambda: None
    children = sequence.n_children_spawned
    return partial(_seed_sequence, sequence, sequence.entropy, sequence.spawn_key, children)


def _seed_sequence(sequence: Any, entropy: Any, key: Any, children: int = 0) -> None:
    sequence.__init__(
        entropy, spawn_key=key, pool_size=sequence.pool_size, n_children_spawned=children
    )


def seed_generator(generator: Any, seed: int) -> None:
    """Seed a generator of any sort; as torch does, a negative seed counts from the top."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.RandomState):
        bits = type(generator._bit_generator)(seed % 2**64)
        generator.set_state(np.random.RandomState(bits).get_state(legacy=False))
    elif isinstance(generator, SeedSequence):
        _seed_sequence(generator, seed % 2**64, ())
    else:
        if isinstance(generator, np.random.Generator):
            generator = generator.bit_generator
        generator.state = type(generator)(seed % 2**64).state
        if isinstance(generator.seed_seq, SeedSequence):
            _seed_sequence(generator.seed_seq, seed % 2**64, ())


class RandomStates:
    """The random states of torch (CPU, CUDA devices in use, MPS), numpy and Python, as now.

    Args:
        torchs: whether those of torch alone are wanted; numpy's takes as long as a small layer.
    """

    def __init__(self, *, torchs: bool = False) -> None:
        self._others = None if torchs else (random.getstate(), np.random.get_state())
        self._cpu = torch.get_rng_state()
        in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        self._cuda = torch.cuda.get_rng_state_all() if in_use else None
        self._mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore(self) -> None:
        """Put them back."""
        if self._others is not None:
            python, numpy = self._others
            random.setstate(python)
            np.random.set_state(numpy)
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        if self._mps is not None:
            torch.mps.set_rng_state(self._mps)

    def others_moved(self) -> bool:
        """Say whether numpy's or Python's is another by now."""
        if self._others is None:
            return False
        then: Any
        now: Any
        python, then = self._others
        now = np.random.get_state()
        moved = then[2:] != now[2:] or then[1].tobytes() != now[1].tobytes()
        return bool(moved) or random.getstate() != python
