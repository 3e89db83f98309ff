"""What a range test costs over the bare training loop, ours and the peers', in one process.

    python benchmarks/speed/overhead.py [OUT.csv]

A tiny CNN of about 16 ms a step, batch 64, one thread, 100 steps that none of the finders stops
early. The bare loop takes batches of the same set and never asks for the loss.

How fast this machine is changes by a tenth within seconds, more than any finder costs, so the bare
loop runs inside each contestant's run, step by step: whoever draws a batch, one bare step is made
first, with a model of its own and the batch half a set away (so that neither finds its batch in
the cache), and its CPU time goes to the bare loop's account, the rest of the run to the
contestant's. Both meet the same seconds, the same heap and the caches another step has left. CPU
time, so what other processes take does not count.

The contestants run in turn, 21 repeats each in an order that changes. The figure is the ratio of
medians, contestant's to bare steps', with a 95 % interval by bootstrap over the repeats (a run and
the bare steps within it are drawn together); the median of the runs' own ratios stands beside it.
The first row is the bare loop as a contestant, drawing as all do: it shows what the design makes
of two equal things, and takes in what every run pays once, the model's construction.

The same for all: batches from one DataLoader; garbage collected before a run, what the imports
made left out of later collections, and any collection within a run charged to the contestant, as
a bare step leaves no garbage. glibc is told to keep the memory it has, in huge pages: handed back
and fetched again at every step, it cost a third of the time, and a different third each repeat.
Needs the extra "peers".
"""

import contextlib
import csv
import gc
import io
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

Pairs = NDArray[np.float64]
STEPS, REPEATS, BATCH = 100, 21, 64
LOW, HIGH = 1e-7, 1e-3  # no loss blows up in this range


def model() -> nn.Module:
    """A CNN that takes about 16 ms a step on one core."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def batches(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fixed batches, so that no loader's cost is measured."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(BATCH, 3, 29, 29, generator=generator),
         torch.randint(10, (BATCH,), generator=generator))
        for _ in range(steps)
    ]  # fmt: skip


DATA = batches(STEPS)


class BareSteps:
    """The bare loop that runs within a contestant's run, and its account."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.net = model().train()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=LOW)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take one step on the account, whatever mode the contestant draws its batches in."""
        gc.disable()
        began = time.process_time()
        with torch.enable_grad():
            F.cross_entropy(self.net(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.seconds += time.process_time() - began
        self.steps += 1
        gc.enable()


within = BareSteps()


def account() -> BareSteps:
    """Return the present account, by a way that no snapshot follows: it would be put back."""
    found: BareSteps = vars(sys.modules[__name__])["within"]
    return found


class Held(torch.utils.data.DataLoader):  # type: ignore[type-arg]
    """Hands out DATA, a bare step before each batch; a DataLoader, as some peers insist on one."""

    def __init__(self) -> None:
        super().__init__(range(len(DATA)), batch_size=None)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # type: ignore[override]
        for index, batch in enumerate(DATA):
            account().step(*DATA[index - len(DATA) // 2])
            yield batch

    def __len__(self) -> int:
        return len(DATA)


def bare() -> None:
    """The loop without a finder."""
    net = model().train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LOW)
    for x, y in Held():
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def ours() -> None:
    """Our range test, snapshot and restoration within."""
    from lrsuggest import Learner, lr_find

    net = model().train()
    learner = Learner(net, F.cross_entropy, Held(), torch.optim.SGD(net.parameters(), lr=LOW))
    assert len(lr_find(learner, start_lr=LOW, end_lr=HIGH, num_iter=STEPS)) == STEPS


def fastai() -> None:
    """The Learner's lr_find."""
    import fastai.callback.progress
    import fastai.callback.schedule  # noqa: F401  (they patch the Learner)
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(DataLoaders(Held(), Held()), model(), loss_func=F.cross_entropy,
                          opt_func=SGD, path=folder)  # fmt: skip
        with learner.no_bar():
            learner.lr_find(LOW, HIGH, STEPS, show_plot=False, suggest_funcs=None)
        assert len(learner.recorder.losses) >= STEPS


def lightning() -> None:
    """The Tuner's lr_find."""
    import pytorch_lightning as pl
    from pytorch_lightning.tuner import Tuner

    class Module(pl.LightningModule):
        lr = LOW

        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch, index):  # type: ignore[no-untyped-def]
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):  # type: ignore[no-untyped-def]
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            default_root_dir=folder, accelerator="cpu", max_epochs=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        found = Tuner(trainer).lr_find(
            Module(), Held(), min_lr=LOW, max_lr=HIGH, num_training=STEPS, update_attr=False
        )
        assert found is not None
        assert len(found.results["loss"]) == STEPS


def torch_lr_finder() -> None:
    """range_test and reset."""
    from torch_lr_finder import LRFinder

    net = model().train()
    finder = LRFinder(net, torch.optim.SGD(net.parameters(), lr=LOW), F.cross_entropy)
    finder.range_test(Held(), end_lr=HIGH, num_iter=STEPS)
    finder.reset()
    assert len(finder.history["loss"]) == STEPS


def ignite() -> None:
    """FastaiLRFinder attached to a supervised trainer."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers.lr_finder import FastaiLRFinder

    net = model().train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LOW)
    trainer = create_supervised_trainer(net, optimizer, F.cross_entropy)
    finder = FastaiLRFinder()
    saved = {"model": net, "optimizer": optimizer}
    with finder.attach(trainer, saved, num_iter=STEPS, end_lr=HIGH) as attached:
        attached.run(Held())
    assert len(finder.get_results()["loss"]) >= STEPS


CONTESTANTS: list[Callable[[], None]] = [
    bare, ours, torch_lr_finder, ignite, lightning, fastai
]  # fmt: skip


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """Take the CPU time of one run, prints and warnings swallowed, and of as many bare steps."""
    global within
    within = BareSteps()
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        began = time.process_time()
        run()
        taken = time.process_time() - began
    return taken - within.seconds, within.seconds / within.steps * len(DATA)


def measured(contestants: list[Callable[[], None]], repeats: int) -> dict[str, Pairs]:
    """Let contestants run in turn, in an order that changes, once more each than is counted.

    Returns:
        By contestant's name, shape (repeats, 2): CPU seconds of a run and of as many bare steps.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for run in contestants:  # imports and first allocations are not what is measured
        seconds(run)
    gc.collect()
    gc.freeze()
    times: dict[str, list[tuple[float, float]]] = {run.__name__: [] for run in contestants}
    order = random.Random(0)
    for _ in range(repeats):
        for run in order.sample(contestants, len(contestants)):
            times[run.__name__].append(seconds(run))
    return {name: np.array(taken) for name, taken in times.items()}


def ratio(mine: Pairs, base: Pairs | None = None) -> tuple[float, float, float]:
    """Return a contestant's time over its bare steps', or over another contestant's.

    Args:
        mine: as from `measured`.
        base: the other's, both then counted in their own bare steps; None for those alone.

    Returns:
        The ratio of medians, and its 95 % interval by bootstrap over the repeats.
    """
    drawn = np.random.default_rng(0).integers(len(mine), size=(4000, len(mine)))
    whole, resampled = np.median(mine, axis=0), np.median(mine[drawn], axis=1).T
    value, spread = whole[0] / whole[1], resampled[0] / resampled[1]
    if base is not None:
        again = np.median(base[drawn], axis=1).T
        value, spread = value / ratio(base)[0], spread / (again[0] / again[1])
    low, high = np.quantile(spread, [0.025, 0.975])
    return float(value), float(low), float(high)


def write(times: dict[str, Pairs], out: Path) -> None:
    """Write every repeat to a CSV."""
    with open(out, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["finder", "repeat", "seconds", "bare_seconds"])
        for name, taken in times.items():
            rows.writerows(
                [name, i, f"{t:.5f}", f"{bare_t:.5f}"] for i, (t, bare_t) in enumerate(taken)
            )


def main(out: Path | None) -> None:
    """Measure, print a table, and write every repeat to a CSV if asked for."""
    times = measured(CONTESTANTS, REPEATS)
    base = np.median([pairs[:, 1] for pairs in times.values()])
    print(f"{STEPS} steps, {REPEATS} repeats, {1e3 * base / STEPS:.1f} ms a bare step")
    print("| finder | ratio to bare | 95 % interval | median of ratios | ms a step more |")
    print("|---|---|---|---|---|")
    for name, pairs in times.items():
        mine, its = np.median(pairs, axis=0)
        value, low, high = ratio(pairs)
        paired = np.median(pairs[:, 0] / pairs[:, 1])
        more = 1e3 * (mine - its) / STEPS
        print(f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} | {paired:.3f} | {more:+.2f} |")
    if out:
        write(times, out)


_SETTINGS = {
    "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def as_measured() -> None:
    """Start this process anew if need be: glibc reads its settings when a process starts."""
    if not _SETTINGS.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_SETTINGS})


if __name__ == "__main__":
    as_measured()
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
