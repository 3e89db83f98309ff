"""The part of the report that says what each contestant costs, and which pick to use."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.evidence.consensus_fit import UNSEEN
from lrsuggest.evidence.contested import rests_on
from lrsuggest.evidence.regret import HAND_PICKED, OUT_OF_FOLD, constants, rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import by, finalists, ranks, summary, versus
from lrsuggest.report.about import FEWEST_FAMILIES
from lrsuggest.report.figures.overview import (
    critical_difference_figure,
    forest_figure,
    profile_figure,
)
from lrsuggest.report.figures.svg import inline
from lrsuggest.report.text import kind, listed, number, percent, records, several

ORACLE = "split-half oracle"
_WITHIN = (0.01, 0.05, 0.1, 0.2, 0.5)  # regrets that the profile's table names
_SIGNIFICANT = 0.05
_DO = {
    OUT_OF_FOLD: "Train at the constant rate that does best on other families",
    HAND_PICKED: "Train at the rate that people picked",
}
_SMALL = 7  # contestants in the picture of the first screen


@dataclass(frozen=True)
class Recommendation:
    """Which pick to use.

    Attributes:
        pick: the heuristic's name, or "" where no verdict is possible.
        said: the verdict in a sentence or two.
        row: its row of the ranking.
        ties: contestants that no test tells from it.
    """

    pick: str
    said: str
    row: Mapping[str, Any] | None = None
    ties: tuple[str, ...] = ()


def leader(ranked: pd.DataFrame) -> dict[str, Any] | None:
    """Return the contestant with the lowest median that anybody could have used, or None.

    A constant of the grid is chosen in hindsight, so it does not count, nor does the consensus on
    families it was fitted on, nor one that was not scored on every task.
    """
    if ranked.empty:
        return None
    unfair = [*constants(), *(["consensus"] if UNSEEN in set(ranked.contestant) else [])]
    fair = ranked[ranked.whole & ~ranked.contestant.isin(unfair)]
    return records(fair)[0] if len(fair) else None


def judge(
    table: pd.DataFrame, ranked: pd.DataFrame, tasks: Sequence[TaskEvidence]
) -> Recommendation:
    """Say which pick to use, how well it does, and from whom nothing tells it."""
    families = {task.family for task in rankable(tasks)}
    if not families:
        drawn = all(task.synthetic for task in tasks)
        said = "nothing was measured on real data" if drawn else f"there is {rests_on(tasks)}"
        return Recommendation("", f"No verdict: {said}.")
    if len(families) < FEWEST_FAMILIES:
        return Recommendation(
            "",
            f"No verdict: {several(len(families), 'family', 'families')} of real data cannot say "
            f"which pick is best; {FEWEST_FAMILIES} are the fewest.",
        )
    best = leader(ranked)
    if best is None:
        return Recommendation("", "No verdict: no contestant was scored on every task.")
    name = str(best["contestant"])
    pick = "consensus" if name == UNSEEN else name
    # Named before looking: every name more raises the bar for each.
    peers = [each.name for each in HEURISTICS.values() if each.origin == "peer"]
    rest = [n for n in (UNSEEN, OUT_OF_FOLD, *peers) if n != name and n in set(table.contestant)]
    against = versus(table, name, rest)
    ties = [n for n, p in zip(against.contestant, against.p_holm, strict=True)
            if p >= _SIGNIFICANT] if len(against) else []  # fmt: skip
    order = ranked.set_index("contestant")["median"]
    ties.sort(key=lambda each: (order[each], each))
    said = (
        f"{_DO.get(pick, f'Train at the rate that {pick} picks')}: on the median task it costs "
        f"{percent(max(0.0, best['median']))} of what training gains. On one task in ten it "
        f"costs {percent(best['p90'])} or more, so look at the curve before you trust it."
    )
    return Recommendation(pick, said, best, tuple(ties))


def small_picture(ranked: pd.DataFrame, verdict: Recommendation) -> str | None:
    """Draw the picture of the first screen: the pick, its rivals and what is usual."""
    if verdict.row is None:
        return None
    unseen = ranked[~ranked.contestant.isin([*constants(), "consensus"])]
    lead = str(verdict.row["contestant"])
    chosen = dict.fromkeys([lead, *verdict.ties[:2], "fastai_valley", "lightning", OUT_OF_FOLD])
    chosen |= dict.fromkeys(c for c in ("torch_lr_finder", HAND_PICKED) if c not in chosen)
    rows = records(unseen[unseen.contestant.isin(chosen)])
    return inline(
        forest_figure("first", rows[:_SMALL]),
        "Median regret with its interval, 90th percentile and worst of "
        + listed((row["contestant"] for row in rows), 9) + "; the same numbers as in the ranking",
    )  # fmt: skip


def rows_of(
    table: pd.DataFrame, ranked: pd.DataFrame, tasks: Sequence[TaskEvidence]
) -> list[dict[str, Any]]:
    """Return the ranking's rows: `summary` with the mean rank, and the oracle on top."""
    if ranked.empty:
        return []
    rank = _mean_ranks(table)
    rows = [
        {**row, "kind": kind(row["contestant"]), "rank": rank.get(row["contestant"], math.nan)}
        for row in records(ranked)
    ]
    measured = len(rankable(tasks))
    nothing = dict.fromkeys(("median", "mean", "p90", "worst", "diverged", "abstained"), 0.0)
    ends = dict.fromkeys(("median_low", "median_high", "mean_low", "mean_high"), 0.0)
    oracle = {
        "contestant": ORACLE, "kind": "constant", "rank": math.nan, "tasks": measured,
        "families": len({task.family for task in rankable(tasks)}), "whole": True,
        "within_noise": 1.0, **nothing, **ends,
    }  # fmt: skip
    return [oracle, *rows]


def another(table: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> dict[str, Any]:
    """Return what stands beside the ranking: the tasks of another schedule, by themselves."""
    rows = rows_of(table, summary(table, tasks), tasks)
    return {"rests_on": rests_on(tasks), "rows": rows}


def _mean_ranks(table: pd.DataFrame) -> dict[str, float]:
    """Return each contestant's mean rank over families, among those scored on every task."""
    means = table.dropna(subset=["regret"]).groupby(["family", "task", "contestant"]).regret.mean()
    whole = means.unstack("contestant").dropna(axis="columns")
    found = whole.groupby("family").mean().round(12).rank(axis="columns").mean()
    return {str(name): float(value) for name, value in found.items()}


def by_kind(table: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> dict[str, list[dict[str, Any]]]:
    """Return the ranking within each kind of task, where there is more than one kind."""
    found = by(table, tasks, "kind")
    if found.empty or found.kind.nunique() < 2:
        return {}
    out = {}
    for each, part in found.groupby("kind", sort=True):
        here = [task for task in tasks if task.kind == each]
        out[str(each)] = rows_of(table[table.kind == each], part.drop(columns="kind"), here)
    return out


def profile(
    table: pd.DataFrame, ranked: pd.DataFrame, verdict: Recommendation
) -> dict[str, Any] | None:
    """Return the figure and the table of the share of tasks within a regret."""
    whole = ranked[ranked.whole]
    per_task = table.dropna(subset=["regret"]).groupby(["contestant", "task"]).regret.mean()
    fixed = [name for name in whole.contestant if name in constants()]
    names = [n for n in whole.contestant if n not in fixed and n != "consensus"]
    lead = [str(verdict.row["contestant"])] if verdict.row else []
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind(name), []).append(name)
    peers, ours = kinds.get("peer", []), kinds.get("ours", [])
    shown = list(dict.fromkeys([
        *lead, *ours[:2], *peers[:1], *(p for p in ("fastai_valley", "lightning") if p in peers),
        OUT_OF_FOLD, *fixed[:1],
    ]))  # fmt: skip
    costs = {name: per_task[name].to_numpy(float) for name in shown if name in per_task.index}
    if not costs:
        return None
    rows = [
        {"contestant": name, "shares": [float((values <= x).mean()) for x in _WITHIN]}
        for name, values in costs.items()
    ]
    best = max(rows, key=lambda row: row["shares"][1])
    return {
        "figure": inline(
            profile_figure("profile", costs),
            "Share of tasks within a regret, a step line for each contestant; the table beside it "
            "has the same numbers",
        ),
        "within": _WITHIN,
        "rows": rows,
        "caption": (
            f"The further up and to the left a line runs, the better. "
            f"{best['contestant']} is within .05 on {percent(best['shares'][1])} of the tasks, "
            f"more than any other line here; within .5 on {percent(best['shares'][-1])}."
        ),
    }  # fmt: skip


def difference(table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the critical-difference diagram, and who cannot be told from whom, as a table.

    None where there are not two that were scored on every task, as where nothing was learnt.
    """
    told = table
    if UNSEEN in set(table.contestant):  # the shipped rule was fitted on what it would be ranked on
        told = table[table.contestant != "consensus"].replace({"contestant": {UNSEEN: "consensus"}})
    if len(names := finalists(told)) < 2:
        return None
    place, pvalues = ranks(told, names)
    if told is not table:
        named = {"consensus": UNSEEN}
        place = place.replace({"contestant": named})
        pvalues = pvalues.rename(index=named, columns=named)
    rows = []
    for name, rank in zip(place.contestant, place["rank"], strict=True):
        alike = [o for o in place.contestant if o != name and pvalues.loc[name, o] >= _SIGNIFICANT]
        rows.append({"contestant": name, "rank": rank, "alike": listed(alike, 12) or "none"})
    return {
        "figure": inline(
            critical_difference_figure("difference", place, pvalues),
            "Mean ranks over families; bars join contestants that no test tells apart; the table "
            "has the same",
        ),
        "rows": rows,
        "caption": (
            f"{rows[0]['contestant']} ranks best on the average of "
            f"{int(place.families.max())} families ({number(rows[0]['rank'], 1)}); "
            f"not told from it: {rows[0]['alike']}."
        ),
    }


def heat(
    table: pd.DataFrame, ranked: pd.DataFrame, tasks: Sequence[TaskEvidence]
) -> dict[str, Any] | None:
    """Return log10(pick / best rate) of every task and contestant, for a table of colours.

    A task's best rate is the geometric mean of the two halves'. Contestants come in the order of
    the ranking, constants left out but for the one out of fold: their distance is the same number
    on every row. Several picks of one task are averaged.
    """
    best = {
        task.label: float(np.mean([math.log10(half.best) for half in task.response.halves]))
        for task in rankable(tasks)
        if task.response and task.response.halves
    }
    here = table[table.task.isin(best)] if len(table) else table
    if here.empty or ranked.empty:
        return None
    names = [n for n in ranked.contestant if n not in constants() and n != ORACLE]
    away = np.log10(here.pick) - here.task.map(best)
    found = away.groupby([here.task, here.contestant]).mean().unstack()
    rows = []
    for index, task in enumerate(tasks):
        if task.label in best:
            values = found.loc[task.label].reindex(names).to_numpy(float)
            rows.append({"task": task, "id": f"task{index}", "best": 10 ** best[task.label],
                         "cells": [_cell(x) for x in values]})  # fmt: skip
    middle = found[names].median()
    low, high = (str(each) for each in (middle.idxmin(), middle.idxmax()))
    return {
        "names": [{"name": name, "kind": kind(name)} for name in names],
        "rows": rows,
        "caption": (
            "Each number is log10(pick / best rate): 0 is the best rate, −1 a tenth of it, +1 ten "
            "times as much. Blue is too low, orange too high, and the deeper the further. "
            f"{low} picks lowest (in the median {number(middle[low], 1)}), {high} highest "
            f"({number(middle[high], 1)})."
        ),
    }


def _cell(away: float) -> dict[str, Any]:
    """A number, and how deep its colour: 0 to 4, with a sign for the side."""
    if math.isnan(away):
        return {"said": "·", "depth": "none"}
    steps = int(np.searchsorted([0.15, 0.4, 0.8, 1.5], abs(away)))
    said = number(away, 1).replace("0.", ".")
    return {"said": said, "depth": f"{'n' if away < 0 else 'p'}{steps}" if steps else "z"}
