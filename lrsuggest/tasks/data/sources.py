"""Opens what readers need: a folder's files, or those inside a .tgz as it was published."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image

from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError, printable
from lrsuggest.tasks.data.archives import unpacked
from lrsuggest.tasks.data.formats import is_picture
from lrsuggest.tasks.data.pictures import open_binary, open_image, open_mask, pixels
from lrsuggest.tasks.data.walk import below, subfolders

__all__ = ["Files", "Progress", "contents", "lines", "no_progress", "open_image", "pixels"]

Progress = Callable[[int, int], None]  # (done, of): called after each image
_RESTORE = "restore it from the archive"
_HEAD = 256  # bytes that tell what a file is


def no_progress(done: int, of: int) -> None:
    """Tell nobody."""


def lines(path: Path, encoding: str = "utf-8") -> list[str]:
    """Return a text file's lines without blanks.

    Raises:
        UserError: it is missing or no text.
    """
    return _lines(read_file(path), path, encoding)


def _lines(content: bytes, where: Path, encoding: str) -> list[str]:
    text = decode(content, where, _RESTORE, encoding)
    # Only a newline ends a line: splitlines would cut at a form feed or a U+2028 inside one, too.
    return [line.strip() for line in text.split("\n") if line.strip()]


def read_file(path: Path, mend: str = _RESTORE) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {mend}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {mend}") from None


def contents(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name below the top, bytes) of every file of a folder or a .tgz, sorted by name.

    An archive is read where it lies, nothing is extracted; a top folder that all its files share
    is left out of the names. What is hidden or an operating system's is left out (see `walk`).

    Raises:
        UserError: the archive is damaged, or a file of the folder cannot be read.
    """
    files = Files(source)
    for name in files:
        yield name, files.content(name)


class Files(Mapping[str, Path]):
    """The files of a dataset by name below its top: those of a folder, or inside a .tgz.

    A name that was typed into a list is found as a person meant it: with backslashes, with ./
    before it, or with its accents spelt the other way (a Mac's NFD, elsewhere NFC).
    """

    def __init__(self, source: Path) -> None:
        """List a folder, or read an archive whole.

        Raises:
            UserError: the archive is damaged, or the folder cannot be walked.
        """
        self.source = source
        self._held: dict[str, bytes | None]
        self._folders: set[str] = set()
        if source.is_dir():
            self._held = {path.relative_to(source).as_posix(): None for path in below(source)}
        else:
            held, self._folders = unpacked(source)
            self._held = dict(sorted(held.items()))
        self._spelt: dict[str, list[str]] = {}
        for name in self._held:
            self._spelt.setdefault(unicodedata.normalize("NFC", name), []).append(name)

    def __getitem__(self, name: str) -> Path:
        """Return what a sentence calls a file; in a folder it is the file's path."""
        return self.source / name

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def folders(self) -> list[str]:
        """Return the names of the folders, empty ones too, sorted.

        Raises:
            UserError: the folder cannot be walked.
        """
        if not self.source.is_dir():
            return sorted(self._folders)
        return [each.relative_to(self.source).as_posix() for each in subfolders(self.source)]

    def find(self, written: str, folder: str = "") -> str | None:
        """Return the file that a list in this dataset means, or None for none.

        Args:
            written: as it stands in the list, with or without the folder.
            folder: where the files of that list lie.

        Raises:
            UserError: two files differ only in how their accents are spelt.
        """
        meant = PurePosixPath(written.strip().replace("\\", "/"))  # drops "./"
        for place in (PurePosixPath(folder) / meant, meant):
            name = place.as_posix()
            if name in self._held and name.startswith(folder):
                return name
            found = self._spelt.get(unicodedata.normalize("NFC", name), [])
            if len(found) > 1:
                raise UserError(
                    f"{self.source} has two files {name!r} whose accents are spelt differently; "
                    "leave one of them"
                )
            if found and name.startswith(folder):
                return found[0]
        return None

    def content(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UserError: it is missing or cannot be read.
        """
        if name not in self._held:
            raise UserError(f"{self[name]} is missing; {_RESTORE}")
        held = self._held[name]
        return read_file(self[name]) if held is None else held

    def text(self, name: str, encoding: str = "utf-8") -> str:
        """Return a file's text; raises UserError where it is missing or no text."""
        return decode(self.content(name), self[name], _RESTORE, encoding)

    def lines(self, name: str, encoding: str = "utf-8") -> list[str]:
        """Return a file's lines without blanks; raises UserError where it is missing or no text."""
        return _lines(self.content(name), self[name], encoding)

    def image(self, name: str, *, upright: bool = False) -> Image.Image:
        """Open and decode a picture (see `open_image`)."""
        return open_image(self[name], self._picture(name), upright=upright)

    def mask(self, name: str) -> Image.Image:
        """Open and decode a mask (see `open_mask`)."""
        return open_mask(self[name], self._picture(name))

    def binary(self, name: str) -> Image.Image:
        """Open and decode a mask of one class and its background (see `open_binary`)."""
        return open_binary(self[name], self._picture(name))

    def is_picture(self, name: str) -> bool:
        """Say whether a file is a picture (see `formats.is_picture`)."""
        held = self._held[name]
        return is_picture(self[name], lambda: _head(self[name]) if held is None else held)

    def _picture(self, name: str) -> bytes:
        if name not in self._held:
            raise UserError(f"the image {self[name]} is missing; {_RESTORE}")
        return self.content(name)

    def pictures(self, folder: str) -> list[str]:
        """Return the names of the pictures that lie in a folder itself, sorted.

        Raises:
            UserError: one is of a format that is not read.
        """
        return [
            name for name in self._held
            if PurePosixPath(name).parent == PurePosixPath(folder) and self.is_picture(name)
        ]  # fmt: skip


def _head(path: Path) -> bytes:
    """Return a file's first bytes, none where it cannot be read."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as f:
            return f.read(_HEAD) or b""
    except OSError:
        return b""


def shown(name: str) -> str:
    """Return a name as it can be printed: bytes that are no text are spelt out, accents joined."""
    return unicodedata.normalize("NFC", printable(name))
