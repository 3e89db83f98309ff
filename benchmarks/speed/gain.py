"""What it costs to see of each step more than the loss, beside the bare training loop.

    python benchmarks/speed/gain.py [OUT.csv] [--repeats N]

The measure is overhead.py's: CPU time, a bare step set beside each step, contestants in turn, one
thread, 21 repeats. Three networks: its tiny CNN of 12 to 16 ms a step, an MLP of about 1 ms, and a
BERT of transformers (2 layers of 128). Of each the bare loop as a contestant, `lr_find` that sees
the loss alone (gain=False), and `lr_find` as it is. Needs the extra "peers".
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import overhead
import pandas as pd
import torch
from overhead import BATCH, HIGH, LOW, REPEATS, STEPS, Held, as_measured, bare, measured, ratio
from torch import nn
from torch.nn import functional as F


def mlp() -> nn.Module:
    """Three layers of 256."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )  # fmt: skip


def rows(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fixed batches of tables."""
    source = torch.Generator().manual_seed(0)
    return [
        (torch.randn(BATCH, 64, generator=source), torch.randint(10, (BATCH,), generator=source))
        for _ in range(steps)
    ]


class Bert(nn.Module):
    """A BERT of transformers that gives logits."""

    def __init__(self) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        super().__init__()
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=512, num_labels=10,
        )  # fmt: skip
        self.net: Any = BertForSequenceClassification(config)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, 10), of words, shape (n, tokens)."""
        logits: torch.Tensor = self.net(words).logits
        return logits


def texts(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fixed batches of 16 texts of 32 words."""
    source = torch.Generator().manual_seed(0)
    return [
        (torch.randint(1000, (16, 32), generator=source),
         torch.randint(10, (16,), generator=source))
        for _ in range(steps)
    ]  # fmt: skip


def swept(gain: bool) -> None:
    """Make a range test over the batches."""
    from lrsuggest import Learner, lr_find

    net = overhead.model().train()
    learner = Learner(net, F.cross_entropy, Held(), torch.optim.SGD(net.parameters(), lr=LOW))
    curve = lr_find(learner, start_lr=LOW, end_lr=HIGH, num_iter=STEPS, gain=gain)
    assert len(curve) == STEPS
    assert (curve.measured is not None) is gain


def without() -> None:
    """Our range test that sees the loss alone."""
    swept(gain=False)


def with_gain() -> None:
    """Our range test as it is."""
    swept(gain=True)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[Any]]] = {
    "CNN": (overhead.model, overhead.DATA), "MLP": (mlp, rows(STEPS)), "BERT": (Bert, texts(STEPS)),
}  # fmt: skip


def table(found: pd.DataFrame) -> list[str]:
    """Return ratios to bare steps, with 95 % intervals by bootstrap over the repeats."""
    lines = [
        "| network | repeats | ms a bare step | bare loop | loss alone | with the gain |",
        "|---|---|---|---|---|---|",
    ]
    for name, here in found.groupby("network", sort=False):
        pairs = [
            each[["seconds", "bare_seconds"]].to_numpy(float)
            for _, each in here.groupby("finder", sort=False)
        ]
        base = 1e3 * float(np.median([each[:, 1] for each in pairs])) / STEPS
        told = ["{:.3f} ({:.3f} to {:.3f})".format(*ratio(each)) for each in pairs]
        lines.append(f"| {name} | {len(pairs[0])} | {base:.1f} | {' | '.join(told)} |")
    return lines


def main(out: Path | None, repeats: int) -> None:
    """Measure, print a table, and write every repeat to a CSV if asked for."""
    kept = []
    for name, (model, data) in NETWORKS.items():
        overhead.model, overhead.DATA = model, data
        times = measured([bare, without, with_gain], repeats)
        kept += [
            {"network": name, "finder": finder, "repeat": i, "seconds": f"{taken:.5f}",
             "bare_seconds": f"{its:.5f}"}
            for finder, pairs in times.items()
            for i, (taken, its) in enumerate(pairs)
        ]  # fmt: skip
    print("\n".join(table(pd.DataFrame(kept).astype({"seconds": float, "bare_seconds": float}))))
    if out:
        pd.DataFrame(kept).to_csv(out, index=False)


if __name__ == "__main__":
    as_measured()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    main(given.out, given.repeats)
