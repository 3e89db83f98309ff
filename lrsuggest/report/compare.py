"""What got better or worse from one measurement to another, beyond noise.

Everything is B against A. A pick's regret on a task has moved where the difference exceeds two
standard errors of both measurements together; a contestant has, where more tasks moved one way
than the other and the 95 % interval of its median change over families lies on that side of 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.lessons import LessonEvidence, autopilot
from lrsuggest.evidence.paired import FEWEST, Outcome
from lrsuggest.evidence.paired import compare as against
from lrsuggest.evidence.regret import scorable
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.evidence.statistics import bootstrap
from lrsuggest.report.page import environment
from lrsuggest.report.text import kind, records, several

BETTER, WORSE, ALIKE = "better", "worse", "no difference beyond noise"
FEW = f"under {FEWEST} common seeds, nothing is said"


@dataclass(frozen=True)
class Side:
    """One of the two: where it lies, and what was measured."""

    name: str
    tasks: Sequence[TaskEvidence]
    lessons: Sequence[LessonEvidence] = ()


@dataclass(frozen=True)
class Comparison:
    """What moved.

    Attributes:
        before: A.
        after: B.
        contestants: a row each: contestant, tasks, families, change (median of B less A, negative
            is better) with low and high, better, worse and alike (tasks), moved (median distance
            of the picks, decades), verdict.
        tasks: a row per shared task: task, before and after (mean loss at the best rate), change
            as a share of what training gained in A, noise (of that), verdict.
        moves: a row per task and contestant that moved beyond noise.
        lessons: a row per lesson's stage, chain and number format.
        alone: labels that only A, and only B, has.
        unlike: sentences on what has one name and is not the same.
    """

    before: Side
    after: Side
    contestants: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    moves: list[dict[str, Any]]
    lessons: list[dict[str, Any]]
    alone: tuple[list[str], list[str]]
    unlike: list[str]

    @classmethod
    def of(cls, before: Side, after: Side) -> "Comparison":
        """Compare two measurements on the tasks and lessons that both have."""
        a, b = ({task.label: task for task in scorable(side.tasks)} for side in (before, after))
        shared = [label for label in a if label in b]
        pairs = {label: (a[label], b[label]) for label in shared}
        costs, noise = _costs(before, after, shared), _noise(pairs)
        moves = _moves(costs, noise)
        return cls(
            before, after, _contestants(costs, noise), _tasks(pairs), moves,
            _lessons(before.lessons, after.lessons),
            ([label for label in a if label not in b], [label for label in b if label not in a]),
            [*_unlike_tasks(pairs), *_unlike_lessons(before.lessons, after.lessons)],
        )  # fmt: skip

    @property
    def lines(self) -> list[str]:
        """The gist, a line each."""
        said = [f"{several(len(self.tasks), 'shared task')}; B is {self.after.name}, "
                f"A is {self.before.name}"]  # fmt: skip
        said += [f"{what}: {_named(labels) or 'none'}" for what, labels in self._moved.items()]
        for side, labels in zip("AB", self.alone, strict=True):
            if labels:
                said.append(f"only in {side}: {_named(labels)}")
        return said + self.unlike

    @property
    def gist(self) -> str:
        """What moved, in a sentence or two."""
        if not (self.contestants or self.tasks or self.lessons):
            return "Nothing was measured in both."
        said = [
            f"{what[0].upper()}{what[1:]}: {_named(labels)}."
            for what, labels in self._moved.items()
            if labels
        ]
        return " ".join(said) or "Nothing moved beyond noise."

    @property
    def _moved(self) -> dict[str, list[str]]:
        """Labels by what they are and the way they moved, of whatever was measured in both."""
        return {
            f"{what} {verdict}": [row[name] for row in rows if row["verdict"] == verdict]
            for what, rows, name in (
                ("contestants", self.contestants, "contestant"),
                ("trained tasks", self.tasks, "task"),
                ("lessons", self.lessons, "what"),
            )
            if rows
            for verdict in (BETTER, WORSE)
        }


def _named(labels: Sequence[str], most: int = 6) -> str:
    """Join labels, which may hold commas themselves; beyond `most` the others are counted."""
    more = [f"and {len(labels) - most} more"] if len(labels) > most else []
    return "; ".join([*labels[:most], *more])


def _unlike_tasks(pairs: Mapping[str, tuple[TaskEvidence, TaskEvidence]]) -> list[str]:
    said = []
    for label, both in pairs.items():
        told = [
            {"metric": t.metric, "model": t.model, "steps": t.steps, "batch": t.batch,
             "schedule": t.schedule, "data": t.data} for t in both
        ]  # fmt: skip
        if differ := [name for name in told[0] if told[0][name] != told[1][name]]:
            said.append(f"not the same in both: {label} ({', '.join(differ)})")
    return said


def _unlike_lessons(before: Sequence[LessonEvidence], after: Sequence[LessonEvidence]) -> list[str]:
    earlier = {lesson.name: lesson for lesson in before}
    columns = ["stage", "size", "batch", "epochs"]
    said = []
    for lesson in after:
        if (other := earlier.get(lesson.name)) is None:
            continue
        facts = ("metric", "model", "optimizer", "schedule", "fingerprint")
        differ = [name for name in facts if getattr(lesson, name) != getattr(other, name)]
        if not lesson.stages[columns].astype(str).equals(other.stages[columns].astype(str)):
            differ.append("stages")
        if differ:
            said.append(f"not the same in both: lesson {lesson.name} ({', '.join(differ)})")
    return said


def _costs(before: Side, after: Side, shared: Sequence[str]) -> pd.DataFrame:
    """A row per shared task and contestant: mean regret and mean log10 pick of either side."""
    parts = []
    for side, tasks in (("a", before.tasks), ("b", after.tasks)):
        table = contested(tasks)
        if table.empty:
            return pd.DataFrame()
        table = table[table.task.isin(shared)]
        table = table.assign(pick=np.log10(table.pick))
        means = table.groupby(["contestant", "family", "task"])[["regret", "pick"]].mean()
        parts.append(means.add_suffix(f"_{side}"))
    both = parts[0].join(parts[1], how="inner").reset_index()
    both["change"] = (both.regret_b - both.regret_a).round(12)
    return both.dropna(subset=["change"])


def _noise(pairs: Mapping[str, tuple[TaskEvidence, TaskEvidence]]) -> dict[str, float]:
    """Two standard errors of a difference of regrets, of both measurements together."""
    return {
        label: 2 * math.hypot(*(t.response.error if t.response else math.inf for t in both))
        for label, both in pairs.items()
    }


def _contestants(costs: pd.DataFrame, noise: Mapping[str, float]) -> list[dict[str, Any]]:
    rows = []
    for name, here in costs.groupby("contestant") if len(costs) else ():
        floor = here.task.map(noise).to_numpy(float)
        change = here.change.to_numpy(float)
        low, high = bootstrap(change, here.family.tolist())["median"]
        better, worse = int((change < -floor).sum()), int((change > floor).sum())
        rows.append(
            {
                "contestant": str(name), "kind": kind(str(name)), "tasks": len(here),
                "families": here.family.nunique(), "change": float(np.median(change)),
                "low": low, "high": high, "better": better, "worse": worse,
                "alike": len(here) - better - worse,
                "moved": float((here.pick_b - here.pick_a).abs().median()),
                "verdict": BETTER if high < 0 and better > worse
                else WORSE if low > 0 and worse > better else ALIKE,
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: (row["change"], row["contestant"]))


def _moves(costs: pd.DataFrame, noise: Mapping[str, float]) -> list[dict[str, Any]]:
    if costs.empty:
        return []
    told = costs.assign(noise=costs.task.map(noise), size=costs.change.abs())
    moved = told[told["size"] > told.noise]
    moved = moved.sort_values("size", ascending=False, kind="stable")
    return [{**row, "verdict": BETTER if row["change"] < 0 else WORSE} for row in records(moved)]


def _best(response: Response) -> tuple[float, float, float]:
    """Mean loss at the best rate, its standard error, and what training gains."""
    value = float(np.mean([half.at_best for half in response.halves]))
    span = float(np.mean([half.span for half in response.halves]))
    return value, response.error * span / math.sqrt(2), span


def _tasks(pairs: Mapping[str, tuple[TaskEvidence, TaskEvidence]]) -> list[dict[str, Any]]:
    rows = []
    for label, both in pairs.items():
        responses = [task.response for task in both if task.response and task.response.halves]
        if len(responses) < 2:
            continue
        (one, error_one, span), (two, error_two, _) = map(_best, responses)
        change, floor = (two - one) / span, 2 * math.hypot(error_one, error_two) / span
        verdict = ALIKE if abs(change) <= floor else BETTER if change < 0 else WORSE
        rows.append({"task": label, "before": one, "after": two, "change": change, "noise": floor,
                     "verdict": verdict})  # fmt: skip
    return rows


def _lessons(
    before: Sequence[LessonEvidence], after: Sequence[LessonEvidence]
) -> list[dict[str, Any]]:
    """Suggested chains of B against those of A, seed by seed, at every stage both reached."""
    earlier = {lesson.name: lesson for lesson in before}
    rows = []
    for lesson in after:
        if lesson.name not in earlier or lesson.metric != (earlier[lesson.name].metric):
            continue
        keys = ["precision", "number"]
        pair = [autopilot(each).set_index(keys) for each in (earlier[lesson.name], lesson)]
        for key in pair[1].index.intersection(pair[0].index, sort=False):
            a, b = (each.loc[key, "our_values"] for each in pair)
            n = min(len(a), len(b))
            # Without a margin: what is looked for is a difference, either way.
            found = against(b[:n], a[:n], margin=0.0, higher=lesson.higher)
            same = {Outcome.UNDECIDED: ALIKE if n >= FEWEST else FEW}
            rows.append(
                {
                    "what": f"{lesson.name}, {'test split' if key[1] == 0 else f'stage {key[1]}'}"
                    f", {key[0]}",
                    "before": a, "after": b, "found": found,
                    "verdict": same.get(found.outcome, str(found.outcome)),
                }
            )  # fmt: skip
    return rows


def render_comparison(found: Comparison, command: str) -> str:
    """Return the comparison as one HTML document that needs nothing else."""
    return environment().get_template("compare.html").render(found=found, command=command)
