"""Whether the rate to train with depends on the schedule: the same tasks under two of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lrsuggest.evidence.regret import regret, scorable
from lrsuggest.evidence.response import FINE, Response, TaskEvidence


def shifts(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return how far the good rates move from one-cycle to a constant rate, a row per pair.

    Two tasks make a pair where all but the schedule is alike. A single best rate is at the mercy of
    the noise, so what is compared is the middle of the rates, on a logarithmic scale, whose regret
    is at most .05.

    Columns: task (the constant one), family, one_cycle and constant (that middle, log10) and shift
    (decades; negative where a constant rate has to be lower).
    """
    real = scorable(tasks)
    cycles = {_kin(task): task for task in real if task.schedule == "one_cycle"}
    rows = []
    for task in real:
        twin = cycles.get(_kin(task))
        if task.schedule != "constant" or twin is None:
            continue
        assert task.response is not None
        assert twin.response is not None
        one, constant = _middle(twin.response), _middle(task.response)
        rows.append((task.label, task.family, one, constant, constant - one))
    return pd.DataFrame(rows, columns=["task", "family", "one_cycle", "constant", "shift"])


def by_family(table: pd.DataFrame, *, draws: int = 10_000) -> tuple[float, float, float]:
    """Return the mean shift over families and its 95 % interval, by bootstrap over them.

    Args:
        table: what `shifts` returned.
        draws: of the bootstrap.
    """
    means = table.groupby("family")["shift"].mean().to_numpy()
    picked = np.random.default_rng(0).choice(means, (draws, len(means))).mean(axis=1)
    low, high = np.quantile(picked, [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def without(table: pd.DataFrame, family: str) -> float:
    """Return the mean shift over all families but one, to the hundredth of a decade.

    Args:
        table: what `shifts` returned.
        family: the one that is to have no say.
    """
    return round(by_family(table[table.family != family], draws=1)[0], 2)


def _kin(task: TaskEvidence) -> tuple[object, ...]:
    return task.title, task.model, task.optimizer, task.stage, task.steps, task.batch


def _middle(response: Response) -> float:
    cost = np.array([regret(response, rate) for rate in response.rates])
    good = np.log10(response.rates[cost <= max(FINE, float(np.nanmin(cost)))])
    return float(good.min() + good.max()) / 2
