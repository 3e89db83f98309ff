"""The recorded tables: every measured run and curve, so that any heuristic is judged in seconds.

Three CSV files in benchmarks/recorded/: tasks.csv (a task a row), sweeps.csv (a range test a row,
its losses in one field) and runs.csv (a training run a row). README.md there says what the columns
mean.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Curve, Ended
from lrsuggest.errors import UserError
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.resources import shipped

TASKS = (
    "task", "title", "family", "kind", "model", "optimizer", "stage", "schedule", "size", "batch",
    "steps", "start", "start_probe", "start_score", "naive", "metric", "held_out", "hand_picked",
    "fingerprint", "device", "versions", "seconds",
)  # fmt: skip
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
    try:
        tasks = pd.read_csv(folder / "tasks.csv", keep_default_na=False)
        sweeps = pd.read_csv(folder / "sweeps.csv", keep_default_na=False)
        runs = pd.read_csv(folder / "runs.csv", dtype={"looks": str})
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no recorded tables ({error}); give the folder of tasks.csv, "
            "sweeps.csv and runs.csv"
        ) from None
    for name, table, columns in (
        ("tasks", tasks, TASKS), ("sweeps", sweeps, SWEEPS), ("runs", runs, RUNS),
    ):  # fmt: skip
        check_columns(folder / f"{name}.csv", table, columns)
    if tasks.task.duplicated().any():
        twice = tasks.task[tasks.task.duplicated()].iloc[0]
        raise UserError(f"{folder / 'tasks.csv'} has the task {twice!r} twice; export it again")
    sweeps_of = dict(list(sweeps.groupby("task")))
    runs_of = dict(list(runs.groupby("task")))
    found = []
    for row in tasks.to_dict("records"):
        if held_out is None or bool(row["held_out"]) is held_out:
            try:
                found.append(_task(row, sweeps_of.get(row["task"]), runs_of.get(row["task"])))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{folder}: of the task {row['task']!r} a value cannot be read ({error}); "
                    "export the tables again"
                ) from None
    return found


def check_columns(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Make sure that a table has its columns.

    Raises:
        UserError: one is missing.
    """
    for name in columns:
        if name not in table:
            raise UserError(f"{path} has no column {name!r}; export the tables again")


def _number(text: object) -> float:
    return float(str(text)) if str(text) else math.nan


def _task(
    row: Mapping[Hashable, object], sweeps: pd.DataFrame | None, runs: pd.DataFrame | None
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
    return TaskEvidence(
        label=str(row["task"]),
        title=str(row["title"]),
        family=str(row["family"]),
        stage=str(row["stage"]),
        optimizer=str(row["optimizer"]),
        synthetic=False,
        curves=tuple(main),
        response=response(runs, _number(row["start"])),
        hand_picked=tuple((float(x), "") for x in str(row["hand_picked"]).split()),
        metric=str(row["metric"]),
        metrics=_metrics(runs),
        facts=_facts(row),
        steps=int(str(row["steps"])),
        batch=int(str(row["batch"])),
        schedule=str(row["schedule"]),
        model=str(row["model"]),
        kind=str(row["kind"]),
        held_out=bool(row["held_out"]),
        naive=_number(row["naive"]),
        variants=tuple(variants),
        runs=runs,
        starts=(_number(row["start_probe"]), _number(row["start_score"])),
    )


def _facts(row: Mapping[Hashable, object]) -> dict[str, str]:
    """What a reader may want to know, by the names that a report from records has."""
    versions = dict(pair.split("=", 1) for pair in str(row["versions"]).split())
    told = {
        "device": str(row["device"]), "data": str(row["fingerprint"]), **versions,
        "compute": f"{row['seconds']} s",
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


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
