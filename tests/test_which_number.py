"""The page "Which number do I use?" says what the pages of the evidence say."""

import re
from pathlib import Path

import pytest

from lrsuggest.curves.answer import HELD, USUAL
from lrsuggest.curves.heuristics.consensus import CONSTANT, RULE

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "which-number.md").read_text("utf-8")


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


ROWS = [cells(line) for line in PAGE.splitlines() if re.search(r"\]\(\S+\.md#\S+\) \|$", line)]


def confirmed():
    return (DOCS / "consensus-confirmed.md").read_text("utf-8")


def section(name, anchor):
    """The rows of a page from the heading with this anchor to the next of its kind."""
    found, inside = [], False
    for line in (DOCS / name).read_text("utf-8").splitlines():
        if line.startswith("## "):
            words = re.sub(r"[^\w\s-]", "", line[3:].lower()).strip()
            inside = re.sub(r"\s+", "-", words) == anchor
        elif inside and line.startswith("|"):
            found.append(cells(line))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:3]))
def test_a_row_is_a_row_of_its_page(row):
    *figures, link = row
    name, anchor = re.search(r"\((\S+)#(\S+)\)", link).groups()
    assert any(set(figures) <= set(whole) for whole in section(name, anchor)), (
        f"docs/{name} has other figures now; put them into docs/which-number.md"
    )


def test_there_are_rows():
    assert len(ROWS) > 20


def test_what_stands_in_sentences_is_so():
    (quoted,) = re.findall(r"^> (.*)$", PAGE, flags=re.M)
    assert quoted in (DOCS / "lessons.md").read_text("utf-8")
    claims = {cells[0]: cells for cells in section("findings.md", "the-teachers-claims")}
    _, stage, k, n, *_ = claims["unfrozen, a fifth of the frozen rate is fine"]
    assert f"was fine on {k} of {n} tasks" in PAGE
    assert stage == "unfrozen"
    moves = section("findings.md", "how-far-a-pick-moves")
    (seed,) = (row for row in moves if row[:2] == ["consensus", "sweep seed"])
    assert f"differ by {seed[4].lstrip('0')} decades in the median" in PAGE
    pooled = section("findings.md", "what-replicates-buy")
    spread = {row[2]: row[4].lstrip("0") for row in pooled if row[:2] == ["consensus", "curves"]}
    assert f"differ by {spread['3']} where one differs by {spread['1']}" in PAGE
    (aim,) = (
        row[2] for row in section("consensus.md", "aims")
        if row[0] == "better than the constant out of fold"
    )  # fmt: skip
    assert f"the p-value over 21 families is {aim.lstrip('0')} (" in PAGE
    (new,) = (
        row[2] for row in section("consensus-confirmed.md", "80-interval") if row[0] == "consensus"
    )
    told, untold = re.search(
        r"the consensus costs (0\.\d+); not told of it, it would cost (0\.\d+)\.", confirmed()
    ).groups()
    by_task = next(r for r in section("consensus-confirmed.md", "by-task") if "constant" in r[0])
    assert by_task[1] == told
    assert f"it cost {told} instead of {untold}" in PAGE
    page = (DOCS / "consensus.md").read_text("utf-8")
    median, mean = re.search(r", against median (0\.\d+), mean (0\.\d+),", page).groups()
    assert f"than without ({median} and {mean})" in PAGE
    assert f"on the seven new families in {new.replace('%', ' %')}." in PAGE


def test_constants_are_the_shipped_ones():
    assert f"good rates lie {-CONSTANT:.2f} decades lower".replace("0.", ".") in PAGE
    assert f"on the recorded tasks it did in {HELD} %" in PAGE
    assert USUAL == "0.01 for Adam, 0.1 for SGD"
    assert "1e-2 for Adam and 0.1 for SGD" in PAGE
    assert round(RULE.steps, 2) == -0.24  # "a quarter of a decade"
