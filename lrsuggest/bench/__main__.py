"""The command line: `python -m lrsuggest.bench`."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lrsuggest.errors import UserError, printable
from lrsuggest.extras import BENCH, need
from lrsuggest.files import output

if TYPE_CHECKING:
    from rich.console import Console

_ABOUT = """\
Measure learning rates and the heuristics that suggest them.

Without a command, runs the suite "quick" and writes the report: range tests, what every heuristic
reads from them, and short one-cycle runs that show what those rates are worth. With --data on
CamVid street scenes and faces, without on handwritten digits and drawn street scenes. Every run
is kept in OUT/records/, so a second call does only what is missing.
"""
_EXAMPLES = """\
examples:
  python -m lrsuggest.bench                        quick suite and report, nothing to download
  python -m lrsuggest.bench --data DIR             the same on the datasets in DIR
  python -m lrsuggest.bench run my_suite.toml      a suite of your own
  python -m lrsuggest.bench read curve.csv         suggest a rate from a curve (columns lr, loss)
  python -m lrsuggest.bench report benchmarks/recorded          from exported tables
  python -m lrsuggest.bench report --compare reports/a reports/b  what got better or worse
  python -m lrsuggest.bench list camvid            thanks, terms, and the course's rates
  python -m lrsuggest.bench fetch biwi --data DIR  download a dataset into DIR
  python -m lrsuggest.bench doctor                 what works on this machine, and what to mend

exit status: 0 done, 1 some runs have no result (fetch: a dataset did not come; doctor: something
is off), 2 a mistake in what was asked for
"""


_WIDE = 220
_SHARED = ("data", "out", "workers", "scheduler", "device")
_USED = {  # of those, by the commands that can use but some
    "report": {"out"}, "export": {"out"}, "score": {"out"}, "list": {"data"}, "fetch": {"data"},
    "doctor": {"data", "out"}, "read": set(),
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m lrsuggest.bench --help")


def _shared(command: str | None = None) -> _Parser:
    """Return the options that may stand before or after a command; its help shows what it uses."""
    shared = _Parser(add_help=False)
    absent = argparse.SUPPRESS  # so that none stands for what was said on the other side

    def add(name: str, what: str, **settings: Any) -> None:
        shown = what if name in _USED.get(command or "run", _SHARED) else absent
        shared.add_argument(f"--{name}", default=absent, help=shown, **settings)

    add("data", "folder that holds camvid11/, face_landmarks/ … (default: $LRSUGGEST_DATA, else "
        "none)", metavar="DIR")  # fmt: skip
    add("out", "folder for records/ and report.html (default: reports/SUITE)", metavar="DIR")
    add("workers", "runs at a time (default: one per core, one on a GPU)", metavar="N", type=int)
    add("scheduler", "do the runs on a dask cluster instead (tcp://HOST:8786; see docs/cluster.md)",
        metavar="ADDRESS")  # fmt: skip
    add("device", "where to train (default: cpu)", choices=["cpu", "cuda"])
    return shared


def _parser() -> argparse.ArgumentParser:
    from lrsuggest.bench.commands.read import add_options

    parser = _Parser(
        prog="python -m lrsuggest.bench", description=_ABOUT, epilog=_EXAMPLES, parents=[_shared()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="command")
    suite = "name of a shipped suite, or a .toml file (default: quick)"
    for name, text in (
        ("run", "run what a suite has no result for yet"),
        ("report", "write report.html from the records"),
        (
            "export",
            "write the records as tables: tasks.csv, sweeps.csv, runs.csv, and those of lessons",
        ),
    ):
        each = commands.add_parser(name, help=text, description=text, parents=[_shared(name)])
        named = f"{suite}; or a folder of exported tables" if name == "report" else suite
        each.add_argument("suite", nargs="?", help=named)
        if name == "report":
            each.add_argument(
                "--compare", nargs=2, metavar=("A", "B"),
                help="say what got better or worse from A to B beyond noise; each an output folder "
                "or a folder of exported tables",
            )  # fmt: skip
        if name == "export":
            each.add_argument(
                "--to", metavar="DIR", required=True, help="folder for the tables; those in it go",
            )  # fmt: skip
    text = "judge every heuristic, and your own, on the recorded tables; nothing is trained"
    each = commands.add_parser("score", help=text, description=text, parents=[_shared("score")])
    each.add_argument(
        "files", nargs="*", metavar="MY_HEURISTIC.py",
        help="files that register heuristics; or a suite, an output folder or a folder of exported "
        "tables, to judge on",
    )  # fmt: skip
    each.add_argument("--humans", action="store_true", help="how near to what people picked")
    each.add_argument(
        "--families", choices=["dev", "held-out", "all", "confirm"], default="all",
        help="those the first consensus was tuned on, those it was then scored on, all, or those "
        "that were measured after the consensus was frozen",
    )  # fmt: skip
    each.add_argument("--csv", metavar="FILE", help="write the contest, a row per pick, to a file")
    text = "suites, datasets, which of them are at hand, and heuristics; or all about a dataset"
    each = commands.add_parser("list", help=text, description=text, parents=[_shared("list")])
    each.add_argument("names", nargs="*", metavar="NAME", help="a dataset of datasets.toml")
    text = "download datasets, verify and unpack them; without a name, say which and how large"
    each = commands.add_parser("fetch", help=text, description=text, parents=[_shared("fetch")])
    each.add_argument("names", nargs="*", metavar="NAME", help="a dataset of datasets.toml")
    text = "versions, devices, threads, number formats, data and folders here, and what to mend"
    commands.add_parser("doctor", help=text, description=text, parents=[_shared("doctor")])
    text = "suggest a rate from a recorded curve; what the curve cannot show is said beside it"
    add_options(commands.add_parser("read", help=text, description=text))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold what is no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        need("python -m lrsuggest.bench", "bench", *BENCH.values())
    except UserError as error:
        print(f"lrsuggest: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    from lrsuggest.bench.jobs.lock import Stopped

    # A file or a pipe has no width to fit into.
    options = (False, None) if sys.stdout.isatty() else (True, _WIDE)
    # A path may hold what rich would take for a style.
    console = Console(markup=False, soft_wrap=options[0], width=options[1])
    try:
        args = _parser().parse_args(argv)
        _check_filled(args)
        _check_used(args)
        if args.command == "read":
            from lrsuggest.bench.commands.read import print_suggestion

            print_suggestion(console, args)
            return 0
        if args.command == "doctor":
            return _doctor(args, console)
        if args.command == "list":
            return _list(args, console)
        if args.command == "fetch":
            return _fetch(args, console)
        if args.command == "score":
            return _score(args, console)
        words = sys.argv[1:] if argv is None else argv
        if args.command == "report":
            from lrsuggest.bench.commands.report import report

            return report(args, f"python -m lrsuggest.bench {printable(' '.join(words))}", console)
        if args.command == "export":
            from lrsuggest.bench.commands.export import export

            return export(args, console)
        from lrsuggest.bench.commands.run import run

        return run(args, words, console)
    except UserError as error:
        print(f"lrsuggest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nlrsuggest: interrupted", file=sys.stderr)
        return 130
    except Stopped as stopped:
        from lrsuggest.bench.commands.run import resume

        print(f"\nlrsuggest: {stopped}; finished runs are kept, this goes on from there:\n"
              f"  {resume(argv)}", file=sys.stderr)  # fmt: skip
        return 128 + stopped.signum


def _check_filled(args: argparse.Namespace) -> None:
    """Refuse an empty word, which a shell makes of a variable that is not set.

    Raises:
        UserError: there is one; an empty --data is none, as an empty $LRSUGGEST_DATA, and a
            scheduler's has a sentence of its own.
    """
    for name, given in vars(args).items():
        words = given if isinstance(given, list) else [given]
        if name not in ("data", "scheduler") and any(
            isinstance(each, str) and not each.strip() for each in words
        ):
            raise UserError(f"{name} is empty (''); write out what is meant, or leave it out")


def _check_used(args: argparse.Namespace) -> None:
    """Refuse an option that a command cannot use, before it or behind it.

    Raises:
        UserError: there is one; an empty --data is none.
    """
    for name in _SHARED:
        given = getattr(args, name, None)
        wanted = given is not None and (name, given) != ("data", "")
        if wanted and name not in _USED.get(args.command, _SHARED):
            raise UserError(f"{args.command} cannot use --{name} {given}; leave it out")


def _score(args: argparse.Namespace, console: "Console") -> int:
    """Judge the registered heuristics and a person's own."""
    from lrsuggest.bench.commands.score import asked, judged, print_people, print_regret, register

    files, where = asked(args)
    new = [name for file in files for name in register(file)]
    if args.humans:
        split = {"held-out": "held_out", "all": None}.get(args.families, args.families)
        print_people(split, console, new)
        return 0
    # Opened first: that it cannot be written is to be told before the contest.
    with output(args.csv) if args.csv else contextlib.nullcontext() as file:
        table = print_regret(judged(where, args.families), console, new)
        if file and table.empty:
            raise UserError(f"there is no ranking to write, so {args.csv} is left as it is")
        if file:
            file.write(table.to_csv(index=False).encode())
    return 0


def _doctor(args: argparse.Namespace, console: "Console") -> int:
    """Say what works here and what does not."""
    from lrsuggest.bench.commands.doctor import print_doctor

    out = getattr(args, "out", None) or "reports"
    return print_doctor(console, getattr(args, "data", None), Path(out))


def _list(args: argparse.Namespace, console: "Console") -> int:
    """Say what there is, or all about what is named."""
    from lrsuggest.bench.commands.list import print_dataset, print_list
    from lrsuggest.tasks.data.catalog import data_root

    root = data_root(getattr(args, "data", None))
    for name in args.names:
        print_dataset(console, name, root)
    if not args.names:
        print_list(console, root)
    return 0


def _fetch(args: argparse.Namespace, console: "Console") -> int:
    """Fetch what is named, or say what could be."""
    from rich import progress
    from rich.table import Table

    from lrsuggest.tasks.data.catalog import dataset, datasets, home
    from lrsuggest.tasks.data.fetch import FetchError, archive, fetch

    given = getattr(args, "data", None) or os.environ.get("LRSUGGEST_DATA")
    root = home(given or "data")
    if not args.names:
        table = Table("dataset", "what", "MB", "terms", "at hand", box=None)
        for each in datasets().values():
            if each.fetchable:
                wanted = archive(each, root)
                size = f"{wanted.size / 1e6:.2f}"
                table.add_row(each.name, each.title, size, each.terms, wanted.state())
        console.print(table)
        return 0
    wanted_all = [archive(dataset(name), root) for name in args.names]
    status = 0
    columns = (
        "{task.description}", progress.BarColumn(), progress.DownloadColumn(),
        progress.TransferSpeedColumn(), "left", progress.TimeRemainingColumn(),
    )  # fmt: skip
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        for wanted in wanted_all:
            bar = bars.add_task(wanted.name, visible=False)

            def show(done: int, of: int, bar: progress.TaskID = bar) -> None:
                bars.update(bar, completed=done, total=of, visible=True)

            def say(text: str) -> None:
                console.print(text, highlight=False, markup=False)

            try:
                say(f"{wanted.name}: {fetch(wanted, show, say)}")
            except FetchError as error:
                print(f"lrsuggest: {error}", file=sys.stderr)
                status = 1
    if not given and status == 0:
        say(f"give the other commands --data {root}")
    return status


if __name__ == "__main__":
    sys.exit(main())
