"""From records to the recorded tables that `score` judges on."""

import contextlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lrsuggest.bench.collect import facts_of, hand_picked
from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.follow import FRESH
from lrsuggest.bench.plan.plan import Plan, PlannedTask
from lrsuggest.errors import UserError
from lrsuggest.evidence.lessons import LESSONS, LessonEvidence
from lrsuggest.evidence.tables import LATER, RUNS, SWEEPS, TASKS
from lrsuggest.files import output
from lrsuggest.tasks.data.resident import Resident, cached


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


def run_row(task: PlannedTask, record: Record) -> dict[str, object]:
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


def _sweep(task: PlannedTask, record: Record) -> dict[str, object]:
    job, curve = record.job, record.result.curve
    assert curve is not None
    return {
        "task": task.label, "seed": job.seed, "start": _text(job.rates[0]),
        "end": _text(job.rates[1]), "steps": job.steps, "ended": curve.ended,
        "losses": " ".join(map(_text, curve.loss)),
    }  # fmt: skip


def _task(task: PlannedTask, records: Sequence[Record], store: Store) -> dict[str, object]:
    start = next((r.result.start for r in records if r.result.start), {}) or {}
    metric = next((k for k in start if not k.startswith("loss")), "")
    picked, facts = hand_picked(task), facts_of(task, records)
    beside = ("model", "batch", "steps a run", "device", "precision", "data", "compute")
    versions = {name: value for name, value in facts.items() if name not in beside}
    return {
        "task": task.label, "title": task.dataset.title, "family": task.dataset.family,
        "kind": task.dataset.kind, "model": task.dataset.model,
        "optimizer": task.dataset.optimizer, "stage": task.stage, "schedule": task.schedule,
        "size": "x".join(map(str, task.size)), "batch": task.batch, "steps": task.steps,
        "start": _text(start.get("loss")), "start_probe": _text(start.get("loss_probe")),
        "start_score": _text(start.get("loss_score")), "naive": _text(naive(task, store)),
        "metric": metric, "held_out": int(task.held_out),
        "hand_picked": " ".join(f"{rate:g}" for rate, _ in picked),
        "fingerprint": facts["data"], "device": facts["device"],
        "versions": json.dumps(versions), "seconds": facts["compute"].removesuffix(" s"),
        "synthetic": int(task.dataset.synthetic), "precision": facts["precision"],
        "hand_picked_where": json.dumps([where for _, where in picked]),
        "keys": json.dumps(keys_of(task, records)),
    }  # fmt: skip


def naive(task: PlannedTask, store: Store) -> float:
    """Return the loss of the best constant prediction; NaN where the data are not prepared."""
    from lrsuggest.tasks.baseline import naive_loss  # torch, which a report can do without

    def missing() -> Resident:
        raise FileNotFoundError(task.prepared)

    planned = Path(task.prepared)  # the folder may have moved since
    for path in (store.folder.parent / "cache" / planned.name, planned):
        if path.is_file():
            with contextlib.suppress(OSError):
                return naive_loss(cached(path, missing), task.dataset.kind)
    return math.nan


def keys_of(task: PlannedTask, records: Sequence[Record]) -> dict[str, str]:
    """Return a task's job keys, separated by blanks, by what they measured."""
    found: dict[str, list[str]] = {}
    tests = sorted((r for r in records if r.result.curve), key=lambda r: not task.main(r.job))
    for record in (*tests, *(r for r in records if not r.result.curve)):
        what = "range tests" if record.result.curve else f"runs, {part(task, record.job)}"
        found.setdefault(what, []).append(record.job.key)
    return {what: " ".join(keys) for what, keys in found.items()}


def export(plan: Plan, store: Store, folder: Path, lessons: Sequence[LessonEvidence] = ()) -> int:
    """Write tasks.csv, sweeps.csv and runs.csv; returns how many records went in.

    Sweeps come with the range test that heuristics are judged on first. Where there are lessons,
    lessons.csv, stages.csv, chains.csv and named.csv stand beside them.

    Raises:
        UserError: there is no record, or the folder holds records; nothing in it is changed.
    """
    if (folder / "plan.json").is_file():
        raise UserError(
            f"{folder} holds the records of a suite that was run; give --to another folder"
        )
    tasks, sweeps, runs = [], [], []
    for task in plan.tasks:
        found = [record for job in task.all_jobs if (record := store.measured(job))]
        if not found:
            continue
        tasks.append(_task(task, found, store))
        tests = [record for record in found if record.result.curve]
        tests.sort(key=lambda record: not task.main(record.job))
        sweeps += [_sweep(task, record) for record in tests]
        runs += [run_row(task, record) for record in found if not record.result.curve]
    kept = len(sweeps) + len(runs) + sum(len(each.chains) for each in lessons)
    if not kept:
        raise UserError(
            f"{store.folder} holds no result that can be read, so {folder} is left as it is; run "
            "the suite first"
        )
    tables = {
        name: pd.DataFrame(rows, columns=list(columns))
        for name, rows, columns in (
            ("tasks", tasks, (*TASKS, *LATER)), ("sweeps", sweeps, SWEEPS), ("runs", runs, RUNS),
        )
    }  # fmt: skip
    if lessons:
        tables["lessons"] = pd.DataFrame([each.facts for each in lessons], columns=list(LESSONS))
        for name in ("stages", "chains", "named"):
            parts = [getattr(each, name) for each in lessons]
            tables[name] = pd.concat([each for each in parts if len(each)] or parts[:1])
    for name, table in tables.items():
        with output(folder / f"{name}.csv", folders=True) as file:
            file.write(table.to_csv(index=False, float_format="%.6g").encode())
    return kept
