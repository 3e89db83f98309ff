"""What asking through each adapter costs, beside the framework's own loop and its own finder.

    python benchmarks/speed/overhead_adapters.py              # writes docs/cost.md and its table
    python benchmarks/speed/overhead_adapters.py --page       # writes the page anew from the table

The tiny CNN, the steps and the measure are those of overhead.py: CPU time, a bare step set beside
each step, contestants in turn. In each framework three things make the same 100 steps: its own
training loop with the fewest callbacks it can do with, its own finder where it has one, and
`suggest_lr` on its object. Of the others' finders the sweep alone is counted, of ours the reading
of the curve too. Needs the extra "peers".
"""

import argparse
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gain
import numpy as np
import overhead
import pandas as pd
from overhead import HIGH, LOW, Held, Pairs, as_measured, bare, measured, model, ratio, write
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "benchmarks" / "recorded" / "overhead" / "adapters.csv"
PAGE = ROOT / "docs" / "cost.md"
PACKAGES = ("torch", "fastai", "pytorch-lightning", "transformers", "accelerate")


def swept(x: Any) -> None:
    """Ask for a rate, as anybody does."""
    from lrsuggest import RangeTest, suggest_lr

    steps = len(overhead.DATA)
    sweep = RangeTest(start_lr=LOW, end_lr=HIGH, num_iter=steps, gain=False)  # as others see it
    found = suggest_lr(x, sweep=sweep, fallback=LOW)
    assert len(found.curve) == steps


def fastai_learner(folder: str) -> Any:
    """A fastai Learner without a progress bar; its finder needs the Recorder."""
    import fastai.callback.schedule  # noqa: F401  (it patches the Learner)
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    data = DataLoaders(Held(), DataLoader([], batch_size=None))  # nothing to validate on
    return Learner(data, model(), F.cross_entropy, SGD, lr=LOW, path=folder)


def fastai_loop() -> None:
    """Fit without a recorder or a bar."""
    from fastai.learner import Recorder

    with tempfile.TemporaryDirectory() as folder:
        learner = fastai_learner(folder)
        learner.remove_cbs([Recorder])
        with learner.no_logging(), learner.no_bar():
            learner.fit(1)


def fastai_finder() -> None:
    """The Learner's lr_find."""
    with tempfile.TemporaryDirectory() as folder:
        learner, steps = fastai_learner(folder), len(overhead.DATA)
        with learner.no_bar():
            learner.lr_find(LOW, HIGH, steps, show_plot=False, suggest_funcs=None)
        assert len(learner.recorder.losses) == steps


def fastai_ours() -> None:
    """suggest_lr(learn)."""
    with tempfile.TemporaryDirectory() as folder:
        swept(fastai_learner(folder))


def lightning_pair(folder: str) -> tuple[Any, Any]:
    """(trainer, module), the trainer without anything it can do without."""
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        lr = LOW

        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch, index):  # type: ignore[no-untyped-def]
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def train_dataloader(self):  # type: ignore[no-untyped-def]
            return Held()

        def configure_optimizers(self):  # type: ignore[no-untyped-def]
            import torch

            return torch.optim.SGD(self.parameters(), lr=self.lr)

    trainer = pl.Trainer(
        default_root_dir=folder, accelerator="cpu", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    return trainer, Module()


def lightning_loop() -> None:
    """The trainer's fit."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, module = lightning_pair(folder)
        trainer.fit(module)


def lightning_finder() -> None:
    """The Tuner's lr_find."""
    from pytorch_lightning.tuner import Tuner

    with tempfile.TemporaryDirectory() as folder:
        trainer, module = lightning_pair(folder)
        steps = len(overhead.DATA)
        found = Tuner(trainer).lr_find(
            module, min_lr=LOW, max_lr=HIGH, num_training=steps, update_attr=False
        )
        assert found is not None
        assert len(found.results["loss"]) == steps


def lightning_ours() -> None:
    """suggest_lr((trainer, module))."""
    with tempfile.TemporaryDirectory() as folder:
        swept(lightning_pair(folder))


class Named(Held):
    """The same batches as dicts, as transformers' models take them."""

    def __iter__(self) -> Iterator[Any]:
        for x, y in super().__iter__():
            yield {"x": x, "labels": y}


class WithLoss(nn.Module):
    """The CNN, giving its loss as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = model()

    def forward(self, x: Any, labels: Any) -> dict[str, Any]:
        """Return the loss, as a model of transformers does."""
        return {"loss": F.cross_entropy(self.net(x), labels)}


def transformers_trainer(folder: str) -> Any:
    """A Trainer that logs, saves and clips nothing."""
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    class Fed(Trainer):
        def get_train_dataloader(self) -> Any:
            return Named()

    args = TrainingArguments(
        output_dir=folder, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
        logging_strategy="no", max_steps=len(overhead.DATA), optim="sgd", learning_rate=LOW,
        lr_scheduler_type="constant", max_grad_norm=0.0,
    )  # fmt: skip
    trainer = Fed(WithLoss(), args)
    trainer.remove_callback(PrinterCallback)
    return trainer


def transformers_loop() -> None:
    """The Trainer's train."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers_trainer(folder)
        trainer.train()
        assert trainer.state.global_step == len(overhead.DATA)


def transformers_ours() -> None:
    """suggest_lr(trainer)."""
    with tempfile.TemporaryDirectory() as folder:
        swept(transformers_trainer(folder))


CONTESTANTS: list[Callable[[], None]] = [
    bare,
    fastai_loop, fastai_finder, fastai_ours,
    lightning_loop, lightning_finder, lightning_ours,
    transformers_loop, transformers_ours,
]  # fmt: skip


def figure(found: tuple[float, float, float]) -> str:
    """A ratio and its interval."""
    return "{:.3f} ({:.3f} to {:.3f})".format(*found)


def cpu() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def page(times: dict[str, Pairs], steps: int, where: str, more: list[str]) -> str:
    """Return the page, from what `measured` gives, with what the gain costs."""
    repeats = len(times["bare"])
    step = 1e3 * np.median([pairs[:, 1] for pairs in times.values()]) / steps
    rows = ["| | bare steps | the framework's own loop | its own finder | CPU ms a step more |",
            "|---|---|---|---|---|"]  # fmt: skip
    for name, pairs in times.items():
        framework, _, what = name.partition("_")
        loop, finder = (times.get(f"{framework}_{each}") for each in ("loop", "finder"))
        label = {"": "the bare loop itself", "ours": f"`suggest_lr`, {framework}"}
        mine, its = np.median(pairs, axis=0)
        others = [figure(ratio(pairs, base)) if base is not None and base is not pairs else ""
                  for base in (loop, finder if what == "ours" else None)]  # fmt: skip
        cells = [label.get(what, f"{framework}, its {what}"), figure(ratio(pairs)), *others,
                 f"{1e3 * (mine - its) / steps:+.2f}"]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([
        "# What asking costs", "",
        "Written by `python benchmarks/speed/overhead_adapters.py`, which says how it is measured; "
        "every repeat is in benchmarks/recorded/overhead/adapters.csv.", "",
        f"{repeats} repeats of {steps} steps of {step:.1f} ms each: a small CNN, batches of 64, "
        f"one thread, CPU time. Ratios of medians with 95 % intervals by bootstrap over the "
        f"repeats; below 1 is cheaper. {where}", "",
        "A row is compared with each column's owner. The bare steps are a loop of ours in plain "
        "torch; a framework's own loop is `fit` or `train` with the fewest callbacks, its finder "
        "`lr_find` without its suggestion; transformers has none. `suggest_lr` is counted whole: "
        "set-up, snapshot, sweep, reading, restoration. The batches lie in a list of 64 MB, which "
        "is copied before the sweep and compared after it ([what is put back]"
        "(pytorch.md#what-is-put-back)), and each weight is watched for a gradient; a set that is "
        "one tensor, or is read from files, is not copied. Like the others, all look at the loss "
        "alone here, `gain=False`.", "",
        *rows, "", *more,
    ])  # fmt: skip


def of_the_gain(path: Path) -> list[str]:
    """Return the part on what a sweep sees of a step, from its table; nothing without one."""
    if not path.is_file():
        return []
    return [
        "## What a sweep sees of a step", "",
        "What `curve.measured` costs: each batch runs once more, without gradients. Measured by "
        "benchmarks/speed/gain.py in the same way, `lr_find` over the bare loop; every repeat is "
        "in benchmarks/recorded/overhead/gain.csv. It hangs on how much of a step its forward pass "
        "is; of a step of a millisecond, what a sweep sets up and puts back once is much too.", "",
        *gain.table(pd.read_csv(path)), "",
    ]  # fmt: skip


def read(path: Path) -> tuple[dict[str, Pairs], int, str]:
    """Return what a table and the note beside it hold: times, steps, and where they were taken."""
    steps, where = path.with_suffix(".txt").read_text("utf-8").split("\n", 1)
    table = pd.read_csv(path)
    times = {
        str(name): rows[["seconds", "bare_seconds"]].to_numpy()
        for name, rows in table.groupby("finder", sort=False)
    }
    return times, int(steps), where.strip()


def main() -> None:
    """Measure and write, or write alone."""
    parser = argparse.ArgumentParser(description="Cost of asking through each adapter")
    parser.add_argument("--repeats", type=int, default=overhead.REPEATS)
    parser.add_argument("--steps", type=int, default=overhead.STEPS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--page", action="store_true", help="write the page anew, nothing measured")
    asked = parser.parse_args()
    if not asked.page:
        as_measured()
        overhead.DATA = overhead.batches(asked.steps)
        times = measured(CONTESTANTS, asked.repeats)
        asked.table.parent.mkdir(parents=True, exist_ok=True)
        write(times, asked.table)
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        where = f"{cpu()}; Python {platform.python_version()}, {packages}."
        asked.table.with_suffix(".txt").write_text(f"{asked.steps}\n{where}\n", "utf-8")
    made = page(*read(asked.table), of_the_gain(asked.table.parent / "gain.csv"))
    print(made)
    if asked.table == TABLE:
        PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
