import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.curves.curve import Curve, Ended
from lrsuggest.errors import UserError

losses = st.lists(st.floats(allow_subnormal=False), min_size=0, max_size=30)


@given(losses, st.booleans(), st.sampled_from(Ended))
def test_json_round_trip_keeps_everything_finite(loss, smoothed, ended):
    lr = np.geomspace(1e-7, 1, len(loss)) if len(loss) > 1 else np.full(len(loss), 1e-3)
    skipped = np.arange(len(loss)) % 3 == 1
    curve = Curve(lr, loss, smoothed=smoothed, skipped=skipped, ended=ended)
    text = curve.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    back = Curve.from_json(text)
    finite = np.isfinite(curve.loss)
    np.testing.assert_array_equal(back.lr, curve.lr)
    np.testing.assert_array_equal(back.loss[finite], curve.loss[finite])
    assert np.isnan(back.loss[~finite]).all()
    np.testing.assert_array_equal(back.skipped, curve.skipped)
    assert (back.smoothed, back.ended) == (curve.smoothed, curve.ended)


def test_json_is_the_golden_form():
    curve = Curve([0.001, 0.01, 0.1], [2.5, 1.25, float("inf")], skipped=[0, 1, 0],
                  ended="non-finite")  # fmt: skip
    assert curve.to_json() == (
        '{"lr": [0.001, 0.01, 0.1], "loss": [2.5, 1.25, null], "smoothed": false, '
        '"skipped": [1], "ended": "non-finite"}'
    )


def test_csv_round_trip_is_exact(tmp_path):
    lr = np.geomspace(1e-7, 10, 17)
    loss = np.append(np.random.default_rng(0).normal(size=16), np.inf)
    Curve(lr, loss, skipped=np.arange(17) == 3).to_csv(tmp_path / "curve.csv")
    back = Curve.from_csv(tmp_path / "curve.csv")
    np.testing.assert_array_equal(back.lr, lr)
    np.testing.assert_array_equal(back.loss, loss)
    assert back.skipped.sum() == 1
    assert back.skipped[3]
    assert back.ended is Ended.NON_FINITE


def test_arrays_are_copies_and_cannot_be_changed():
    loss = np.ones(3)
    curve = Curve([1, 2, 3], loss)
    loss[0] = 7
    assert curve.loss[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        curve.loss[0] = 2


@pytest.mark.parametrize(
    ("lr", "loss", "more", "says"),
    [
        ([1e-3], [1, 2], {}, "equally long; they hold 1 and 2"),
        ([0, 1e-3], [1, 2], {}, "positive and finite; one is 0"),
        ([1e-3, 1e-3], [1, 2], {}, "0.001 is followed by 0.001"),
        ([1e-3, 1e-2], [1, 2], {"ended": "bored"}, "got 'bored'"),
        ([1e-3, 1e-2], [1, 2], {"skipped": [True]}, "hold 1 and 2"),
        ([[1e-3]], [[1]], {}, "one-dimensional"),
        (["fast"], [1], {}, "lr must hold numbers only"),
    ],
)
def test_what_is_no_curve_is_refused_with_its_value(lr, loss, more, says):
    with pytest.raises(UserError, match=says):
        Curve(lr, loss, **more)


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "header line"), ("rate,loss\n1,2\n", "header line"), ("lr,loss\n1,two\n", "not a number"),
     ("lr,loss\n1\n", "not a number")],
)  # fmt: skip
def test_a_bad_csv_is_refused(tmp_path, text, says):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        Curve.from_csv(path)
    assert path.read_text() == text
    with pytest.raises(UserError, match="No such file"):
        Curve.from_csv(tmp_path / "absent.csv")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lr": 3}'])
def test_bad_json_is_refused(text):
    with pytest.raises(UserError, match="no curve"):
        Curve.from_json(text)
