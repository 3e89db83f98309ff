"""What speaks against a rate without any new evidence."""

import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest import Curve, suggest_lr
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.display.page import render
from lrsuggest.curves.doubts import Seen
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.landmarks import blows_up
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.suggestion import suggest
from lrsuggest.vocabulary import SCHEDULES, STAGES

LR, LOSS = sweep_like()
CURVE = Curve(LR, LOSS)


def falling(noise=0.0, seed=0):
    """A loss that falls to the end of the range, as under clipped gradients."""
    return 2 - np.log10(LR / LR[0]) / 8 + noise * np.random.default_rng(seed).normal(size=len(LR))


def up_to(rate):
    return Curve(LR[rate >= LR], LOSS[rate >= LR])


@pytest.mark.parametrize("stage", [None, "scratch"])
@pytest.mark.parametrize("optimizer", [None, "adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", [None, "one_cycle"])
@pytest.mark.parametrize("total_steps", [None, 4, 40, 480, 4800])
def test_what_is_not_told_costs_nothing_nor_what_the_evidence_has(
    stage, optimizer, schedule, total_steps
):
    found = suggest_lr(
        CURVE, stage=stage, optimizer=optimizer, schedule=schedule, total_steps=total_steps
    )
    assert found.reliable
    assert found.reasons == ()


@pytest.mark.parametrize(
    ("told", "says"),
    [({"total_steps": 4801}, "A training of 4801 steps is far from the recorded ones, of 40 to"),
     ({"total_steps": 300_000}, "A training of 300000 steps is far from"),
     ({"total_steps": 3}, "A training of 3 steps is far from"),
     ({"stage": "frozen"}, "The body is pretrained"), ({"stage": "unfrozen"}, "The body is pre"),
     ({"stage": "finetune"}, "The body is pretrained"),
     ({"schedule": "constant"}, "The rate is for a constant schedule")],
)  # fmt: skip
@pytest.mark.parametrize("heuristic", ["consensus", "steepest"])
def test_what_is_told_and_was_not_in_the_evidence_is_a_doubt(told, says, heuristic):
    found = suggest_lr(CURVE, heuristic=heuristic, **told)
    assert found.lr is not None
    assert not found.reliable
    (reason,) = found.reasons
    assert reason.startswith(says)
    assert "Not reliable, for the reasons below" in str(found)


@pytest.mark.parametrize(
    ("seen", "says"),
    [(Seen(optimizer="Lion"), "No recorded task trained with Lion, so"),
     (Seen(continued=True), "This training went on before"),
     (Seen(held=120, layers=160), "120 of 160 weight layers are held, though the stage is not fro"),
     (Seen(outside=("head.weight",)), "Trainable weights are in no group of the optimizer (1, ")],
)  # fmt: skip
def test_what_a_learner_shows_is_a_doubt(seen, says):
    found = suggest(CURVE, Context(), seen=seen)
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(says)
    assert not found.reliable


def test_a_few_held_layers_are_said_and_no_doubt():
    found = suggest(CURVE, Context(), seen=Seen(held=1, layers=14))
    assert found.reliable
    assert str(found).endswith("Not all of it trains (1 of 14 weight layers is held).")


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_curve_without_a_blow_up_is_a_doubt(noise):
    found = suggest_lr(Curve(LR, falling(noise)))
    assert not found.reliable
    assert any("had not blown up by 1.0e+01, the end of the range" in r for r in found.reasons)


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.3])
def test_a_curve_cut_before_its_blow_up_is_a_doubt(rate):
    cut = up_to(rate)
    assert not blows_up(cut)
    assert any("had not blown up" in reason for reason in suggest_lr(cut).reasons)


def test_a_blow_up_is_one_however_the_test_ended_and_whatever_the_losss_scale():
    assert blows_up(CURVE)
    for a, b in ((1e-3, 0.0), (50.0, -100.0)):
        assert blows_up(Curve(LR, a * LOSS + b))
        assert not blows_up(Curve(LR, a * falling(0.05) + b))
    for ended in (Ended.DIVERGED, Ended.NON_FINITE):
        assert blows_up(Curve(LR, falling(), ended=ended))
    assert blows_up(Curve(LR, np.append(falling()[:-1], np.inf)))


def test_one_high_loss_at_the_end_may_be_an_outlier_two_are_not():
    loss = falling(0.01)
    loss[-1] = 9.0
    assert not blows_up(Curve(LR, loss))
    loss[-2] = 9.0
    assert blows_up(Curve(LR, loss))


@pytest.mark.parametrize("seed", range(8))
def test_noise_alone_is_no_blow_up(seed):
    level = 1 + 0.1 * np.random.default_rng(seed).normal(size=100)
    assert not blows_up(Curve(LR, level))


@pytest.mark.parametrize("stage", [None, *STAGES])
@pytest.mark.parametrize("schedule", [None, *SCHEDULES])
def test_a_suggestion_keeps_what_it_was_read_with(stage, schedule):
    context = Context("sgd", stage, 90, 16, schedule)
    found = suggest(CURVE, context)
    assert found.context is context
    assert (found.stage, found.schedule, found.total_steps) == (stage, schedule, 90)


def test_the_page_reads_what_abstains_with_the_same_context(monkeypatch):
    from lrsuggest.curves.heuristics.reasons import Reason
    from lrsuggest.curves.heuristics.registry import Abstention, Heuristic

    def newcomer(curve, context):
        whole = context.optimizer == "sgd" and context.batch_size == 16
        return Abstention(Reason.EDGE if whole else Reason.UNDEFINED)

    monkeypatch.setitem(HEURISTICS, "newcomer", Heuristic("newcomer", newcomer, "a test", "shape"))
    page = render(suggest(CURVE, Context("sgd", None, 90, 16)), "A title", None)
    row = page[page.index("newcomer") :][:600]
    assert Reason.EDGE.value in row
    assert Reason.UNDEFINED.value not in row
