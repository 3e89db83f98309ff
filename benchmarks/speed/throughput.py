"""Images per second of a CamVid stage: resident batches against loaders that decode, in one run.

    python benchmarks/speed/throughput.py --data DIR [--size 96 128] [--device cuda] [--csv OUT.csv]

All train the same U-Net (EfficientNet-Lite0, the body frozen) in batches of 8 at the same size,
images and masks flipped left to right half of the time, all cores for one training. Five ways:

- ours: decoded and resized once, one gather and one flip a batch, channels last in memory;
- fastai loader, torchvision loader: files decoded, resized and flipped anew in every epoch, laid in
  memory as they come, then the same training step as ours, so that only the data differ;
- fastai whole: its own loader and its own Learner;
- fastai whole, as started: the same in a process of its own, without the allocator's settings that
  the benchmark gives its workers and that the four above have too.

OpenMP waits as the environment says, by default actively: one training has all cores.

The loaders have as many worker processes as there are cores; --worker-processes says otherwise.
An epoch of each in turn, in an order that changes; the figure is the ratio of medians, with a 95 %
interval by bootstrap over the epochs. Wall time, as worker processes count too: measure on a
machine that does nothing else. "data only" draws the batches and trains nothing. What ours pays
once, reading and resizing all frames, stands in the last line. Needs the extra "peers".
"""

import argparse
import contextlib
import csv
import multiprocessing
import os
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from lrsuggest import Learner
from lrsuggest.bench.engines.local import SETTINGS
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.readers.images import read_camvid
from lrsuggest.tasks.data.sources import lines
from lrsuggest.tasks.task import build_learner

BATCH = 8
CONTESTANTS = (
    "ours", "fastai loader", "torchvision loader", "fastai whole",
    "ours, data only", "fastai loader, data only", "torchvision loader, data only",
)  # fmt: skip


class Frames(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Frames and masks read from their files, as torchvision's tutorials do."""

    def __init__(self, folder: Path, names: list[str], size: tuple[int, int]) -> None:
        self.folder, self.names = folder, names
        self.turn = v2.Compose([
            v2.Resize(size, antialias=True), v2.RandomHorizontalFlip(0.5),
            v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64},
                       scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        name = self.names[index]
        image = tv_tensors.Image(v2.functional.pil_to_tensor(
            Image.open(self.folder / "images" / name).convert("RGB")))  # fmt: skip
        mask = np.array(Image.open(self.folder / "labels" / f"{Path(name).stem}_P.png"))
        image, mask = self.turn(image, tv_tensors.Mask(mask))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)


def fastai_loaders(folder: Path, names: list[str], size: tuple[int, int], workers: int, device):  # type: ignore[no-untyped-def]
    """Make fastai's DataLoaders as the course does."""
    from fastai.vision.all import Flip, Normalize, Resize, ResizeMethod, SegmentationDataLoaders

    return SegmentationDataLoaders.from_label_func(
        folder, [folder / "images" / name for name in names],
        lambda path: folder / "labels" / f"{path.stem}_P.png",
        codes=np.array(lines(folder / "codes.txt")), bs=BATCH, valid_pct=BATCH / len(names), seed=0,
        item_tfms=Resize(size, method=ResizeMethod.Squish), num_workers=workers, device=device,
        batch_tfms=[Flip(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )  # fmt: skip


def plain(batches: Iterable[tuple[Tensor, Tensor]], device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Hand out a loader's batches as plain tensors on the device."""
    for x, y in batches:
        yield x.as_subclass(Tensor).to(device), y.as_subclass(Tensor).to(device)


def train(learner: Learner, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """Take the same step on every batch; returns how many images there were."""
    learner.model.train()
    images = 0
    for x, y in batches:
        learner.optimizer.zero_grad()
        F.cross_entropy(learner.model(x), y).backward()
        learner.optimizer.step()
        images += len(x)
    if learner.device.type == "cuda":
        torch.cuda.synchronize()
    return images


def draw(batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """Draw the batches and do nothing with them."""
    images = sum(len(x) for x, _ in batches)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return images


def contestants(
    folder: Path, size: tuple[int, int], workers: int, device: str, scratch: Path
) -> tuple[dict[str, Callable[[], int]], float]:
    """Return what takes an epoch of each, and the seconds that ours takes beforehand."""
    began = time.perf_counter()
    resident = read_camvid(folder, size)
    once = time.perf_counter() - began
    left_out = {*lines(folder / "valid.txt"), *lines(folder / "test.txt")}
    names = sorted(p.name for p in (folder / "images").iterdir() if p.name not in left_out)
    ours = Batches(resident, train=True, batch_size=BATCH, device=device)
    keep = workers > 0
    frames = DataLoader(Frames(folder, names, size), BATCH, shuffle=True, drop_last=True,
                        num_workers=workers, persistent_workers=keep)  # fmt: skip
    # fastai puts aside a share for validation: as many frames more, so that all train on the same.
    loaders = fastai_loaders(folder, names + names[:BATCH], size, workers, device)
    learner = build_learner(dataset("camvid11"), resident, stage="frozen", batch_size=BATCH,
                            device=device)  # fmt: skip

    whole = fastai_learner(loaders, build_learner(
        dataset("camvid11"), resident, stage="frozen", batch_size=BATCH, device=device
    ).model.to(memory_format=torch.contiguous_format), scratch)  # fmt: skip

    def fit() -> int:
        whole.fit(1, lr=1e-4)
        if device == "cuda":
            torch.cuda.synchronize()
        return len(loaders.train) * BATCH

    return dict(zip(CONTESTANTS, (
        lambda: train(learner, ours),
        lambda: train(learner, plain(loaders.train, device)),
        lambda: train(learner, plain(frames, device)),
        fit,
        lambda: draw(ours),
        lambda: draw(plain(loaders.train, device)),
        lambda: draw(plain(frames, device)),
    ), strict=True)), once  # fmt: skip


def fastai_learner(loaders, model: torch.nn.Module, folder: Path):  # type: ignore[no-untyped-def]
    """Make fastai's Learner, its bar and its validation off: only training is measured."""
    from fastai.callback.core import Callback
    from fastai.vision.all import (
        CancelValidException,
        CrossEntropyLossFlat,
        Learner,
        ProgressCallback,
    )

    class NoValidation(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

    made = Learner(loaders, model, loss_func=CrossEntropyLossFlat(axis=1), path=folder,
                   cbs=[NoValidation()])  # fmt: skip
    made.remove_cb(ProgressCallback)
    made.logger = lambda *_: None
    return made


class Contest:
    """A process that has all contestants and takes an epoch of any when told.

    `settings` are its environment's where it differs from this process's; None unsets.
    """

    def __init__(self, settings: Mapping[str, str | None], *told: object) -> None:
        before = {name: os.environ.get(name) for name in settings}
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, *told)
        )
        set_environment(settings)  # glibc reads its own as a process begins
        try:
            self.process.start()
        finally:
            set_environment(before)
            theirs.close()
        self.once: float
        self.threads: int
        self.once, self.threads = self.connection.recv()

    def epoch(self, name: str) -> tuple[int, float]:
        """Take an epoch; returns images and seconds."""
        self.connection.send(name)
        images, seconds = self.connection.recv()
        return images, seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join()


def set_environment(settings: Mapping[str, str | None]) -> None:
    """Set variables; None unsets."""
    for name, value in settings.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def serve(
    connection: Connection, folder: Path, size: tuple[int, int], workers: int, device: str
) -> None:
    """Take an epoch of each contestant that is named, until None is."""
    multiprocessing.set_start_method("fork", force=True)  # what loaders' workers have by default
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        runs, once = contestants(folder, size, workers, device, Path(scratch))
        connection.send((once, torch.get_num_threads()))
        for name in iter(connection.recv, None):
            began = time.perf_counter()
            images = runs[name]()
            connection.send((images, time.perf_counter() - began))


def measure(
    runs: dict[str, Callable[[], tuple[int, float]]], epochs: int, out: Path | None
) -> dict[str, list[float]]:
    """Take an epoch of each in turn; returns images per second, an epoch each."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(0)
    for epoch in range(epochs + 1):
        for name in order.sample(list(runs), len(runs)):
            images, seconds = runs[name]()
            if epoch:  # the first one starts workers and fills caches
                found[name].append(images / seconds)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["contestant", "epoch", "images_per_second"])
            for name, rates in found.items():
                rows.writerows([name, i, f"{rate:.2f}"] for i, rate in enumerate(rates))
    return found


def table(found: dict[str, list[float]]) -> str:
    """Set the contestants' medians beside ours."""
    rng = np.random.default_rng(0)
    said = ["| loader | images a second | ours is faster by | 95 % interval |", "|---|---|---|---|"]
    for name, rates in found.items():
        ours = np.array(found["ours, data only" if name.endswith("data only") else "ours"])
        theirs = np.array(rates)
        ratio = np.median(ours) / np.median(theirs)
        picked = rng.integers(len(ours), size=(4000, len(ours)))  # the same epochs of both
        ratios = np.median(ours[picked], axis=1) / np.median(theirs[picked], axis=1)
        low, high = np.quantile(ratios, [0.025, 0.975])
        said.append(f"| {name} | {np.median(theirs):.1f} | {ratio:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(said)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("LRSUGGEST_DATA"),
                        help="folder that holds camvid11/ (default: $LRSUGGEST_DATA)")  # fmt: skip
    parser.add_argument("--size", type=int, nargs=2, default=[96, 128], help="pixels")
    parser.add_argument("--epochs", type=int, default=7, help="of each contestant")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--worker-processes", type=int, default=os.cpu_count())
    parser.add_argument("--csv", type=Path, help="write every epoch here")
    told = parser.parse_args()
    if not told.data:
        parser.error("give --data DIR, a folder that holds camvid11/")
    what = (Path(told.data) / "camvid11", tuple(told.size), told.worker_processes, told.device)
    kept = {name: value for name, value in SETTINGS.items() if name.startswith("MALLOC_")}
    with Contest(kept, *what) as ours, Contest(dict.fromkeys(kept), *what) as started:
        runs = {name: partial(ours.epoch, name) for name in CONTESTANTS}
        runs["fastai whole, as started"] = partial(started.epoch, "fastai whole")
        found = measure(runs, told.epochs, told.csv)
        once, threads = ours.once, ours.threads
    print(f"{told.size[0]}x{told.size[1]}, batches of {BATCH}, {told.epochs} epochs, "
          f"{threads} threads, {told.worker_processes} worker processes, "
          f"{told.device}, torch {torch.__version__}")  # fmt: skip
    print(table(found))
    print(f"reading and resizing all frames once: {once:.1f} s")


if __name__ == "__main__":
    main()
