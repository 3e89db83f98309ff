"""Probes replayed on recorded runs, where what they must find is known."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.consensus import RULE, Rule, place, told
from lrsuggest.evidence.parse import response
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.studies.probe_replay import COUNTS, SHIFTS, SHORTER, best_of_short, probed
from lrsuggest.report.figures.overview import cost_figure
from lrsuggest.training.probe_search import settle

RATES = np.geomspace(1e-5, 1e0, 16)


def task(best: float, short_best: float, *, cliff: float = math.inf) -> TaskEvidence:
    rows = []
    for part, at, seeds in (("grid", best, 4), ("short", short_best, 3)):
        for seed in range(seeds):
            for lr in RATES:
                loss = math.inf if lr > cliff else 1 + (math.log10(lr / at)) ** 2 / 4
                rows.append({"part": part, "lr": lr, "seed": seed, "loss": loss,
                             "loss_probe": loss, "loss_score": loss})  # fmt: skip
    runs = pd.DataFrame(rows)
    return TaskEvidence(
        "t", "t", "t", "scratch", "adam", False, (Curve(*sweep_like()),), response(runs, 5.0),
        steps=100, runs=runs, starts=(5.0, 5.0),
    )  # fmt: skip


def off(rate: float) -> dict[str, Rule]:
    """A rule that picks this rate from the task's curve, four fifths sure within .6 decades."""
    calm = replace(RULE, trust_prior=0.0, below=0.6, above=0.6, doubt=0.0)
    example = task(1e-2, 1e-2)
    at = float(place(calm, told(example.curves[0], example.context))[0])
    by = math.log10(rate) - at
    moved = {name: getattr(calm, name) + by for name in ("descended", "rising", "blow_up")}
    return {"t": replace(calm, **moved)}


def test_probes_mend_a_pick_that_is_off_and_cost_what_they_say():
    found = probed([task(1e-2, 1e-2)], off(3e-3)).set_index("probes")
    assert found.cost.to_dict() == {0: 0.0, **{n: n / SHORTER for n in COUNTS}}
    assert found.regret[8] < found.regret[0]
    assert 3e-3 < found.pick[8] < 1e-2
    assert found.oracle[0] == pytest.approx(0)
    drawn = cost_figure("cost", found.reset_index())
    assert drawn.startswith("<svg")
    assert "cost of the probes" in drawn


def test_a_probe_beyond_the_cliff_does_no_harm():
    found = probed([task(1e-2, 1e-2, cliff=1.5e-2)], off(1e-2)).set_index("probes")
    assert (found.pick <= 1.5e-2).all()
    assert (found.regret < 0.1).all()


def test_a_task_without_short_runs_is_left_out():
    bare = task(1e-2, 1e-2)
    without = bare.runs[bare.runs.part == "grid"]
    kept = TaskEvidence(
        "t", "t", "t", "scratch", "adam", False, bare.curves, bare.response, runs=without,
        starts=(5.0, 5.0),
    )  # fmt: skip
    assert probed([kept], {}).empty


def test_curve_and_probes_meet_halfway_and_long_runs_want_less():
    good = ((1e-2, 1.0), (2e-2, 0.9))
    assert settle(1e-2, 4e-2, good, 1.0) == pytest.approx(2e-2)
    assert settle(1e-2, 4e-2, good, 10.0) == pytest.approx(2e-2 * 10 ** (RULE.steps / 2))
    assert settle(1e-2, 1e-3, ((1e-2, math.inf), (1e-3, 0.9)), 1.0) == pytest.approx(1e-3)


def test_all_short_runs_together_choose_the_short_best_moved():
    found = best_of_short([task(RATES[9], RATES[12])]).set_index("shift")
    assert found.index.tolist() == list(SHIFTS)
    unmoved = math.log10(RATES[12] / RATES[9]) ** 2 / 4 / 4  # of a start at 5 and a best of 1
    assert found.regret[0.0] == pytest.approx(unmoved, abs=0.01)
    assert found.regret[-0.3] < found.regret[-0.15] < found.regret[0.0]
