import math

import numpy as np
import pytest
from conftest import sweep_like
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import (
    HEURISTICS,
    Abstention,
    Context,
    Reason,
    fastai_valley,
    read_all,
)
from lrsuggest.errors import LrsuggestWarning, UserError

SHAPES = [each for each in HEURISTICS.values() if each.origin == "shape"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*outside the swept:lrsuggest.errors.LrsuggestWarning"
)

curves = st.builds(
    lambda n, bottom, fall, noise, seed: sweep_like(
        n, bottom=10**bottom, fall=fall, noise=noise * fall, seed=seed
    ),
    st.integers(30, 150),
    st.floats(-3.5, -0.5),
    st.floats(0.5, 2.4),
    st.sampled_from([0.0, 0.01, 0.05, 0.2]),
    st.integers(0, 1000),
)


def grid_steps(a, b, curve):
    """How many steps of the curve's grid lie between two answers; abstentions must agree."""
    if isinstance(a, Abstention) or isinstance(b, Abstention):
        return 0 if a == b else math.inf
    return abs(math.log10(a / b)) / curve.step_decades


@pytest.mark.parametrize("reading", SHAPES, ids=lambda r: r.name)
class TestLaws:
    @given(curves, st.floats(-3, 3), st.floats(-1e3, 1e3))
    def test_scale_and_offset_of_the_loss_do_not_matter(self, reading, made, log_a, b):
        lr, loss = made
        curve = Curve(lr, loss)
        a = 10**log_a
        moved = Curve(lr, a * loss + b * a * np.ptp(loss))
        assert grid_steps(reading(curve), reading(moved), curve) <= 1.001

    @given(curves, st.floats(-4, 4))
    def test_it_scales_with_the_rate(self, reading, made, log_c):
        lr, loss = made
        curve, c = Curve(lr, loss), 10**log_c
        moved = reading(Curve(lr * c, loss))
        pick = reading(curve)
        there = moved if isinstance(moved, Abstention) else moved / c
        assert grid_steps(pick, there, curve) < 0.01

    @given(curves, st.lists(st.floats(1.5, 6), min_size=1, max_size=8), st.booleans())
    def test_a_diverged_or_non_finite_tail_does_no_harm(self, reading, made, powers, finite):
        lr, loss = made
        seen = int(np.argmin(loss)) + 6
        lr, loss = lr[:seen], loss[:seen]
        if len(loss) < 15:
            return
        more = lr[-1] * (lr[1] / lr[0]) ** np.arange(1, len(powers) + 1)
        tail = loss.max() + np.ptp(loss) * 10 ** np.array(powers)
        if not finite:
            tail[:] = math.nan
        curve = Curve(lr, loss)
        longer = Curve(np.append(lr, more), np.append(loss, tail))
        assert grid_steps(reading(curve), reading(longer), curve) <= 1.001

    @given(curves)
    def test_the_input_is_not_changed_and_the_pick_lies_within(self, reading, made):
        curve = Curve(*made)
        before = curve.loss.tobytes()
        pick = reading(curve)
        assert curve.loss.tobytes() == before
        assert isinstance(pick, Abstention) or curve.lr[0] <= pick <= curve.lr[-1]

    @given(st.integers(0, 60), st.floats(-1e3, 1e3), st.floats(0, 5))
    def test_flat_rising_and_empty_curves_are_abstained_from(self, reading, n, level, climb):
        lr = np.geomspace(1e-6, 1, n) if n > 1 else np.full(n, 1e-3)
        pick = reading(Curve(lr, level + climb * np.linspace(0, 1, n) ** 2))
        assert isinstance(pick, Abstention)
        if n == 0:
            assert pick.reason is Reason.TOO_SHORT


def test_each_abstention_names_its_reason():
    lr = np.geomspace(1e-6, 1, 50)
    rng = np.random.default_rng(0)
    read = HEURISTICS["min_10"]
    assert read(Curve(lr, np.full(50, np.nan))).reason is Reason.NON_FINITE
    assert read(Curve(lr[:9], np.linspace(2, 1, 9))).reason is Reason.TOO_SHORT
    assert read(Curve(lr, 2 + 0.1 * rng.normal(size=50))).reason is Reason.FLAT
    assert read(Curve(lr, 2 + np.linspace(0, 1, 50) ** 2)).reason is Reason.RISING
    assert all(reason.value.endswith(".") for reason in Reason)


def test_the_readings_stand_where_they_should():
    lr, loss = sweep_like(200)
    curve = Curve(lr, loss)
    true_bottom = lr[np.argmin(loss)]
    assert HEURISTICS["min_10"](curve) == pytest.approx(true_bottom / 10, rel=0.3)
    for name in ("steepest", "steepest_gaussian"):
        assert HEURISTICS[name](curve) == pytest.approx(1e-3, rel=0.3)  # two decades before .1


def test_noise_moves_the_steepest_slope_by_less_than_half_a_decade_in_the_median():
    shifts = []
    for seed in range(40):
        curve = Curve(*sweep_like(noise=0.1, seed=seed))
        shifts.append(abs(math.log10(HEURISTICS["steepest"](curve) / 1e-3)))
    assert np.median(shifts) < 0.5


def test_an_answer_outside_the_sweep_is_clamped_with_a_warning():
    lr = np.geomspace(1e-2, 1, 60)
    loss = (np.log10(lr) + 1.5) ** 2
    with pytest.warns(LrsuggestWarning, match="outside the swept 0.01 to 1"):
        assert HEURISTICS["min_10"](Curve(lr, loss)) == lr[0]


def slow_valley(lrs, losses):
    """The published rule by exhaustion: longest falling subsequence, then two thirds along it."""
    n = len(losses)
    longest = [1] * n
    for i in range(n):
        longest[i] += max([longest[j] for j in range(i) if losses[j] > losses[i]], default=0)
    top = max(longest)
    if top == 1:
        return lrs[0]
    return lrs[longest.index(top) - top + top // 3 + top // 6]


@settings(max_examples=300)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_valley_is_the_published_rule(losses):
    lr = np.geomspace(1e-5, 1, len(losses)) if len(losses) > 1 else np.array([1e-3])
    curve = Curve(lr, losses, smoothed=True)
    assert fastai_valley(curve, Context()) == slow_valley(lr, losses)


def test_valley_cuts_at_a_nan_and_abstains_where_it_has_nothing():
    lr, loss = sweep_like()
    loss[70:] = np.nan
    assert HEURISTICS["fastai_valley"](Curve(lr, loss)) <= lr[69]
    nothing = HEURISTICS["fastai_valley"](Curve(lr, np.full(100, np.nan)))
    assert nothing == Abstention(Reason.UNDEFINED)


def test_the_constants_are_three_a_decade():
    constants = [h(Curve([1], [1])) for h in HEURISTICS.values() if h.origin == "constant"]
    assert constants == [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1]


def test_read_all_leaves_constants_out_unless_asked():
    curve = Curve(*sweep_like())
    assert set(read_all(curve, constants=True)) == set(HEURISTICS)
    assert not any(name.startswith("constant") for name in read_all(curve))
    assert all(h.source for h in HEURISTICS.values())


@pytest.mark.parametrize(
    ("what", "says"),
    [({"optimizer": "adan"}, "use one of adamw, adam, sgd"), ({"stage": "thawed"}, "finetune"),
     ({"train_steps": 0}, "at least 1")],
)  # fmt: skip
def test_an_unknown_context_is_refused(what, says):
    with pytest.raises(UserError, match=says):
        Context(**what)
