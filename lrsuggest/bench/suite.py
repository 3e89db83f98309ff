"""A suite: which datasets, stages, sizes, rates and seeds to measure."""

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
        counts = (entry.batch, entry.steps, entry.seeds, *(x for size in entry.sizes for x in size))
        if min(counts) < 1 or not entry.sizes:
            raise UserError(
                f"{path}: sizes, batch, steps and seeds must be at least 1 - at `$.entry[{index}]`"
            )
        if len(entry.rates) < 2 or min(entry.rates) <= 0 or len(set(entry.rates)) < 2:
            raise UserError(
                f"{path}: rates needs two or more different positive rates - at "
                f"`$.entry[{index}].rates`"
            )
    return suite
