"""Writes an output folder's records as tables, to be judged on or handed on."""

import argparse
from pathlib import Path

from rich.console import Console

from lrsuggest.bench.commands.folder import output_folder, told
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.errors import UserError
from lrsuggest.evidence.joined import with_gains
from lrsuggest.evidence.tables import Tables


def export(args: argparse.Namespace, console: Console) -> int:
    """Write tasks.csv, sweeps.csv and runs.csv, and with lessons the four tables of those.

    Range tests that were run by themselves make gains.csv; `--join` puts it beside the tables in a
    folder that has the same tasks, and changes none of those.

    Args:
        args: suite, out, to, the folder for the tables, and join.
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
    if args.join:
        tables = Tables({"gains": with_gains(Tables.read(to), tables).texts["gains"]})
    tables.write(to)
    console.print(f"{tables.held} records written to {to}", highlight=False, markup=False)
    return told(story, console)
