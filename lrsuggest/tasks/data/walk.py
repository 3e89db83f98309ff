"""The files of a dataset's folder: what a reader reads and what a fingerprint sees are these."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from lrsuggest.errors import UserError

# What operating systems, file servers and programs leave in a folder, beside what begins with a
# dot: version control, notebooks' checkpoints, AppleDouble files (._x).
_LITTER = re.compile(
    r"""
      (eh)?thumbs(_vista)?(\ \(\d+\))?\.db | zbthumbnail\.info | desktop(\ \(\d+\))?\.ini
    | _?(ds_store|picasa\.ini) | icon\r | .*:(zone\.identifier|encryptable|.*\$data) | .*\.lnk
    | __macosx | __pycache__ | lost\+found | \$recycle\.bin | recycler | recycled
    | system\ volume\ information | found\.\d{3} | @eadir | @__thumb | [\#@~]recycle
    | [\#~@]snapshots? | _gsdata_ | network\ trash\ folder | temporary\ items | ~syncthing~.*
    | ~\$.* | .*~ | \#.*\# | .*\.sw[nop] | .*\.(crdownload|part|partial|download|!ut)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def hidden(name: str) -> bool:
    """Say whether a file or folder of this name is no data: hidden, or a system's or program's."""
    return name.startswith(".") or _LITTER.fullmatch(name) is not None


def walk(folder: Path) -> list[Path]:
    """Return the files below a folder in the order of their paths; links are followed.

    What is hidden or an operating system's is left out. A link that leads back to a folder it lies
    in adds no file and is left out too.

    Raises:
        UserError: a link leads nowhere, a folder cannot be looked into, or something is no file.
    """
    return sorted(path for path, is_file in _below(folder, ()) if is_file)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders below a folder, as `walk` sees them, in the order of their paths.

    Raises:
        UserError: as `walk`.
    """
    return sorted(path for path, is_file in _below(folder, ()) if not is_file)


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, bool]]:
    """Yield (path, whether it is a file); `above` are the folders that lead here."""
    try:
        known = folder.stat()
        above = (*above, (known.st_dev, known.st_ino))
        listed = os.listdir(folder)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from None
    for name in listed:
        path = folder / name
        if name.startswith(".") and name.endswith(".icloud"):
            raise UserError(f"{path} stands for a file that is in iCloud only; download it")
        if hidden(name):
            continue
        try:
            found = path.stat()
        except OSError as error:
            what = "link that leads nowhere" if path.is_symlink() else "file that cannot be read"
            raise UserError(
                f"{path} is a {what} ({error.strerror}); restore what it stands for or take it away"
            ) from None
        if stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) not in above:
                yield path, False
                yield from _below(path, above)
        elif stat.S_ISREG(found.st_mode):
            yield path, True
        else:
            raise UserError(
                f"{path} is a pipe, a socket or a device, and no file; take it out of the data"
            )


def below(source: Path) -> list[Path]:
    """Return the file itself, or the files below a folder (see `walk`).

    Raises:
        UserError: as `walk`.
    """
    return [source] if source.is_file() else walk(source)
