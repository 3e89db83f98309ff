"""Opens what readers need: a folder's files, or those inside a .tgz as it was published."""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.resident import Size

Progress = Callable[[int, int], None]  # (done, of): called after each image


def no_progress(done: int, of: int) -> None:
    """Tell nobody."""


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Open and decode an image, from its file or from the given bytes.

    Raises:
        UserError: it is missing or corrupt.
    """
    try:
        with Image.open(path if content is None else BytesIO(content)) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise UserError(f"the image {path} is missing; restore it from the archive") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"the image {path} is corrupt ({error}); restore it from the archive"
        ) from None


def pixels(image: Image.Image, size: Size, mode: str = "RGB") -> NDArray[np.uint8]:
    """Resize to (height, width) with antialiasing; returns (channels, height, width)."""
    resized = image.convert(mode).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(resized)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def lines(path: Path, encoding: str = "utf-8") -> list[str]:
    """Return a text file's lines without blanks.

    Raises:
        UserError: it is missing or no text.
    """
    try:
        return [line.strip() for line in path.read_text(encoding).splitlines() if line.strip()]
    except OSError:
        raise UserError(f"{path} is missing; restore it from the archive") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is no {encoding.upper()} text; restore it from the archive"
        ) from None


def contents(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name below the top, bytes) of every file of a folder or a .tgz, sorted by name.

    An archive is read where it lies, nothing is extracted; its top folder is left out of the names.

    Raises:
        UserError: the archive is damaged.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    held: list[tuple[str, bytes]] = []
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    held.append((member.name.partition("/")[2], file.read()))
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise UserError(f"{source} is damaged ({error}); fetch it again") from None
    yield from sorted(held)
