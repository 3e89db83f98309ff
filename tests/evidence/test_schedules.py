"""The correction for a constant rate is what the recorded tasks say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lrsuggest import Curve, suggest_lr
from lrsuggest.curves.heuristics.consensus import CONSTANT, place, told
from lrsuggest.evidence.consensus_fit import UNSEEN, intervals, read_folds
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.response import Response
from lrsuggest.evidence.studies.probe_replay import probed
from lrsuggest.evidence.studies.schedules import by_family, shifts, without
from lrsuggest.evidence.tables import load
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


def test_out_of_fold_the_step_is_that_of_the_other_families(tasks):
    table, folds = shifts(tasks), read_folds()
    assert {name: rule.constant for name, rule in folds.items()} == {
        name: without(table, name) for name in folds
    }
    assert len({rule.constant for rule in folds.values()}) > 1
    others = table[table.family != "movielens"].groupby("family")["shift"].mean()
    assert without(table, "movielens") == round(others.mean(), 2)


@pytest.fixture(scope="module")
def stay(tasks):
    """The tasks at a constant rate, and one of the same under one-cycle."""
    found = [task for task in tasks if task.schedule == "constant"]
    assert len(found) == 8
    return [*found, next(task for task in tasks if task.title == found[0].title)]


def suggested(task, curve):
    return suggest_lr(
        curve, optimizer=task.optimizer, stage=task.stage, total_steps=task.steps,
        batch_size=task.batch, schedule=task.schedule,
    )  # fmt: skip


@pytest.mark.slow
def test_what_is_scored_is_what_is_suggested(stay):
    table = contested(stay).set_index(["task", "contestant", "seed"])
    rules = read_folds()
    ends = intervals(stay, {})
    ends = ends[ends.contestant == "consensus"]
    replayed = probed(stay, {})
    replayed = replayed[replayed.probes == 0].set_index(["task", "seed"])
    for task in stay:
        held = ends[ends.task == task.label]
        for seed, curve in enumerate(task.curves):
            answer = suggested(task, curve)
            pick = table.pick[task.label, "consensus", seed]
            assert answer.lr == pytest.approx(pick)
            if (task.label, seed) in replayed.index:
                assert replayed.pick[task.label, seed] == pytest.approx(pick)
            if len(held):
                row = held.iloc[seed]
                assert [answer.low, answer.high] == pytest.approx([10**row.low, 10**row.high])
            # Out of fold: the same heuristic, by the constants that the family had no say in.
            plain = dataclasses.replace(rules[task.family], constant=0.0)
            apart = table.pick[task.label, UNSEEN, seed]
            step = rules[task.family].constant if task.schedule == "constant" else 0.0
            untold = place(plain, told(curve, task.context))[0]
            assert np.log10(apart) == pytest.approx(untold + step)


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
    assert "only the consensus takes the schedule into account" in str(read)
    assert "takes the schedule into account" not in str(constant)
    assert "takes the schedule into account" not in str(suggest_lr(curve, heuristic="min_10"))
    with pytest.raises(ValueError, match="schedule 'step' is unknown; use one of one_cycle"):
        suggest_lr(curve, schedule="step")
