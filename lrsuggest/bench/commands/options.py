"""What the command line takes: every command's options, and what is refused of them at once."""

import argparse
from typing import Any, NoReturn

from lrsuggest.bench.commands.read import add_options
from lrsuggest.errors import UserError

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


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; its mistakes are UserErrors."""
    found = _Parser(
        prog="python -m lrsuggest.bench", description=_ABOUT, epilog=_EXAMPLES, parents=[_shared()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = found.add_subparsers(dest="command", metavar="command")
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
        if name == "run":
            each.add_argument(
                "--only", choices=["sweeps"],
                help="the range tests alone, at 30, 50 and 100 steps, with what each step gains; "
                "into an output folder of their own",
            )  # fmt: skip
        if name == "export":
            each.add_argument(
                "--to", metavar="DIR", required=True, help="folder for the tables; those in it go",
            )  # fmt: skip
            each.add_argument(
                "--join", action="store_true",
                help="of range tests that were run alone: put gains.csv beside the tables there",
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
    return found


def check_filled(args: argparse.Namespace) -> None:
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


def check_used(args: argparse.Namespace) -> None:
    """Refuse an option that a command cannot use, before it or behind it.

    Raises:
        UserError: there is one; an empty --data is none.
    """
    for name in _SHARED:
        given = getattr(args, name, None)
        wanted = given is not None and (name, given) != ("data", "")
        if wanted and name not in _USED.get(args.command, _SHARED):
            raise UserError(f"{args.command} cannot use --{name} {given}; leave it out")
