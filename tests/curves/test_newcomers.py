"""What somebody else's heuristic may answer and be called; nothing it does breaks the others."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from helpers import sweep_like

from lrsuggest import suggest_lr
from lrsuggest.bench.commands.score import judged, print_regret
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import RESERVED, Abstention, heuristic
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.evidence import consensus_fit, regret
from lrsuggest.evidence.studies import people
from lrsuggest.report import ranking

CURVE = Curve(*sweep_like(noise=0.02))
NO_RATES = (
    math.nan, math.inf, -math.inf, 0, 0.0, -1e-2, None, True, np.True_, "0.01", "", b"1", (1e-2,),
    [1e-2], {"lr": 1e-2}, {1e-2}, 1e-2 + 0j, np.array([1e-2]), np.array([1e-2, 2e-2]),
    np.array(math.nan), torch.tensor([1e-2]), torch.tensor(math.inf), torch.tensor(1 + 0j),
    float, Abstention("no idea"), Abstention(None),
)  # fmt: skip
RATES = (
    1e-2, 1, np.float32(1e-2), np.float64(1e-2), np.int64(1), np.array(1e-2), torch.tensor(1e-2),
    Fraction(1, 100), Decimal("0.01"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def as_before():
    before = dict(HEURISTICS)
    yield
    HEURISTICS.clear()
    HEURISTICS.update(before)


@pytest.mark.parametrize("answer", NO_RATES, ids=repr)
@pytest.mark.parametrize("origin", ["shape", "constant"])
def test_what_is_no_rate_is_told_with_its_name(answer, origin):
    heuristic("mine", "me", origin)(lambda curve, context: answer)
    with pytest.raises(UserError, match="what the heuristic mine returns "):
        HEURISTICS["mine"](CURVE)
    with pytest.raises(UserError, match="what the heuristic mine returns "):
        suggest_lr(CURVE, heuristic="mine")


@pytest.mark.parametrize("answer", RATES, ids=repr)
def test_any_real_number_is_a_rate(answer):
    heuristic("mine", "me")(lambda curve, context: answer)
    found = HEURISTICS["mine"](CURVE)
    assert type(found) is float
    assert found == pytest.approx(float(answer))
    assert suggest_lr(CURVE, heuristic="mine").lr == found


def test_a_peers_number_that_is_no_rate_is_an_abstention():
    for answer in (math.nan, -1.0):
        heuristic(f"theirs {answer}", "them", "peer")(lambda curve, context, it=answer: it)
        assert HEURISTICS[f"theirs {answer}"](CURVE) == Abstention(Reason.UNDEFINED)
        assert suggest_lr(CURVE, heuristic=f"theirs {answer}").lr is None


@pytest.mark.parametrize("answer", [math.nan, None, [1e-2], ZeroDivisionError("by zero")], ids=repr)
def test_a_newcomer_that_fails_takes_no_other_down(answer):
    before = suggest_lr(CURVE)

    @heuristic("mine", "me")
    def mine(curve, context):
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.warns(LrsuggestWarning, match="the heuristic mine is left out of the candidates"):
        found = suggest_lr(CURVE)
    assert (found.lr, found.reliable) == (before.lr, before.reliable)
    assert found.candidates == before.candidates


@pytest.mark.slow
def test_score_refuses_what_suggest_lr_refuses():
    from rich.console import Console

    heuristic("mine", "me")(lambda curve, context: math.nan)
    with pytest.raises(UserError, match=r"the heuristic mine returns .*; got nan"):
        print_regret(judged(None, "confirm")[:1], Console(quiet=True))


@pytest.mark.parametrize("name", [*RESERVED, "", " ", "Hand-Picked ", "two\nlines", None, 3])
def test_a_name_of_the_tables_own_is_not_taken(name):
    before = dict(HEURISTICS)
    with pytest.raises(UserError, match=r"choose another name|must be a line of text"):
        heuristic(name, "me")(lambda curve, context: 1e-3)
    assert before == HEURISTICS


def test_every_contestant_that_is_no_heuristic_is_reserved():
    assert {
        regret.OUT_OF_FOLD, regret.HAND_PICKED, consensus_fit.UNSEEN, ranking.ORACLE,
        people.ANOTHER, people.CONSTANT, people.STAGE_CONSTANT,
    } <= set(RESERVED)  # fmt: skip


def test_an_origin_that_is_none_is_told():
    with pytest.raises(UserError, match="origin 'shapes' is none of shape"):
        heuristic("mine", "me", "shapes")
