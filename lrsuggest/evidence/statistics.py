"""Statistics of a contest: what each contestant costs, how sure that is, and who beats whom.

A family is one data source with all its lengths, sizes, stages and models. Tasks of one family
are alike, so intervals resample whole families and tests see one value per family: its mean over
its tasks, each a mean over sweep seeds. Every other mean, median and share weighs each task the
same. The tables come from `lrsuggest.evidence.regret.contest`.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.errors import UserError
from lrsuggest.evidence.regret import OUT_OF_FOLD, scorable
from lrsuggest.evidence.response import TaskEvidence

RESAMPLES = 4000
RESOLVED = 0.01  # the largest standard error, in regret, of a task that can tell rates apart
COLUMNS = ("kind", "stage", "optimizer", "schedule", "steps")
_STEPS = {"up to 60": 60, "61 to 150": 150, "over 150": np.inf}  # the largest of each class


@cache
def draws(families: int) -> Floats:
    """Return how often each family is drawn in each resample, shape (RESAMPLES, families).

    The seed is fixed.
    """
    even = np.full(families, 1 / families)
    return np.random.default_rng(0).multinomial(families, even, size=RESAMPLES).astype(np.float64)


def weighted_medians(values: Floats, weights: Floats) -> Floats:
    """Return the median of the values repeated as often as each row of whole weights says.

    Args:
        values: shape (n,).
        weights: shape (resamples, n), each row with a positive sum.

    Returns:
        Shape (resamples,).
    """
    order = np.argsort(values, kind="stable")
    ranked, upto = values[order], np.cumsum(weights[:, order], axis=1)
    half = upto[:, -1:] / 2
    return np.asarray((ranked[(upto >= half).argmax(1)] + ranked[(upto > half).argmax(1)]) / 2)


def bootstrap(values: ArrayLike, families: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of the mean and the median, families resampled with all their values.

    Percentiles of the resamples (Efron, Annals of Statistics 7(1), 1979); under a dozen families
    they are somewhat too narrow, under two there is none.

    Args:
        values: shape (n,).
        families: n names.
    """
    values, codes = np.asarray(values, np.float64), np.unique(families, return_inverse=True)[1]
    if not len(codes) or codes.max() < 1:
        return {"mean": (np.nan, np.nan), "median": (np.nan, np.nan)}
    weights = draws(int(codes.max()) + 1)[:, codes]
    found = {
        "mean": weights @ values / weights.sum(axis=1),
        "median": weighted_medians(values, weights),
    }
    ends = {name: np.quantile(each, [0.025, 0.975]) for name, each in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def resolved(tasks: Sequence[TaskEvidence]) -> pd.DataFrame:
    """Return a row per real task, least error first, with whether its error is at most .01.

    Columns: task, family, error and strict_error (standard error of a difference between two
    rates, in regret, against either start), resolved.
    """
    rows = [
        {
            "task": t.label, "family": t.family, "error": t.response.error,
            "strict_error": t.strict.error, "resolved": t.response.error <= RESOLVED,
        }
        for t in scorable(tasks)
        if t.response is not None and t.strict is not None
    ]  # fmt: skip
    out = pd.DataFrame(rows, columns=["task", "family", "error", "strict_error", "resolved"])
    return out.sort_values(["error", "task"], ignore_index=True)


def summary(table: pd.DataFrame, tasks: Sequence[TaskEvidence], on: str = "regret") -> pd.DataFrame:
    """Return a row per contestant, best median first, those scored on every task before others.

    Columns: contestant; tasks and families (how many gave a regret); whole (whether that is every
    task); median, mean (each with _low and _high, the 95 % interval), p90 and worst of the task
    means; within_noise (share of tasks where it costs no more than two standard errors, none
    where the error is infinite); diverged, abstained and outside (shares of its picks).

    Args:
        table: a contest, or some of its rows.
        tasks: what it was held on.
        on: "regret", or "strict" against the best constant prediction.
    """
    scored = table if table.empty else table.dropna(subset=[on])
    if scored.empty:
        return pd.DataFrame()
    told = resolved(tasks).set_index("task")["error" if on == "regret" else "strict_error"]
    floors = 2 * told[np.isfinite(told)]
    shares = ["diverged", "abstained", "outside"]
    per_task = (
        scored.astype(dict.fromkeys(shares, float))
        .groupby(["contestant", "family", "task"])[[on, *shares]]
        .mean()
        .reset_index()
    )
    rows = []
    for name, here in per_task.groupby("contestant"):
        cost, ends = here[on], bootstrap(here[on], here.family.tolist())
        row = {
            "contestant": name,
            "tasks": len(here),
            "families": here.family.nunique(),
            "whole": len(here) == scored.task.nunique(),
        }
        for figure, value in (("median", cost.median()), ("mean", cost.mean())):
            row[figure], row[f"{figure}_low"], row[f"{figure}_high"] = value, *ends[figure]
        row |= {"p90": cost.quantile(0.9), "worst": cost.max()}
        row["within_noise"] = (cost <= here.task.map(floors)).mean()
        rows.append(row | here[shares].mean().to_dict())
    order = ["whole", "median", "mean", "contestant"]
    return pd.DataFrame(rows).sort_values(
        order, ascending=[False, True, True, True], ignore_index=True
    )


def by(
    table: pd.DataFrame, tasks: Sequence[TaskEvidence], column: str, on: str = "regret"
) -> pd.DataFrame:
    """Return `summary` within each value of a column, which stands in front.

    Args:
        table: a contest.
        tasks: what it was held on.
        column: one of `COLUMNS`; steps come in three classes.
        on: as in `summary`.

    Raises:
        UserError: there is no such column.
    """
    if column not in COLUMNS:
        raise UserError(f"tasks cannot be told apart by {column!r}; use {', '.join(COLUMNS)}")
    if table.empty:
        return pd.DataFrame()
    key, values = table[column], sorted(set(table[column]))
    if column == "steps":
        values = list(_STEPS)
        key = pd.cut(key.astype(float), [0, *_STEPS.values()], labels=values)
    parts = []
    for value in values:
        part = summary(table[key == value], tasks, on)
        if not part.empty:
            part.insert(0, column, value)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _costs(table: pd.DataFrame, on: str) -> pd.DataFrame:
    """Task means, a row per (family, task) and a column per contestant, NaN where not scored.

    Rounded, so that equal picks are ties whatever the order of their summation.
    """
    means = table.dropna(subset=[on]).groupby(["family", "task", "contestant"])[on].mean()
    return means.unstack("contestant").round(12)


def _signed_rank(differences: Floats) -> float:
    """Two-sided p-value of the signed-rank test (Wilcoxon, Biometrics Bulletin 1(6), 1945)."""
    from scipy.stats import wilcoxon  # slow to import

    some = differences[differences != 0]  # as Wilcoxon did; only zeros leave nothing to test
    return float(wilcoxon(some).pvalue) if len(some) else 1.0


def holm(pvalues: Floats) -> Floats:
    """Return p-values for so many tests, shape (n,) (Holm, Scand. J. Statistics 6(2), 1979)."""
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    return np.asarray(multipletests(pvalues, method="holm")[1]) if len(pvalues) else pvalues


def versus(
    table: pd.DataFrame, mine: str, others: Sequence[str] | None = None, on: str = "regret"
) -> pd.DataFrame:
    """Compare one contestant with others, on the tasks both were scored on.

    Columns: contestant, families, tasks, difference (median over families of mine less theirs:
    negative is in my favour) with low and high (95 % interval), wins, losses and ties (families),
    p (signed-rank test over families) and p_holm (for all rows together); least p first. With n
    families no p is below 2**(1 - n).

    Args:
        table: a contest.
        mine: the contestant.
        others: whom to compare it with, decided before looking, as every name more raises the bar
            for each; None for all.
        on: as in `summary`.

    Raises:
        UserError: nothing was scored under one of the names.
    """
    costs = _costs(table, on)
    for unknown in {mine, *(others or ())} - set(costs):
        raise UserError(f"{unknown!r} was not scored; there are {', '.join(map(str, costs))}")
    differences = costs.rsub(costs[mine], axis=0).drop(columns=mine)
    differences = differences if others is None else differences[list(others)]
    rows = []
    for name, each in differences.items():
        gaps = each.dropna().groupby("family").mean().round(12)
        low, high = bootstrap(gaps, gaps.index.tolist())["median"]
        rows.append(
            {
                "contestant": name, "families": len(gaps), "tasks": int(each.count()),
                "difference": gaps.median(), "low": low, "high": high,
                "wins": int((gaps < 0).sum()), "losses": int((gaps > 0).sum()),
                "ties": int((gaps == 0).sum()), "p": _signed_rank(gaps.to_numpy(float)),
            }
        )  # fmt: skip
    if not rows:
        return pd.DataFrame()
    out = pd.DataFrame(rows)
    out["p_holm"] = holm(out.p.to_numpy(float))
    return out.sort_values(["p", "difference", "contestant"], ignore_index=True)


def ranks(
    table: pd.DataFrame, contestants: Sequence[str] | None = None, on: str = "regret"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the data of a critical-difference diagram (Demsar, JMLR 7, 2006).

    Pairs are tested with the signed-rank test and Holm's correction, as Benavoli et al. (JMLR 17,
    2016) advise over tests on mean ranks, whose verdict on a pair depends on the others.

    Args:
        table: a contest.
        contestants: those scored on every task, at least two; None for all of them.
        on: as in `summary`.

    Returns:
        A row per contestant, least rank first: contestant, families, rank (mean over families).
        And the corrected p-value of every pair, contestants in that order on both sides.
    """
    costs = _costs(table, on).dropna(axis="columns")
    costs = costs if contestants is None else costs[list(contestants)]
    families = costs.groupby("family").mean().round(12)
    mean = families.rank(axis="columns").mean()
    order = sorted(mean.index, key=lambda name: (mean[name], name))
    pairs = list(combinations(order, 2))
    gaps = [(families[a] - families[b]).to_numpy(float) for a, b in pairs]
    matrix = pd.DataFrame(np.eye(len(order)), order, order)
    for (a, b), p in zip(pairs, holm(np.array([_signed_rank(g) for g in gaps])), strict=True):
        matrix.loc[a, b] = matrix.loc[b, a] = p
    out = {"contestant": order, "families": len(families), "rank": mean[order].to_numpy(float)}
    return pd.DataFrame(out), matrix


def finalists(table: pd.DataFrame, on: str = "regret") -> list[str]:
    """Return the dozen for one diagram: the best of ours, of the peers and of the constants.

    By mean rank: five of ours, four peers, two constants (chosen in hindsight, and so flattered)
    and the constant out of fold.
    """
    whole = _costs(table, on).dropna(axis="columns")
    means = whole.groupby("family").mean().round(12)
    order = means.rank(axis="columns").mean().sort_values(kind="stable").index
    chosen = [OUT_OF_FOLD] if OUT_OF_FOLD in order else []
    for origins, most in (("shape", "consensus"), 5), (("peer",), 4), (("constant",), 2):
        alike = [n for n in order if n in HEURISTICS and HEURISTICS[n].origin in origins]
        chosen += alike[:most]
    return chosen
