"""Files written whole or not at all, and those with a checksum that tells of later changes."""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lrsuggest.errors import UserError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only if the block ends well.

    Its bytes are on the disk before its name is; after a loss of power the file is the new one or
    the one before. A link stays one, and what it leads to is written.

    Raises:
        OSError: the file cannot be written; if it is a folder, before the block.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
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


@contextlib.contextmanager
def output(path: str | Path, *, folders: bool = False) -> Iterator[BinaryIO]:
    """Open a file that a person named for what they asked for; what was there stays till the end.

    A pipe or a device, such as /dev/stdout, is written to as it is.

    Args:
        path: the file.
        folders: whether those it lies in are made where they are missing.

    Raises:
        UserError: it cannot be written; told before the block where it can be known.
    """
    path = Path(path)
    foreign: OSError | None = None  # about another file, which the block read
    try:
        if not folders:
            os.stat(path.absolute().parent)
        special = path.exists() and not path.is_file() and not path.is_dir()
        with open(path, "wb") if special else atomic(path) as file:
            try:
                yield file
            except OSError as error:
                foreign = error if error.filename else None
                raise
    except OSError as error:
        if error is foreign:
            raise
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def sealed(path: Path) -> Iterator[BinaryIO]:
    """As `atomic`, and leave the checksum in a file beside it."""
    seal = _seal(path)
    seal.unlink(missing_ok=True)  # killed after this, there is an old file or a new one, unsealed
    with atomic(path) as file:
        yield file
    digest = _digest(path)
    with atomic(seal) as file:
        file.write(digest.encode())


def intact(path: Path) -> bool:
    """Say whether a file is there and, where it has a checksum, as it was written.

    Files of earlier versions have none; those are taken as they are.
    """
    seal = _seal(path)
    try:
        return path.is_file() and (not seal.exists() or seal.read_bytes() == _digest(path).encode())
    except OSError:
        return False


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.blake2b")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
