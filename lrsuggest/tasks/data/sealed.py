"""Files written whole, with a checksum beside them that tells when they were changed since."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lrsuggest.writing import atomic


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
