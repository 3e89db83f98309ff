"""What several test modules build on."""

import copy
import html.parser
import io
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest.testing import simulated
from lrsuggest.training.learner import Learner


def make_learner(**settings) -> Learner:
    """A small network with dropout and batch norm on two separable classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=generator)
    y = (x[:, :3].sum(1) > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)
        )
    data = TensorDataset(x, y)
    train = DataLoader(data, 32, shuffle=True, generator=torch.Generator().manual_seed(2))
    valid = DataLoader(data, 64)
    optimizer = settings.pop("optimizer", None)
    made = optimizer(model) if optimizer else torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Learner(model, nn.functional.cross_entropy, train, made, valid=valid, **settings)


def sweep_like(
    n: int = 100, *, bottom: float = 1e-1, fall: float = 2.0, noise: float = 0.0, seed: int = 0
):
    """A curve with the shape of a range test: flat, a descent, a minimum, a blow-up."""
    return simulated(n, bottom, fall, noise, seed)


def need(root: Path, where: str) -> Path:
    """A dataset's folder or archive below the data root; the test is skipped where it is absent."""
    if not (root / where).exists():
        pytest.skip(f"no {where} in {root}")
    return root / where


def drained(seen) -> list:
    """What was put into a queue, by a hook say: a list's additions are undone with the rest."""
    return [seen.get() for _ in range(seen.qsize())]


def write_tgz(path: Path, files: dict[str, bytes]) -> Path:
    """Write an archive with the given files below one top folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"top/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def damage(path: Path, how: str) -> Path:
    """Cut a file in half, flip bits in its middle, put text in its place, or take it away."""
    content = path.read_bytes()
    half = len(content) // 2
    if how == "flipped":
        content = (
            content[:half]
            + bytes(b ^ 0xFF for b in content[half : half + 64])
            + content[half + 64 :]
        )
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:half], "text": b"no archive"}.get(how, content))
    return path


class Reader(html.parser.HTMLParser):
    """What matters of a page; a tag that is not closed is a failure."""

    VOID = ("meta", "br", "img", "link", "hr")

    def __init__(self, text):
        super().__init__()
        self.ids, self.open, self.links, self.text, self.tags = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        self.links += [found[k] for k in ("href", "src", "xlink:href") if k in found]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def readers_of(module):
    """The names of the readers that a module registers."""
    from lrsuggest.tasks.data.readers.all import READERS

    home = f"lrsuggest.tasks.data.readers.{module}"
    return {name for name, each in READERS.items() if each.read.__module__ == home}


def read_raw(name, source=None, size=()):
    """What a reader itself gives, without the checks that all share."""
    from lrsuggest.tasks.data.readers.all import READERS
    from lrsuggest.tasks.data.sources import no_progress

    return READERS[name].read(source, size, no_progress)


def fingerprint(learner):
    """Everything a sweep could touch, as comparable bytes."""
    state = []
    for name, tensor in [*learner.model.named_parameters(), *learner.model.named_buffers()]:
        state.append((name, tensor.data_ptr(), tensor.detach().numpy().tobytes()))
    for name, parameter in learner.model.named_parameters():
        grad = parameter.grad
        state.append((name, None if grad is None else grad.numpy().tobytes()))
        held = learner.optimizer.state.get(parameter, {})
        state += [(name, k, v.numpy().tobytes() if hasattr(v, "numpy") else v)
                  for k, v in sorted(held.items())]  # fmt: skip
    for group in learner.optimizer.param_groups:
        state.append(copy.deepcopy({k: v for k, v in group.items() if k != "params"}))
    state += [module.training for module in learner.model.modules()]
    state.append(learner.scaler.state_dict())
    state.append(torch.get_rng_state().numpy().tobytes())
    state.append(learner.batches.generator.get_state().numpy().tobytes())
    state.append(random.getstate())
    state += [str(x) for x in np.random.get_state()]
    return state


class Waits(TorchDispatchMode):
    """Counts the operations for which a host would wait for its device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))
