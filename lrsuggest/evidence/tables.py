"""The recorded tables: every measured run and curve, so that any heuristic is judged in seconds.

Three CSV files in benchmarks/recorded/: tasks.csv (a task a row), sweeps.csv (a range test a row,
its losses in one field) and runs.csv (a training run a row). README.md there says what the columns
mean.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from lrsuggest.curves.arguments import one_of, shown
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError
from lrsuggest.evidence.cells import as_text, check_runs, check_sweeps, check_tasks, read_text
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.resources import shipped
from lrsuggest.vocabulary import OPTIMIZERS, SCHEDULES, STAGES, Optimizer, Schedule, Stage

TASKS = (
    "task", "title", "family", "kind", "model", "optimizer", "stage", "schedule", "size", "batch",
    "steps", "start", "start_probe", "start_score", "naive", "metric", "held_out", "hand_picked",
    "fingerprint", "device", "versions", "seconds",
)  # fmt: skip
LATER = {"synthetic": "0", "precision": "", "hand_picked_where": "", "keys": ""}  # old tables lack
PARTS = ("grid", "fine", "short", "slice")  # of a task's runs
SWEEPS = ("task", "seed", "start", "end", "steps", "ended", "losses")
RUNS = (
    "task", "part", "lr", "low", "seed", "steps", "loss", "loss_probe", "loss_score", "metric",
    "looks", "seconds",
)  # fmt: skip


def load(folder: Path | None = None, *, held_out: bool | None = None) -> list[TaskEvidence]:
    """Load the recorded tasks.

    Args:
        folder: where the tables lie; None for those shipped with the package.
        held_out: False for the families that the first consensus was tuned on, True for the
            four it was scored on once, None for all.

    Raises:
        UserError: the folder holds no such tables.
    """
    folder = folder or shipped("benchmarks/recorded")
    paths = [folder / f"{name}.csv" for name in ("tasks", "sweeps", "runs")]
    try:
        texts = [read_text(*each) for each in zip(paths, (TASKS, SWEEPS, RUNS), strict=True)]
        tasks, written_sweeps, written_runs = map(as_text, texts)
        sweeps = pd.read_csv(io.StringIO(texts[1]), keep_default_na=False, dtype={"task": str})
        runs = pd.read_csv(io.StringIO(texts[2]), dtype={"task": str, "looks": str})
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no recorded tables ({error}); give the folder of tasks.csv, "
            "sweeps.csv and runs.csv"
        ) from None
    if not len(tasks) or not (len(sweeps) or len(runs)):
        what = "task" if not len(tasks) else "range test and no run"
        raise UserError(f"the tables in {folder} hold no {what}; export them again")
    if tasks.task.duplicated().any():
        twice = tasks.task[tasks.task.duplicated()].iloc[0]
        raise UserError(f"{folder / 'tasks.csv'} has the task {twice!r} twice; export it again")
    for name, table in (("sweeps", written_sweeps), ("runs", written_runs)):
        strange = table.task[~table.task.isin(tasks.task)]
        if len(strange):
            raise UserError(
                f"{folder / f'{name}.csv'} has a row of the task {strange.iloc[0]!r}, which is not "
                "in tasks.csv; export them again"
            )
    if not runs.part.isin(PARTS).all():
        part = runs.part[~runs.part.isin(PARTS)].iloc[0]
        raise UserError(
            f"{folder / 'runs.csv'}: column part, {part!r}, is none of {', '.join(PARTS)}"
        )
    check_tasks(paths[0], tasks)
    check_sweeps(paths[1], written_sweeps)
    check_runs(paths[2], written_runs)
    sweeps_of = dict(list(sweeps.groupby("task")))
    runs_of = dict(list(runs.groupby("task")))
    found = []
    for each in tasks.to_dict("records"):
        row = {**LATER, **{str(name): str(value) for name, value in each.items()}}
        try:
            if held_out is None or _flag(row["held_out"]) is held_out:
                found.append(_task(row, sweeps_of.get(row["task"]), runs_of.get(row["task"])))
        except UserError as error:
            raise UserError(f"{folder / 'tasks.csv'}, task {row['task']!r}: {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / 'tasks.csv'}: of the task {row['task']!r} a value cannot be read "
                f"({error}); export the tables again"
            ) from None
    return found


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _flag(text: str) -> bool:
    """Read 0 or 1; tables that went through other hands may say False or True."""
    if text.lower() not in ("0", "1", "false", "true", ""):
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text.lower() in ("1", "true")


def _task(
    row: Mapping[str, str], sweeps: pd.DataFrame | None, runs: pd.DataFrame | None
) -> TaskEvidence:
    main: list[Curve] = []
    variants: list[tuple[float, float, int, int, Curve]] = []
    if sweeps is not None:
        first = sweeps.iloc[0]
        each: Any
        for each in sweeps.itertuples(index=False):
            curve = _curve(each)
            variants.append((each.start, each.end, each.steps, each.seed, curve))
            if (each.start, each.end, each.steps) == (first.start, first.end, first.steps):
                main.append(curve)
    runs = pd.DataFrame(columns=list(RUNS)) if runs is None else runs
    rates = [float(each) for each in row["hand_picked"].split()]
    for name, known in (("optimizer", OPTIMIZERS), ("stage", STAGES), ("schedule", SCHEDULES)):
        one_of(name, row[name], known, f"column {name}, {shown(row[name])}, is none of "
               + ", ".join(known))  # fmt: skip
    where = json.loads(row["hand_picked_where"] or "null") or [""] * len(rates)
    return TaskEvidence(
        label=row["task"],
        title=row["title"],
        family=row["family"],
        stage=cast(Stage, row["stage"]),
        optimizer=cast(Optimizer, row["optimizer"]),
        synthetic=_flag(row["synthetic"]),
        curves=tuple(main),
        response=response(runs, _number(row["start"])),
        hand_picked=tuple(zip(rates, map(str, where), strict=True)),
        metric=row["metric"],
        metrics=_metrics(runs),
        facts=_facts(row),
        steps=int(row["steps"]),
        batch=int(row["batch"]),
        schedule=cast(Schedule, row["schedule"]),
        model=row["model"],
        kind=row["kind"],
        held_out=_flag(row["held_out"]),
        naive=_number(row["naive"]),
        variants=tuple(variants),
        runs=runs,
        starts=(_number(row["start_probe"]), _number(row["start_score"])),
        keys=tuple(json.loads(row["keys"] or "{}").items()),
    )


def _facts(row: Mapping[str, str]) -> dict[str, str]:
    """What a reader may want to know, by the names that a report from records has."""
    told = {
        "model": row["model"], "batch": row["batch"], "steps a run": row["steps"],
        "device": row["device"], "precision": row["precision"], "data": row["fingerprint"],
        **_versions(row["versions"]),
        "compute": f"{row['seconds']} s" if math.isfinite(_number(row["seconds"])) else "",
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _versions(text: str) -> dict[str, str]:
    """Read versions by name: JSON, or as older tables have them, "torch=2.9 lrsuggest=0.1"."""
    if text.startswith("{"):
        return {str(name): str(value) for name, value in json.loads(text).items()}
    found, name = dict[str, str](), ""
    for word in text.split():
        if "=" in word:
            name, _, found[name] = word.partition("=")
        elif name:
            found[name] += f" {word}"  # of a version with a blank: "source tree"
        else:
            raise ValueError(f"{text!r} names no version")
    return found


def _metrics(runs: pd.DataFrame) -> pd.DataFrame:
    """The metric of every run of the response: columns lr, seed and value."""
    mine = runs[runs.part.isin(["grid", "fine"])]
    return mine[["lr", "seed", "metric"]].rename(columns={"metric": "value"})


def _curve(sweep: Any) -> Curve:
    """Rebuild a curve; a loss that was not finite stands as nan."""
    losses = [float(x) for x in sweep.losses.split()]
    rates = np.geomspace(sweep.start, sweep.end, sweep.steps)[: len(losses)]
    return Curve(rates, losses, ended=Ended(sweep.ended))


def response(
    runs: pd.DataFrame,
    start: float,
    *,
    parts: Sequence[str] = ("grid", "fine"),
    column: str = "loss",
) -> Response | None:
    """Build the response of some parts of the runs; None if there are none or no start.

    Args:
        runs: columns part, lr, seed and `column`, infinity for a diverged run.
        start: loss of the checkpoint.
        parts: which runs.
        column: which loss.
    """
    chosen = runs[runs.part.isin(parts)]
    if not len(chosen) or math.isnan(start):
        return None
    table = pd.DataFrame({"lr": chosen.lr, "seed": chosen.seed, "valid_loss": chosen[column]})
    return Response.from_runs(table, start)


def traces(runs: pd.DataFrame) -> Iterator[tuple[float, list[tuple[int, float]]]]:
    """Yield (rate, [(step, validation loss), ...]) of the runs that were looked at midway."""
    for run in runs.dropna(subset=["looks"]).itertuples(index=False):
        pairs = (look.split(":") for look in str(run.looks).split())
        yield float(str(run.lr)), [(int(step), float(loss)) for step, loss in pairs]
