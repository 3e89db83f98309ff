"""What there is: suites, datasets with their hand-picked rates, heuristics; nothing is run."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lrsuggest.bench.plan.suite import load, suite_names
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import (
    CourseStage,
    Dataset,
    HandPicked,
    data_root,
    dataset,
    datasets,
    locate,
)
from lrsuggest.tasks.data.fetch import archive

_NO_READER = "no reader yet"
_ROOMY = 120  # columns of a terminal in which a dataset fits on a line or two
_FETCH = "Can be fetched: python -m lrsuggest.bench fetch NAME --data DATA"
_BY_HAND = "To be put below DATA by hand; list NAME says from where"
_DATA = Path("DATA")  # stands for the folder of --data


def list_all(args: argparse.Namespace, console: Console) -> int:
    """Say what there is, or all about what is named."""
    root = data_root(getattr(args, "data", None))
    for name in args.names:
        print_dataset(console, name, root)
    if not args.names:
        print_list(console, root)
    return 0


def print_list(console: Console, root: Path | None) -> None:
    """Print suites, datasets by how one comes by them, and heuristics.

    Args:
        console: where to.
        root: the folder of --data, None for none.

    Raises:
        UserError: the variable LRSUGGEST_MIRROR is no url.
    """
    table = Table("suite", "title", box=None)
    for name in suite_names():
        table.add_row(name, load(name).title)
    console.print(table, "")
    at_hand = f"At hand; DATA is {root}" if root else "At hand without --data"
    groups: dict[str, list[Dataset]] = {at_hand: [], _FETCH: [], _BY_HAND: []}
    for each in datasets().values():
        if found(each, root):
            groups[at_hand].append(each)
        else:
            groups[_FETCH if each.fetchable else _BY_HAND].append(each)
    for title, members in groups.items():
        if members:
            console.print(title, style="bold", highlight=False, markup=False)
            console.print(_datasets(members, root, roomy=console.width >= _ROOMY), "")
    table = Table("heuristic", "source", box=None)
    for heuristic in HEURISTICS.values():
        if heuristic.origin != "constant":
            table.add_row(heuristic.name, heuristic.source)
    console.print(table)


def print_dataset(console: Console, name: str, root: Path | None) -> None:
    """Print all that is known of one dataset: thanks, terms, where it lies, the course's stages.

    Args:
        console: where to.
        name: the dataset.
        root: the folder of --data, None for none.

    Raises:
        UserError: there is none of that name, or the variable LRSUGGEST_MIRROR is no url.
    """
    each = dataset(name)
    trained = f"{each.reader}; trained with {each.model}, {each.optimizer}"
    facts = {
        "task": each.kind,
        "family": each.family,
        "reader": trained if each.reader else f"{_NO_READER}, so nothing can be trained on it",
        "where": _where(each, root, root or _DATA),
        "archive": f"{each.url}, {_size(each)}" if each.url else "",
        "source": each.source,
        "terms": each.terms,
        "thanks to": each.cite,
    }
    console.print(f"{each.name}: {each.title}", style="bold", highlight=False, markup=False)
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if value:
            table.add_row(key, value)
    console.print(table, "")
    table = Table(box=None, show_header=False)
    for number, stage in enumerate(each.stages, 1):
        table.add_row(f"stage {number}", _how(stage))
        for pick in stage.hand_picked:
            reached = f", reached {pick.reached}" if pick.reached else ""
            table.add_row("", f"- {_rate(pick)}{reached} ({pick.where})")
        if not stage.hand_picked:
            table.add_row("", "- no hand-picked rate")
        if stage.note:
            table.add_row("", f"- note: {stage.note}")
        if not stage.compare:
            table.add_row("", "- not what this entry trains, so compared with only where asked for")
    if each.stages:
        console.print(table, "")


def _datasets(members: list[Dataset], root: Path | None, *, roomy: bool) -> Table:
    """Return a table of datasets, with a column each or all but the name in one."""
    rows = [
        (each.name, each.title, each.kind, each.reader or _NO_READER, _picks(each),
         _where(each, root, _DATA))
        for each in members
    ]  # fmt: skip
    heads = ("what", "task", "reader", "hand-picked", "where") if roomy else ("what",)
    table = Table(box=None)
    table.add_column("dataset", no_wrap=True)
    for head in heads:
        table.add_column(head, overflow="fold")
    for name, title, kind, reader, picks, where in rows:
        if roomy:
            table.add_row(name, title, kind, reader, picks, where)
        else:
            reads = reader if reader == _NO_READER else f"reader {reader}"
            lines = (title, f"{kind}, {reads}, {where}", picks and f"hand-picked: {picks}")
            table.add_row(name, "\n".join(filter(None, lines)))
    return table


def _picks(entry: Dataset) -> str:
    """Return the hand-picked rates to compare with, in the course's order, repeats left out."""
    said = [
        f"{stage.stage} {' or '.join(dict.fromkeys(_rate(pick) for pick in stage.hand_picked))}"
        for stage in entry.stages
        if stage.hand_picked and stage.compare
    ]
    return ", ".join(dict.fromkeys(said))


def found(entry: Dataset, root: Path | None) -> Path | str | None:
    """Say where it is, None if it is not at hand."""
    if entry.synthetic:
        return "drawn"
    if entry.folder is None:
        return "in a package"
    if root is None:
        return None
    if entry.fetchable:  # several archives may lie in one folder, which is there before they are
        return archive(entry, root).at_hand
    try:
        return locate(entry, root)
    except UserError:
        return None


def _where(entry: Dataset, root: Path | None, shown: Path) -> str:
    """Say where it is, or how it comes to its place; `shown` is written for the folder."""
    place = found(entry, root)
    if isinstance(place, Path) and root:
        return str(shown / place.relative_to(root))
    if place:
        return str(place)
    if entry.fetchable:
        state = archive(entry, root).state() if root else "no"
        come = "" if state == "no" else f" ({state} has come)"
        return f"fetch {entry.name}, {_size(entry)}{come}"
    wanted = shown / str(entry.folder)
    return f"unpack {entry.url} to {wanted}" if entry.url else f"put it in {wanted}"


def _size(entry: Dataset) -> str:
    size = (entry.bytes or 0) / 1e6
    return f"{size:,.0f} MB" if size >= 10 else f"{size:.2g} MB"


def _rate(pick: HandPicked) -> str:
    rates = pick.lr if isinstance(pick.lr, tuple) else (pick.lr,)
    return " to ".join(map(_number, rates))


def _number(rate: float) -> str:
    if rate >= 1e-3:
        return f"{rate:g}"
    digits, _, power = f"{rate:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def _how(stage: CourseStage) -> str:
    """Say how a stage was trained, leaving out what the page does not say."""
    size = f"{stage.size[0]} tokens" if len(stage.size) == 1 else "x".join(map(str, stage.size))
    words = (
        stage.stage, stage.network, size, f"batch {stage.batch}" if stage.batch else "",
        f"epochs {stage.epochs}" if stage.epochs else "", stage.schedule.replace("_", "-"),
        f"weight decay {stage.weight_decay:g}" if stage.weight_decay else "", stage.precision,
    )  # fmt: skip
    return ", ".join(filter(None, words))
