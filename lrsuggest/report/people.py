"""The part of the report on people: how far contestants lie from what they picked."""

from functools import cache
from typing import Any

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.evidence.studies.people import ANOTHER, CONSTANT, agreement, people
from lrsuggest.report.text import kind, number, records


def human() -> dict[str, Any]:
    """Return how far each contestant lies from what people picked off the same curves."""
    return _human(tuple(HEURISTICS))


@cache  # the picks are the same for every report, the heuristics until somebody registers one
def _human(heuristics: tuple[str, ...]) -> dict[str, Any]:
    picks = people(None, as_drawn=False)
    found = agreement(picks)
    rows = [{**row, "kind": kind(str(row["contestant"]))} for row in records(found)]
    by_name = found.set_index("contestant")
    apart, steady = (float(by_name["mean"][name]) for name in (ANOTHER, CONSTANT))
    best = next(r for r in rows if r["kind"] != "constant" and r["contestant"] != ANOTHER)
    sure = best["gain_low"] > 0
    return {
        "rows": rows,
        "picks": len(picks),
        "authors": len({pick.author for pick in picks}),
        "caption": (
            f"Two people with the same dataset, task and stage differ by "
            f"{_factor(apart)} on average. {best['contestant']} is {_factor(best['mean'])} "
            f"off, a constant that never saw the author's picks "
            f"{_factor(steady)}; "
            + ("the interval of that gain lies above 0."
               if sure else "the interval of that gain reaches below 0, so it is not shown.")
        ),
    }  # fmt: skip


def _factor(decades: float) -> str:
    return f"{number(decades, 2)} decades (a factor of {10**decades:.1f})"
