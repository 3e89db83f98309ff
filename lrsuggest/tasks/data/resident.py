"""Data read once, resized once, kept as small as they come in memory and on disk."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, ...]  # (height, width) of images, (tokens,) of texts, () of tables


@dataclass(frozen=True, eq=False)
class Resident:
    """A dataset at one size.

    Attributes:
        inputs: images, shape (n, channels, height, width), uint8; rows of a table (n, columns),
            float32; or numbers of words, users, films (n, length), int64.
        targets: masks (n, height, width) uint8; points (n, k, 2) float32, x and y in pixels of
            the resized image, a pixel's centre at whole numbers; classes (n,) or next tokens
            (n, length), int64; or values (n, 1) float32.
        valid: shape (n,), True for the validation split.
        classes: the names of the classes, or the tokens of a running text; () for points and
            values.
        mirror: for points, the index each one takes when the image is flipped, so that a left
            eye stays a left eye; () elsewhere.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    valid: NDArray[np.bool_]
    classes: tuple[str, ...] = ()
    mirror: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its images in pixels."""
        return self.inputs.shape[2], self.inputs.shape[3]


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            # mkstemp makes a private file; the result is to be as readable as any other.
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(handle, 0o666 & ~mask)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def cached(path: Path, read: Callable[[], Resident]) -> Resident:
    """Return what lies at `path`, or read the data and leave them there for the next time."""
    if path.exists():
        with np.load(path, allow_pickle=False) as held:
            return Resident(
                held["inputs"],
                held["targets"],
                held["valid"],
                tuple(held["classes"].tolist()),
                tuple(held["mirror"].tolist()),
            )
    data = read()
    with atomic(path) as file:
        np.savez(
            file,
            inputs=data.inputs,
            targets=data.targets,
            valid=data.valid,
            classes=np.array(data.classes, dtype=str),
            mirror=np.array(data.mirror, dtype=np.int64),
        )
    return data
