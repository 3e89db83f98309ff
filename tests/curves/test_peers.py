import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.peers import (
    fastai_record,
    fastai_valley,
    lightning_record,
    twentieth_record,
)
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.testing import simulated


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


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_valley_is_the_published_rule(losses):
    lr = np.geomspace(1e-5, 1, len(losses)) if len(losses) > 1 else np.array([1e-3])
    curve = Curve(lr, losses, smoothed=True)
    expected = np.float32(slow_valley(lr, losses))  # fastai answers in single precision
    assert fastai_valley(curve, Context()) == expected


def test_valley_cuts_at_a_nan_and_peers_abstain_where_they_have_nothing():
    lr, loss = simulated(100, 0.1, 2.0, 0.0, 0)
    loss[70:] = np.nan
    assert HEURISTICS["fastai_valley"](Curve(lr, loss)) <= lr[69]
    for name, each in HEURISTICS.items():
        if each.origin == "peer" and name.startswith("fastai_"):
            assert each(Curve(lr, np.full(100, np.nan))) == Abstention(Reason.UNDEFINED)
            assert each(Curve([], [])) == Abstention(Reason.UNDEFINED)


def test_a_moving_average_is_late():
    lr = np.geomspace(1e-7, 10, 100)
    step = np.where(lr < 1e-4, 2.0, 1.0)
    late = [np.log10(lr[np.argmax(record(step) < 1.5)] / 1e-4)
            for record in (fastai_record, twentieth_record)]  # fmt: skip
    assert late[0] > 1.5
    assert late[1] > 0.9


def test_lightning_records_a_constant_loss_as_it_does():
    np.testing.assert_allclose(lightning_record(np.ones(3)), [0.505, 0.673, 0.758], atol=5e-4)
