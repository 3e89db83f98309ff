"""Which folder a command means, and how many of its planned runs have a result."""

import argparse
from pathlib import Path

from rich.console import Console

from lrsuggest.errors import UserError
from lrsuggest.report.about import Story


def holds_tables(folder: Path) -> bool:
    """Say whether a folder holds tables that `export` wrote, and no records they were made of."""
    return (folder / "tasks.csv").is_file() and not (folder / "plan.json").is_file()


def output_folder(args: argparse.Namespace) -> Path:
    """Return the output folder that `report` or `export` reads.

    It is the one after --out; without that the one that `suite` names, or reports/SUITE.

    Raises:
        UserError: what is named is another thing.
    """
    name = args.suite or "quick"
    out = getattr(args, "out", None)
    if out:
        return Path(out)
    where = Path(name)
    if (where / "plan.json").is_file():  # wherever it lies
        return where
    if (where / "tasks.csv").is_file():
        raise UserError(
            f"{name} holds exported tables and no records; give the output folder of a suite "
            "that was run"
        )
    if where.is_file() and where.suffix != ".toml":
        raise UserError(f"{name} is a file; give the folder it lies in, or a suite")
    if where.is_dir() and len(where.parts) > 1:
        raise UserError(
            f"{name} holds neither plan.json nor tasks.csv; give the output folder of a suite "
            "that was run, or a folder of exported tables"
        )
    return Path("reports") / where.stem


def told(story: Story, console: Console) -> int:
    """Say how many planned runs have a result; returns 1 where one has none, else 0."""
    console.print(
        f"{story.measured} of {story.planned} planned runs have a result", highlight=False
    )
    return 1 if story.failed else 0
