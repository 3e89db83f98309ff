"""From a task's records to its rows of tasks.csv, sweeps.csv and runs.csv."""

import contextlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lrsuggest.bench.jobs.job import GAINS, Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.follow import FRESH
from lrsuggest.bench.plan.plan import PlannedTask
from lrsuggest.curves.columns import Floats
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.tasks.baseline import naive_loss
from lrsuggest.tasks.data.resident import Resident, cached

Row = dict[str, object]


def _text(value: float | None) -> str:
    """Six significant digits; inf for a diverged run."""
    return "nan" if value is None else f"{value:.6g}"


def part(task: PlannedTask, job: Job) -> str:
    """Which part of a task's runs a job belongs to."""
    if len(job.rates) > 1:
        return "slice"
    if job.steps != task.steps:
        return "short"
    return "fine" if job.seed >= FRESH else "grid"


def run_row(task: PlannedTask, record: Record) -> Row:
    """Return a training run as a row of runs.csv: numbers as text, empty where there is none."""
    end, job = record.result.end or {}, record.job
    lost = float("inf")
    metric = next((k for k in end if not k.startswith("loss")), "")
    trace = record.result.trace
    looks = [*trace, *([(job.steps, end["loss"])] if trace and end else [])]
    return {
        "task": task.label, "part": part(task, job), "lr": _text(job.rates[-1]),
        "low": _text(job.rates[0]) if len(job.rates) > 1 else "", "seed": job.seed,
        "steps": job.steps,
        **{k: _text(end.get(k, lost)) for k in ("loss", "loss_probe", "loss_score")},
        "metric": _text(end[metric]) if metric else "",
        "looks": " ".join(f"{step}:{_text(loss)}" for step, loss in looks),
        "seconds": record.provenance.seconds,
    }  # fmt: skip


def gained(record: Record) -> bool:
    """Say whether a range test is one of those that see each step's gain."""
    return record.job.protocol == GAINS


def sweep_row(task: PlannedTask, record: Record) -> Row:
    """Return a range test as a row of sweeps.csv."""
    job, curve = record.job, record.result.curve
    assert curve is not None
    return {
        "task": task.label, "seed": job.seed, "start": _text(job.rates[0]),
        "end": _text(job.rates[1]), "steps": job.steps, "ended": curve.ended,
        "losses": " ".join(map(_text, curve.loss)),
        "skipped": " ".join(map(str, curve.skipped)),
    }  # fmt: skip


def gain_row(task: PlannedTask, record: Record) -> Row:
    """Return a range test that goes on until the loss blows up as a row of gains.csv."""
    job, held = record.job, record.result.curve
    assert held is not None
    curve = held.curve()
    seen = dict.fromkeys(("slope", "step_norm", "weight_norm"), np.array([]))
    falls = np.array([])
    if curve.measured is not None:
        total = curve.measured.total
        falls, seen = curve.loss - total["loss_after"], {name: total[name] for name in seen}
    return {
        "task": task.label, "seed": job.seed, "start": _text(job.rates[0]),
        "end": _text(job.rates[1]), "furthest": _text(job.rates[2]), "steps": job.steps,
        "protocol": job.protocol, "ended": held.ended, "losses": " ".join(map(_text, held.loss)),
        "skipped": " ".join(map(str, held.skipped)), "falls": _four(falls),
        **{f"{name}s": _four(values) for name, values in seen.items()},
    }  # fmt: skip


def _four(values: Floats) -> str:
    """Four significant digits each: what they are compared with moves more between orders."""
    return " ".join(f"{value:.4g}" for value in values.tolist())


def task_row(task: PlannedTask, records: Sequence[Record], naive: float) -> Row:
    """Return a task as a row of tasks.csv.

    Args:
        task: the task.
        records: its results, none where nothing of it was measured.
        naive: loss of the best constant prediction, or NaN.
    """
    start = next((r.result.start for r in records if r.result.start), {}) or {}
    ends = (r.result.end for r in records if r.result.end)
    metric = next((k for each in (start, *ends) for k in each if not k.startswith("loss")), "")
    picked, made = hand_picked(task), [r.provenance.versions for r in records]
    versions = {
        name: _each({each.get(name, "not recorded") for each in made})
        for name in dict.fromkeys(name for each in made for name in each)
    }
    return {
        "task": task.label, "title": task.dataset.title, "family": task.dataset.family,
        "kind": task.dataset.kind, "model": task.dataset.model,
        "optimizer": task.dataset.optimizer, "stage": task.stage, "schedule": task.schedule,
        "size": "x".join(map(str, task.size)), "batch": task.batch, "steps": task.steps,
        "start": _text(start.get("loss")), "start_probe": _text(start.get("loss_probe")),
        "start_score": _text(start.get("loss_score")), "naive": _text(naive),
        "metric": metric, "held_out": int(task.held_out),
        "hand_picked": " ".join(f"{rate:g}" for rate, _ in picked),
        "fingerprint": _each({r.job.fingerprint for r in records}),
        "device": _each({r.job.device for r in records}), "versions": json.dumps(versions),
        "seconds": f"{sum(r.provenance.seconds for r in records):.0f}",
        "synthetic": int(task.dataset.synthetic),
        "precision": _each({r.job.precision for r in records}),
        "hand_picked_where": json.dumps([where for _, where in picked]),
        "keys": json.dumps(_keys(task, records)),
        "sweep": f"{task.sweep.start:.6g} {task.sweep.end:.6g} {task.sweep.steps}",
    }  # fmt: skip


def naive(task: PlannedTask, store: Store) -> float:
    """Return the loss of the best constant prediction; NaN where the data are not prepared."""

    def missing() -> Resident:
        raise FileNotFoundError(task.prepared)

    planned = Path(task.prepared)  # the folder may have moved since
    for path in (store.folder.parent / "cache" / planned.name, planned):
        if path.is_file():
            with contextlib.suppress(OSError):
                return naive_loss(cached(path, missing), task.dataset.kind)
    return math.nan


def _keys(task: PlannedTask, records: Sequence[Record]) -> dict[str, str]:
    """Return a task's job keys, separated by blanks, by what they measured."""
    found: dict[str, list[str]] = {}
    tests = sorted((r for r in records if r.result.curve), key=lambda r: not task.main(r.job))
    for record in (*tests, *(r for r in records if not r.result.curve)):
        what = "range tests" if record.result.curve else f"runs, {part(task, record.job)}"
        found.setdefault(what, []).append(record.job.key)
    return {what: " ".join(keys) for what, keys in found.items()}


def _each(values: set[str]) -> str:
    """Every distinct value: a mixture must be seen."""
    return ", ".join(sorted(values))


def hand_picked(task: PlannedTask) -> tuple[tuple[float, str], ...]:
    """Return what people chose for a task, with its source.

    Of a lesson's stage only the one to compare with, and no slice: that has runs of its own.
    """
    if task.lesson:
        return tuple(
            (each.rates[0], each.where)
            for each in task.named
            if each.name == HAND_PICKED and len(each.rates) == 1
        )
    return tuple((p.top, p.where) for p in task.dataset.picked(task.stage))
