"""Five of the kills of benchmarks/speed/kills.py, and the recorded fifty."""

import importlib
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "recorded" / "kills" / "kills.csv"


def test_killed_runs_end_as_the_undisturbed_one_does(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "speed")
    kills = importlib.import_module("kills")
    monkeypatch.setattr(kills, "STEPS", 100)
    monkeypatch.setattr(kills, "WORKERS", 1)
    made, folders = kills.kill_until(5, 3, tmp_path)
    assert len(made) == 5
    assert folders >= 1
    assert {kill.victim for kill in made} == {"driver", "worker"}
    assert any(kill.in_flight for kill in made)


def test_the_recorded_kills_are_as_many_as_were_asked_for():
    kills = pd.read_csv(TABLE)
    assert len(kills) >= 50
    assert (kills.in_flight > 0).sum() >= 40
    assert kills.in_write.notna().sum() >= 8
    assert set(kills.victim) == {"driver", "worker"}
    assert (kills.left_running == 0).all()
