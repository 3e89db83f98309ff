"""Before anything runs: where a dataset lies, and its files read and resized once."""

from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lrsuggest.bench.jobs.store import writing
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import Dataset, fingerprint, locate
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.synthetic import write_street
from lrsuggest.tasks.data.resident import Resident, Split, cached


def bars(console: Console) -> Progress:
    """Progress bars with counts and the time left; nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
    )  # fmt: skip


def folder_of(which: Dataset, root: Path | None, out: Path) -> Path | None:
    """Return where a dataset lies; a drawn one is drawn first.

    Raises:
        UserError: it is not there, or cannot be drawn.
    """
    if which.synthetic:
        folder = out / "data" / which.name
        if not (folder / "codes.txt").exists():
            with writing(folder):
                write_street(folder)
        return folder
    return locate(which, root)


def prepare(
    which: Dataset,
    folder: Path | None,
    size: tuple[int, ...],
    path: Path,
    progress: Progress,
    split: Split = "valid",
) -> Resident:
    """Read and resize a dataset once, unless that was done before; returns it.

    Args:
        which: the dataset.
        folder: where it lies; None for one that comes with a package.
        size: (height, width) of images, (tokens,) of texts, () of tables.
        path: where the prepared data are kept, by `data_file`'s name, which holds the fingerprint.
        progress: bars.
        split: whose examples are marked for validation.

    Raises:
        UserError: the data are damaged, lack what the task needs or were changed while they were
            read, or there is no room for them.
    """

    def make() -> Resident:
        bar = progress.add_task(f"reading {which.name} {'x'.join(map(str, size))}", total=None)

        def tell(done: int, of: int) -> None:
            progress.update(bar, completed=done, total=of)

        data = read(which.need_reader(), folder, size, tell, split)
        if which.void and which.void not in data.classes:
            raise UserError(
                f"{folder}/codes.txt must name {which.void}, which the metric leaves out"
            )
        if folder and fingerprint(folder, path.parent, which.packages) not in path.name:
            raise UserError(
                f"{folder} was changed while it was read; give the same command again when it is "
                "at rest"
            )
        return data

    with writing(path):
        return cached(path, make)
