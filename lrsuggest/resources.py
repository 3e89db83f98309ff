"""Finds the files shipped beside the code: datasets.toml and the suites in benchmarks/."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as "datasets.toml" or "benchmarks".

    A wheel carries them in `lrsuggest/_shipped`; an editable install reads them from the top
    level of the source tree.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} was not installed with lrsuggest; reinstall the package")
