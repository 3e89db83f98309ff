"""Data read once, resized once, kept as small as they come in memory and on disk."""

import contextlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrsuggest.files import intact, sealed

# What reading an archive of arrays may raise, by the libraries that do it.
_DAMAGE = (
    OSError, ValueError, LookupError, EOFError, TypeError, ArithmeticError, MemoryError,
    RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_LENGTHS = 26  # bytes of a ZIP entry's own header before the lengths of its name and extra field

Split = Literal["valid", "test"]
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


def cached(path: Path, read: Callable[[], Resident]) -> Resident:
    """Return what lies at `path`, or read the data and leave them there for the next time.

    Images are not copied into memory: all processes that use them share the file's pages. A file
    that was changed or damaged since it was written is made anew.
    """
    if intact(path):
        with contextlib.suppress(_DamagedError):
            return _load(path)
    data = read()
    with sealed(path) as file:
        np.savez(
            file,
            inputs=data.inputs,
            targets=data.targets,
            valid=data.valid,
            classes=np.array(data.classes, dtype=str),
            mirror=np.array(data.mirror, dtype=np.int64),
        )
    return data


class _DamagedError(ValueError):
    """This file holds no prepared data."""


def _load(path: Path) -> Resident:
    try:
        with zipfile.ZipFile(path) as archive:
            inputs, targets, valid, classes, mirror = (
                _array(archive, path, name)
                for name in ("inputs", "targets", "valid", "classes", "mirror")
            )
    except _DAMAGE as error:
        raise _DamagedError(str(error)) from None
    return Resident(inputs, targets, valid, tuple(classes.tolist()), tuple(mirror.tolist()))


def _array(archive: zipfile.ZipFile, path: Path, name: str) -> NDArray[Any]:
    """Read an array of an .npz, bytes by mapping the file, which numpy does for .npy only."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        major = np.lib.format.read_magic(file)[0]
        header = "read_array_header_1_0" if major == 1 else "read_array_header_2_0"
        shape, fortran, dtype = getattr(np.lib.format, header)(file)
        begin = file.tell()
    if dtype != np.uint8 or fortran or info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            return array
    with open(path, "rb") as raw:
        raw.seek(info.header_offset + _LENGTHS)
        begin += sum(struct.unpack("<HH", raw.read(4)))
    # Copy on write: torch wants memory that may be written to, and nobody writes.
    return np.memmap(path, dtype, "c", info.header_offset + _LENGTHS + 4 + begin, shape)
