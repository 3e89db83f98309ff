"""How far picks move when the range test does, what replicates buy, and what proxies are worth.

Distances between rates are in decades, |log10(a / b)|. Regrets are shares of what training gains.
Every task weighs the same; no statistic here says more than its number of tasks allows.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
import pandas as pd

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS, rates
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.heuristics.shapes import lowest
from lrsuggest.curves.pooling import pool
from lrsuggest.errors import LrsuggestWarning
from lrsuggest.evidence.parse import response
from lrsuggest.evidence.regret import regret, scorable
from lrsuggest.evidence.response import DIVERGED, FINE, NEAR, Response, TaskEvidence

REPEATED = ("steepest_gaussian", "min_10", "steepest_min_10")  # replicates are tried on these
_SMOOTHINGS = {"steepest": "savgol", "steepest_gaussian": "gaussian", "steepest_robust": "robust"}


def read_one(name: str, curve: Curve, context: Context) -> float:
    """Return a heuristic's rate, NaN where it abstains."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LrsuggestWarning)
        return rates({name: HEURISTICS[name](curve, context)}).get(name, math.nan)


def heuristics(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per task, range test and heuristic, constants left out.

    Tasks that differ in their training only share their range tests; those are read once, for the
    first such task. The heuristic is told that task's context.

    Columns: task, family, start, end, steps, seed (of the range test), main (whether it is the
    one that heuristics are judged on), heuristic, pick (NaN for an abstention).
    """
    rows, known = [], set()
    for task in tasks:
        key = tuple(curve.loss.tobytes() for *_, curve in task.variants)
        if task.synthetic or not key or key in known:
            continue
        known.add(key)
        for start, end, steps, seed, curve in task.variants:
            about = {
                "task": task.label, "family": task.family, "start": start, "end": end,
                "steps": steps, "seed": seed, "main": (start, end, steps) == task.variants[0][:3],
            }  # fmt: skip
            rows += [
                {**about, "heuristic": name, "pick": read_one(name, curve, task.context)}
                for name, each in HEURISTICS.items()
                if each.origin != "constant"
            ]
    return pd.DataFrame(rows)


_X, _Y = ([f"{name}_{side}" for name in ("start", "end", "steps")] for side in "xy")


def _difference(one: Floats, two: Floats) -> str:
    """In what two range tests, (start, end, steps) each, differ."""
    if (one[:2] == two[:2]).all():
        return f"{one[2]:g} and {two[2]:g} steps"
    return f"from {one[0]:g} to {one[1]:g} and {two[0]:g} to {two[1]:g}"


def _pairs(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield pairs of picks: columns heuristic, varied, task, pick_x and pick_y."""
    keep = ["heuristic", "varied", "task", "pick_x", "pick_y"]
    main, other = table[table.main], table[~table.main]
    seeds = main.merge(main, on=["task", "heuristic"])
    yield seeds[seeds.seed_x < seeds.seed_y].assign(varied="sweep seed")[keep]
    both = main.merge(other, on=["task", "heuristic", "seed"])
    both["varied"] = list(map(_difference, both[_X].to_numpy(float), both[_Y].to_numpy(float)))
    yield both[keep]
    for one, two in combinations(_SMOOTHINGS, 2):
        left, right = (main[main.heuristic == name] for name in (one, two))
        met = left.merge(right, on=["task", "seed"])
        said = f"{_SMOOTHINGS[one]} and {_SMOOTHINGS[two]} smoothing"
        yield met.assign(varied=said, heuristic="steepest")[keep]


def movement(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far a heuristic's pick moves with what ought not to matter.

    What varies: the sweep seed (every pair of seeds); at one seed the number of steps, or the
    swept range, each against the main range test; on one curve the smoothing of the steepest
    slope. A task's movement is the mean over its pairs.

    Columns: heuristic, varied, tasks, pairs (in which both gave a rate), median and p90 (decades,
    over tasks), shift (median over tasks with the sign: positive where the second of the two named
    gives the higher rate), lost (share of pairs in which only one of the two gave a rate).

    Args:
        table: what `heuristics` returned.
    """
    if table.empty:
        return pd.DataFrame()
    pairs = pd.concat(_pairs(table), ignore_index=True)
    pairs["shift"] = np.log10(pairs.pick_y / pairs.pick_x)
    pairs["moved"] = pairs["shift"].abs()
    pairs["lost"] = pairs.pick_x.isna() != pairs.pick_y.isna()
    keys = ["varied", "heuristic"]
    means = pairs.groupby([*keys, "task"], sort=False)[["moved", "shift"]].mean()
    by_task, drift = (means[name].groupby(keys, sort=False) for name in ("moved", "shift"))
    by_pair = pairs.groupby(keys, sort=False)
    out = pd.DataFrame(
        {
            "tasks": by_task.count(), "pairs": by_pair.moved.count(), "median": by_task.median(),
            "p90": by_task.quantile(0.9), "shift": drift.median(), "lost": by_pair.lost.mean(),
        }
    )  # fmt: skip
    return out.reset_index()[["heuristic", "varied", *out.columns]]


def _chosen(n: int, k: int) -> list[tuple[int, ...]]:
    """Which k of n sweeps are taken together: runs of neighbours in a ring, each sweep k times."""
    return [tuple((first + i) % n for i in range(k)) for first in range(n if k < n else 1)]


def _spread(picks: Sequence[float], chosen: Sequence[tuple[int, ...]], shared: int) -> float:
    """Mean distance of the pairs that have so many sweeps in common."""
    told = [(set(c), math.log10(p)) for c, p in zip(chosen, picks, strict=True) if p > 0]
    gaps = [abs(x - y) for (a, x), (b, y) in combinations(told, 2) if len(a & b) == shared]
    return float(np.mean(gaps)) if gaps else math.nan


def replicates(
    tasks: Sequence[TaskEvidence],
    names: Sequence[str] = REPEATED,
    counts: Sequence[int] = (1, 3, 5),
) -> pd.DataFrame:
    """Return what a heuristic gains from k range tests instead of one.

    They are joined in two ways: "curves" pools them and reads the pool, "picks" takes the median,
    on a log scale, of what is read from each. Only tasks with a rate for every k, both ways, count.

    Columns: heuristic, how, k, tasks, spread (mean distance between two such picks, in decades;
    median over tasks), shared (how many of the k range tests the two have in common: an average
    of k would then spread less than the truth by sqrt(1 - shared / k)), median, mean and p90 (of
    regret over tasks), abstained (share).

    Args:
        tasks: what was measured, with at least max(counts) sweeps each.
        names: heuristics.
        counts: the k.
    """
    rows = []
    for task in scorable(tasks):
        n = len(task.curves)
        for name in names if n >= max(counts) else ():
            alone = np.array([read_one(name, curve, task.context) for curve in task.curves])
            for k in counts:
                chosen = _chosen(n, k)
                pools = [pool([task.curves[i] for i in each]) for each in chosen if k > 1]
                found = {
                    "curves": [read_one(name, each, task.context) for each in pools] or list(alone),
                    "picks": [_median(alone[list(each)]) for each in chosen],
                }
                rows += [
                    {"task": task.label, "heuristic": name, "how": how, "k": k,
                     **_worth(task, picks, chosen)}
                    for how, picks in found.items()
                ]  # fmt: skip
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    whole = table.groupby(["heuristic", "task"]).regret.transform(lambda x: x.notna().all())
    by = table[whole].groupby(["heuristic", "how", "k"], sort=False)
    return by.agg(
        tasks=("task", "nunique"), spread=("spread", "median"), shared=("shared", "max"),
        median=("regret", "median"), mean=("regret", "mean"),
        p90=("regret", lambda x: x.quantile(0.9)), abstained=("abstained", "mean"),
    ).reset_index()  # fmt: skip


def _median(picks: Floats) -> float:
    """Median on a log scale; an abstention of half of them or more is one of all."""
    given = picks[~np.isnan(picks)]
    return float(10 ** np.median(np.log10(given))) if 2 * len(given) > len(picks) else math.nan


def _worth(
    task: TaskEvidence, picks: Sequence[float], chosen: Sequence[tuple[int, ...]]
) -> dict[str, float]:
    assert task.response is not None
    shared = max(0, 2 * len(chosen[0]) - len(task.curves))  # the fewest that two can share
    costs = [regret(task.response, pick) for pick in picks if pick > 0]
    regrets = float(np.mean(costs)) if costs else math.nan
    return {
        "spread": _spread(picks, chosen, shared), "shared": shared, "regret": regrets,
        "abstained": 1 - len(costs) / len(picks),
    }  # fmt: skip


def _means(measured: Response) -> tuple[Floats, Floats, float]:
    """Rates measured at all, their mean loss, a divergence counted as for regret, and the best."""
    seen = (~np.isnan(measured.loss)).sum(axis=0)
    some = seen > 0
    ceiling = measured.start + (DIVERGED - 1) * (measured.start - np.nanmin(measured.loss))
    losses = np.minimum(measured.loss[:, some], max(ceiling, measured.start))
    lr, loss = measured.rates[some], np.nanmean(losses, axis=0)
    often = seen[some] * 2 >= seen.max()  # a rate seen once is easily lucky
    return lr, loss, float(lr[lowest(np.where(often, loss, loss.max()))])


def _area(task: TaskEvidence) -> int:
    """Pixels or tokens of an example; 0 where it has no size."""
    return math.prod(task.size) if task.size else 0


def _kin(task: TaskEvidence) -> tuple[object, ...]:
    return task.title, task.model, task.optimizer, task.stage, task.schedule, task.batch


def _proxies(tasks: Sequence[TaskEvidence]) -> Iterator[tuple[str, TaskEvidence, Response]]:
    """Yield (proxy, the task it stands for, what the proxy measured)."""
    for task in tasks:
        start = task.response.start if task.response else math.nan
        cheap = response(task.runs, start, parts=("short",))
        if cheap is not None and cheap.ready:
            few = int(task.runs.steps[task.runs.part == "short"].iloc[0])
            yield f"1/{(task.steps or few) / few:.0f} of the steps", task, cheap
    for less, more in permutations(tasks, 2):
        if less.response and _kin(less) == _kin(more):
            longer, larger = (more.steps or 0) - (less.steps or 0), _area(more) - _area(less)
            if longer > 0 and larger == 0:
                yield "fewer steps, another task", more, less.response
            if larger > 0 and longer == 0:
                yield "smaller examples", more, less.response


def _tau(one: Floats, two: Floats) -> float:
    """Kendall's rank correlation of two values per rate (Biometrika 30, 1938)."""
    from scipy.stats import kendalltau  # slow to import

    return float(kendalltau(one, two).statistic) if len(one) >= 3 else math.nan


def fidelity(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return how well a cheaper measurement stands in for the full one, a row per pair.

    The proxies: shorter runs of the same task; a task with fewer steps, or smaller examples, and
    all else alike; and as the ceiling "the other seeds", one half of the full runs for the other.

    Columns: proxy, task, family, lr (the proxy's best), regret (of it in the full measurement; 0
    by definition for the other seeds, which is what regret is counted from), tau (Kendall's rank
    correlation of losses, over the shared rates of full regret at most .2) and rates (how many
    those are; under three there is no tau). The ceiling of tau is low rather than high: its halves
    have half the seeds.
    """
    rows = []
    real = [task for task in scorable(tasks) if task.response and task.response.halves]
    for proxy, task, cheap in _proxies(real):
        assert task.response is not None
        lr, loss, best = _means(cheap)
        full = np.array([regret(task.response, rate) for rate in lr])
        shared = np.isclose(lr[:, None], task.response.rates, rtol=0.01).any(axis=1)
        good = shared & (full <= NEAR)
        cost, tau = regret(task.response, best), _tau(loss[good], full[good])
        rows.append((proxy, task.label, task.family, best, cost, tau, int(good.sum())))
    for task in real:
        assert task.response is not None
        if len(task.response.halves) == 2:
            one, two = task.response.halves
            common = one.rates[np.isin(one.rates, two.rates)]
            known = [rate for rate in common if regret(task.response, rate) <= NEAR]
            tau = _tau(*(np.array([half.regret(rate) for rate in known]) for half in (one, two)))
            rows.append(
                ("the other seeds", task.label, task.family, one.best, 0.0, tau, len(known))
            )
    return pd.DataFrame(rows, columns=["proxy", "task", "family", "lr", "regret", "tau", "rates"])


def by_proxy(table: pd.DataFrame) -> pd.DataFrame:
    """Return what each proxy is worth, a row each.

    Columns: proxy, pairs, families, median, mean and p90 (of regret), fine (share of pairs with
    regret at most .05), tau (median) and taus (of how many pairs).

    Args:
        table: what `fidelity` returned.
    """
    by = table.groupby("proxy", sort=False)
    return by.agg(
        pairs=("task", "size"), families=("family", "nunique"), median=("regret", "median"),
        mean=("regret", "mean"), p90=("regret", lambda x: x.quantile(0.9)),
        fine=("regret", lambda x: (x <= FINE).mean()), tau=("tau", "median"), taus=("tau", "count"),
    ).reset_index()  # fmt: skip
