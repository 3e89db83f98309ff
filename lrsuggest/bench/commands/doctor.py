"""What works on this machine, what does not, and how to mend it; nothing is changed."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

from lrsuggest.bench.commands.list import found
from lrsuggest.bench.commands.machine import Off, Rows, devices, formats, threads
from lrsuggest.errors import UserError
from lrsuggest.extras import BENCH
from lrsuggest.resources import shipped
from lrsuggest.tasks.data.catalog import data_root, datasets

# A module whose import shows whether a distribution works, where it is not called by its name.
_MODULES = {
    **BENCH, "matplotlib": "matplotlib.figure", "fastai": "fastai.learner",
    "transformers": "transformers.trainer", "pytorch-ignite": "ignite.engine",
}  # fmt: skip
_CORE = ("numpy", "scipy", "torch")


def asked(*extras: str) -> dict[str, str]:
    """Return what the package's metadata ask for with these extras: a module by distribution."""
    try:
        lines = requires("lrsuggest") or []
    except PackageNotFoundError:  # a source tree that was not installed
        return {name: _MODULES.get(name, name) for name in (*_CORE, *BENCH)}
    found: dict[str, str] = {}
    for each in map(Requirement, lines):
        if not _holds(each, extras):
            continue
        if each.name == "lrsuggest":
            found |= asked(*each.extras)
        else:
            name = str(canonicalize_name(each.name))
            found[name] = _MODULES.get(name, name.replace("-", "_"))
    return found


def _holds(each: Requirement, extras: tuple[str, ...]) -> bool:
    """Whether a requirement is one here, with some of these extras or without."""
    marker = each.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


NEEDED = asked("bench")
OPTIONAL = {
    name: module
    for name, module in {**asked("peers", "cluster"), "lightning": "lightning.pytorch"}.items()
    if name not in NEEDED
}
_LEAST_GB = 1.0  # what a suite's records, weights and resized data may take

_LONGEST_S = 180  # what all imports together may take
_MARK = "lrsuggest doctor:"
_IMPORTS = f"""
import importlib, sys, warnings
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    print("\\n{_MARK}", name, flush=True)
    try:
        importlib.import_module(name)
        said = "ok"
    except BaseException as error:
        said = (type(error).__name__ + ": " + str(error)).splitlines()[0]
    print("\\n{_MARK}", name, said, flush=True)
"""


def doctor(args: argparse.Namespace, console: Console) -> int:
    """Say what works here and what does not; returns 1 where something is off, else 0."""
    out = getattr(args, "out", None) or "reports"
    return print_doctor(console, getattr(args, "data", None), Path(out))


def print_doctor(console: Console, data: str | None, out: Path) -> int:
    """Print versions, machine, threads, number formats, data and folders, and what is off.

    Args:
        console: where to.
        data: the folder of --data, None for that of LRSUGGEST_DATA or none.
        out: the output folder that a run would write to.

    Returns:
        0 where nothing is off, else 1.
    """
    off: Off = []
    works = _versions(console, off)
    if works("torch"):
        _show(console, "Machine", devices(off))
        _show(console, "Threads", threads(os.environ, off))
        _show(console, "Number formats", formats())
    else:
        console.print("Threads and number formats are not known without torch.", "")
    _show(console, "Data", _data(data, off))
    _show(console, "Folders", _folders(out, off))
    if not off:
        console.print("Nothing is off.")
    for sentence in off:
        console.print(f"- {sentence}", highlight=False, markup=False)
    return 1 if off else 0


def _show(console: Console, title: str, rows: Rows) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(title, style="bold", highlight=False, markup=False)
    console.print(table, "", highlight=False, markup=False)


def _versions(console: Console, off: Off) -> Callable[[str], bool]:
    """Print the versions; returns a function that says whether a distribution works."""
    here = {name: _version(name) for name in ("lrsuggest", *NEEDED, *OPTIONAL)}
    modules = {**NEEDED, **OPTIONAL}
    said = imports(module for name, module in modules.items() if here[name])
    off += mismatches(here)  # first, since what does not fit often does not import
    first = "mend the above first, else " if off else ""
    rows = [("python", platform.python_version()), ("lrsuggest", here["lrsuggest"] or "source")]
    for name, module in modules.items():
        if here[name] is None:
            rows.append((name, "not installed"))
            if name in NEEDED:
                off.append(
                    f"{name} is not installed, and nothing runs without it: pip install {name}"
                )
        elif said[module] == "ok":
            rows.append((name, str(here[name])))
        else:
            rows.append((name, f"{here[name]}, does not import"))
            off.append(
                f"{name} {here[name]} does not import ({said[module]}): {first}"
                f"pip install --force-reinstall {name}"
            )
    _show(console, "Versions", rows)
    return lambda name: here[name] is not None and said[modules[name]] == "ok"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def imports(modules: Iterable[str]) -> dict[str, str]:
    """Import modules in a process of its own; returns "ok" or the error's line for each.

    One that takes the process with it is named too, and the rest are tried in another.
    """
    todo = list(modules)
    said: dict[str, str] = {}
    while todo:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _IMPORTS, *todo], capture_output=True, check=False,
                timeout=_LONGEST_S,
            )  # fmt: skip
            output, how = done.stdout, f"the process ended with code {done.returncode}"
            errors = done.stderr.decode(errors="replace").strip()[-200:]
        except subprocess.TimeoutExpired as late:
            output, how, errors = late.stdout or b"", f"no end after {_LONGEST_S} s", "late"
        for line in output.decode(errors="replace").splitlines():
            if line.startswith(_MARK):
                name, _, outcome = line.removeprefix(_MARK).strip().partition(" ")
                said[name] = outcome.strip() or how
        left = [name for name in todo if name not in said]
        if len(left) == len(todo):
            said |= dict.fromkeys(left, f"no process for it: {errors}")
            left = []
        todo = left
    return said


def mismatches(here: dict[str, str | None]) -> Off:
    """Say which of these distributions want another version of one of them.

    Args:
        here: versions by name, None for what is not installed.
    """
    off = []
    installed = {canonicalize_name(name): found for name, found in here.items() if found}
    for name, found_version in here.items():
        # What any extra of ours asks for counts; of another's it is not known which was wanted.
        if not found_version:
            continue
        ours = metadata(name).get_all("Provides-Extra") if name == "lrsuggest" else None
        extras = tuple(ours or ())
        for line in requires(name) or []:
            wanted = Requirement(line)
            other = installed.get(canonicalize_name(wanted.name))
            if other is None or not _holds(wanted, extras):
                continue
            if not wanted.specifier.contains(other, prereleases=True):
                asked = f"{wanted.name}{wanted.specifier}"
                # What is here may have been chosen; pip finds the release of the other that fits.
                kept = f"--upgrade {name} {wanted.name}=={other.partition('+')[0]}"
                mend = f"'{asked}'" if name == "lrsuggest" else kept
                off.append(
                    f"{name} {found_version} wants {asked}, and here is {other}: pip install {mend}"
                )
    return off


def _data(given: str | None, off: Off) -> Rows:
    """Return which datasets are at hand and which are not."""
    try:
        root = data_root(given)
        at_hand = [name for name, each in datasets().items() if found(each, root)]
    except (UserError, FileNotFoundError) as error:
        off.append(str(error))
        return [("", "not known")]
    missing = [name for name in datasets() if name not in at_hand]
    return [
        ("folder", str(root or "none; give --data or set LRSUGGEST_DATA")),
        ("at hand", ", ".join(at_hand)),
        ("missing", f"{', '.join(missing)}; python -m lrsuggest.bench list says how they come"),
    ]


def _folders(out: Path, off: Off) -> Rows:
    """Return where shipped files lie, and whether records can be kept."""
    rows = []
    for name in ("datasets.toml", "benchmarks/suites", "benchmarks/recorded"):
        try:
            rows.append((name, str(shipped(name))))
        except FileNotFoundError as error:
            rows.append((name, "missing"))
            off.append(str(error))
    folder = next(each for each in (out, *out.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 1e9
        rows.append(("output", f"{out}, writable, {free:,.1f} GB free"))
        if free < _LEAST_GB:
            off.append(f"{folder} has {free:.1f} GB left: make room, or give another --out")
    except OSError as error:
        rows.append(("output", f"{out}, not writable"))
        off.append(f"nothing can be kept in {out} ({error.strerror}): give another --out")
    return rows
