"""The correction for a constant rate is what the recorded tasks say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lrsuggest import Curve, suggest_lr
from lrsuggest.curves.consensus import CONSTANT
from lrsuggest.evidence.recorded import load
from lrsuggest.evidence.response import Response
from lrsuggest.evidence.schedules import by_family, shifts
from lrsuggest.testing import simulated


@pytest.fixture(scope="module")
def tasks():
    return load()


def test_a_constant_rate_has_to_be_lower_in_every_family(tasks):
    table = shifts(tasks)
    assert table.family.nunique() == 7
    assert (table["shift"] < 0).all()
    mean, low, high = by_family(table)
    assert round(mean, 2) == CONSTANT
    assert (round(low, 2), round(high, 2)) == (-0.36, -0.26)


def test_a_response_moved_by_a_decade_is_found_moved_by_a_decade(tasks):
    (task,) = [t for t in tasks if t.label.startswith("abalone") and t.schedule == "constant"]
    moved = Response(task.response.rates * 10, task.response.loss, task.response.start)
    twin = dataclasses.replace(task, schedule="one_cycle", response=moved)
    found = shifts([task, twin])
    assert found["shift"].tolist() == pytest.approx([-1])
    assert by_family(found) == pytest.approx((-1, -1, -1))


def test_tasks_without_a_twin_make_no_pair(tasks):
    assert isinstance(shifts(tasks[:1]), pd.DataFrame)
    assert not len(shifts([t for t in tasks if t.schedule == "constant"]))


def test_suggest_lr_moves_the_rate_and_its_interval():
    curve = Curve(*simulated(100, 1e-2, 2.0, 0.0, 0))
    plain, same, constant = (
        suggest_lr(curve, optimizer="adam", schedule=each)
        for each in (None, "one_cycle", "constant")
    )
    assert (plain.lr, plain.low, plain.high) == (same.lr, same.low, same.high)
    for name in ("lr", "low", "high"):
        moved = np.log10(getattr(constant, name) / getattr(plain, name))
        assert moved == pytest.approx(CONSTANT)
    read = suggest_lr(curve, heuristic="min_10", schedule="constant")
    assert read.lr == suggest_lr(curve, heuristic="min_10").lr
    with pytest.raises(ValueError, match="schedule 'cosine' is unknown; use one of one_cycle"):
        suggest_lr(curve, schedule="cosine")
