import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.all import HEURISTICS, read_all
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Context, heuristic
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.testing import LAWS, check_heuristic, check_law

SHAPES = [each for each in HEURISTICS.values() if each.origin == "shape"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*outside the swept:lrsuggest.errors.LrsuggestWarning"
)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("heuristic", SHAPES, ids=lambda r: r.name)
def test_ours_keep_every_law(heuristic, law, examples):
    check_law(law, heuristic, examples=examples)


def test_the_contract_test_finds_who_breaks_a_law():
    broken = {
        "a*loss + b": lambda curve, _: float(curve.lr[int(np.argmin(curve.loss > 1.5))]),
        "scales with the rate": lambda curve, _: 3e-3,
        "diverged tail": lambda curve, _: float(curve.lr[int(np.argmax(curve.loss))]),
        "within the sweep": lambda curve, _: float(curve.lr[0]) / 10,
        "abstains on nothing": lambda curve, _: 3e-3,
    }
    for law, read in broken.items():
        with pytest.raises(AssertionError):
            check_law(law, read)
        others = tuple(set(LAWS) - {law})
        with pytest.raises(AssertionError):
            check_heuristic(read, exempt=others)
    check_law("scales with the rate", lambda curve, _: float(curve.lr[-1]))

    def scribbler(curve, _):
        curve.loss.flags.writeable = True
        curve.loss[0] = 0
        return 1e-3

    with pytest.raises(AssertionError, match="input was changed"):
        check_law("input unchanged", scribbler)


def test_every_peer_breaks_a_law_and_the_page_says_which():
    page = (Path(__file__).parents[2] / "docs" / "laws.md").read_text("utf-8")
    for name, each in HEURISTICS.items():
        row = next((line for line in page.splitlines() if line.startswith(f"| {name} |")), "")
        broken = row.count("**breaks**")
        if each.origin == "consensus":  # exempt from scaling alone
            assert broken == 1
            assert row.split("|")[3].strip() == "**breaks**"
            continue
        assert (broken > 0) is (each.origin == "peer"), name
        if each.origin == "peer":
            with pytest.raises(AssertionError):
                check_heuristic(each)


def test_each_abstention_names_its_reason():
    lr = np.geomspace(1e-6, 1, 50)
    rng = np.random.default_rng(0)
    read = HEURISTICS["min_10"]
    assert read(Curve(lr, np.full(50, np.nan))).reason is Reason.NON_FINITE
    assert read(Curve(lr[:9], np.linspace(2, 1, 9))).reason is Reason.TOO_SHORT
    assert read(Curve(lr, np.full(50, 2.0))).reason is Reason.FLAT
    assert read(Curve(lr, 2 + 0.1 * rng.normal(size=50))).reason is Reason.NOISE
    assert read(Curve(lr, 2 + np.linspace(0, 1, 50) ** 2)).reason is Reason.RISING
    early = sweep_like()[1]
    early[5] = np.nan
    assert read(Curve(sweep_like()[0], early)).reason is Reason.TOO_SHORT
    falling, blown = sweep_like()[1][:60], HEURISTICS["blow_up_30"]
    assert read(Curve(np.geomspace(1e-6, 1, 60), falling)).reason is Reason.EDGE
    assert isinstance(HEURISTICS["steepest"](Curve(np.geomspace(1e-6, 1, 60), falling)), float)
    assert blown(Curve(np.geomspace(1e-6, 1, 60), falling)).reason is Reason.NO_BLOW_UP
    assert all(reason.value.endswith(".") for reason in Reason)


def test_the_readings_stand_where_they_should():
    lr, loss = sweep_like(200)
    curve = Curve(lr, loss)
    true_bottom = lr[np.argmin(loss)]
    assert HEURISTICS["min_10"](curve) == pytest.approx(true_bottom / 10, rel=0.3)
    assert HEURISTICS["min_100"](curve) == pytest.approx(true_bottom / 100, rel=0.3)
    assert HEURISTICS["blow_up_30"](curve) == pytest.approx(0.1 * 10**0.6 / 30, rel=0.3)
    both = HEURISTICS["steepest"](curve) * HEURISTICS["min_10"](curve)
    assert HEURISTICS["steepest_min_10"](curve) == pytest.approx(both**0.5, rel=0.1)
    for name in ("steepest", "steepest_gaussian", "steepest_robust"):
        assert HEURISTICS[name](curve) == pytest.approx(1e-3, rel=0.3)  # two decades before .1


def test_noise_moves_the_steepest_slope_by_less_than_half_a_decade_in_the_median():
    shifts = []
    for seed in range(40):
        curve = Curve(*sweep_like(noise=0.1, seed=seed))
        shifts.append(abs(math.log10(HEURISTICS["steepest"](curve) / 1e-3)))
    assert np.median(shifts) < 0.5


def test_an_answer_outside_the_sweep_is_clamped_with_a_warning():
    lr = np.geomspace(1e-2, 1, 60)
    loss = (np.log10(lr) + 1.5) ** 2  # its minimum stands at 3e-2
    with pytest.warns(LrsuggestWarning, match="outside the swept 0.01 to 1"):
        assert HEURISTICS["min_10"](Curve(lr, loss)) == lr[0]


def test_the_constants_are_three_a_decade():
    constants = [h(Curve([1], [1])) for h in HEURISTICS.values() if h.origin == "constant"]
    assert constants == [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1, 1]


def test_read_all_leaves_constants_out_unless_asked():
    curve = Curve(*sweep_like())
    assert set(read_all(curve, constants=True)) == set(HEURISTICS)
    assert not any(name.startswith("constant") for name in read_all(curve))
    assert all(h.source for h in HEURISTICS.values())


@pytest.mark.parametrize(
    ("what", "says"),
    [({"optimizer": "adan"}, "use one of adamw, adam, sgd"), ({"stage": "thawed"}, "finetune"),
     ({"total_steps": 0}, "at least 1")],
)  # fmt: skip
def test_an_unknown_context_is_refused(what, says):
    with pytest.raises(UserError, match=says):
        Context(**what)


@pytest.mark.parametrize(
    "first", ["heuristics.shapes", "heuristics.peers", "heuristics.consensus", "display.drawing"]
)
def test_the_order_of_readings_does_not_hang_on_what_was_imported_first(first):
    code = (
        f"import lrsuggest.curves.{first}; from lrsuggest.curves.heuristics.all import HEURISTICS; "
        "print([n for n, each in HEURISTICS.items() if each.origin != 'constant'][:3])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['consensus', 'steepest', 'steepest_gaussian']"


@pytest.mark.parametrize("name", ["consensus", "min_10", "constant 1e-3"])
def test_a_name_that_there_is_is_not_taken(name):
    before = dict(HEURISTICS)
    with pytest.raises(UserError, match=f"there is a heuristic '{name}' already; choose another"):
        heuristic(name, "me")(lambda curve, context: 1e-3)
    assert before == HEURISTICS


def test_a_cell_that_runs_again_registers_anew():
    def define(rate):
        @heuristic("mine again", "me")
        def mine(curve, context):
            return rate

    try:
        define(1e-3)
        define(1e-2)
        assert HEURISTICS["mine again"](Curve(*sweep_like())) == 1e-2
        heuristic("mine twice", "me")(lambda curve, context: 1e-3)
        with pytest.raises(UserError, match="'mine twice' already"):
            heuristic("mine twice", "me")(lambda curve, context: 1e-2)
    finally:
        HEURISTICS.pop("mine again", None)
        HEURISTICS.pop("mine twice", None)
