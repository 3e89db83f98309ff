"""Writes docs/lessons.md from benchmarks/recorded/lessons/: python benchmarks/lessons.py.

Every figure on the page is computed from those tables, which the suite lessons.toml gave:

    python -m lrsuggest.bench run lessons --data DIR
    python -m lrsuggest.bench export lessons --to benchmarks/recorded/lessons
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from confirm import table
from tune import regret_table

from lrsuggest.evidence import recorded
from lrsuggest.evidence.lessons import (
    SUGGESTED,
    TEST,
    LessonEvidence,
    Verdict,
    autopilot,
    branches,
    load,
)
from lrsuggest.evidence.regret import HAND_PICKED, contest
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.tuning import UNSEEN, fold_reader, read_folds
from lrsuggest.report.lessons import metric, several, spread, verdict
from lrsuggest.report.text import number

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "benchmarks" / "recorded" / "lessons"
PAGE = ROOT / "docs" / "lessons.md"


def stage_names(lesson: LessonEvidence) -> dict[int, str]:
    """Return what the page calls each stage, and the look at the test split."""
    rows = lesson.stages.fillna("").to_dict("records")
    names = {r["number"]: " ".join(filter(None, [str(r["size"]), r["stage"]])) for r in rows}
    return {**{k: f"{k}. {v}" for k, v in names.items()}, TEST: "test split"}


def main_table(lesson: LessonEvidence, branch: pd.DataFrame) -> list[list[object]]:
    """Return a row per stage: the hand-picked rate beside the suggested one, same weights."""
    rows: list[list[object]] = []
    for at, here in branch.groupby("number"):
        by = here.set_index("contestant")
        if not {HAND_PICKED, SUGGESTED} <= set(by.index):
            continue
        theirs, ours = by.loc[HAND_PICKED], by.loc[SUGGESTED]
        rows.append([
            lesson.name, stage_names(lesson)[int(str(at))], spread(theirs.low, theirs.lr),
            spread(ours.low, ours.lr), metric(theirs["mean"], theirs.sd, theirs.n),
            metric(ours["mean"], ours.sd, ours.n), number(theirs.regret), number(ours.regret),
            verdict(ours.against),
        ])  # fmt: skip
    return rows


def chain_table(lesson: LessonEvidence, flown: pd.DataFrame) -> list[list[object]]:
    """Return a row per stage and number format: the whole chains side by side."""
    return [
        [lesson.name, stage_names(lesson)[row.number], row.precision, several(row.theirs),
         several(row.ours), metric(row.their_mean, row.their_sd, row.n),
         metric(row.our_mean, row.our_sd, row.n), verdict(row.against)]
        for row in flown.itertuples()
    ]  # fmt: skip


def slices(lessons: Sequence[LessonEvidence], tasks: Sequence[TaskEvidence]) -> list[str]:
    """Return a row per unfrozen stage and slice: its regret beside the same top rate unsliced."""
    responses = {task.label: task.response for task in tasks}
    rows = []
    for lesson in lessons:
        branch = branches(lesson, tasks)
        if branch.empty:
            continue
        labels = lesson.stages.set_index("number").task
        for row in branch[branch.low.notna()].itertuples():
            response = responses.get(str(labels[row.number]))
            halves = response.halves if response else ()
            flat = [half.regret(row.lr) for half in halves]
            rows.append([
                lesson.name, stage_names(lesson)[int(str(row.number))], row.contestant,
                spread(row.low, row.lr), f"{row.lr / row.low:.0f}", number(row.regret),
                number(sum(flat) / len(flat)) if flat else "",
            ])  # fmt: skip
    return table(
        ["lesson", "stage", "whose", "slice", "hi / lo", "regret", "regret of hi alone"], rows
    )


def counted(rows: Sequence[object]) -> str:
    """Return how often each verdict was reached."""
    found = Counter(str(row) for row in rows)
    return ", ".join(f"{found[each]} {each}" for each in Verdict if found[each]) or "none"


def page() -> str:
    """Return the page."""
    lessons, tasks, seen = load(TABLES), recorded.load(TABLES), recorded.load()
    branch = {each.name: branches(each, tasks) for each in lessons}
    flown = {each.name: autopilot(each) for each in lessons if len(each.chains)}
    main_rows = [r for each in lessons if len(branch[each.name])
                 for r in main_table(each, branch[each.name])]  # fmt: skip
    stage_verdicts = [
        row.against.verdict
        for each in branch.values() if len(each)
        for row in each[each.contestant == SUGGESTED].itertuples()
    ]  # fmt: skip
    ends = [
        each[(each.precision == "fp32") & (each.number != TEST)].iloc[-1].against.verdict
        for each in flown.values()
    ]
    table_of = contest(tasks, {UNSEEN: fold_reader(read_folds())}, others=seen)
    seconds = sum(float(t.runs.seconds.sum()) for t in tasks)
    seconds += sum(float(each.chains.seconds.sum()) for each in lessons)
    runs = sum(len(t.runs) for t in tasks) + sum(len(each.chains) for each in lessons)
    facts = lessons[0].facts
    parts = [
        "# The lessons: hand-picked against suggested", "",
        "Written by `python benchmarks/lessons.py` from benchmarks/recorded/lessons/, which the "
        "suite [lessons.toml](../benchmarks/lessons.toml) gave. "
        f"{runs} runs, {seconds / 3600:.1f} core hours, on {facts['device']} with "
        f"{facts['versions']}.", "",
        "Short: small images, one to ten epochs where the course took as many or more, and an "
        "EfficientNet-Lite0 where the course's rates belong to a ResNet-34. The rule behind the "
        "suggested rates was fitted on families that most of these lessons come from, so these "
        "figures are no test of it on new data; that is "
        "[consensus-confirmed.md](consensus-confirmed.md).", "",
        "Differences are suggested less hand-picked, positive where the suggested rate is better, "
        "with 95 % t intervals over seeds, paired by data order. \"Not worse\" is said where the "
        "lower end lies above the margin fixed in the suite (accuracy -.005, distances and errors "
        "as it says); under three seeds nothing is said.", "",
        "## Branch: from the same weights", "",
        f"{len(stage_verdicts)} stages: {counted(stage_verdicts)}.", "",
        *table(["lesson", "stage", "hand-picked rate", "suggested rate", "hand-picked reached",
                "suggested reached", "regret, hand-picked", "regret, suggested", "verdict"],
               main_rows),
        "## Autopilot: whole chains", "",
        f"{len(ends)} lessons, at the end of the chain in fp32: {counted(ends)}.", "",
        *table(["lesson", "after stage", "format", "hand-picked rates", "suggested rates",
                "hand-picked reached", "suggested reached", "verdict"],
               [r for each in lessons if each.name in flown
                for r in chain_table(each, flown[each.name])]),
        "## Every heuristic on these stages", "",
        f"Regret on the {table_of.task.nunique()} stages with a response (8 rates or more, the "
        "same seeds at each), uniform over the layer groups. The constant out of fold comes from "
        "the evidence's other families.", "",
        *regret_table(table_of, tasks), "",
        "## Slices", "",
        "What a slice cost beside its own top rate for all layers, measured from the same "
        "weights (interpolated between measured rates):", "",
        *slices(lessons, tasks),
    ]  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
