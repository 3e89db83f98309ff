"""Downloads datasets, or says which there are."""

import argparse
import os
import sys

from rich import progress
from rich.console import Console
from rich.table import Table

from lrsuggest.tasks.data import fetch as data
from lrsuggest.tasks.data.catalog import dataset, datasets, home


def fetch(args: argparse.Namespace, console: Console) -> int:
    """Fetch what is named, or say what could be.

    Args:
        args: names, and data, the folder to put it in.
        console: where to say what came.

    Returns:
        1 where a dataset did not come, else 0.
    """
    given = getattr(args, "data", None) or os.environ.get("LRSUGGEST_DATA")
    root = home(given or "data")
    if not args.names:
        table = Table("dataset", "what", "MB", "terms", "at hand", box=None)
        for each in datasets().values():
            if each.fetchable:
                wanted = data.archive(each, root)
                size = f"{wanted.size / 1e6:.2f}"
                table.add_row(each.name, each.title, size, each.terms, wanted.state())
        console.print(table)
        return 0
    wanted_all = [data.archive(dataset(name), root) for name in args.names]
    status = 0
    columns = (
        "{task.description}", progress.BarColumn(), progress.DownloadColumn(),
        progress.TransferSpeedColumn(), "left", progress.TimeRemainingColumn(),
    )  # fmt: skip
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        for wanted in wanted_all:
            bar = bars.add_task(wanted.name, visible=False)

            def show(done: int, of: int, bar: progress.TaskID = bar) -> None:
                bars.update(bar, completed=done, total=of, visible=True)

            def say(text: str) -> None:
                console.print(text, highlight=False, markup=False)

            try:
                say(f"{wanted.name}: {data.fetch(wanted, show, say)}")
            except data.FetchError as error:
                print(f"lrsuggest: {error}", file=sys.stderr)
                status = 1
    if not given and status == 0:
        say(f"give the other commands --data {root}")
    return status
