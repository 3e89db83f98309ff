"""The page of reasons has every sentence that the code can give, and no other."""

import ast
import copy
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest import Curve, suggest_lr
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.heuristics.all import read_all
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Abstention

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "unsure.md").read_text("utf-8")
BOLD = re.findall(r"^\*\*(.+)\*\* ", PAGE, flags=re.M)
LR = np.geomspace(1e-7, 10, 100)


def worded(node):
    """What a string of the code says, with "…" for every value; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(each) for each in node.values)
    return None


def _part(node):
    return node.value if isinstance(node, ast.Constant) else "…"


def warned():
    """Every warning of ours; an earlier name's says all there is to say."""
    for path in (ROOT / "lrsuggest").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                kind = ast.unparse(node.args[1])
                assert kind in ("LrsuggestWarning", "DeprecationWarning"), path
                if kind == "LrsuggestWarning":
                    yield node.args[0]


def sentences():
    found = {each.pattern.replace("… points", "Consensus points") for each in Reason}
    found |= {each.sentence for each in Ended}
    for node in warned():
        said = worded(node)
        assert said or ast.unparse(node).startswith("said."), ast.unparse(node)  # a Reason's
        found |= {f"{said}."} if said else set()
    return found


def test_every_sentence_is_on_the_page_and_no_other():
    assert len(sentences()) > 18
    assert set(BOLD) == sentences()


@pytest.mark.parametrize(
    ("reason", "loss"),
    [
        (Reason.NON_FINITE, np.full(100, np.nan)),
        (Reason.TOO_SHORT, [1.0] * 9 + [np.nan] * 91),
        (Reason.FLAT, np.full(100, 0.7)),
        (Reason.RISING, 1 + np.arange(100.0)),
    ],
)
def test_the_consensus_abstains_for_the_first_four(reason, loss):
    found = suggest_lr(Curve(LR, loss))
    assert found.lr is None
    assert found.reasons == (reason.value,)
    assert reason.value in BOLD[:4]


def test_the_others_are_doubts_or_other_heuristics():
    rng = np.random.default_rng(0)
    noisy = suggest_lr(Curve(LR, 1 + rng.normal(0, 0.1, 100)))
    assert noisy.lr is not None
    assert Reason.NOISE.value in noisy.reasons
    falling = Curve(LR, 2 - np.log10(LR / LR[0]) / 8)
    assert Reason.EDGE.value in suggest_lr(falling).reasons
    answers = read_all(falling)
    assert answers["blow_up_30"] == Abstention(Reason.NO_BLOW_UP)
    short = read_all(Curve(*sweep_like(12)))
    assert Abstention(Reason.UNDEFINED) in short.values()


def test_every_reason_that_is_said_is_a_member_and_stays_one_in_copies():
    flat = suggest_lr(Curve(LR, np.full(100, 0.7)))
    assert [each.reason for each in flat.reasons] == [Reason.FLAT]
    falling = suggest_lr(Curve(LR, 2 - np.log10(LR / LR[0]) / 8), total_steps=3, stage="frozen",
                         schedule="constant")  # fmt: skip
    kinds = [each.reason for each in falling.reasons]
    assert kinds == [
        Reason.STILL_FALLING, Reason.EDGE, Reason.LENGTH, Reason.PRETRAINED, Reason.CONSTANT,
    ]  # fmt: skip
    assert falling.reasons[0] == (
        "The loss had not blown up by 1.0e+01, the end of the range: the best rate may lie higher."
    )
    for again in (copy.deepcopy(falling), pickle.loads(pickle.dumps(falling))):
        assert again.reasons == falling.reasons
        assert [each.reason for each in again.reasons] == kinds
    assert json.loads(json.dumps(falling.reasons)) == list(falling.reasons)


@pytest.mark.parametrize("reason", Reason)
def test_a_figure_that_is_not_given_is_never_said(reason):
    if "{" in reason.value:
        with pytest.raises(KeyError):
            reason.said()
    else:
        assert reason.said() == reason.value == reason.pattern
