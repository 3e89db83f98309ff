"""What makes a training step of the benchmark's U-Net faster.

    python benchmarks/speed/step.py --data DIR

Processes with and without the allocator's settings that the benchmark gives its workers take turns.
In each, four learners take turns, step by step in an order that changes: batches channels last or
not, AdamW's steps fused or not. camvid11's frozen stage in batches of 8, on one thread as jobs
have, or more. The figures are medians over all steps; "faster" is the ratio of the first row's
median to each, with a 95 % interval by bootstrap over the processes.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np

from lrsuggest.bench.engines.local import SETTINGS

BATCH, WARM = 8, 2
VARIANTS = [(last, fused) for last in (False, True) for fused in (False, True)]


def steps(folder: Path, size: tuple[int, int], threads: int, repeats: int) -> list[list[float]]:
    """Take steps of every variant in turn; returns the seconds of each, a list per variant."""
    import torch
    from torch.nn import functional as F

    from lrsuggest.tasks.data.batches import Batches
    from lrsuggest.tasks.data.catalog import dataset
    from lrsuggest.tasks.data.readers.images import read_camvid
    from lrsuggest.tasks.task import build_learner

    torch.set_num_threads(threads)
    data = read_camvid(folder, size)
    batches = list(islice(Batches(data, train=True, batch_size=BATCH), WARM + repeats))
    learners = []
    for _, fused in VARIANTS:
        learner = build_learner(dataset("camvid11"), data, stage="frozen", batch_size=BATCH)
        for group in learner.optimizer.param_groups:
            group.update(fused=fused, foreach=False)
        learner.model.train()
        learners.append(learner)
    found: list[list[float]] = [[] for _ in VARIANTS]
    order = random.Random(0)
    for x, y in batches:
        for index in order.sample(range(len(VARIANTS)), len(VARIANTS)):
            learner, laid = learners[index], x if VARIANTS[index][0] else x.contiguous()
            began = time.perf_counter()
            F.cross_entropy(learner.model(laid), y).backward()
            learner.optimizer.step()
            learner.optimizer.zero_grad()
            found[index].append(time.perf_counter() - began)
    return [taken[WARM:] for taken in found]


def process(kept: bool, threads: int, *told: str) -> list[list[float]]:
    """Take steps in a process of its own, with or without the allocator's settings."""
    outside = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    allocator = {k: v for k, v in SETTINGS.items() if k.startswith("MALLOC_") and kept}
    said = subprocess.run(
        [sys.executable, __file__, "--threads", str(threads), *told, "--child"],
        env={**outside, **allocator, "OMP_NUM_THREADS": str(threads)}, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    answer: list[list[float]] = json.loads(said.stdout)
    return answer


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("LRSUGGEST_DATA"),
                        help="folder that holds camvid11/ (default: $LRSUGGEST_DATA)")  # fmt: skip
    parser.add_argument("--size", type=int, nargs=2, default=[96, 128], help="pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6, help="of each variant in each process")
    parser.add_argument("--processes", type=int, default=10, help="of each kind, in turn")
    parser.add_argument("--csv", type=Path, help="write every step here")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if not told.data:
        parser.error("give --data DIR, a folder that holds camvid11/")
    if told.child:
        print(json.dumps(steps(Path(told.data) / "camvid11", tuple(told.size), told.threads,
                               told.steps)))  # fmt: skip
        return
    what = ["--data", str(told.data), "--size", *map(str, told.size), "--steps", str(told.steps)]
    names = [
        f"{'kept' if kept else 'as it is'},{'last' if last else 'first'},{'yes' if f else 'no'}"
        for kept in (False, True) for last, f in VARIANTS
    ]  # fmt: skip
    found: list[list[list[float]]] = [[] for _ in names]  # variant, process, step
    for turn in range(told.processes):
        both = {kept: process(kept, told.threads, *what) for kept in (turn % 2 > 0, turn % 2 < 1)}
        for mine, taken in zip(found, both[False] + both[True], strict=True):
            mine.append(taken)
    if told.csv:
        told.csv.parent.mkdir(parents=True, exist_ok=True)
        with open(told.csv, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["allocator", "channels", "fused", "process", "step", "seconds"])
            for name, mine in zip(names, found, strict=True):
                rows.writerows([*name.split(","), p, s, f"{seconds:.5f}"]
                               for p, taken in enumerate(mine)
                               for s, seconds in enumerate(taken))  # fmt: skip
    taken = np.array(found)
    picked = np.random.default_rng(0).integers(told.processes, size=(4000, told.processes))
    drawn = np.median(taken[:, picked].reshape(len(names), len(picked), -1), axis=2)
    ratios = np.quantile(drawn[0] / drawn, [0.025, 0.975], axis=1)
    print(f"{told.size[0]}x{told.size[1]}, {told.threads} threads, {told.processes} processes of "
          f"each kind, {told.steps} steps of each variant in each")  # fmt: skip
    print("| allocator | channels | fused | ms a step | faster | 95 % interval |")
    print("|---|---|---|---|---|---|")
    for name, mine, low, high in zip(names, taken, *ratios, strict=True):
        here = np.median(mine)
        print(f"| {name.replace(',', ' | ')} | {1000 * here:.0f} | "
              f"{np.median(taken[0]) / here:.2f} | {low:.2f} to {high:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
