"""The front door's repeated sweeps and probes: what they are told, cost and refuse."""

import math
import re

import matplotlib
import numpy as np
import pytest
import torch
from helpers import make_learner, sweep_like
from rich.console import Console

from lrsuggest import Curve, Probes, RangeTest, UserError, fit_one_cycle, lr_find, suggest_lr
from lrsuggest.errors import LrsuggestWarning

matplotlib.use("agg")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_replicates_pool_the_sweeps_of_consecutive_seeds():
    learner = make_learner()
    found = suggest_lr(learner, sweep=RangeTest(repeats=3, num_iter=60), seed=4)
    alone = [suggest_lr(learner, seed=seed, sweep=RangeTest(num_iter=60)) for seed in (4, 5, 6)]
    assert found.replicates == tuple(each.lr for each in alone)
    assert found.low <= min(found.replicates)
    assert max(found.replicates) <= found.high
    assert found.cost.sweep_steps == sum(len(each.curve) for each in alone)
    # From 1 to 10 are seven and a half steps of the sixty; up to 1,000 there may be 14 more.
    assert found.budget.sweep_steps == 3 * 74
    assert (
        suggest_lr(learner, sweep=RangeTest(end_lr=10, num_iter=60), seed=4).budget.sweep_steps
        == 60
    )
    assert "on 3 sweeps" in str(found)
    assert float(found) == found.lr == found.slice.stop
    assert suggest_lr(learner, sweep=RangeTest(repeats=1, num_iter=60), seed=4).replicates == ()


def test_without_a_seed_the_orders_differ_and_the_present_state_decides_them():
    learner = make_learner()
    torch.manual_seed(1)
    first, again = (suggest_lr(learner, sweep=RangeTest(repeats=3, num_iter=60)) for _ in range(2))
    assert first.replicates == again.replicates
    assert len(set(first.replicates)) > 1
    assert first.replicates[0] == suggest_lr(learner, sweep=RangeTest(num_iter=60)).lr
    present = lr_find(learner, num_iter=60)
    assert not np.array_equal(first.curve.loss[:20], present.loss[:20])


def clipped():
    """Plain SGD with clipped gradients: at a rate of ten nothing has blown up yet."""
    return make_learner(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        max_grad_norm=0.01,
    )


def test_the_default_range_goes_on_until_the_loss_blows_up():
    found = suggest_lr(clipped(), seed=0)
    assert found.reliable
    assert found.curve.lr[-1] > 10
    assert 100 < found.cost.sweep_steps == len(found.curve) <= found.budget.sweep_steps == 124
    short = suggest_lr(clipped(), seed=0, sweep=RangeTest(end_lr=10.0))
    assert len(short.curve) == short.budget.sweep_steps == 100
    assert np.array_equal(short.curve.loss, found.curve.loss[:100])
    assert any("had not blown up by 1.0e+01" in reason for reason in short.reasons)
    assert found.lr > 2.5 * short.lr


def test_a_range_that_is_the_callers_is_not_exceeded():
    found = suggest_lr(clipped(), seed=0, sweep=RangeTest(end_lr=2.0, num_iter=40))
    assert (len(found.curve), found.curve.lr[-1]) == (40, pytest.approx(2.0))
    assert not found.reliable


def test_where_nothing_ever_blows_up_it_ends_at_a_thousand_with_a_doubt():
    learner = make_learner(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        max_grad_norm=1e-6,
    )
    found = suggest_lr(learner, seed=0)
    assert 830 < found.curve.lr[-1] <= 1000  # one step more would be beyond
    assert not found.reliable
    assert found.lr is None or any("had not blown up by" in each for each in found.reasons)


def test_sweeps_that_go_on_are_pooled():
    found = suggest_lr(clipped(), seed=0, sweep=RangeTest(repeats=3))
    alone = [suggest_lr(clipped(), seed=seed) for seed in range(3)]
    assert found.replicates == tuple(each.lr for each in alone)
    assert found.cost.sweep_steps == sum(len(each.curve) for each in alone)
    assert found.budget.sweep_steps == 3 * 124
    assert found.curve.lr[-1] > 10
    assert found.reliable


@pytest.mark.parametrize(
    ("total_steps", "says"),
    [(21, "times the 21 of the training."), (300, "% of the 300 of the training."),
     (1000, "10 % of the 1000 of the training."),
     (4000, "2 % of the 4000 of the training."), (None, None)],
)  # fmt: skip
def test_asking_takes_as_long_for_every_training_and_its_share_is_said(total_steps, says):
    steps = 100
    found = suggest_lr(make_learner(), seed=0, total_steps=total_steps)
    assert np.diff(np.log10(found.curve.lr)).mean() == pytest.approx(8 / (steps - 1))
    assert found.budget.sweep_steps == steps + math.floor(2 / (8 / (steps - 1)) + 1e-9)
    last = str(found).split("\n")[2]
    if says is None:
        assert "Asking took" not in last
    else:
        assert last.endswith(says)
        assert f"Asking took {found.cost.steps} steps, " in last
    asked = suggest_lr(
        make_learner(), seed=0, total_steps=total_steps, sweep=RangeTest(num_iter=70, end_lr=10)
    )
    assert asked.budget.sweep_steps == 70


def test_probes_count_in_the_share():
    found = suggest_lr(make_learner(), seed=0, total_steps=100, probes=Probes(2, 20))
    assert f"Asking took {found.cost.sweep_steps + found.cost.probe_steps} steps, " in str(found)


def test_a_curve_costs_nothing_to_read():
    assert "Asking" not in str(suggest_lr(Curve(*sweep_like()), total_steps=40))


def test_replicates_over_a_fixed_order_are_warned_of():
    learner = make_learner()
    learner.batches = list(learner.batches)
    learner.model[3].p = 0.0
    with pytest.warns(LrsuggestWarning, match="the 2 sweeps are one and the same") as told:
        suggest_lr(learner, sweep=RangeTest(repeats=2), seed=0)
    assert told[0].filename == __file__


def test_what_is_put_right_is_told_of_the_line_that_asked():
    learner = make_learner()
    learner.model.eval()
    for ask in (suggest_lr, lr_find, lambda x: fit_one_cycle(x, 0.01, steps=2)):
        with pytest.warns(LrsuggestWarning, match="eval mode") as told:
            ask(learner)
        assert {each.filename for each in told} == {__file__}


def test_the_cost_is_said_before_the_first_step(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    learner = make_learner()
    assert not Console(stderr=True).is_terminal
    found = suggest_lr(
        learner,
        sweep=RangeTest(repeats=2, num_iter=40, end_lr=10),
        probes=Probes(2, 12),
        seed=0,
        progress=True,
    )
    said = capsys.readouterr().err
    assert said.startswith(
        "At most 80 optimizer steps of range test, 24 of probes, 2 validation passes (8 batches)."
    )
    assert str(found.budget) in said
    spent = found.cost
    assert spent.sweep_steps + spent.probe_steps <= 104
    assert spent.valid_passes == sum(math.isfinite(value) for _, value in found.probes)
    suggest_lr(learner, sweep=RangeTest(repeats=2, num_iter=40), probes=Probes(2, 12), seed=0)
    assert capsys.readouterr().err == ""


def test_the_length_of_a_probe_follows_the_plan():
    learner = make_learner()
    learner.valid = type("Endless", (), {"__iter__": lambda self: iter(make_learner().valid)})()
    found = suggest_lr(learner, probes=2, sweep=RangeTest(num_iter=30), seed=0)
    assert found.budget.probe_steps == 2 * 30
    assert found.budget.valid_batches is None
    assert "2 validation passes" in str(found.budget)
    assert (
        suggest_lr(
            learner, probes=2, sweep=RangeTest(num_iter=30), total_steps=45
        ).budget.probe_steps
        == 44
    )


def test_str_and_plot_show_what_was_tried():
    found = suggest_lr(
        make_learner(), sweep=RangeTest(repeats=2, num_iter=60), probes=Probes(3, 20), seed=0
    )
    assert "on 2 sweeps" in str(found)
    assert "then 3 probes, best loss 0." in str(found)
    axes = found.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[-2:] == ["picks of 2 sweeps", f"after the probes: {found.lr:.1e}"]
    (above,) = axes.child_axes
    best = min(value for _, value in found.probes if math.isfinite(value))
    assert f"{best:.3g}" in [text.get_text() for text in above.texts]
    assert above.get_xscale() == "log"


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"probes": -1}, "probes must be a whole number of at least 0; got -1"),
     ({"probes": 8, "total_steps": 60},
      r"probes=8 in total_steps=60 leaves 7 .*fewer probes, or give probes=Probes\(8, 10\)")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_a_step_is_made(settings, says):
    learner = make_learner()
    learner.loss_fn = None
    with pytest.raises(UserError, match=says):
        suggest_lr(learner, **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"sweep": RangeTest(repeats=2)}, "sweep=RangeTest(repeats=2)"), ({"probes": 3}, "probes=3"),
     ({"sweep": RangeTest(start_lr=1e-6, end_lr=2)}, "sweep=RangeTest(start_lr=1e-06, end_lr=2.0)"),
     ({"probes": Probes(2, 20)}, "probes=Probes(number=2, steps=20)")],
)  # fmt: skip
def test_a_curve_cannot_be_trained(settings, said):
    (name,) = settings
    says = f"{said} needs a Learner to train; a Curve can only be read, so leave {name} out"
    with pytest.raises(UserError, match=f"^{re.escape(says)}$"):
        suggest_lr(Curve(*sweep_like()), **settings)
