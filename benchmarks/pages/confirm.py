"""Scores the frozen consensus on families it never saw, and writes docs/consensus-confirmed.md.

    python benchmarks/pages/confirm.py

The tables in benchmarks/recorded/confirm/ come from the suite confirm.toml, which was written down
whole, with the rule frozen, before anything in it was measured. Every figure on the page is
computed from them and from the evidence in benchmarks/recorded/, which gives the constants out of
fold. Nothing may be tuned on these families, or they are no longer new.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tune import regret_table, versus_table

from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.consensus import RULE
from lrsuggest.evidence.consensus_fit import UNSEEN, intervals
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.regret import OUT_OF_FOLD, constants, regret
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import bootstrap, resolved, summary, versus
from lrsuggest.evidence.tables import load

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "benchmarks" / "recorded" / "confirm"
PAGE = ROOT / "docs" / "consensus-confirmed.md"
FROZEN = "2fdbad6"  # the last commit that changed a constant of the rule
MINE = "consensus"
PEERS = [name for name, each in HEURISTICS.items() if each.origin == "peer"]
SHOWN = [MINE, OUT_OF_FOLD, *PEERS]


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table of the page, a blank line after it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [*(f"| {' | '.join(map(str, line))} |" for line in lines), ""]


def figure(value: float) -> str:
    """Three decimals; nothing for what was not scored."""
    return "" if math.isnan(value) else f"{value:.3f}"


def costs(found: pd.DataFrame, by: str, names: Sequence[str]) -> list[str]:
    """Return each contestant's regret by task or family; tasks of a family weigh the same."""
    means = found.groupby(["family", "task", "contestant"], sort=False).regret.mean()
    wide = means.groupby([by, "contestant"], sort=False).mean().unstack()
    rows = [[key, *(figure(wide.loc[key, name]) for name in names)] for key in found[by].unique()]
    return table([by, *names], rows)


def places(found: pd.DataFrame, tasks: Sequence[TaskEvidence], ends: pd.DataFrame) -> list[str]:
    """Return for each task the best rate measured, and where consensus and constant stood."""
    rows = []
    for task in tasks:
        assert task.response is not None
        here = found[found.task == task.label].groupby("contestant").pick.median()
        own = ends[ends.task == task.label]
        mine = own[own.contestant == MINE]
        best = f"{10 ** own.best.iloc[0]:.2g}" if len(own) else "not known"
        covered = f"{mine.covered.mean():.0%}" if len(mine) else "left out"
        rows.append([task.label, task.title, figure(task.response.error), best,
                     f"{here[MINE]:.2g}", f"{here[OUT_OF_FOLD]:.2g}", covered])  # fmt: skip
    head = ["task", "data", "standard error", "best rate", "consensus", OUT_OF_FOLD, "covered"]
    return table(head, rows)


def interval_table(ends: pd.DataFrame) -> list[str]:
    """Return coverage, mean width and interval score, intervals resampling families."""
    per_task = ends.groupby(["contestant", "family", "task"])[["covered", "width", "score"]].mean()
    rows = []
    for name, here in per_task.reset_index().groupby("contestant"):
        low, high = bootstrap(here.covered, here.family.tolist())["mean"]
        rows.append([name, len(here), f"{here.covered.mean():.0%} [{low:.0%}, {high:.0%}]",
                     f"{here.width.mean():.2f}", f"{here.score.mean():.2f}"])  # fmt: skip
    head = ["interval", "tasks", "covers the best rate [95 %]", "width, decades", "interval score"]
    return table(head, rows)


def aims(found: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> list[str]:
    """Return the aims of docs/consensus.md that these tables can tell of."""
    mine = summary(found, tasks).set_index("contestant").loc[MINE]
    table_p = versus(found, MINE, [OUT_OF_FOLD, *PEERS]).set_index("contestant")
    p = table_p.p_holm
    worst_peer = p.drop(OUT_OF_FOLD).idxmax()
    least = len(p) * 2.0 ** (1 - int(table_p.families.max()))
    reach = f" (no less than {least:.2f} can come out here)" if least > 0.05 else ""
    sure = resolved(tasks)
    clear = found[found.task.isin(sure[sure.resolved].task)]
    of_clear = summary(clear, tasks).set_index("contestant").loc[MINE]["median"]
    said = [
        ("median regret", "at most .01", f"{mine['median']:.4f}", mine["median"] <= 0.01),
        (f"the same on the {clear.task.nunique()} resolved tasks", "at most .01",
         f"{of_clear:.4f}", of_clear <= 0.01),
        ("90th percentile", "at most .05", figure(mine.p90), mine.p90 <= 0.05),
        ("worst", "at most .20", figure(mine.worst), mine.worst <= 0.2),
        ("diverged", "none", f"{mine.diverged:.1%} of the picks", mine.diverged == 0),
        ("better than the constant out of fold", "Holm p < .05",
         f"{figure(p[OUT_OF_FOLD])}{reach}", p[OUT_OF_FOLD] < 0.05),
        ("better than every peer", "Holm p < .05", f"{p[worst_peer]:.3f}, {worst_peer}{reach}",
         p[worst_peer] < 0.05),
    ]  # fmt: skip
    return table(["what", "aim", "found", ""],
                 [[*row, "reached" if ok else "missed"] for *row, ok in said])  # fmt: skip


def beside(found: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> list[str]:
    """Return the same figures on the families the rule was fitted on, and on these."""
    seen = load()
    nested = contested(seen)
    nested = nested[(nested.schedule == "one_cycle") & (nested.contestant != MINE)]
    nested = nested.replace({"contestant": {UNSEEN: MINE}})
    then, now = (
        summary(each, of).set_index("contestant") for each, of in ((nested, seen), (found, tasks))
    )
    rows = [
        [name, where, *(figure(here.loc[name, k]) for k in ("median", "mean", "p90", "worst"))]
        for name in (MINE, OUT_OF_FOLD, "fastai_minimum", "torch_lr_finder")
        for where, here in (("fitted on, out of fold", then), ("new", now))
    ]
    return table(["contestant", "families", "median", "mean", "p90", "worst"], rows)


def standing(found: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> str:
    """Return where the consensus stands among those scored on every task, in a sentence."""
    rows = summary(found, tasks)
    rows = rows[rows.whole & ~rows.contestant.isin(constants())].set_index("contestant")
    mine = rows.loc[MINE]
    strict = summary(found, tasks, "strict").set_index("contestant")

    def ahead(column: str) -> str:
        names = rows.index[rows[column].round(3) < round(mine[column], 3)]
        return "; ".join(names) or "none"

    return (
        f"{least_certain(found, tasks)}Of {len(rows)} contestants (no fixed rates, but the "
        "constant out of fold) these have a "
        f"lower median than the consensus: {ahead('median')}. A lower mean: {ahead('mean')}. A "
        f"lower worst: {ahead('worst')}. By strict regret, which the rule was fitted on, its "
        f"median is {strict.loc[MINE, 'median']:.3f} and its mean {strict.loc[MINE, 'mean']:.3f}; "
        f"fastai_minimum has {strict.loc['fastai_minimum', 'median']:.3f} and "
        f"{strict.loc['fastai_minimum', 'mean']:.3f}, the constant out of fold "
        f"{strict.loc[OUT_OF_FOLD, 'median']:.3f} and {strict.loc[OUT_OF_FOLD, 'mean']:.3f}."
    )


def least_certain(found: pd.DataFrame, tasks: Sequence[TaskEvidence]) -> str:
    """Return what the mean owes to the task that is known least well."""
    told = resolved(tasks)
    task, error = told.iloc[-1][["task", "error"]]
    here = found[found.contestant == MINE].groupby("task").regret.mean()
    return (
        f"The consensus's mean leans on {task}: {here[task]:.3f}, with a standard error of "
        f"{error:.3f}; without it {here.drop(task).mean():.3f}. "
    )


def untold(tasks: Sequence[TaskEvidence]) -> float:
    """Return what the consensus costs at a constant rate where it is not told of that."""
    costs = []
    for task in (each for each in tasks if each.schedule == "constant"):
        assert task.response is not None
        context = replace(task.context, schedule=None)
        picks = [HEURISTICS[MINE].read(curve, context) for curve in task.curves]
        costs += [regret(task.response, pick) for pick in picks if isinstance(pick, float)]
    return sum(costs) / len(costs)


def regret_at_constant(found: pd.DataFrame) -> float:
    """Return what the consensus costs at a constant rate, told of it, over range tests."""
    here = found[(found.schedule == "constant") & (found.contestant == MINE)]
    return float(here.regret.mean())


def page(frozen: str = FROZEN) -> str:
    """Return the page.

    Args:
        frozen: the commit that the rule's constants come from, before the suite was measured.
    """
    tasks, seen = load(TABLES), load()
    every = contested(tasks)
    cycle = every[every.schedule == "one_cycle"]
    ends = intervals(tasks, {}, seen)
    clarity = resolved(tasks)
    unsure = clarity[~clarity.resolved].task.tolist()
    clear = cycle[~cycle.task.isin(unsure)]
    suite = hashlib.sha256(
        (ROOT / "benchmarks" / "suites" / "confirm.toml").read_bytes()
    ).hexdigest()[:16]
    parts = [
        "# The consensus on families it never saw", "",
        "Written by `python benchmarks/pages/confirm.py` from benchmarks/recorded/confirm/; how "
        "the rule was made is in [consensus.md](consensus.md).", "",
        f"The rule was frozen in commit {frozen}, where its step for a constant rate stood beside "
        f"the others: `{RULE}`. Then "
        "the suite [confirm.toml](../benchmarks/suites/confirm.toml) was written down whole "
        f"(sha256 {suite}…), then measured by the protocol of the evidence and scored once; no "
        f"task was added, dropped or changed afterwards. {len(tasks)} tasks of "
        f"{every.family.nunique()} families, {cycle.task.nunique()} of them under one-cycle. The "
        "constant out of fold is chosen per optimizer and stage on the "
        f"{len({task.family for task in seen})} families of the evidence only.", "",
        "The families are real data that come inside packages which are installed anyway. "
        "randhie, fair and co2 were published to be fitted; from the others (Unicode's names, "
        "Python's manual, two photographs, the letters of a typeface) the task was made here, "
        f"before anything was measured. With {cycle.family.nunique()} families the test's least "
        f"p is {2 ** (1 - cycle.family.nunique()):.3f} before Holm's correction, and 95 % "
        "intervals are somewhat too narrow.", "",
        "## Aims", "", *aims(cycle, tasks),
        standing(cycle, tasks), "",
        "Beside the figures of consensus.md:", "", *beside(cycle, tasks),
        "## One-cycle schedule", "", *regret_table(cycle, tasks), "",
        f"Only the {clear.task.nunique()} tasks whose standard error is at most .01:", "",
        *regret_table(clear, tasks), "",
        "Wilcoxon signed-rank, one value per family, Holm:", "", *versus_table(cycle, MINE), "",
        "## All tasks, the constant schedule's too", "",
        "Heuristics are told the schedule, as `suggest_lr` can be. On the tasks at a constant rate "
        f"the consensus costs {regret_at_constant(every):.3f}; not told of it, it would cost "
        f"{untold(tasks):.3f}.", "",
        *regret_table(every, tasks), "",
        "## By family", "", *costs(every, "family", SHOWN),
        "## By task", "", *costs(every, "task", SHOWN),
        "Fixed rates:", "", *costs(every, "task", constants()),
        f"Unresolved (standard error above .01): {'; '.join(unsure) or 'none'}.", "",
        "## 80 % interval", "", *interval_table(ends),
        "Tasks whose error exceeds .1 are left out: their best rate is not known.", "",
        "Where the rates stood, medians over range tests; \"covered\" is the share of range tests "
        "whose interval holds the best rate:", "", *places(every, tasks, ends),
    ]  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
