"""scale.py and harness.py of benchmarks/speed work; how long things take is not tested."""

import importlib
from pathlib import Path

import pandas as pd

from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.plan import load_plan
from lrsuggest.bench.tables import to_tables

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "benchmarks" / "recorded" / "scale"


def test_synthetic_records_are_evidence_like_any_other(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "speed")
    scale = importlib.import_module("scale")
    written = scale.fill(tmp_path, 200, 2)
    assert written == len(list((tmp_path / "records").iterdir())) >= 100
    tables, story, _ = to_tables(load_plan(tmp_path), Store(tmp_path))
    tasks = tables.tasks()
    assert not story.failed
    assert [len(task.curves) for task in tasks] == [scale.SWEEPS] * 2
    response = tasks[0].response
    best = response.rates[response.loss.mean(axis=0).argmin()]
    assert 3e-3 < best < 3e-2


def test_the_harness_is_measured_beside_the_jobs(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "speed")
    harness = importlib.import_module("harness")
    orders = [harness.order("digits", seed, tmp_path, None, 6) for seed in range(3)]
    found = harness.timed(orders[1:], orders[:1], 1, tmp_path)
    assert 0 < found["steps"] <= found["jobs"] <= found["wall"] + 0.02  # seconds are rounded
    assert found["rest"] <= found["worst"]


def test_the_recorded_overheads_are_below_what_was_asked_for():
    table = pd.read_csv(TABLES / "harness.csv")
    assert (table.seconds_a_job >= 5).all()
    assert (table.worst_ms <= 60).all()
    assert (table.overhead_share <= 0.02).all()
