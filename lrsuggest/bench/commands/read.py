"""The command `read`: a recorded curve, what is known beside it, and the rate they suggest."""

import argparse
from pathlib import Path

from rich.console import Console


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `read` is told; names are checked where they are used."""
    parser.add_argument("curve", metavar="CURVE.csv", help="a file with the columns lr and loss")
    parser.add_argument("--smoothed", action="store_true", help="the losses are smoothed already")
    parser.add_argument("--optimizer", help="adamw, adam or sgd")
    parser.add_argument("--stage", help="frozen (head only), unfrozen, finetune or scratch")
    parser.add_argument("--train-steps", type=int, metavar="N", help="planned optimizer steps")
    parser.add_argument("--schedule", help="one_cycle (the default) or constant")
    parser.add_argument("--html", metavar="FILE", help="write an offline page with every heuristic")


def read(args: argparse.Namespace, console: Console) -> int:
    """Print a suggestion's three lines and every heuristic's rate; returns 0.

    Args:
        args: what `add_options` asked for.
        console: where to.

    Raises:
        UserError: the file holds no curve, a name is unknown, or the page cannot be written.
    """
    from lrsuggest.curves.arguments import whole
    from lrsuggest.curves.curve import Curve
    from lrsuggest.suggest import suggest_lr

    if args.train_steps is not None:
        whole("--train-steps", args.train_steps, 1)
    suggestion = suggest_lr(
        Curve.from_csv(args.curve, smoothed=args.smoothed),
        optimizer=args.optimizer,
        stage=args.stage,
        total_steps=args.train_steps,
        schedule=args.schedule,
    )
    console.print(str(suggestion), highlight=False, markup=False)
    for name, rate in suggestion.candidates.items():
        console.print(f"  {name:20s} {rate:.2e}", highlight=False, markup=False)
    if args.html:
        suggestion.to_html(args.html, title=Path(args.curve).name)
        console.print(f"page: {args.html}", highlight=False, markup=False)
    return 0
