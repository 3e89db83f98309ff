import matplotlib
import numpy as np
import pytest
from helpers import make_learner, sweep_like

from lrsuggest import Curve, NoSuggestion, UserError, suggest_lr

matplotlib.use("agg")


def test_a_good_curve_gives_a_reliable_rate_within_its_interval():
    suggestion = suggest_lr(Curve(*sweep_like(noise=0.02)))
    assert suggestion.reliable
    assert not suggestion.reasons
    assert suggestion.low < suggestion.lr < suggestion.high
    assert float(suggestion) == suggestion.lr == suggestion.candidates["min_10"]
    assert {"steepest", "min_10", "fastai_valley"} <= suggestion.candidates.keys()
    assert "reliable" in str(suggestion)


def test_another_reading_can_be_followed():
    curve = Curve(*sweep_like())
    chosen = suggest_lr(curve, heuristic="steepest")
    assert chosen.lr == chosen.candidates["steepest"]
    with pytest.raises(UserError, match="no heuristic 'stepest'; choose one of steepest"):
        suggest_lr(curve, heuristic="stepest")


def test_an_abstention_raises_with_its_reason_unless_a_fallback_is_named():
    flat = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))
    suggestion = suggest_lr(flat)
    assert (suggestion.lr, suggestion.low, suggestion.high) == (None, None, None)
    assert not suggestion.reliable
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        float(suggestion)
    assert float(suggest_lr(flat, fallback=3e-3)) == 3e-3
    assert float(suggest_lr(flat, fallback=1)) == 1.0
    with pytest.raises(UserError, match="fallback must be a positive rate, or None; got -3"):
        suggest_lr(flat, fallback=-3)
    assert "No suggestion" in str(suggestion)
    suggestion.plot()


def test_a_minimum_at_the_edge_is_said():
    lr, loss = sweep_like()
    low = suggest_lr(Curve(lr[lr < 0.02], loss[lr < 0.02]))
    assert low.lr is None
    assert any("sweep to higher rates" in reason for reason in low.reasons)
    assert "steepest" in low.candidates
    short = suggest_lr(Curve(lr, loss, ended="data ran out"))
    assert any("data ran out" in reason for reason in short.reasons)


def test_slices_follow_the_stage():
    curve = Curve(*sweep_like())
    rate = float(suggest_lr(curve))
    assert suggest_lr(curve, stage="frozen").slice == slice(rate)
    assert suggest_lr(curve, stage="unfrozen").slice == slice(rate / 100, rate)


def test_the_plot_shows_both_curves_and_every_candidate():
    suggestion = suggest_lr(Curve(*sweep_like(noise=0.02)))
    axes = suggestion.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["measured", "smoothed"]
    assert len(labels) == 2 + len(suggestion.candidates)
    assert axes.get_xscale() == "log"


def test_a_learner_is_swept_and_told_from_anything_else():
    learner = make_learner()
    weights = [p.clone() for p in learner.model.parameters()]
    suggestion = suggest_lr(learner, seed=0, steps=60)
    assert 1e-4 < suggestion.lr < 1
    assert all((a == b).all() for a, b in zip(weights, learner.model.parameters(), strict=True))
    with pytest.raises(UserError, match="not a Sequential; wrap the model"):
        suggest_lr(learner.model)
    with pytest.raises(UserError, match="stage 'head' is unknown"):
        suggest_lr(learner, stage="head")
