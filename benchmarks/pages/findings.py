"""Writes docs/findings.md from the recorded tables: claims, sensitivity, fidelity, people.

python benchmarks/pages/findings.py
"""

from pathlib import Path

import pandas as pd

from lrsuggest.evidence.studies.claims import claims, slices, unjudged
from lrsuggest.evidence.studies.people import agreement, by_stage, people
from lrsuggest.evidence.studies.sensitivity import (
    by_proxy,
    fidelity,
    heuristics,
    movement,
    replicates,
)
from lrsuggest.evidence.tables import load

ROOT = Path(__file__).resolve().parents[2]


def table(frame: pd.DataFrame) -> list[str]:
    """Return a frame as a Markdown table, three decimals."""
    shown = frame.copy()
    for name in shown.select_dtypes("float"):
        shown[name] = shown[name].map(lambda x: "" if pd.isna(x) else f"{x:.3f}")
    head = "| " + " | ".join(map(str, shown.columns)) + " |"
    rows = ["| " + " | ".join(map(str, row)) + " |" for row in shown.to_numpy()]
    return [head, "|" + "---|" * len(shown.columns), *rows, ""]


def main() -> None:
    """Compute and write."""
    tasks = load(held_out=None)
    read = heuristics(tasks)
    names = ["consensus", "min_10", "steepest_gaussian", "blow_up_30", "fastai_minimum"]
    ours = people(None, as_drawn=False)
    parts = [
        "# Findings", "",
        "Written by `python benchmarks/pages/findings.py` from benchmarks/recorded/; every "
        "function names its definitions in its docstring (lrsuggest/evidence/).", "",
        "## The teacher's claims", "", *table(claims(tasks)),
        "Not judged from these tables:", "", *table(unjudged(tasks)),
        "## What a slice is worth", "",
        "Gain is the regret of one rate for all layer groups less that of the slice with the same "
        "highest rate: positive favours the slice. Two families only.",
        "", *table(slices(tasks)),
        "## How far a pick moves", "",
        "Decades between two picks on one task that differ by one thing.", "",
        *table(movement(read)),
        "## What replicates buy", "",
        "The consensus here is the shipped one, which was fitted on these families; an abstention "
        "is left out of the regrets.", "", *table(replicates(tasks, names)),
        "## What a cheap run says of a dear one", "",
        "Regret at the dear run of the cheap run's best rate. \"The other seeds\" is the dear run "
        "itself, chosen on one half of its seeds: its regret is 0 by definition, its tau is what "
        "noise leaves of a perfect agreement.", "",
        *table(by_proxy(fidelity(tasks))),
        "## People", "",
        "Errors in decades against the rate an author trained with after seeing the same curve; "
        "every author weighs the same (benchmarks/recorded/PEOPLE.md). A constant that leaves an "
        "author out is pushed away from that author, so a plain fixed rate does better than it.",
        "",
        *table(agreement(ours)), "By stage:", "", *table(by_stage(ours)),
    ]  # fmt: skip
    (ROOT / "docs" / "findings.md").write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
