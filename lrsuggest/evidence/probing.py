"""What probing is worth: `suggest_lr(learner, probes=n)` replayed on the recorded short runs.

Every task's grid was also run at a quarter of its length. A probe of a rate is then a look at one
seed of those, judged on one half of the validation examples; what the chosen rate is worth is
valued at full length on the other half. Four such probes cost one full run.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.heuristics import Abstention
from lrsuggest.curves.readings import rates, read_all
from lrsuggest.evidence.recorded import response
from lrsuggest.evidence.regret import Reader, regret, scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.training.choosing import choose, settle

SHORTER = 4  # the short runs' share of a full one
COUNTS = (2, 3, 4, 6, 8)
_REACH = 10**0.6  # how far from the curve's pick is probed


def _lookup(task: TaskEvidence, seed: int) -> Callable[[float, object], float] | None:
    """The short run of one seed as a function of the rate; infinity beside a diverged one."""
    runs = task.runs[(task.runs.part == "short") & (task.runs.seed == seed)].sort_values("lr")
    if len(runs) < 2:
        return None
    x, y = np.log10(runs.lr.to_numpy(float)), runs.loss_probe.to_numpy(float)

    def look(rate: float, lags: object) -> float:
        with np.errstate(invalid="ignore"):
            value = float(np.interp(math.log10(rate), x, y))
        return value if math.isfinite(value) else math.inf

    return look


def probed(tasks: Sequence[TaskEvidence], read: Reader) -> pd.DataFrame:
    """Return a row per task, range test and number of probes.

    Columns: task, family, seed, probes (0 for the curve's pick alone), cost (in full runs, the
    range test not counted), pick, regret (at full length on the score half), oracle (regret on
    that half of the best rate at full length on the probe half: what is attainable).

    Args:
        tasks: recorded tasks.
        read: gives the curve's own pick.
    """
    rows = []
    for task in scorable(tasks):
        probe_start, score_start = task.starts
        scored = response(task.runs, score_start, column="loss_score")
        chosen_on = response(task.runs, probe_start, column="loss_probe")
        if scored is None or chosen_on is None or not (scored.halves and chosen_on.halves):
            continue
        oracle = float(np.mean([regret(scored, half.best) for half in chosen_on.halves]))
        for seed, curve in enumerate(task.curves):
            look = _lookup(task, seed % 3)
            first = read(task, curve)
            if look is None or isinstance(first, Abstention):
                continue
            others = rates(read_all(curve, task.context)).values()
            facts = {"task": task.label, "family": task.family, "seed": seed, "oracle": oracle}
            rows.append({**facts, "probes": 0, "cost": 0.0, "pick": first,
                         "regret": regret(scored, first)})  # fmt: skip
            low, high = first / _REACH, first * _REACH
            for n in COUNTS:
                lr, trials = choose(look, [first, *others], low, high, n, seed)
                pick = first if lr is None else settle(first, lr, trials, SHORTER)
                rows.append({**facts, "probes": n, "cost": n / SHORTER, "pick": pick,
                             "regret": regret(scored, pick)})  # fmt: skip
    return pd.DataFrame(rows)
