"""The part of the report on where everything comes from: citations, facts and tables to take."""

import base64
import gzip
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.regret import scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.report.about import Story, facts
from lrsuggest.report.text import kind, rate
from lrsuggest.tasks.data.catalog import datasets

METHODS = (
    ("range test", "L. N. Smith. Cyclical learning rates for training neural networks. "
     "WACV 2017, arXiv:1506.01186"),
    ("one-cycle schedule", "L. N. Smith, N. Topin. Super-convergence. arXiv:1708.07120, 2017"),
    ("intervals of medians and means", "B. Efron. Bootstrap methods. Annals of Statistics 7(1), "
     "1979; whole families are resampled"),
    ("intervals of shares", "E. B. Wilson. J. American Statistical Association 22, 1927"),
    ("comparisons", "F. Wilcoxon. Biometrics Bulletin 1(6), 1945; S. Holm. Scandinavian J. of "
     "Statistics 6(2), 1979; one value per family"),
    ("critical-difference diagram", "J. Demsar. JMLR 7, 2006; A. Benavoli, G. Corani, F. Mangili. "
     "JMLR 17, 2016"),
    ("regret profile", "E. D. Dolan, J. J. More. Mathematical Programming 91, 2002, with regret "
     "in place of the ratio of times"),
)  # fmt: skip


class Download(NamedTuple):
    """A table to take along: file name, what it holds, rows, and the file as a data URI."""

    name: str
    what: str
    rows: int
    uri: str


def _csv(name: str, what: str, table: pd.DataFrame) -> Download:
    """Make a table a file; large ones are compressed, with no clock in them."""
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    kind_ = "text/csv"
    if len(text) > 20_000:
        text, name, kind_ = gzip.compress(text, 9, mtime=0), f"{name}.gz", "application/gzip"
    return Download(name, what, len(table),
                    f"data:{kind_};base64,{base64.b64encode(text).decode()}")  # fmt: skip


def downloads(
    table: pd.DataFrame, ranked: pd.DataFrame, tasks: Sequence[TaskEvidence]
) -> list[Download]:
    """Return the tables behind the page as files."""
    found = []
    if len(ranked):
        found.append(_csv("ranking.csv", "a contestant a row, as in the ranking", ranked))
    if len(table):
        means = table.groupby(["task", "contestant"]).regret.mean().unstack().reset_index()
        found.append(_csv("regret.csv", "a task a row, a contestant a column: mean regret", means))
        columns = ["task", "contestant", "seed", "pick", "regret", "abstained", "outside"]
        picks = table[columns].replace({False: 0, True: 1})
        found.append(_csv("picks.csv", "every pick from every range test, with its regret", picks))
    runs = [
        pd.DataFrame({"task": task.label, "lr": rates, "seed": seeds, "loss": losses})
        for task in scorable(tasks)
        for rates, seeds, losses in [_long(task)]
    ]
    if runs:
        whole = pd.concat(runs, ignore_index=True)
        found.append(_csv("responses.csv", "every training run of the responses", whole))
    return found


def _long(task: TaskEvidence) -> tuple[Any, Any, Any]:
    assert task.response is not None
    seeds, at = np.nonzero(~np.isnan(task.response.loss))
    return task.response.rates[at], seeds, task.response.loss[seeds, at]


def sources() -> dict[str, str]:
    """Return where each hand-picked rate was published, by the dataset's title and the rate.

    Several places that published one rate stand behind one another.
    """
    found: dict[str, dict[str, None]] = {}
    for each in datasets().values():
        for stage in each.stages:
            for pick in stage.hand_picked:
                found.setdefault(f"{each.title} {rate(pick.top)}", {})[pick.where] = None
    return {what: "; ".join(where) for what, where in found.items()}


def citations(
    tasks: Sequence[TaskEvidence], lessons: Sequence[LessonEvidence]
) -> list[dict[str, str]]:
    """Return the datasets in the report with thanks and terms, as datasets.toml has them."""
    titles = {task.title for task in tasks} | {lesson.title for lesson in lessons}
    return [
        {"title": each.title, "cite": each.cite, "source": each.source, "terms": each.terms}
        for each in datasets().values()
        if each.title in titles
    ]


def heuristics() -> list[dict[str, str]]:
    """Return every contestant with its source."""
    return [
        {"name": name, "kind": kind(name), "source": each.source}
        for name, each in HEURISTICS.items()
        if each.origin != "constant"
    ]


def about(
    tasks: Sequence[TaskEvidence], stages: Sequence[TaskEvidence], story: Story
) -> Mapping[str, str]:
    """Return what was run, where and with what, by name."""
    every = [*tasks, *stages]
    seeds = sorted({
        0 if task.response is None else int((~np.isnan(task.response.loss)).any(axis=1).sum())
        for task in every
    })  # fmt: skip
    tests = sorted({len(task.curves) for task in every})
    told = facts(every)
    found = {
        "command": story.command,
        "suite": story.suite or story.title,
        "records": story.kept,
        "runs": story.coverage,
        "source revision": told.get("source", "not recorded by these runs"),
        **{name: value for name, value in told.items() if name != "source"},
        "seeds of a response": _range(seeds),
        "range tests a task": _range(tests),
    }
    seconds = [task.seconds for task in every if not np.isnan(task.seconds)]
    if seconds:
        found["compute"] = f"{sum(seconds) / 3600:.1f} hours of one worker"
    return {name: value for name, value in found.items() if value}


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def fingerprints(tasks: Sequence[TaskEvidence]) -> list[tuple[str, str]]:
    """Return the digest of each dataset's files, by title."""
    found = {task.title: ", ".join(task.data) for task in tasks}
    return [(title, digest) for title, digest in found.items() if digest]
