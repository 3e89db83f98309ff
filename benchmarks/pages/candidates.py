"""Fits the candidates beside the consensus, out of fold by family, and writes docs/candidates.md.

    python benchmarks/pages/candidates.py            # fit, and write the page; some minutes
    python benchmarks/pages/candidates.py --page     # only write the page from what was fitted

What was fitted without each family stands in benchmarks/recorded/candidates.csv.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lrsuggest.evidence.candidates import (
    FORMS,
    LENGTH,
    alone,
    fit,
    out_of_fold,
    reader,
    shown,
    swept,
)
from lrsuggest.evidence.consensus_fit import UNSEEN, fold_reader, read_folds
from lrsuggest.evidence.contested import ONE_CYCLE
from lrsuggest.evidence.regret import OUT_OF_FOLD, contest, rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.statistics import bootstrap
from lrsuggest.evidence.tables import load

ROOT = Path(__file__).resolve().parents[2]
FITTED = ROOT / "benchmarks" / "recorded" / "candidates.csv"
PAGE = ROOT / "docs" / "candidates.md"
ALL = "all"  # in the place of a family: fitted on every one
LENGTHS = (30, 50, 100)
_PEERS = ("fastai_minimum", "min_10", OUT_OF_FOLD)


def recorded() -> list[TaskEvidence]:
    """Return the tasks under one-cycle whose rates can be ranked and that have new range tests."""
    tasks = [task for task in rankable(load()) if task.schedule == ONE_CYCLE and task.gains]
    return [
        task for task in tasks if all(any(n == each for n, *_ in task.gains) for each in LENGTHS)
    ]


def tune() -> None:
    """Fit every form without each family, and on all, and write the constants."""
    seen, rows = shown(swept(recorded())), []
    for form in FORMS:
        folds = {**out_of_fold(form, seen), ALL: fit(form, seen)}
        rows += [{"form": form.name, "family": name, **each} for name, each in folds.items()]
        print(form.name, flush=True)
    pd.DataFrame(rows).to_csv(FITTED, index=False, float_format="%.4f")


def fitted() -> dict[str, dict[str, dict[str, float]]]:
    """Return what was fitted: by form, by family, by constant."""
    table = pd.read_csv(FITTED)
    return {
        str(form): here.drop(columns="form").set_index("family").to_dict("index")
        for form, here in table.groupby("form", sort=False)
    }


def points(tasks: Sequence[TaskEvidence], picks: pd.DataFrame) -> pd.Series:
    """Return points of the metric that each pick loses against the best rate; NaN without a share.

    Where the metric is a share (accuracy), in hundredths; the mean metric is linear in log10 rate
    between measured rates, and the best rate is the one of the highest.
    """
    curves = {}
    for task in tasks:
        if task.kind not in ("classification", "segmentation") or not len(task.metrics):
            continue
        mean = task.metrics.groupby("lr")["value"].mean().dropna()
        curves[task.label] = (np.log10(mean.index.to_numpy(float)), mean.to_numpy(float))
    found = [
        100 * (curves[label][1].max() - np.interp(np.log10(pick), *curves[label]))
        if label in curves and pick > 0 else np.nan
        for label, pick in zip(picks.task, picks.pick, strict=True)
    ]  # fmt: skip
    return pd.Series(found, picks.index)


def judged(
    tasks: Sequence[TaskEvidence], fits: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> pd.DataFrame:
    """Return a row per task and contestant, means over its range tests."""
    forms = {form.name: form for form in FORMS}
    readers = {name: reader(forms[name], folds, folds[ALL]) for name, folds in fits.items()}
    table = contest(tasks, {**readers, UNSEEN: fold_reader(read_folds())})
    table = table[table.contestant.isin([*readers, UNSEEN, *_PEERS])].copy()
    table["points"] = points(tasks, table)
    facts = ["contestant", "task", "family", "stage", "optimizer"]
    return table.groupby(facts)[["regret", "strict", "points"]].mean().reset_index()


def _span(values: pd.Series, families: pd.Series) -> str:
    low, high = bootstrap(values, families.tolist())["mean"]
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def whole_table(found: pd.DataFrame) -> list[str]:
    """Return every contestant, least mean regret first."""
    rows = [
        "| contestant | plain: mean [95 %] | p90 | worst | DESIGN's: mean [95 %] | p90 | worst "
        "| points lost: mean | p90 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    parts = {str(name): here for name, here in found.groupby("contestant")}
    for name, here in sorted(parts.items(), key=lambda pair: pair[1].regret.mean()):
        strict = here.strict.clip(upper=1.5)
        rows.append(
            f"| {name} | {_span(here.regret, here.family)} | {here.regret.quantile(0.9):.3f} "
            f"| {here.regret.max():.3f} | {_span(strict, here.family)} "
            f"| {strict.quantile(0.9):.3f} | {strict.max():.3f} | {here.points.mean():.2f} "
            f"| {here.points.quantile(0.9):.2f} |"
        )
    return rows


def by_table(found: pd.DataFrame, column: str) -> list[str]:
    """Return the mean plain and strict regret of each contestant within a column's values."""
    values = sorted(found[column].unique())
    counts = found[found.contestant == found.contestant.iloc[0]].groupby(column).task.nunique()
    heads = [f"{value} ({counts[value]})" for value in values]
    rows = [f"| contestant | {' | '.join(heads)} |", "|---" * (len(values) + 1) + "|"]
    means = found.groupby(["contestant", column])[["regret", "strict"]].mean()
    for name in found.groupby("contestant").regret.mean().sort_values().index:
        cells = [
            f"{means.loc[(name, value), 'regret']:.3f}, {means.loc[(name, value), 'strict']:.3f}"
            for value in values
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def length_table(tasks: Sequence[TaskEvidence]) -> list[str]:
    """Return what the consensus, out of fold, costs on range tests of each length."""
    rows = ["| steps | tasks | plain: mean [95 %] | p90 | worst | DESIGN's: mean | trainings of up "
            "to 60 steps: tasks | plain mean |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    short = {task.label for task in tasks if task.steps and task.steps <= 60}
    for steps in (*LENGTHS, 200):
        here = swept(tasks, steps) if steps in LENGTHS else _former(tasks, steps)
        found = judged([task for task in here if task.curves], {})
        mine = found[found.contestant == UNSEEN]
        few = mine[mine.task.isin(short)]
        rows.append(
            f"| {steps} | {len(mine)} | {_span(mine.regret, mine.family)} "
            f"| {mine.regret.quantile(0.9):.3f} | {mine.regret.max():.3f} "
            f"| {mine.strict.clip(upper=1.5).mean():.3f} | {len(few)} | {few.regret.mean():.3f} |"
        )
    return rows


def _former(tasks: Sequence[TaskEvidence], steps: int) -> list[TaskEvidence]:
    """Return tasks with the earlier range tests of so many steps, from the same first rate."""
    from dataclasses import replace

    return [
        replace(task, curves=tuple(c for start, _, n, _, c in task.variants
                                   if n == steps and start == 1e-7))
        for task in tasks
    ]  # fmt: skip


def page() -> None:
    """Write docs/candidates.md."""
    tasks, fits = recorded(), fitted()
    default = swept(tasks)
    found, bare = judged(default, fits), judged(alone(default), fits)
    families = len({task.family for task in tasks})
    parts = [
        "# Candidates beside the consensus", "",
        "Written by `python benchmarks/pages/candidates.py` from benchmarks/recorded/. What goes "
        "to the test on families that nobody has seen, and what will be called a win, is written "
        "down in [register.md](register.md).", "",
        f"{len(tasks)} tasks of {families} families under one-cycle. Every form is fitted without "
        "the family it is judged on (lrsuggest/evidence/candidates.py), on range tests of "
        f"{LENGTH} steps as `suggest_lr` makes them; the consensus is the shipped form, with the "
        "constants fitted without the family on the earlier range tests. Several forms are "
        "compared here and the best of them looks better than it is: this page chooses, it does "
        "not confirm. *DESIGN's* is the regret against the lesser of the start and the best "
        "constant prediction, at most 1.5; points are of accuracy, lost against the best "
        "rate, where the metric is one. Intervals by bootstrap over families.", "",
        "| form | what it is | constants fitted |", "|---|---|---|",
        *(f"| {form.name} | {form.said} | {len(form.free)} |" for form in FORMS), "",
        "## The default sweep", "", *whole_table(found), "",
        "By stage, mean plain regret and DESIGN's (tasks in brackets):", "",
        *by_table(found, "stage"), "", "By optimizer:", "", *by_table(found, "optimizer"), "",
        "## A curve alone", "",
        "The same range tests without the columns beside the loss, as people bring them.", "",
        *whole_table(bare), "",
        "## How long a sweep", "",
        "The consensus, out of fold, on range tests of 30, 50 and 100 steps from the first rate to "
        "10 and on until the loss blows up, and on the earlier ones of 200 steps, which end at 10. "
        "Its constants were fitted at 100, so the other lengths are somewhat wronged.",
        "", *length_table(tasks), "",
        "So a sweep has 100 steps, however short the training.", "",
    ]  # fmt: skip
    PAGE.write_text("\n".join(parts).rstrip() + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help="only write the page")
    if not parser.parse_args().page:
        tune()
    page()
