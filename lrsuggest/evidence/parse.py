"""From a task's, or a lesson's, rows of the recorded tables to its evidence."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from lrsuggest import vocabulary
from lrsuggest.curves.arguments import one_of, shown
from lrsuggest.curves.columns import Ended, Measured
from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.training.settings import grid


def _number(text: str) -> float:
    return float(text) if text else math.nan


def flag(text: str) -> bool:
    """Read 0 or 1; tables that went through other hands may say False or True."""
    if text.lower() not in ("0", "1", "false", "true", ""):
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text.lower() in ("1", "true")


def task(
    row: Mapping[str, str], sweeps: pd.DataFrame, runs: pd.DataFrame, gains: pd.DataFrame
) -> TaskEvidence:
    """Build a task from its row of tasks.csv and its own rows of the three other tables.

    Raises:
        UserError, ValueError, TypeError, AttributeError: a value cannot be read.
    """
    main: list[Curve] = []
    variants: list[tuple[float, float, int, int, Curve]] = []
    each: Any
    for each in sweeps.itertuples(index=False):
        curve = _curve(each)
        variants.append((each.start, each.end, each.steps, each.seed, curve))
        judged = tuple(map(float, row["sweep"].split())) or variants[0][:3]
        if variants[-1][:3] == judged:
            main.append(curve)
    rates = [float(each) for each in row["hand_picked"].split()]
    for name, known in (
        ("optimizer", vocabulary.OPTIMIZERS), ("stage", vocabulary.STAGES),
        ("schedule", vocabulary.RECORDED_SCHEDULES),
    ):  # fmt: skip
        one_of(name, row[name], known, f"column {name}, {shown(row[name])}, is none of "
               + ", ".join(known))  # fmt: skip
    where = json.loads(row["hand_picked_where"] or "null") or [""] * len(rates)
    return TaskEvidence(
        label=row["task"],
        title=row["title"],
        family=row["family"],
        stage=cast(vocabulary.Stage, row["stage"]),
        optimizer=cast(vocabulary.Optimizer, row["optimizer"]),
        synthetic=flag(row["synthetic"]),
        curves=tuple(main),
        response=response(runs, _number(row["start"])),
        hand_picked=tuple(zip(rates, map(str, where), strict=True)),
        metric=row["metric"],
        metrics=_metrics(runs),
        steps=int(row["steps"]),
        batch=int(row["batch"]),
        schedule=cast(vocabulary.RecordedSchedule, row["schedule"]),
        model=row["model"],
        kind=row["kind"],
        held_out=flag(row["held_out"]),
        naive=_number(row["naive"]),
        variants=tuple(variants),
        gains=tuple(map(_gain, gains.itertuples(index=False))),
        runs=runs,
        starts=(_number(row["start_probe"]), _number(row["start_score"])),
        keys=tuple(json.loads(row["keys"] or "{}").items()),
        size=tuple(map(int, filter(None, row["size"].split("x")))),
        data=_each(row["fingerprint"]),
        device=_each(row["device"]),
        precision=_each(row["precision"]),
        versions={name: _each(value) for name, value in _versions(row["versions"]).items()},
        seconds=_number(row["seconds"]),
    )


def lesson(
    row: Mapping[str, str], stages: pd.DataFrame, chains: pd.DataFrame, named: pd.DataFrame
) -> LessonEvidence:
    """Build a lesson from its row of lessons.csv and its own rows of the three other tables.

    Raises:
        ValueError: a value cannot be read.
    """
    return LessonEvidence(
        name=row["lesson"],
        title=row["title"],
        family=row["family"],
        model=row["model"],
        optimizer=row["optimizer"],
        schedule=row["schedule"],
        metric=row["metric"],
        margin=float(row["margin"]),
        stages=stages,
        chains=chains,
        named=named,
        seeds=int(row["seeds"]),
        chain_seeds=int(row["chain_seeds"]),
        skipped=row["skipped"],
        device=row["device"],
        fingerprint=row["fingerprint"],
        versions=row["versions"],
    )


def _each(text: str) -> tuple[str, ...]:
    """The values of a mixture."""
    return tuple(filter(None, text.split(", ")))


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
    places = {int(x) for x in getattr(sweep, "skipped", "").split()}
    skipped = [place in places for place in range(len(losses))]
    return Curve(rates, losses, skipped=skipped, ended=Ended(sweep.ended))


def _gain(sweep: Any) -> tuple[int, int, Curve]:
    """Return (steps, seed, curve) with what was gained; of several groups the table has sums."""
    losses, falls, *each = (
        np.array(getattr(sweep, name).split(), float)
        for name in ("losses", "falls", "slopes", "step_norms", "weight_norms")
    )
    n = len(losses)
    skipped = np.isin(np.arange(n), [int(x) for x in sweep.skipped.split()])
    seen = Measured(losses - falls, *(values[:, None] for values in each)) if len(falls) else None
    rates = grid(sweep.start, sweep.end, sweep.steps, sweep.furthest)[:n]
    curve = Curve(rates, losses, skipped=skipped, ended=Ended(sweep.ended), measured=seen)
    return int(sweep.steps), int(sweep.seed), curve


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
