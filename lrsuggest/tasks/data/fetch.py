"""Fetches the archives datasets.toml names: resumable, verified, unpacked where nothing can escape.

pooch would neither resume a download nor check these: fastai publishes the MD5 of an archive's
first MiB, pooch hashes whole files. So the standard library does both, and gzip's own checksum,
read through to the end, answers for the bytes the published one leaves out.
"""

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import Dataset
from lrsuggest.tasks.data.sources import Progress, no_progress

MIRROR = "LRSUGGEST_MIRROR"
_PUBLISHED = 2**20  # bytes that fastai's MD5 covers
_BLOCK = 2**18  # bytes
_PATIENCE = 60  # seconds without a byte
# Photographs hardly shrink and text shrinks tenfold; beyond this an archive is made to harm.
_TIMES = 50
_MOST_BYTES = 20 * 2**30
_MOST_MEMBERS = 2_000_000
_HEADERS = 2**20  # bytes beside the files' own that even a small archive may take


class FetchError(Exception):
    """A dataset did not come, by no mistake in the request; one sentence says what to do."""


class _RefusedError(Exception):
    """What came is not to be used; the text ends "is refused because it …"."""


@dataclass(frozen=True)
class Archive:
    """A published archive and its places on this machine.

    Attributes:
        name: the dataset.
        url: where it is fetched, at the mirror where there is one.
        size: in bytes.
        md5: of its first MiB, hexadecimal, as fastai publishes it.
        path: where the archive is kept.
        folder: what it is unpacked to; None for one that is read where it lies.
    """

    name: str
    url: str
    size: int
    md5: str
    path: Path
    folder: Path | None

    @property
    def part(self) -> Path:
        """Where the bytes wait until all have come."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def at_hand(self) -> Path | None:
        """Where a reader finds it, None if it is not there; goes by sizes, checks nothing."""
        if self.folder:
            return self.folder if self.folder.exists() else None
        there = self.path.exists() and self.path.stat().st_size == self.size
        return self.path if there else None

    def state(self) -> str:
        """Say where it is, how much of it has come, or no; goes by sizes, checks nothing."""
        if self.at_hand:
            return str(self.at_hand)
        if self.path.exists() and self.path.stat().st_size == self.size:
            return f"{self.path}, not yet unpacked"
        return f"{self.part.stat().st_size / self.size:.0%} of it" if self.part.exists() else "no"


def archive(entry: Dataset, root: Path) -> Archive:
    """Return a dataset's archive.

    Args:
        entry: the dataset.
        root: the folder of --data; need not exist yet.

    Raises:
        UserError: the dataset has no archive, or one that is no .tgz, or the variable
            LRSUGGEST_MIRROR is no url.
    """
    if entry.folder is None:
        raise UserError(f"{entry.name} needs no fetching; it comes with the package")
    if entry.url is None or entry.bytes is None or entry.md5 is None:
        raise UserError(
            f"{entry.name} has no archive to fetch; get it from {entry.source} and put it in "
            f"{root / entry.folder}"
        )
    if not entry.fetchable:
        raise UserError(
            f"fetch unpacks no {PurePosixPath(entry.url).suffix} archives; get {entry.url} and "
            f"unpack it to {root / entry.folder}"
        )
    file, mirror = entry.url.rpartition("/")[2], os.environ.get(MIRROR)
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UserError(f"{MIRROR} must begin with http:// or https://; got {mirror!r}")
    in_place = Path(entry.folder).parts[0] == "archives"
    return Archive(
        entry.name, f"{mirror.rstrip('/')}/{file}" if mirror else entry.url, entry.bytes, entry.md5,
        root / "archives" / file, None if in_place else root / entry.folder,
    )  # fmt: skip


def fetch(
    wanted: Archive, progress: Progress = no_progress, say: Callable[[str], None] = print
) -> str:
    """Download an archive, verify it and unpack it; what is there already is left as it is.

    An interrupt keeps the bytes that came, and the next call asks the server for the rest. Another
    process that fetches the same is waited for. A folder is there whole or not at all.

    Args:
        wanted: from `archive`.
        progress: called with the bytes that have come and those that are to come.
        say: called with a sentence where a person would wonder.

    Returns:
        What became of it, in words.

    Raises:
        FetchError: no network, no such file, not the published bytes, or an archive that would
            write outside its folder, make links or devices, or fill the disk.
    """
    try:
        if found := _found(wanted):
            return found
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(wanted, say):
            if found := _found(wanted):  # another process may have brought it meanwhile
                return found
            if wanted.path.exists() and (flaw := _flaw(wanted, wanted.path)):
                say(f"{wanted.path} is fetched anew because it {flaw}")
                wanted.path.unlink()
            if not wanted.path.exists():
                _download(wanted, progress)
            if wanted.folder:
                _unpack(wanted, wanted.folder)
        return f"fetched and verified: {wanted.folder or wanted.path}"
    except _RefusedError as why:
        raise FetchError(
            f"{wanted.name}: {wanted.url} is refused because it {why}; put {wanted.path.name} from "
            f"a source you trust at {wanted.path}"
        ) from None
    except (OSError, HTTPException) as error:
        kept = "; what came is kept for the next try" if wanted.part.exists() else ""
        raise FetchError(
            f"{wanted.name}: {wanted.url} was not fetched ({_reason(error)}){kept}; fetch it again "
            f"later, or put {wanted.path.name} at {wanted.path}"
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"{error.code} {error.reason}"
    if isinstance(error, URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _found(wanted: Archive) -> str | None:
    if wanted.folder:
        return f"there already: {wanted.folder}" if wanted.folder.exists() else None
    if wanted.path.exists() and not _flaw(wanted, wanted.path):
        return f"there already and verified: {wanted.path}"
    return None


@contextmanager
def _alone(wanted: Archive, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes out; the lock falls with the process that holds it, however it ends."""
    lock = FileLock(wanted.path.with_name(f".{wanted.path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{wanted.name} is being fetched by another process; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(wanted: Archive, progress: Progress) -> None:
    """Bring the archive to its place, whole and verified."""
    have = wanted.part.stat().st_size if wanted.part.exists() else 0
    try:
        if have < wanted.size:
            _receive(wanted, have, progress)
        if flaw := _flaw(wanted, wanted.part):
            raise _RefusedError(flaw)
    except _RefusedError:
        wanted.part.unlink(missing_ok=True)
        if not have:
            raise
        _download(wanted, progress)  # the bytes from before may be at fault: once more without
    else:
        os.replace(wanted.part, wanted.path)


def _receive(wanted: Archive, have: int, progress: Progress) -> None:
    """Append to the partial file what is missing of it."""
    request = Request(wanted.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(request, timeout=_PATIENCE)
    except HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        raise _RefusedError(f"has not even {have:,} of {wanted.size:,} bytes") from None
    with response:
        announced = response.headers["Content-Length"]
        if response.status == 206:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
            if given is None or int(given[1]) != have:
                raise _RefusedError("answers with other bytes than those asked for")
            announced = given[2]
        else:  # the server knows no ranges and sends everything
            have = 0
        if announced and int(announced) != wanted.size:
            # Perhaps a hotel's log-in page; what came before is not touched.
            raise OSError(f"it has {int(announced):,} bytes instead of {wanted.size:,}")
        _append(wanted, have, response, progress)


def _append(wanted: Archive, have: int, response: HTTPResponse, progress: Progress) -> None:
    with open(wanted.part, "ab") as file:
        file.truncate(have)
        progress(have, wanted.size)
        while block := response.read1(_BLOCK):
            file.write(block)
            have += len(block)
            if have > wanted.size:
                raise _RefusedError(f"has more than {wanted.size:,} bytes")
            progress(have, wanted.size)
    if have < wanted.size:
        raise ConnectionError(f"the connection broke off after {have:,} of {wanted.size:,} bytes")


def _flaw(wanted: Archive, path: Path) -> str | None:
    """Say what is wrong with a file's bytes, or None."""
    size = path.stat().st_size
    if size != wanted.size:
        return f"has {size:,} bytes instead of {wanted.size:,}"
    with open(path, "rb") as file:
        if hashlib.md5(file.read(_PUBLISHED), usedforsecurity=False).hexdigest() != wanted.md5:
            return f"differs from the published checksum {wanted.md5}"
    try:
        with _Bounded(path) as stream:
            while stream.read(_BLOCK):
                pass
    except (OSError, EOFError, zlib.error, _RefusedError) as error:
        return str(error) if isinstance(error, _RefusedError) else f"is damaged ({error})"
    return None


class _Bounded(gzip.GzipFile):
    """An archive that ends in an error before it fills the disk, or memory with endless headers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.most = min(_TIMES * path.stat().st_size, _MOST_BYTES)
        self._left = self.most + _HEADERS

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self._left -= len(block)
        if self._left < 0:
            raise _RefusedError(f"unpacks to more than {self.most:,} bytes")
        return block


def _unpack(wanted: Archive, folder: Path) -> None:
    """Unpack beside the folder and rename at the end; a single folder at the top is left out."""
    room = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(room, ignore_errors=True)  # left by a process that was killed
    try:
        room.mkdir(parents=True)
        with _Bounded(wanted.path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(room, _harmless(tar, stream.most), filter="data")
        tops = list(room.iterdir())
        os.rename(tops[0] if len(tops) == 1 and tops[0].is_dir() else room, folder)
    except (tarfile.TarError, _RefusedError) as error:
        wanted.path.unlink()  # it is as published and of no use
        if isinstance(error, _RefusedError):
            raise
        raise _RefusedError(f"cannot be unpacked ({error})") from None
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _harmless(tar: tarfile.TarFile, most: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members one by one, each before it is unpacked.

    Python's data filter would drop the slash of an absolute path and allow links that stay inside;
    a dataset needs neither.
    """
    total = 0
    for count, member in enumerate(tar, start=1):
        path = PureWindowsPath(member.name)  # knows both slashes, and drives
        if path.anchor or ".." in path.parts:
            raise _RefusedError(f"holds {member.name!r}, which points outside its folder")
        if not (member.isreg() or member.isdir()):
            raise _RefusedError(f"holds {member.name!r}, which is a link or a device")
        total += member.size
        if total > most:
            raise _RefusedError(f"unpacks to more than {most:,} bytes")
        if count > _MOST_MEMBERS:
            raise _RefusedError(f"holds more than {_MOST_MEMBERS:,} files")
        yield member
