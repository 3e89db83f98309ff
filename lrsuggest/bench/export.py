"""From records to the recorded tables that `score` judges on."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lrsuggest.bench.collect import hand_picked
from lrsuggest.bench.jobs import Job, Record
from lrsuggest.bench.plan import FRESH
from lrsuggest.bench.planned import Plan, PlannedTask
from lrsuggest.bench.store import Store
from lrsuggest.evidence.lessons import LESSONS, LessonEvidence
from lrsuggest.evidence.recorded import RUNS, SWEEPS, TASKS
from lrsuggest.tasks.data.resident import Resident, cached
from lrsuggest.tasks.data.sealed import atomic


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


def _task(task: PlannedTask, records: Sequence[Record]) -> dict[str, object]:
    from lrsuggest.tasks.naive import naive_loss  # torch, which a report can do without

    start = next((r.result.start for r in records if r.result.start), {}) or {}
    metric = next((k for k in start if not k.startswith("loss")), "")

    told = [record.provenance for record in records]

    def missing() -> Resident:
        raise FileNotFoundError(task.prepared)

    return {
        "task": task.label, "title": task.dataset.title, "family": task.dataset.family,
        "kind": task.dataset.kind, "model": task.dataset.model,
        "optimizer": task.dataset.optimizer, "stage": task.stage, "schedule": task.schedule,
        "size": "x".join(map(str, task.size)), "batch": task.batch, "steps": task.steps,
        "start": _text(start.get("loss")), "start_probe": _text(start.get("loss_probe")),
        "start_score": _text(start.get("loss_score")),
        "naive": _text(naive_loss(cached(Path(task.prepared), missing), task.dataset.kind)),
        "metric": metric, "held_out": int(task.held_out),
        "hand_picked": " ".join(f"{rate:g}" for rate, _ in hand_picked(task)),
        "fingerprint": records[0].job.fingerprint, "device": records[0].job.device,
        "versions": " ".join(f"{k}={v}" for k, v in sorted(told[0].versions.items())),
        "seconds": round(sum(each.seconds for each in told)),
    }  # fmt: skip


def export(plan: Plan, store: Store, folder: Path, lessons: Sequence[LessonEvidence] = ()) -> int:
    """Write tasks.csv, sweeps.csv and runs.csv; returns how many records went in.

    Sweeps come with the range test that heuristics are judged on first. Where there are lessons,
    lessons.csv, stages.csv, chains.csv and named.csv stand beside them.
    """
    tasks, sweeps, runs = [], [], []
    for task in plan.tasks:
        found = [record for job in task.all_jobs if (record := store.measured(job))]
        if not found:
            continue
        tasks.append(_task(task, found))
        tests = [record for record in found if record.result.curve]
        tests.sort(key=lambda record: not task.main(record.job))
        sweeps += [_sweep(task, record) for record in tests]
        runs += [run_row(task, record) for record in found if not record.result.curve]
    tables = {
        name: pd.DataFrame(rows, columns=list(columns))
        for name, rows, columns in (
            ("tasks", tasks, TASKS), ("sweeps", sweeps, SWEEPS), ("runs", runs, RUNS),
        )
    }  # fmt: skip
    if lessons:
        tables["lessons"] = pd.DataFrame([each.facts for each in lessons], columns=list(LESSONS))
        for name in ("stages", "chains", "named"):
            parts = [getattr(each, name) for each in lessons]
            tables[name] = pd.concat([each for each in parts if len(each)] or parts[:1])
    for name, table in tables.items():
        with atomic(folder / f"{name}.csv") as file:
            file.write(table.to_csv(index=False, float_format="%.6g").encode())
    return len(sweeps) + len(runs) + sum(len(each.chains) for each in lessons)
