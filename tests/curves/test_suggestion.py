import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from helpers import make_learner, sweep_like
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest import Curve, NoSuggestion, RangeTest, UserError, suggest_lr
from lrsuggest.curves.answer import HELD, MEANT
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.doubts import LENGTHS
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.pooling import pool
from lrsuggest.curves.suggestion import suggest
from lrsuggest.evidence.consensus_fit import intervals, read_folds
from lrsuggest.evidence.tables import load
from lrsuggest.vocabulary import STAGES

matplotlib.use("agg")


def test_a_good_curve_gives_a_reliable_rate_within_its_interval():
    suggestion = suggest_lr(Curve(*sweep_like(noise=0.02)))
    assert suggestion.reliable
    assert not suggestion.reasons
    assert suggestion.low < suggestion.lr < suggestion.high
    assert float(suggestion) == suggestion.lr == suggestion.candidates["consensus"]
    assert {"steepest", "min_10", "fastai_valley"} <= suggestion.candidates.keys()


@pytest.mark.slow
@given(st.integers(0, 10**6), st.floats(-6, 6), st.sampled_from([None, *STAGES]))
def test_the_rate_always_lies_in_its_interval(seed, shift, stage):
    rng = np.random.default_rng(seed)
    lr, loss = sweep_like(int(rng.integers(20, 120)), bottom=10 ** rng.uniform(-4, 0), noise=0.05,
                          seed=seed)  # fmt: skip
    end = int(rng.integers(10, len(lr) + 1))
    steps = int(10 ** rng.uniform(0, 6))
    with np.errstate(all="raise"):
        found = suggest_lr(Curve(lr[:end] * 10**shift, loss[:end]), stage=stage, total_steps=steps)
    if found.lr is not None:
        assert found.low <= found.lr <= found.high


def test_three_lines_say_what_how_sure_and_why():
    found = suggest_lr(Curve(*sweep_like(noise=0.02)), stage="unfrozen")
    what, sure, why = str(found).split("\n")
    assert sure.startswith("Not reliable, for the reasons below.")
    assert why.startswith("Why: The body is pretrained: of nine rates called reliable on held-out")
    low, lr, high = (f"{rate:.2g}" for rate in (found.low, found.lr, found.high))
    assert what.startswith(f"Maximum learning rate {lr}, plausibly {low} to {high}; over layer gro")
    assert what.endswith(f"{found.slice.start:.2g} to {lr}.")
    found = suggest_lr(found.curve)
    _, sure, why = str(found).split("\n")
    assert sure.startswith("Reliable: nothing about the curve speaks against it.")
    assert "only a head trains" not in sure
    others = {k: v for k, v in found.candidates.items() if k != "consensus"}
    inside = [rate for rate in others.values() if found.low <= rate <= found.high]
    assert why.startswith(
        f"Why: read by consensus; {len(inside)} of {len(others)} other heuristics"
    )
    far = max(others, key=lambda name: abs(np.log10(others[name] / found.lr)))
    assert why.endswith(f"the farthest off is {far} at {others[far]:.2g}.")
    assert "only a head trains" in str(suggest_lr(found.curve, stage="frozen"))
    assert str(suggest_lr(found.curve, schedule="constant")).startswith("Constant learning rate 0.")
    by_slope = str(suggest_lr(found.curve, heuristic="steepest"))
    assert "read by steepest;" in by_slope
    assert "was not measured" in by_slope


@pytest.mark.slow
def test_the_coverage_it_states_is_the_recorded_one():
    page = (Path(__file__).resolve().parents[2] / "docs" / "consensus.md").read_text("utf-8")
    assert re.findall(r"\| consensus \| \d+ \| (\d+)% \|", page) == [str(HELD)]
    assert f"## {MEANT} % interval" in page
    tasks = load()
    table = intervals(tasks, read_folds())
    per_task = table[table.contestant == "consensus"].groupby("task").covered.mean()
    assert round(100 * per_task.mean()) == HELD
    heads = [task.label for task in tasks if task.stage == "frozen" and task.label in per_task]
    assert per_task[heads].mean() < HELD / 200  # "far fewer"
    steps = [task.context.total_steps for task in tasks if task.label in per_task]
    assert (min(steps), max(steps)) == LENGTHS


def test_a_length_that_no_recorded_task_had_is_said():
    curve = Curve(*sweep_like())
    beyond = suggest_lr(curve, total_steps=20_000)
    assert beyond.total_steps == 20_000
    assert str(beyond).split("\n")[1].endswith("runs had 40 to 480 steps, yours has 20000.")
    for within in (None, *LENGTHS):
        assert "yours has" not in str(suggest_lr(curve, total_steps=within))
    assert "yours has" not in str(suggest_lr(curve, total_steps=20_000, heuristic="steepest"))


def test_doubts_and_abstentions_are_said_first():
    lr, loss = sweep_like()
    doubted = suggest_lr(Curve(lr, loss, ended="data ran out"))
    what, sure, why = str(doubted).split("\n")
    assert what.startswith("Maximum learning rate")
    assert sure.startswith("Not reliable, for the reasons below.")
    assert why.startswith("Why: The data ran out before every planned rate was tried. Read by con")
    flat = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))
    what, sure, why = str(suggest_lr(flat)).split("\n")
    assert what == "No suggestion: this curve supports no learning rate."
    assert sure == "Not reliable: without a rate there is no interval either."
    assert why.startswith("Why: The loss is flat: no rate on the curve changed it. float() raises")
    assert why.endswith("usual without a curve: 0.01 for Adam, 0.1 for SGD.")
    assert str(suggest_lr(flat, fallback=3e-3)).endswith("float() gives your fallback, 0.003.")
    rising = suggest_lr(Curve(flat.lr, np.geomspace(1, 1e6, 100)))
    assert str(rising).endswith("to go on with a rate of your own.")


@given(st.lists(st.floats(), max_size=40), st.sampled_from([None, *STAGES]))
def test_there_are_always_three_lines(loss, stage):
    lr = np.geomspace(1e-7, 10, max(len(loss), 2))[: len(loss)]
    with np.errstate(all="ignore"):
        lines = str(suggest_lr(Curve(lr, loss), stage=stage)).split("\n")
    assert len(lines) == 3
    assert all(line.endswith(".") for line in lines)


def test_another_reading_can_be_followed():
    curve = Curve(*sweep_like())
    chosen = suggest_lr(curve, heuristic="steepest")
    assert chosen.lr == chosen.candidates["steepest"]
    with pytest.raises(UserError, match=r"no heuristic 'stepest'; choose one of .*steepest"):
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
    suggestion.plot()


def test_a_minimum_at_the_edge_is_said():
    lr, loss = sweep_like()
    low = suggest_lr(Curve(lr[lr < 0.02], loss[lr < 0.02]))
    assert not low.reliable
    assert any("sweep to higher rates" in reason for reason in low.reasons)
    assert "steepest" in low.candidates
    assert suggest_lr(Curve(lr[lr < 0.02], loss[lr < 0.02]), heuristic="min_10").lr is None
    short = suggest_lr(Curve(lr, loss, ended="data ran out"))
    assert any("data ran out" in reason for reason in short.reasons)


def test_slices_follow_the_stage():
    curve = Curve(*sweep_like())
    frozen, unfrozen = (suggest_lr(curve, stage=stage) for stage in ("frozen", "unfrozen"))
    assert frozen.slice == slice(frozen.lr)
    assert unfrozen.slice == slice(unfrozen.lr / 10, unfrozen.lr)
    assert suggest_lr(curve).lr > frozen.lr  # a head on a pretrained body wants less


def test_the_plot_shows_both_curves_and_every_candidate():
    suggestion = suggest_lr(Curve(*sweep_like(noise=0.02)))
    axes = suggestion.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["measured", "smoothed"]
    assert len(labels) == 2 + len(suggestion.candidates)
    assert axes.get_xscale() == "log"
    (shaded,) = axes.patches
    ends = shaded.get_x(), shaded.get_x() + shaded.get_width()
    np.testing.assert_allclose(ends, (suggestion.low, suggestion.high))


def test_a_learner_is_swept_and_told_from_anything_else():
    learner = make_learner()
    weights = [p.clone() for p in learner.model.parameters()]
    suggestion = suggest_lr(learner, seed=0, sweep=RangeTest(num_iter=60))
    assert 1e-4 < suggestion.lr < 1
    assert all((a == b).all() for a, b in zip(weights, learner.model.parameters(), strict=True))
    with pytest.raises(UserError, match="not a Sequential; wrap any other model"):
        suggest_lr(learner.model)
    with pytest.raises(UserError, match="stage 'head' is unknown"):
        suggest_lr(learner, stage="head")


def noisy(seed, noise=0.3, **shape):
    return Curve(*sweep_like(noise=noise, seed=seed, **shape))


def spread(curves):
    picks = [np.log10(s.lr) for s in map(suggest_lr, curves) if s.lr is not None]
    assert len(picks) > 0.9 * len(curves)
    return np.std(picks)


@pytest.mark.slow
def test_pooling_reduces_the_spread_of_the_picks():
    single = spread([noisy(seed) for seed in range(100)])
    pooled = spread([pool([noisy(1000 + 5 * k + j) for j in range(5)]) for k in range(60)])
    assert pooled < 0.75 * single


def test_a_pool_is_the_median_of_what_is_centred():
    lr, loss = sweep_like()
    one = Curve(lr, loss)
    assert pool([one]) is one
    same = pool([Curve(lr, loss + offset) for offset in (0, 5, 100)])
    np.testing.assert_allclose(same.loss, loss + 5)
    spiked = loss.copy()
    spiked[40] = 50
    np.testing.assert_allclose(pool([Curve(lr, x) for x in (loss, spiked, loss)]).loss, loss)


def test_a_pool_ends_where_the_majority_has_ended_and_as_it_did():
    lr, loss = sweep_like()
    whole = Curve(lr, loss)

    def cut(n, ended):
        return Curve(lr[:n], loss[:n], ended=ended)

    blown = np.append(loss[:59], np.nan)
    broken = Curve(lr[:60], blown, ended="non-finite")
    one = pool([whole, broken, whole])
    assert (len(one), one.ended) == (100, Ended.COMPLETED)
    assert np.isfinite(one.loss).all()
    two = pool([whole, broken, cut(80, "diverged")])
    assert (len(two), two.ended) == (80, Ended.DIVERGED)
    three = pool([broken, whole, broken])
    assert (len(three), three.ended) == (60, Ended.NON_FINITE)
    assert np.isinf(three.loss[-1])
    assert np.isfinite(three.loss[:-1]).all()
    pair = pool([whole, cut(70, "data ran out")])
    assert (len(pair), pair.ended) == (70, Ended.DATA_RAN_OUT)
    assert len(pool([Curve([], []), Curve([], [])])) == 0


def test_beyond_its_end_a_sweep_that_blew_up_is_above_the_others():
    lr, loss = sweep_like()
    higher = loss + np.where(np.arange(100) > 60, 0.5, 0)
    blown = Curve(lr[:70], loss[:70], ended="diverged")
    short = Curve(lr[:70], loss[:70], ended="data ran out")
    others = [Curve(lr, loss), Curve(lr, higher)]
    np.testing.assert_allclose(pool([blown, *others]).loss[75:], higher[75:])
    np.testing.assert_allclose(pool([short, *others]).loss[75:], (loss + higher)[75:] / 2)


def test_a_step_most_skipped_is_skipped():
    lr, loss = sweep_like()
    rare, common = np.arange(100) == 3, np.arange(100) == 5
    curves = [Curve(lr, loss, skipped=s) for s in (rare | common, common, rare & common)]
    assert np.flatnonzero(pool(curves).skipped).tolist() == [5]


def test_only_what_is_alike_is_pooled():
    lr, loss = sweep_like()
    with pytest.raises(UserError, match="no curves to pool"):
        pool([])
    with pytest.raises(UserError, match="curve 1 departs from the others'"):
        pool([Curve(lr, loss), Curve(lr[1:], loss[1:])])
    with pytest.raises(UserError, match="some of the curves are smoothed"):
        pool([Curve(lr, loss), Curve(lr, loss, smoothed=True)])


def test_the_interval_covers_every_sweep_and_disagreement_is_said():
    sweeps = [noisy(k, 0.02, bottom=bottom) for k, bottom in enumerate((1e-3, 0.03, 1.0))]
    found = suggest(pool(sweeps), Context(), sweeps=sweeps)
    assert found.low <= min(found.replicates) < max(found.replicates) <= found.high
    assert not found.reliable
    assert any("The sweeps disagree" in reason for reason in found.reasons)
    flat = Curve(sweeps[0].lr, np.full(100, 2.5))
    found = suggest(sweeps[1], Context(), sweeps=[flat, flat, sweeps[1]])
    assert found.replicates == (None, None, found.lr)
    assert any("2 of the 3 sweeps give no rate" in reason for reason in found.reasons)
