"""The files of a dataset's folder: what a reader reads and what a fingerprint sees are these."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from lrsuggest.errors import UserError

# What operating systems, file servers and programs leave in a folder, beside what begins with a
# dot: version control, notebooks' checkpoints, AppleDouble files (._x). A class may have nearly any
# name, so that of folders only what can be nothing else is left out, and what a system keeps at a
# drive's top only there.
_FILES = re.compile(
    r"""
      (eh)?thumbs(_vista)?(\ \(\d+\))?\.db | zbthumbnail\.info | desktop(\ \(\d+\))?\.ini
    | _?(ds_store|picasa\.ini) | icon\r | .*:(zone\.identifier|encryptable|.*\$data) | .*\.lnk
    | ~syncthing~.* | ~\$.* | .*~ | \#.*\# | .*\.sw[nop]
    | .*\.(crdownload|part|partial|download|!ut)
    | .*\.(pth|pt|ckpt|safetensors|pkl|pickle|pyc) | events\.out\.tfevents\..* | history\.csv
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_FOLDERS = re.compile(
    r"""
      __macosx | __pycache__ | \$recycle\.bin | system\ volume\ information
    | @eadir | @__thumb | [\#@~]recycle | [\#~@]snapshots?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TOP_FOLDERS = re.compile(
    r"""
      lost\+found | recycler | recycled | found\.\d{3} | _gsdata_ | network\ trash\ folder
    | temporary\ items | lightning_logs | tb_logs | wandb | mlruns | checkpoint-\d+
    """,
    re.VERBOSE | re.IGNORECASE,
)


def hidden(name: str, *, folder: bool, top: bool = False) -> bool:
    """Say whether what has this name is no data: hidden, a system's, a program's, a training's.

    Args:
        name: without the folders it lies in.
        folder: whether it is a folder itself.
        top: whether it lies in the dataset's folder itself.
    """
    if name.startswith("."):
        return True
    if not folder:
        return _FILES.fullmatch(name) is not None
    return bool(_FOLDERS.fullmatch(name) or (top and _TOP_FOLDERS.fullmatch(name)))


def walk(folder: Path) -> list[Path]:
    """Return the files below a folder in the order of their paths; links are followed.

    What is hidden, an operating system's or left by a training is no data. A link that leads back
    to a folder it lies in adds no file and is left out too.

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
    top = not above
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
        try:
            found, lost = path.stat(), ""
        except OSError as error:
            found, lost = None, str(error.strerror)
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        if hidden(name, folder=is_folder, top=top):
            continue
        if found is None:
            what = "link that leads nowhere" if path.is_symlink() else "file that cannot be read"
            raise UserError(
                f"{path} is a {what} ({lost}); restore what it stands for or take it away"
            )
        if is_folder:
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
