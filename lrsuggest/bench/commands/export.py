"""Writes an output folder's records as tables, to be judged on or handed on."""

import argparse
from pathlib import Path

from rich.console import Console

from lrsuggest.bench.commands.folder import output_folder, told
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.errors import UserError


def export(args: argparse.Namespace, console: Console) -> int:
    """Write tasks.csv, sweeps.csv and runs.csv, and with lessons the four tables of those.

    Args:
        args: suite, out and to, the folder for the tables.
        console: where to say what was written.

    Returns:
        1 where a planned run has no result, else 0.

    Raises:
        UserError: there is no record, or the folder holds records; nothing in it is changed.
    """
    out, to = output_folder(args), Path(args.to)
    plan = load_plan(out)
    if (to / "plan.json").is_file():
        raise UserError(f"{to} holds the records of a suite that was run; give --to another folder")
    tables, story, _ = to_tables(plan, Store(out), traces=False)
    if not tables.held:
        raise UserError(
            f"{story.kept} holds no result that can be read, so {to} is left as it is; run the "
            "suite first"
        )
    tables.write(to)
    console.print(f"{tables.held} records written to {to}", highlight=False, markup=False)
    return told(story, console)
