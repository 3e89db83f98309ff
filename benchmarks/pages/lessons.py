"""Writes docs/lessons.md from benchmarks/recorded/lessons/: python benchmarks/pages/lessons.py.

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

from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.evidence import tables
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.lessons import SUGGESTED, TEST, LessonEvidence, autopilot, branches
from lrsuggest.evidence.paired import Outcome
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import resolved
from lrsuggest.evidence.tables import load_lessons
from lrsuggest.report.lessons import metric, several, spread, verdict
from lrsuggest.report.text import number

ROOT = Path(__file__).resolve().parents[2]
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
    for at in lesson.stages.number:
        by = branch[branch.number == at].set_index("contestant")
        name = [lesson.name, stage_names(lesson)[int(at)]]
        if not {HAND_PICKED, SUGGESTED} <= set(by.index):
            rows.append([*name, *[""] * 6, str(Outcome.MISSING), ""])
            continue
        theirs, ours = by.loc[HAND_PICKED], by.loc[SUGGESTED]
        rows.append([
            *name, spread(theirs.low, theirs.lr), spread(ours.low, ours.lr),
            metric(theirs.per_seed), metric(ours.per_seed), number(theirs.regret),
            number(ours.regret), verdict(ours.against), number(ours.error),
        ])  # fmt: skip
    return rows


def chain_table(lesson: LessonEvidence, flown: pd.DataFrame) -> list[list[object]]:
    """Return a row per stage and number format: the whole chains side by side."""
    return [
        [lesson.name, stage_names(lesson)[row["number"]], row["precision"],
         several(row["their_rates"]) if row["number"] else "",
         several(row["our_rates"]) if row["number"] else "", metric(row["their_values"]),
         metric(row["our_values"]), verdict(row["against"])]
        for row in flown.to_dict("records")
    ]  # fmt: skip


def slices(lessons: Sequence[LessonEvidence], tasks: Sequence[TaskEvidence]) -> list[str]:
    """Return a row per unfrozen stage and slice: its regret beside the same top rate unsliced."""
    responses = {task.label: task.response for task in tasks}
    rows = []
    for lesson in lessons:
        branch = branches(lesson, tasks)
        labels = lesson.stages.set_index("number").task
        for row in branch[branch.low.notna()].to_dict("records"):
            response = responses.get(str(labels[row["number"]]))
            flat = [half.regret(row["lr"]) for half in response.halves] if response else []
            rows.append([
                lesson.name, stage_names(lesson)[row["number"]], row["contestant"],
                spread(row["low"], row["lr"]), f"{row['lr'] / row['low']:.0f}",
                number(row["regret"]), number(sum(flat) / len(flat)) if flat else "",
                number(row["error"]),
            ])  # fmt: skip
    head = ["lesson", "stage", "whose", "slice", "hi / lo", "regret", "regret of hi alone",
            "standard error"]  # fmt: skip
    return table(head, rows)


def stages_table(lessons: Sequence[LessonEvidence]) -> list[str]:
    """Return what was trained, stage by stage, beside what the course trained."""
    rows = [
        [lesson.name, stage_names(lesson)[row["number"]], lesson.model, row["batch"],
         row["epochs"], row["steps"], row["course"]]
        for lesson in lessons
        for row in lesson.stages.fillna("").to_dict("records")
    ]  # fmt: skip
    return table(["lesson", "stage", "network", "batch", "epochs", "steps", "the course"], rows)


def counted(found: Sequence[Outcome]) -> str:
    """Return how often each verdict was reached."""
    counts = Counter(found)
    return ", ".join(f"{counts[each]} {each}" for each in Outcome if counts[each]) or "none"


LOST = [
    "## Where the suggested rates lost, and why we think so",
    "",
    "**faces.** On points, two epochs are short and almost any high rate beats a low one: the best "
    "of the first stage is 1e-1, and hand-picked 2e-2 lies nearer to it than the suggestion; in "
    "regret both are within .012. In the second stage the head is trained already, and the range "
    "test, which goes from the trained weights straight to high rates, blows up at 2.6e-2, where a "
    "one-cycle run with its warm-up still does well at 1e-1. The consensus stays a decade and a "
    "half below the blow-up, so it gives 8e-4.",
    "",
    "**camvid_tiny.** Twenty steps a stage are fewer than any recorded task has, and the "
    "suggestion says so. The running statistics of the batch norms, a tenth of the new at each "
    "step, cannot follow: at 3e-2 the first stage ends at a validation loss of 5.08 and an "
    "accuracy of .445, and, once they have seen 50 more batches without a step, at 1.26 and .666 "
    "(1e-2: 1.31 and .659, then 1.18 and .689; seed 0, benchmarks/speed/batch_norms.py). The "
    "training loss, which is all a range test sees, shows nothing of it, so neither does the "
    "suggestion.",
    "",
    "**camvid11.** The first stage ends better at suggested rates, and the lead is lost in the "
    "third, where the suggestion follows a range test of weights that are trained already, as in "
    "faces. At the end the interval reaches from a clear loss to a gain: undecided.",
    "",
]


def verdicts(lesson: LessonEvidence, branch: pd.DataFrame) -> list[Outcome]:
    """Return the verdict on each stage of a lesson."""
    ours = branch[branch.contestant == SUGGESTED].set_index("number").against
    both = set(branch[branch.contestant == HAND_PICKED].number) & set(ours.index)
    return [ours[at].outcome if at in both else Outcome.MISSING for at in lesson.stages.number]


def at_the_end(lesson: LessonEvidence, flown: pd.DataFrame) -> Outcome:
    """Return the verdict on a lesson's whole chains in fp32."""
    last = flown[(flown.precision == "fp32") & (flown.number == lesson.stages.number.max())]
    return last.against.iloc[0].outcome if len(last) else Outcome.MISSING


def left_out(lessons: Sequence[LessonEvidence]) -> str:
    """Return what the suite has and these tables do not."""
    names = {each.name for each in lessons}
    absent = [each.label for each in load_suite("lessons").lesson if each.label not in names]
    skipped = [f"{each.name}: {each.skipped}" for each in lessons if each.skipped]
    return (
        f"Lessons whose data were not at hand: {', '.join(absent) or 'none'}. Number formats not "
        f"worth running there (emulated on a CPU): {'; '.join(skipped) or 'none'}."
    )


def page() -> str:
    """Return the page."""
    lessons, tasks = load_lessons(TABLES), tables.load(TABLES)
    branch = {each.name: branches(each, tasks) for each in lessons}
    flown = {each.name: autopilot(each) for each in lessons}
    answered = [each for each in lessons if any(each.stages.task.fillna("") != "")]
    stage_verdicts = [v for each in answered for v in verdicts(each, branch[each.name])]
    ends = [at_the_end(each, flown[each.name]) for each in lessons]
    table_of = contested(tasks)
    clarity = resolved(tasks)
    unsure = clarity[~clarity.resolved].task.tolist()
    clear = table_of[~table_of.task.isin(unsure)]
    seconds = sum(float(t.runs.seconds.sum()) for t in tasks)
    seconds += sum(float(each.chains.seconds.sum()) for each in lessons)
    runs = sum(len(t.runs) for t in tasks) + sum(len(each.chains) for each in lessons)
    return "\n".join([
        "# The lessons: hand-picked against suggested", "",
        "Written by `python benchmarks/pages/lessons.py` from benchmarks/recorded/lessons/, which "
        "the suite [lessons.toml](../benchmarks/suites/lessons.toml) gave. "
        f"{runs} runs, {seconds / 3600:.1f} core hours, on {lessons[0].device} with "
        f"{lessons[0].versions}.", "",
        "Short: smaller images and mostly fewer epochs than the course's, and mostly another "
        "network than the one whose rates are compared; the last table says which. The rule behind "
        "the suggested rates was fitted on families that most of these lessons come from, so these "
        "figures are no test of it on new data; that is "
        "[consensus-confirmed.md](consensus-confirmed.md).", "",
        "The figure before an interval says how much better the suggested rate was, in the metric "
        "(negative: worse), over seeds: orders of the data, from the same first weights, the same "
        "for both. Intervals are 95 % t intervals. \"Not worse\" wants the lower end above the "
        "margin that the suite gives (accuracy -.005), \"better\" above 0; \"worse within the "
        "margin\" has all of the interval between that margin and 0, \"worse\" all of it below the "
        "margin. A loss that reaches across the margin is undecided: that it is one is sure, how "
        "large it is, is not. Under three seeds nothing is said. How many seeds a lesson's "
        "chains have was fixed in three goes, the last after a look at the first page "
        "(decisions.md).", "",
        left_out(lessons), "",
        "## Branch: from the same weights", "",
        f"{len(stage_verdicts)} stages: {counted(stage_verdicts)}. The suggested rate is the "
        "geometric mean over three range tests; a rate within 10 % of a measured one shares its "
        "runs and is shown as that one.", "",
        *table(["lesson", "stage", "hand-picked rate", "suggested rate", "hand-picked reached",
                "suggested reached", "regret, hand-picked", "regret, suggested", "verdict",
                "standard error of regret"],
               [row for each in answered for row in main_table(each, branch[each.name])]),
        "## Autopilot: whole chains", "",
        f"{len(ends)} lessons, at the end of the chain in fp32: {counted(ends)}. Rates come from "
        "one range test each, before every stage.", "",
        *table(["lesson", "after stage", "format", "hand-picked rates", "suggested rates",
                "hand-picked reached", "suggested reached", "verdict"],
               [row for each in lessons for row in chain_table(each, flown[each.name])]),
        *LOST,
        "## Every heuristic on these stages", "",
        f"Regret on the {table_of.task.nunique()} stages with a response (8 rates or more, the "
        "same seeds at each), uniform over the layer groups; a hand-picked slice is in the first "
        "table only. The constant out of fold comes from the evidence's other families.", "",
        *regret_table(table_of, tasks), "",
        f"Only the {clear.task.nunique()} whose standard error is at most .01; in a stage that "
        "goes on from trained weights there is little left to gain, so that even three seeds' "
        "noise is a large share of it:", "",
        *regret_table(clear, tasks), "",
        f"Unresolved (standard error above .01): {'; '.join(unsure) or 'none'}.", "",
        "## Slices", "",
        "What a slice cost beside its own top rate for all layers, measured from the same "
        "weights (interpolated between measured rates):", "",
        *slices(lessons, tasks),
        "## What was trained", "", *stages_table(lessons),
    ])  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
