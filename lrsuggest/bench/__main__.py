"""The command line: `python -m lrsuggest.bench`."""

import io
import sys
from collections.abc import Sequence

from lrsuggest.errors import UserError
from lrsuggest.extras import BENCH, need

_WIDE = 220


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

    from lrsuggest.bench.commands.options import check_filled, check_used, parser
    from lrsuggest.bench.jobs.lock import Stopped

    # A file or a pipe has no width to fit into.
    options = (False, None) if sys.stdout.isatty() else (True, _WIDE)
    # A path may hold what rich would take for a style.
    console = Console(markup=False, soft_wrap=options[0], width=options[1])
    try:
        words = list(sys.argv[1:] if argv is None else argv)
        args = parser().parse_args(words)
        check_filled(args)
        check_used(args)
        if args.command == "report":
            from lrsuggest.bench.commands.report import report

            return report(args, words, console)
        if args.command == "export":
            from lrsuggest.bench.commands.export import export

            return export(args, console)
        if args.command == "score":
            from lrsuggest.bench.commands.score import score

            return score(args, console)
        if args.command == "list":
            from lrsuggest.bench.commands.list import list_all

            return list_all(args, console)
        if args.command == "fetch":
            from lrsuggest.bench.commands.fetch import fetch

            return fetch(args, console)
        if args.command == "doctor":
            from lrsuggest.bench.commands.doctor import doctor

            return doctor(args, console)
        if args.command == "read":
            from lrsuggest.bench.commands.read import read

            return read(args, console)
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


if __name__ == "__main__":
    sys.exit(main())
