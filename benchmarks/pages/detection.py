"""Looks at objects whose truth is known, and writes docs/detection.md.

    python benchmarks/pages/detection.py          # makes the cases: some minutes
    python benchmarks/pages/detection.py --page   # writes the page from what is recorded

It records what was seen of each case in benchmarks/recorded/detection.csv, from which the page is
made. Real weights are read from the folder named by LRSUGGEST_DATA.
"""

import csv
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detection_cases import Case, networks
from detection_fastai import of_fastai
from detection_hugging_face import of_hugging_face
from detection_learners import learners
from detection_lightning import of_lightning

from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.given import lent
from lrsuggest.training.seen import seen

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "benchmarks" / "recorded" / "detection.csv"
PAGE = ROOT / "docs" / "detection.md"
QUESTIONS = {
    "optimizer": "the optimizer",
    "stage": "the stage",
    "continued": "whether it went on before",
    "schedule": "the schedule",
    "total_steps": "the planned steps",
    "lora": "LoRA",
}
COLUMNS = ("list", "framework", "case", *(f"{q}{end}" for q in QUESTIONS for end in ("", " seen")))
RIGHT, ANSWERED = 0.95, 0.80


def cases() -> list[Case]:
    """Return every case of both lists."""
    return [*networks(), *learners(), *of_fastai(), *of_lightning(), *of_hugging_face()]


def look_at(case: Case) -> dict[str, str]:
    """Make a case and return its row of the table."""
    found: dict[str, Any] = {}

    def look(x: Any, *, batches: Any = None, **told: Any) -> None:
        with lent(x, batches, None) as learner:
            context, more = seen(learner, Context(**told))
        found.update(vars(context))
        found["optimizer"] = context.optimizer or more.optimizer
        found["schedule"] = context.schedule or more.schedule
        found["lora"] = "LoRA" if "LoRA" in more.beside else None

    case.run(look)
    row = {"list": "second" if case.second else "first", "framework": case.framework,
           "case": case.name}  # fmt: skip
    for question in QUESTIONS:
        row[question] = _written(case.truth.get(question))
        row[f"{question} seen"] = _written(found[question])
    return row


def _written(value: Any) -> str:
    if value is None or value is True:
        return "yes" if value else ""
    return str(value)


def record(made: Iterable[Case]) -> None:
    """Look at every case and write the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        out.writeheader()
        for case in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out.writerow(look_at(case))
            file.flush()


def rows() -> list[dict[str, str]]:
    """Return the recorded table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def judged(found: Iterable[dict[str, str]], question: str) -> tuple[int, int, int, int]:
    """Count the cases with an answer to give, of those the answered, all answers, the right ones.

    Where a case has nothing to answer, silence is right and any answer wrong.
    """
    answerable = answered = answers = right = 0
    for row in found:
        truth, seen = row[question], row[f"{question} seen"]
        answerable += bool(truth)
        answered += bool(truth and seen)
        answers += bool(seen)
        right += bool(seen and seen == truth)
    return answerable, answered, answers, right


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none"


def _table(found: list[dict[str, str]]) -> Iterable[str]:
    """Yield a list's table: a question and a framework a row, all frameworks together first."""
    yield "| question | of | cases with an answer | answered | right of the answers given |"
    yield "|---|---|---|---|---|"
    for question, said in QUESTIONS.items():
        for framework in ("all", *dict.fromkeys(row["framework"] for row in found)):
            here = [row for row in found if framework in ("all", row["framework"])]
            answerable, answered, answers, right = judged(here, question)
            if framework == "all" or answerable or answers:
                yield (
                    f"| {said if framework == 'all' else ''} | {framework} | {answerable} | "
                    f"{_share(answered, answerable)} | {_share(right, answers)} |"
                )


def _aims(found: list[dict[str, str]]) -> str:
    """Say which questions miss an aim."""
    missed = []
    for question, said in QUESTIONS.items():
        answerable, answered, answers, right = judged(found, question)
        if answers and right < RIGHT * answers:
            missed.append(f"{said}: right in {right / answers:.0%} of the answers")
        if answerable and answered < ANSWERED * answerable:
            missed.append(f"{said}: answered in {answered / answerable:.0%}")
    return f"missed ({'; '.join(missed)})" if missed else "met for every question"


def _named(found: list[dict[str, str]], wrong: bool) -> Iterable[str]:
    """Yield what was answered wrongly, or not at all, by name."""
    for question, said in QUESTIONS.items():
        for row in found:
            truth, seen = row[question], row[f"{question} seen"]
            if wrong and seen and seen != truth:
                yield (
                    f"- {row['framework']}, {row['case']}: {said} is {truth or 'nothing'}, "
                    f"and {seen} was seen."
                )
            if not wrong and truth and not seen:
                yield f"- {row['framework']}, {row['case']}: {said} is {truth}."


def page() -> str:
    """Return the page, from the recorded table."""
    found = rows()
    lines = [_TOP.format(right=RIGHT, answered=ANSWERED)]
    for name, title, text in _LISTS:
        here = [row for row in found if row["list"] == name]
        lines += [f"## {title}", "", text.format(n=len(here)), "", *_table(here), ""]
        lines += [f"The aims are {_aims(here)}.", ""]
        for wrong, said in ((True, "Wrong answers"), (False, "Not answered, though there is one")):
            named = list(_named(here, wrong))
            lines += [f"### {said}: {name} list", "", *(named or ["None."]), ""]
    return "\n".join(lines)


_TOP = """# What is seen

What `suggest_lr` need not be told, and how far that can be relied on: real objects of each library
were made, new, trained, held, unfrozen, in their middle, with and without schedules, and what was
seen of them is compared with how they were made. Made by `python benchmarks/pages/detection.py`,
whose table is benchmarks/recorded/detection.csv; how each case is made stands in the modules
detection_*.py beside it.

*Cases with an answer*: those of which the question has a true answer. A training that is new has
none to "whether it went on before", for nothing tells it from one that left no trace; there, and
where no schedule is set or a network is neither held nor free, silence is right. *Right*: of all
answers given, also where there was none to give. The aims: right in at least {right:.0%}, answered
in at least {answered:.0%} of the cases with an answer.

"Trained" networks were trained here, for 60 steps, but for two bodies with real weights (ImageNet's
EfficientNet-Lite0, a small ShuffleNetV2). Sixty steps leave norms closer to new ones than any long
training does: where such a network goes on with a new optimizer, nothing tells it from one that
began from scratch, and the stage is not answered.

"""
_LISTS = (
    (
        "first",
        "The cases it was worked out on",
        "{n} cases: what is seen was mended until these came out as they do, so they are no test.",
    ),
    (
        "second",
        "Cases written down before",
        "{n} cases, most of other networks, each written down before it was looked at; nothing was "
        "changed for them.",
    ),
)


if __name__ == "__main__":
    if "--page" not in sys.argv:
        record(cases())
    PAGE.write_text(page(), "utf-8")
    print(page())
