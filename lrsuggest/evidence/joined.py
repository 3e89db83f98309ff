"""Range tests that were run by themselves, put beside the recorded tables of their tasks."""

import math

from lrsuggest.errors import UserError
from lrsuggest.evidence.cells import as_text
from lrsuggest.evidence.tables import COLUMNS, Tables


def with_gains(tables: Tables, more: Tables) -> Tables:
    """Return tables with the range tests that others have of the same tasks.

    Args:
        tables: what was recorded.
        more: range tests that were run by themselves.

    Raises:
        UserError: the others have none, or a task that is lacking here or of other data.
    """
    mine, other = (as_text(each.texts["tasks"]) for each in (tables, more))
    data = dict(zip(mine.task, mine.fingerprint, strict=True))
    first = [_first_losses(tables, "sweeps"), _first_losses(more, "gains")]
    for label, digest in zip(other.task, other.fingerprint, strict=True):
        # Files beside those that are read change a digest; the first loss tells.
        begin = list(zip(*(each.get(label, ()) for each in first), strict=False))
        alike = begin and all(math.isclose(a, b, rel_tol=1e-4) for a, b in begin)
        if digest and data.get(label) != digest and not (label in data and alike):
            lacks = "are of other data" if label in data else "lack it"
            raise UserError(
                f"range tests of the task {label!r} cannot be joined to the tables in "
                f"{tables.folder}, which {lacks}; export to another folder"
            )
    if more.texts.get("gains", "\n").count("\n") < 2:
        raise UserError("there is no range test with gains to join; run with --only sweeps")
    return Tables({**tables.texts, "gains": more.texts["gains"]}, tables.folder)


def _first_losses(tables: Tables, name: str) -> dict[str, list[float]]:
    """Return each task's first loss, whatever the rate, of the first seeds in their order."""
    table = as_text(tables.texts.get(name, ",".join(COLUMNS[name])))
    starts = table.assign(first=table.losses.str.split().str[0]).drop_duplicates(["task", "seed"])
    return {
        str(label): [float(x) for x in here.sort_values("seed")["first"]]
        for label, here in starts.groupby("task")
    }
