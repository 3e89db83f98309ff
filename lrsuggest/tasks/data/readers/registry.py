"""One reader per on-disk layout: a folder and a size in, resident arrays out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.folders import read_folders, read_isbi
from lrsuggest.tasks.data.readers.images import read_camvid, read_camvid_tiny, read_digits
from lrsuggest.tasks.data.readers.packaged import packaged, read_packaged
from lrsuggest.tasks.data.readers.points import read_biwi, read_face_landmarks
from lrsuggest.tasks.data.readers.tables import read_movielens, read_table, tables
from lrsuggest.tasks.data.readers.texts import (
    labelled,
    read_human_numbers,
    read_labelled,
    read_shakespeare,
)
from lrsuggest.tasks.data.resident import Resident, Size, Split
from lrsuggest.tasks.data.sources import Progress


def read(
    reader: str, source: Path | None, size: Size, progress: Progress, split: Split = "valid"
) -> Resident:
    """Read a dataset with the reader that datasets.toml names, from its folder or archive.

    With split "test" the examples marked `valid` are those of a test split, which few have.

    Raises:
        UserError: there is no such reader, or the data are not as it expects.
    """
    if split == "test" and reader != "camvid":
        raise UserError(f"the reader {reader} knows of no test split; ask for valid")
    _check_size(reader, size)
    data = _read(reader, source, size, progress, split)
    if data.valid.all() or not data.valid.any():
        lacking = "training" if data.valid.all() else "validation"
        raise UserError(f"{source} leaves nothing for {lacking}; mend its list of valid examples")
    if data.targets.ndim == 1 and len(data.classes) == 1:
        raise UserError(
            f"{source or reader} has one class only, {data.classes[0]!r}; classification needs two"
        )
    for what, values in (("inputs", data.inputs), ("targets", data.targets)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(f"the {what} of {source or reader} are not all finite; mend its files")
    return data


def _check_size(reader: str, size: Size) -> None:
    """Refuse a size of which the reader could not take its height and width, or its length."""
    texts = reader in labelled() or reader in _RUNNING
    pictures = reader in _IMAGES or reader in ("camvid", "grey_folders", "digits")
    if (texts and len(size) != 1) or (pictures and len(size) != 2):
        wanted = "[[length]] in tokens" if texts else "[[height, width]] in pixels"
        raise UserError(
            f"the reader {reader} needs sizes = {wanted}; the suite gives {list(size) or 'none'}"
        )


def _read(
    reader: str, source: Path | None, size: Size, progress: Progress, split: Split
) -> Resident:
    if reader == "digits":
        return read_digits(source, size, progress)
    if reader in packaged():
        return read_packaged(reader, size)
    if reader in tables():
        return read_table(reader, source)
    if source is None:
        raise UserError(f"the reader {reader} needs a folder")
    if reader in labelled():
        return read_labelled(reader, source, size[0])
    if reader == "movielens":
        return read_movielens(source)
    if reader in _RUNNING:
        return _RUNNING[reader](source, size[0])
    if reader == "grey_folders":
        return read_folders(source, size, progress, mode="L")
    if reader == "camvid":
        return read_camvid(source, size, progress, split)
    if reader in _IMAGES:
        return _IMAGES[reader](source, size, progress)
    known = ("camvid", *_IMAGES, "grey_folders", *_RUNNING, *labelled(), *tables(), *packaged(),
             "movielens", "digits")  # fmt: skip
    raise UserError(f"there is no reader {reader!r}; use {', '.join(known)}")


_IMAGES: dict[str, Callable[[Path, Size, Progress], Resident]] = {
    "face_landmarks": read_face_landmarks, "biwi": read_biwi,
    "folders": read_folders, "isbi": read_isbi, "camvid_tiny": read_camvid_tiny,
}  # fmt: skip
_RUNNING = {"shakespeare": read_shakespeare, "human_numbers": read_human_numbers}
