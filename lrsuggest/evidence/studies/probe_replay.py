"""What probing is worth: `suggest_lr(learner, probes=n)` replayed on the recorded short runs.

Every task's grid was also run at a quarter of its length. A probe of a rate is then a look at one
seed of those, judged on one half of the validation examples; what the chosen rate is worth is
valued at full length on the other half. Four such probes cost one full run.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lrsuggest.curves.heuristics.all import rates, read_all
from lrsuggest.curves.heuristics.consensus import RULE, Rule, interval, told
from lrsuggest.curves.heuristics.registry import Abstention
from lrsuggest.evidence.parse import response
from lrsuggest.evidence.regret import regret, scorable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.training.probe_search import choose, settle

SHORTER = 4  # the short runs' share of a full one
SHIFTS = (0.0, -0.15, -0.3)  # decades; the middle one is the consensus's own for this length
COUNTS = (2, 3, 4, 6, 8)


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


def probed(tasks: Sequence[TaskEvidence], rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Return a row per task, range test and number of probes.

    Columns: task, family, seed, probes (0 for the curve's pick alone), cost (in full runs, the
    range test not counted), pick, regret (at full length on the score half), oracle (regret on
    that half of the best rate at full length on the probe half: what is attainable).

    Args:
        tasks: recorded tasks.
        rules: the consensus made without each family; its interval bounds the probes, as in
            `suggest_lr`. Unlike there none is broken off early, and all have a quarter's length.
    """
    rows = []
    for task in scorable(tasks):
        probe_start, score_start = task.starts
        scored = response(task.runs, score_start, column="loss_score")
        chosen_on = response(task.runs, probe_start, column="loss_probe")
        if scored is None or chosen_on is None or not (scored.halves and chosen_on.halves):
            continue
        if len(scored.halves) != len(chosen_on.halves):
            continue
        # Chosen on some seeds and examples, valued on the other seeds and examples.
        pairs = zip(chosen_on.halves, scored.halves, strict=True)
        oracle = float(np.mean([value.regret(chosen.best) for chosen, value in pairs]))
        rule = rules.get(task.family, RULE)
        for seed, curve in enumerate(task.curves):
            look = _lookup(task, seed % 3)
            table = told(curve, task.context)
            if look is None or isinstance(table, Abstention):
                continue
            low, first, high = (float(x) for x in 10 ** interval(rule, table)[:, 0])
            others = rates(read_all(curve, task.context)).values()
            facts = {"task": task.label, "family": task.family, "seed": seed, "oracle": oracle}
            rows.append({**facts, "probes": 0, "cost": 0.0, "pick": first,
                         "regret": regret(scored, first)})  # fmt: skip
            for n in COUNTS:
                lr, trials = choose(look, [first, *others], low, high, n, seed)
                pick = first if lr is None else settle(first, lr, trials, SHORTER)
                rows.append({**facts, "probes": n, "cost": n / SHORTER, "pick": pick,
                             "regret": regret(scored, pick)})  # fmt: skip
    return pd.DataFrame(rows)


def best_of_short(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return what all recorded short runs together could choose, a row per task and shift.

    The rate with the lowest mean loss over the whole short grid and its three seeds, moved by
    `SHIFTS` decades and valued at full length: about what any probing at this length can know, for
    some ten times the cost of four probes.

    Columns: task, family, shift, regret (on the score half, as in `probed`).
    """
    rows = []
    for task in scorable(tasks):
        scored = response(task.runs, task.starts[1], column="loss_score")
        short = task.runs[task.runs.part == "short"]
        if scored is None or not scored.halves or short.empty:
            continue
        best = float(str(short.groupby("lr").loss_probe.mean().idxmin()))
        rows += [
            {"task": task.label, "family": task.family, "shift": shift,
             "regret": regret(scored, best * 10**shift)}
            for shift in SHIFTS
        ]  # fmt: skip
    return pd.DataFrame(rows)
