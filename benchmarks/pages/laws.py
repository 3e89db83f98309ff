"""Writes docs/laws.md: which heuristic breaks which law (python benchmarks/pages/laws.py)."""

import warnings
from pathlib import Path

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.errors import LrsuggestWarning
from lrsuggest.testing import LAWS, check_law

_TOP = """# Laws

Which heuristic keeps which law, on 200 simulated range tests a law (`lrsuggest.testing`, the same
each time): {laws} "breaks": a curve was found on which it fails. Made by
`python benchmarks/pages/laws.py`.

"""


def kept(name: str, law: str) -> bool:
    """Say whether a registered heuristic keeps a law; an exception breaks it."""
    try:
        check_law(law, HEURISTICS[name])
    except Exception:
        return False
    return True


def table() -> str:
    """Return the page."""
    laws = " ".join(f"*{law}*: {(LAWS[law].__doc__ or '').strip()}" for law in LAWS)
    lines = ["| heuristic | " + " | ".join(LAWS) + " |", "|---|" + "---|" * len(LAWS)]
    for name, heuristic in HEURISTICS.items():
        if heuristic.origin != "constant":
            marks = " | ".join("keeps" if kept(name, law) else "**breaks**" for law in LAWS)
            lines.append(f"| {name} | {marks} |")
    return _TOP.format(laws=laws) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore", LrsuggestWarning)
    page = Path(__file__).parents[2] / "docs" / "laws.md"
    page.write_text(table(), "utf-8")
    print(page.read_text("utf-8"))
