"""A suite: which datasets, stages, sizes, rates and seeds to measure."""

import math
from pathlib import Path
from typing import Literal

import msgspec

from lrsuggest.errors import UserError
from lrsuggest.resources import shipped
from lrsuggest.tasks.data.catalog import dataset, read_toml


class Sweep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The range test before each response: rates, optimizer steps, and how often."""

    start: float = 1e-7
    end: float = 10.0
    steps: int = 100
    seeds: int = 2


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dataset at one stage: every size x rate x seed is a one-cycle run.

    Sizes are (height, width) in pixels, `batch` is in examples, `steps` in optimizer steps.
    """

    dataset: str
    stage: Literal["frozen", "finetune", "scratch"]
    sizes: tuple[tuple[int, int], ...]
    batch: int
    steps: int
    rates: tuple[float, ...]
    seeds: int = 2
    precision: Literal["fp32"] = "fp32"
    only: Literal["with data", "without data"] | None = None


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TOML file in benchmarks/, or one of the user's own."""

    title: str
    entry: tuple[Entry, ...]
    sweep: Sweep = Sweep()
    limit_s: float = 600.0


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(path.stem for path in shipped("benchmarks").glob("*.toml"))


def load(name: str) -> Suite:
    """Load a shipped suite by name, or a file that ends in .toml.

    Raises:
        UserError: there is none, or it holds an unknown key, dataset or value.
    """
    path = Path(name) if name.endswith(".toml") else shipped("benchmarks") / f"{name}.toml"
    if not name.endswith(".toml") and name not in suite_names():
        raise UserError(
            f"there is no suite {name!r}; choose {', '.join(suite_names())}, or give a .toml file"
        )
    suite = read_toml(path, Suite)
    for index, entry in enumerate(suite.entry):
        try:
            dataset(entry.dataset)
        except UserError as error:
            raise UserError(f"{path}: {error} - at `$.entry[{index}].dataset`") from None
        _check(entry, f"{path}: ", f" - at `$.entry[{index}]`")
    sweep = suite.sweep
    if not (0 < sweep.start < sweep.end < math.inf and sweep.steps >= 2 and sweep.seeds >= 1):
        raise UserError(
            f"{path}: a sweep needs 0 < start < end, two or more steps and a seed - at `$.sweep`"
        )
    return suite


def _check(entry: Entry, before: str, after: str) -> None:
    """Refuse an entry whose runs could only fail.

    Raises:
        UserError: a value is out of range, or stage and model do not go together.
    """
    counts = (entry.batch, entry.steps, *(x for size in entry.sizes for x in size))
    if min(counts) < 1 or not entry.sizes:
        raise UserError(f"{before}sizes, batch and steps must be at least 1{after}")
    if entry.seeds < 2:
        raise UserError(f"{before}seeds must be at least 2, for regret needs two halves{after}")
    if len(set(entry.rates)) < 2 or not all(0 < rate < math.inf for rate in entry.rates):
        raise UserError(f"{before}rates needs two or more different positive rates{after}")
    has_body = "/" in dataset(entry.dataset).model
    if has_body is (entry.stage == "scratch"):
        fitting = "frozen or finetune" if has_body else "scratch"
        raise UserError(f"{before}the model of {entry.dataset} wants stage {fitting}{after}")
