"""Every reader: import `read` from here to have them all registered."""

from importlib import import_module
from pathlib import Path

import numpy as np

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.registry import PICTURES, READERS, Reader
from lrsuggest.tasks.data.resident import Resident, Size, Split
from lrsuggest.tasks.data.sources import Progress, no_progress

__all__ = ["READERS", "read"]

for _home in ("images", "points", "folders", "texts", "tables", "packaged"):
    import_module(f"lrsuggest.tasks.data.readers.{_home}")


def read(
    name: str,
    source: Path | None,
    size: Size,
    progress: Progress = no_progress,
    split: Split = "valid",
) -> Resident:
    """Read a dataset with the reader that datasets.toml names, from its folder or archive.

    With split "test" the examples marked `valid` are those of a test split, which few have.

    Raises:
        UserError: there is no such reader, or the data are not as it expects.
    """
    chosen = READERS.get(name)
    if chosen is None:
        raise UserError(f"there is no reader {name!r}; use {', '.join(READERS)}")
    if split not in chosen.splits:
        raise UserError(f"the reader {name} knows of no {split} split; ask for valid")
    _check_size(chosen, size)
    if chosen.source and source is None:
        raise UserError(f"the reader {name} needs a folder; give --data")
    several = {"split": split} if len(chosen.splits) > 1 else {}
    data = chosen.read(source, size, progress, **several)
    if data.valid.all() or not data.valid.any():
        lacking = "training" if data.valid.all() else "validation"
        raise UserError(f"{source} leaves nothing for {lacking}; mend its list of valid examples")
    if data.targets.ndim == 1 and len(data.classes) == 1:
        raise UserError(
            f"{source or name} has one class only, {data.classes[0]!r}; classification needs two"
        )
    for what, values in (("inputs", data.inputs), ("targets", data.targets)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(f"the {what} of {source or name} are not all finite; mend its files")
    return data


def _check_size(chosen: Reader, size: Size) -> None:
    """Refuse a size of which the reader could not take its height and width, or its length."""
    if chosen.size is None or len(size) == chosen.size:
        return
    pictures = chosen.size == PICTURES
    wanted = "[[height, width]] in pixels" if pictures else "[[length]] in tokens"
    raise UserError(
        f"the reader {chosen.name} needs sizes = {wanted}; the suite gives {list(size) or 'none'}"
    )
