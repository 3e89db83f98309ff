"""datasets.toml as typed records, where each dataset lies, and its fingerprint."""

import hashlib
import os
import platform
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import msgspec

from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.files import atomic
from lrsuggest.resources import shipped
from lrsuggest.tasks.data.walk import below
from lrsuggest.vocabulary import Kind, Optimizer, RecordedSchedule

_NAME = re.compile(r"\w[\w-]*", re.ASCII)
_DIGEST = re.compile("[0-9a-f]{16}")
T = TypeVar("T")


class HandPicked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate a person chose, where it was published, and what it reached there.

    `lr` is the maximum rate, or (lowest, highest) of a slice over the layer groups.
    """

    lr: float | tuple[float, float]
    where: str
    reached: str | None = None

    @property
    def top(self) -> float:
        """The maximum rate."""
        return self.lr[1] if isinstance(self.lr, tuple) else self.lr

    @property
    def low(self) -> float:
        """The rate of the earliest layers; the maximum itself where there is no slice."""
        return self.lr[0] if isinstance(self.lr, tuple) else self.lr


class CourseStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training call of a course, and the rates people published for it.

    `network` is the course's, in words. Sizes are (height, width) in pixels, (tokens,) of texts,
    () of tables and where the page does not say; `batch` is in examples; what is None the page
    does not say. "partial" is gradual unfreezing, the last groups of layers trainable. `compare`
    is false where the course trained for another target, or another sort of network, than the
    dataset's entry does: such a rate is shown, and can be asked for by its number, but no task is
    compared with it unasked.
    """

    stage: Literal["frozen", "partial", "unfrozen", "finetune", "scratch"]
    network: str
    size: tuple[int, ...] = ()
    batch: int | None = None
    epochs: int | None = None
    schedule: RecordedSchedule = "one_cycle"
    weight_decay: float | None = None
    precision: Literal["fp32", "fp16"] = "fp32"
    hand_picked: tuple[HandPicked, ...] = ()
    compare: bool = True
    note: str | None = None


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of datasets.toml; `name` is its key there.

    Without a `reader` nothing can be trained on it yet, and model and optimizer say nothing.
    `stages` are the course's training calls, in its order; a stage may come more than once.
    `packages` are those whose versions say which data these are, "python" among them.
    `url`, `bytes` and `md5` are an archive's as fastai publishes them: the MD5 is that of its
    first 2**20 bytes.
    """

    title: str
    kind: Kind
    family: str
    source: str
    terms: str
    cite: str
    reader: str | None = None
    model: str = ""
    optimizer: Optimizer = "adamw"
    name: str = ""
    folder: str | None = None
    void: str | None = None
    synthetic: bool = False
    packages: tuple[str, ...] = ()
    stages: tuple[CourseStage, ...] = ()
    url: str | None = None
    bytes: int | None = None
    md5: str | None = None

    def picked(self, stage: str) -> tuple[HandPicked, ...]:
        """Return the hand-picked rates of the stages of this kind to compare with, in order."""
        return tuple(
            pick for each in self.stages if each.stage == stage and each.compare
            for pick in each.hand_picked
        )  # fmt: skip

    @property
    def fetchable(self) -> bool:
        """Whether `fetch` can bring and unpack its archive."""
        return self.url is not None and self.url.endswith(".tgz")

    def need_reader(self) -> str:
        """Return the name of the reader.

        Raises:
            UserError: there is none yet.
        """
        if self.reader is None:
            raise UserError(
                f"{self.name} has no reader yet; add one to lrsuggest/tasks/data/readers and "
                "name it in datasets.toml, or choose another dataset"
            )
        return self.reader


def read_toml(path: Path, kind: type[T]) -> T:
    """Decode a TOML file into a typed record.

    Raises:
        UserError: the file is missing, is no TOML, or holds an unknown or ill-typed key; the
            sentence gives the key's path.
    """
    try:
        text = decode(read_bytes(path), path, "save it in UTF-8")
        return msgspec.toml.decode(text, type=kind, strict=False)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{path}: {error}") from None


@cache
def datasets() -> dict[str, Dataset]:
    """Return every dataset by name."""
    return read_catalog(shipped("datasets.toml"))


def read_catalog(path: Path) -> dict[str, Dataset]:
    """Read a file like datasets.toml.

    Raises:
        UserError: it cannot be read, or a name in it leads out of its folder.
    """
    table = read_toml(path, dict[str, Dataset])
    for name, each in table.items():
        folder = PurePosixPath(each.folder or name)
        if not _NAME.fullmatch(name) or folder.is_absolute() or ".." in folder.parts:
            raise UserError(
                f"{path}: {name!r} and its folder {str(folder)!r} must be plain names below the "
                "data folder"
            )
    return {name: msgspec.structs.replace(each, name=name) for name, each in table.items()}


def dataset(name: str) -> Dataset:
    """Return one dataset.

    Raises:
        UserError: there is none of that name.
    """
    known = datasets()
    if name not in known:
        raise UserError(f"there is no dataset {name!r}; datasets.toml has {', '.join(known)}")
    return known[name]


def home(named: str | Path) -> Path:
    """Return a path with ~ written out.

    Raises:
        UserError: it begins with ~name, and nobody has that name.
    """
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise UserError(f"{named} begins with a user who is not known here; write it out") from None


def data_root(given: str | Path | None) -> Path | None:
    """Return the folder of --data, or of the variable LRSUGGEST_DATA, or None for neither.

    Raises:
        UserError: the folder is not there, or is none.
    """
    named = given or os.environ.get("LRSUGGEST_DATA")
    if not named:
        return None
    root = home(named)
    if root.is_file():
        raise UserError(
            f"{root} is a file; give --data (or LRSUGGEST_DATA) the folder that holds camvid11/, "
            "face_landmarks/ and so on"
        )
    if not root.is_dir():
        raise UserError(
            f"the data folder {root} does not exist; give --data (or LRSUGGEST_DATA) the folder "
            "that holds camvid11/, face_landmarks/ and so on"
        )
    return root


def locate(entry: Dataset, root: Path | None) -> Path | None:
    """Return the folder or archive of a dataset, or None for one that needs neither.

    Raises:
        UserError: it needs one that is not there.
    """
    if entry.folder is None:
        return None
    if root is None:
        raise UserError(f"{entry.name} needs data; give --data the folder that holds {entry.name}/")
    if not (root / entry.folder).exists():
        packed = [f"{entry.folder}{end}" for end in (".zip", ".tgz", ".tar.gz", ".tar")]
        for name in packed:
            if (root / name).exists():
                raise UserError(f"{root / entry.folder} does not exist; unpack {root / name} to it")
        how = (
            f"fetch it (python -m lrsuggest.bench fetch {entry.name} --data {root}),"
            if entry.fetchable
            else f"put {entry.title} there (from {entry.source})"
        )
        raise UserError(
            f"{root / entry.folder} does not exist; {how} or give --data another folder"
        )
    return root / entry.folder


def _installed(package: str) -> str:
    """Return "package-version".

    Raises:
        UserError: it is not installed.
    """
    try:
        found = platform.python_version() if package == "python" else version(package)
    except PackageNotFoundError:
        raise UserError(
            f"this dataset needs the package {package}: pip install 'lrsuggest[bench]'"
        ) from None
    return f"{package}-{found}"


def _stat(path: Path) -> os.stat_result:
    """Raises UserError where a file that was there a moment ago is gone."""
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _kept(path: Path) -> str | None:
    """Return a digest that was kept, None where there is none to be read."""
    try:
        known = path.read_text("ascii", "replace")
    except OSError:
        return None
    return known if _DIGEST.fullmatch(known) else None


def fingerprint(
    folder: Path | None, cache: Path | None = None, packages: Sequence[str] = ()
) -> str:
    """Return a digest of every file's relative path and bytes, 16 hexadecimal digits.

    The files are those that readers see (`walk`): links are followed, and what is hidden or an
    operating system's does not count. A dataset installed with a package has no folder; the names
    and versions of `packages` stand for it, or where it names none the word "packaged". With a
    cache folder the digest is kept there, for as long as every file is the same one of the same
    size and time of change.

    Raises:
        UserError: one of the packages is not installed, a file cannot be read, or the cache cannot
            be written to.
    """
    if folder is None:
        return "+".join(map(_installed, packages)) or "packaged"
    paths = below(folder)
    # A copy that keeps its time of writing, or a link to another folder, is still another file.
    stats = [
        (str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_dev, s.st_ino)
        for p in paths for s in [_stat(p)]
    ]  # fmt: skip
    listing = hashlib.blake2b(repr(stats).encode(), digest_size=8).hexdigest()
    kept = cache / f"{listing}.fingerprint" if cache else None
    if kept and (known := _kept(kept)):
        return known
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        digest.update(os.fsencode(path.relative_to(folder).as_posix()) + b"\0")
        try:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if kept:
        try:
            with atomic(kept) as file:
                file.write(digest.hexdigest().encode())
        except OSError as error:
            raise UserError(
                f"{kept} cannot be written ({error.strerror}); give another folder for the cache"
            ) from None
    return digest.hexdigest()
