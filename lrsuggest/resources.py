"""Finds the files shipped beside the code, datasets.toml and the suites, and its revision."""

import subprocess
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as "datasets.toml" or "benchmarks/suites".

    A wheel carries them in `lrsuggest/_shipped`; an editable install reads them from the top
    level of the source tree.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} was not installed with lrsuggest; reinstall the package")


@cache
def revision() -> str | None:
    """Return the git revision of the source tree this runs from, or None outside of one.

    "+changes" is appended where the package or datasets.toml differ from that revision.
    """
    home = _PACKAGE.parent
    if not (home / ".git").exists():
        return None
    try:
        told = [
            subprocess.run(
                ["git", "-C", str(home), *words], capture_output=True, text=True, check=True,
                timeout=20,
            ).stdout.strip()
            for words in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", "lrsuggest", "datasets.toml"],
            )
        ]  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return told[0] + ("+changes" if told[1] else "")
