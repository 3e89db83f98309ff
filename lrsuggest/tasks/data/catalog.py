"""datasets.toml as typed records, where each dataset lies, and its fingerprint."""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from lrsuggest.errors import UserError
from lrsuggest.resources import shipped

T = TypeVar("T")
Kind = Literal["classification", "segmentation", "points", "regression", "language"]


class HandPicked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate a person chose, for which stage, and where it was published.

    `lr` is the maximum rate, or (lowest, highest) of a slice over the layer groups.
    """

    stage: str
    lr: float | tuple[float, float]
    where: str

    @property
    def top(self) -> float:
        """The maximum rate."""
        return self.lr[1] if isinstance(self.lr, tuple) else self.lr


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of datasets.toml; `name` is its key there.

    `url`, `bytes` and `md5` are an archive's as fastai publishes them: the MD5 is that of its
    first 2**20 bytes.
    """

    title: str
    kind: Kind
    family: str
    reader: str
    model: str
    optimizer: Literal["adamw", "adam", "sgd"]
    source: str
    terms: str
    cite: str
    name: str = ""
    folder: str | None = None
    void: str | None = None
    synthetic: bool = False
    hand_picked: tuple[HandPicked, ...] = ()
    url: str | None = None
    bytes: int | None = None
    md5: str | None = None


def pretrained(model: str) -> bool:
    """Say whether a model of datasets.toml has a pretrained body."""
    return model.partition("/")[0] in ("unet", "unet_norm", "cnn_head")


def read_toml(path: Path, kind: type[T]) -> T:
    """Decode a TOML file into a typed record.

    Raises:
        UserError: the file is missing, is no TOML, or holds an unknown or ill-typed key; the
            sentence gives the key's path.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind, strict=False)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None


@cache
def datasets() -> dict[str, Dataset]:
    """Return every dataset by name."""
    table = read_toml(shipped("datasets.toml"), dict[str, Dataset])
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


def data_root(given: str | Path | None) -> Path | None:
    """Return the folder of --data, or of the variable LRSUGGEST_DATA, or None for neither.

    Raises:
        UserError: the folder is not there.
    """
    named = given or os.environ.get("LRSUGGEST_DATA")
    if not named:
        return None
    root = Path(named).expanduser()
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
        raise UserError(
            f"{root / entry.folder} does not exist; put {entry.title} there "
            f"(from {entry.source}) or give --data another folder"
        )
    return root / entry.folder


def fingerprint(folder: Path | None, cache: Path | None = None) -> str:
    """Return a digest of every file's relative path and bytes, 16 hexadecimal digits.

    A dataset installed with a package has no folder and the digest "packaged". With a cache
    folder the digest is kept there, for as long as no file's size or time of change differs.
    """
    if folder is None:
        return "packaged"
    paths = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    stats = [(str(p), s.st_size, s.st_mtime_ns) for p in paths for s in [p.stat()]]
    listing = hashlib.blake2b(repr(stats).encode(), digest_size=8).hexdigest()
    kept = cache / f"{listing}.fingerprint" if cache else None
    if kept and kept.exists():
        return kept.read_text("ascii")
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(digest.hexdigest(), "ascii")
    return digest.hexdigest()
