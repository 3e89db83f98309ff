"""Files written whole, with a checksum beside them that tells when they were changed since."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only if the block ends well.

    Its bytes are on the disk before its name is; after a loss of power the file is the new one or
    the one before.
    """
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
