"""Landmarks and the consensus: where they stand on curves whose shape is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.consensus import (
    RULE,
    Rule,
    eighty,
    interval,
    known,
    place,
    told,
    vote,
)
from lrsuggest.curves.heuristics.landmarks import landmarks
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.testing import LAWS, check_law, simulated

CONSENSUS = HEURISTICS["consensus"]


def curve(n=100, bottom=1e-2, fall=2.0, noise=0.0, seed=0):
    return Curve(*simulated(n, bottom, fall, noise, seed))


@pytest.mark.parametrize("law", sorted(set(LAWS) - {"scales with the rate"}))
def test_the_consensus_keeps_every_law_but_scaling(law, examples):
    check_law(law, CONSENSUS, examples=examples)


def test_it_is_drawn_to_what_is_usual_so_it_does_not_scale():
    with pytest.raises(AssertionError, match="does not scale"):
        check_law("scales with the rate", CONSENSUS)


def test_landmarks_stand_where_the_curve_says():
    found = landmarks(curve(n=400))
    # The descent is 2 / (1 + exp(-3 (x + 2))) with x = log10(lr / bottom): nine tenths are done
    # at x = -2 + ln(9) / 3 = -1.27; the blow-up's term is a tenth of the fall at x = -.06.
    assert found.descended == pytest.approx(-2 - 1.27, abs=0.1)
    assert found.descended < found.bottom < found.rising < found.blow_up
    assert found.bottom == pytest.approx(-2 - 0.65, abs=0.25)
    lr, loss = simulated(400, 1e-2, 2.0, 0.0, 0)
    above = lr[(loss > 2.5) & (lr > 1e-2)][0]
    assert found.blow_up == pytest.approx(math.log10(above), abs=0.05)


@given(st.floats(-3.5, -1.5), st.integers(60, 200), st.sampled_from([0.0, 0.02, 0.05]))
def test_landmarks_move_with_the_rates(bottom, n, noise):
    one, other = (landmarks(curve(n, 10**b, noise=noise)) for b in (bottom, bottom + 0.5))
    step = 8 / (n - 1)
    if isinstance(one, Abstention) or isinstance(other, Abstention):
        pytest.fail("a clear fall has landmarks")
    for name in ("descended", "blow_up"):
        moved = getattr(other, name) - getattr(one, name)
        assert moved == pytest.approx(0.5, abs=2 * step + 4 * noise), name


def test_curves_without_a_fall_have_none():
    lr = np.geomspace(1e-7, 10, 100)
    assert landmarks(Curve(lr, np.full(100, 2.0))) == Abstention(Reason.FLAT)
    assert landmarks(Curve(lr, np.linspace(1, 3, 100))) == Abstention(Reason.RISING)
    assert landmarks(Curve(lr[:5], np.ones(5))) == Abstention(Reason.TOO_SHORT)
    assert landmarks(Curve(lr, np.full(100, np.nan))) == Abstention(Reason.NON_FINITE)
    assert isinstance(CONSENSUS(Curve([], [])), Abstention)


def test_where_noise_hides_the_fall_the_blow_up_speaks():
    hidden = curve(noise=0.8, fall=0.4, seed=3)
    clear = curve(noise=0.01, fall=0.4, seed=3)
    assert isinstance(HEURISTICS["min_10"](hidden), Abstention)
    _, weights = vote(RULE, told(hidden, Context("adamw")))
    _, sure = vote(RULE, told(clear, Context("adamw")))
    assert weights[0, 0] < 0.6 * sure[0, 0]
    assert weights[2, 0] == sure[2, 0]
    assert abs(math.log10(CONSENSUS(hidden) / CONSENSUS(clear))) < 0.7


def test_every_part_of_the_context_counts_and_none_is_needed():
    some = curve(noise=0.02)
    bare = CONSENSUS(some)
    assert isinstance(bare, float)
    longer = CONSENSUS(some, Context(total_steps=10_000))
    assert math.log10(longer / bare) == pytest.approx(2 * RULE.steps)
    table = told(some, Context("sgd"))
    prior = vote(Rule(prior_sgd=-1.0), table)[0][3, 0]
    middle = vote(Rule(), table)[0][:3, 0].mean()
    assert prior == pytest.approx(np.clip(-1.0, middle - 1, middle + 1))
    assert not math.isnan(known(landmarks(some), Context())["clarity"])


def test_the_interval_holds_the_rate_and_widens_with_disagreement():
    table = told(curve(noise=0.02), Context("adamw"))
    low, at, high = interval(RULE, table)[:, 0]
    assert low <= at <= high
    apart = {**table, "blow_up": table["blow_up"] + 1.5}
    wide = interval(Rule(doubt=1.0), apart)[:, 0]
    narrow = interval(Rule(doubt=1.0), table)[:, 0]
    assert wide[2] - wide[0] > narrow[2] - narrow[0]
    ends = eighty(curve(noise=0.02), Context("adamw"))
    assert ends == pytest.approx((10**low, 10**high))
    assert eighty(Curve([], []), Context()) is None
    assert place(RULE, table)[0] == at
