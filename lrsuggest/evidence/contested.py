"""What a ranking rests on: one contest and one set of tasks, for report, score and docs alike.

The constant to beat knows what the consensus knows: it is chosen on the recorded evidence, on the
families other than the task's own, whatever is judged. A ranking, and every test in it, rests on
the tasks of one schedule, one-cycle where there are as many of those as of any other: the rates
wanted under another schedule are others, and what is answered there is not what is claimed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd

from lrsuggest.evidence.consensus_fit import UNSEEN, fold_reader, read_folds
from lrsuggest.evidence.regret import Reader, contest, rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.tables import load

ONE_CYCLE = "one_cycle"


@cache
def evidence() -> tuple[TaskEvidence, ...]:
    """Return the recorded tasks that constants out of fold, and their intervals, come from."""
    return tuple(load())


def contested(
    tasks: Sequence[TaskEvidence], extra: Mapping[str, Reader] | None = None
) -> pd.DataFrame:
    """Return the contest of all tasks (see `regret.contest`), whatever their schedule.

    Where the consensus was fitted on a task's family, the rule made without it stands beside the
    shipped one.

    Args:
        tasks: what was measured.
        extra: more contestants, as in `regret.contest`.
    """
    folds = read_folds()
    tuned_on = any(task.family in folds for task in tasks)
    unseen = {UNSEEN: fold_reader(folds)} if tuned_on else {}
    return contest(tasks, {**unseen, **(extra or {})}, evidence())


def by_schedule(tasks: Sequence[TaskEvidence]) -> dict[str, list[TaskEvidence]]:
    """Return the tasks of each schedule, first those that the ranking rests on.

    The tasks that can be ranked on decide which come first: those of the schedule that most of
    them have, one-cycle in a tie. Without a task there is none.
    """
    counts = Counter(task.schedule for task in rankable(tasks))
    order = sorted(
        dict.fromkeys(task.schedule for task in tasks),
        key=lambda each: (-counts[each], each != ONE_CYCLE, each),
    )
    return {each: [task for task in tasks if task.schedule == each] for each in order}


def of(table: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a contest's rows of those among some tasks that a ranking can rest on."""
    return table if table.empty else table[table.task.isin([t.label for t in rankable(tasks)])]


def rests_on(tasks: Sequence[TaskEvidence]) -> str:
    """Say what the ranking of tasks of one schedule rests on: "2 tasks of 1 family under ..."."""
    real = rankable(tasks)
    if all(task.synthetic for task in tasks):
        return "no task on real data"
    if not real:
        return "no task on real data that has a range test and learnt anything"
    n, families = len(real), len({task.family for task in real})
    said = real[0].schedule.replace("_", "-")
    return (
        f"{n} {'task' if n == 1 else 'tasks'} of {families} "
        f"{'family' if families == 1 else 'families'} "
        + ("at a constant rate" if said == "constant" else f"under {said}")
    )


def left_out(tasks: Sequence[TaskEvidence]) -> list[str]:
    """Name the real tasks that no ranking can rest on, each with what it lacks."""
    ranked = {task.label for task in rankable(tasks)}
    return [
        f"{task.label} ({_lacks(task)})"
        for task in tasks
        if not task.synthetic and task.label not in ranked
    ]


def _lacks(task: TaskEvidence) -> str:
    if task.response is None or not task.response.ready:
        return "fewer than two rates and two seeds, or no start"
    return "no rate learnt anything" if not task.response.halves else "no range test"
