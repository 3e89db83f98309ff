import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.curves.columns import Ended, Measured
from lrsuggest.curves.curve import Curve
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


rates = st.floats(0, exclude_min=True, allow_infinity=False)
rows = st.lists(st.tuples(rates, st.floats(), st.booleans()), min_size=1, unique_by=lambda r: r[0])


@given(rows)
def test_csv_keeps_every_bit(rows):
    lr, loss, skipped = (list(each) for each in zip(*sorted(rows), strict=True))
    curve = Curve(lr, loss, skipped=skipped)
    with tempfile.TemporaryDirectory() as folder:
        curve.to_csv(Path(folder) / "curve.csv")
        back = Curve.from_csv(Path(folder) / "curve.csv")
    assert back.lr.tobytes() == curve.lr.tobytes()
    numbers = ~np.isnan(curve.loss)  # there are many NaN, and only one is written
    assert back.loss[numbers].tobytes() == curve.loss[numbers].tobytes()
    assert np.isnan(back.loss[~numbers]).all()
    assert back.skipped.tolist() == skipped


@pytest.mark.parametrize(
    "text",
    [
        "lr,loss\n1e-3,2.5\n1e-2,nan\n",
        "\ufefflr;loss\n1e-3;2.5\n1e-2;NaN\n",
        "LR\tTrain Loss\n1e-3\t2.5\n1e-2\tNAN\n",
        "\r\n\r\nno, Learning_Rate ,train/loss,skipped\r\n0, 1e-3 ,2.5,\r\n,,,\r\n1,1e-2,nan,0\r\n",
        'training-loss,"lr"\r2.5,"0.001"\rnan,"0.01"\r',
    ],
)
def test_a_csv_of_another_make_is_read(tmp_path, text):
    path = tmp_path / "curve.csv"
    path.write_bytes(text.encode())
    curve = Curve.from_csv(path, smoothed=True)
    np.testing.assert_array_equal(curve.lr, [1e-3, 1e-2])
    np.testing.assert_array_equal(curve.loss, [2.5, np.nan])
    assert (curve.smoothed, curve.ended) == (True, Ended.NON_FINITE)
    assert not curve.skipped.any()


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
    [
        ("", "needs a header line with the columns lr and loss, then rows"),
        ("lr,loss\n", "needs a header line"),
        ("rate,loss\n1,2\n", r"needs a header line.*its first line is 'rate, loss'"),
        ("lr loss\n1 2\n", r"its first line is 'lr loss'"),
        ("1e-3,2.5\n1e-2,2.4\n", r"its first line is '1e-3, 2.5'"),
        ("lr,loss,train_loss\n1,2,3\n", "has loss and train_loss for loss; leave one"),
        ("lr,loss\n1,two\n", "line 2: loss is not a number; it is 'two'"),
        ("lr,loss\n1e-3,2\n\n1e-2,\n1,2\n", "line 4: loss is not a number; it is empty"),
        ("lr,loss\n1\n", "line 2 has 1 values, but the header has 2$"),
        ("lr,loss\n0,001,2,5\n", "line 2 has 4 values.*with a point, not a comma"),
        ("lr;loss\n0,001;2.5\n", "line 2: lr 0,001 has a decimal comma; write 0.001"),
        ("lr;loss\n0.001;-1,5e3\n", "line 2: loss -1,5e3 has a decimal comma; write -1.5e3"),
        ("lr,loss\n1e-3,2\n1e-3,2\n", "line 3: lr 0.001 comes after 0.001, but.*it rises"),
        ("lr,loss\n1e-2,2\n1e-3,2\n", "line 3: lr 0.001 comes after 0.01"),
        ("lr,loss\n1e-3,2\ninf,2\n", "line 3: lr must be positive and finite; it is inf"),
        ("lr,loss\n0,2\n", "line 2: lr must be positive and finite; it is 0"),
        ("lr,loss,skipped\n1e-3,2,no\n", "line 2: skipped must be 0 or 1; it is 'no'"),
        ('lr,loss\n1e-3,"2\n', "is no CSV: unexpected end of data"),
    ],
)
def test_a_bad_csv_is_refused_in_one_sentence(tmp_path, text, says):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as refused:
        Curve.from_csv(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    assert path.read_text() == text


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        Curve.from_csv(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="Is a directory"):
        Curve.from_csv(tmp_path)
    (tmp_path / "curve.csv").write_text("lr,loss\n1e-3,2\n", "utf-16")
    with pytest.raises(UserError, match="it is no UTF-8 text; save it as CSV in UTF-8"):
        Curve.from_csv(tmp_path / "curve.csv")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lr": 3}'])
def test_bad_json_is_refused(text):
    with pytest.raises(UserError, match="no curve"):
        Curve.from_json(text)


def measured(n, groups, seed=0):
    source = np.random.default_rng(seed)
    after = source.normal(size=n)
    after[-1] = np.nan
    slope, *sizes = (source.normal(size=(n, groups)) for _ in range(3))
    return Measured(after, slope, *map(np.abs, sizes))


@pytest.mark.parametrize("groups", [1, 3])
def test_what_was_measured_of_each_step_goes_through_files_to_the_bit(tmp_path, groups):
    curve = Curve(np.geomspace(1e-5, 1, 9), np.arange(9.0), measured=measured(9, groups))
    curve.to_csv(tmp_path / "curve.csv")
    for back in (Curve.from_json(curve.to_json()), Curve.from_csv(tmp_path / "curve.csv")):
        for name in ("loss_after", "slope", "step_norm", "weight_norm"):
            one, other = (getattr(each.measured, name) for each in (curve, back))
            assert one.shape == other.shape
            assert one.tobytes() == other.tobytes() or np.array_equal(one, other, equal_nan=True)
        assert back.gain.shape == (9,)
    assert "nan" not in curve.to_json().lower().replace("null", "")


def test_a_file_without_it_and_one_with_somebodys_own_columns_have_none(tmp_path):
    path = tmp_path / "curve.csv"
    curve = Curve([1e-3, 1e-2, 1e-1], [3.0, 2.0, 1.0])
    assert "measured" not in json.loads(curve.to_json())
    curve.to_csv(path)
    assert path.read_text().splitlines()[0] == "lr,loss,skipped"
    assert Curve.from_csv(path).measured is None
    path.write_text("lr,loss,slope\n1e-3,3,up\n1e-2,2,down\n")
    assert Curve.from_csv(path).measured is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (lambda: Measured([1.0, 2.0], [[1.0]], [[1.0]], [[1.0]]), "a value for each step"),
        (lambda: Measured([1.0], [1.0], [[1.0]], [[1.0]]), "slope must be a table, a step a row"),
        (lambda: Measured(["x"], [[1.0]], [[1.0]], [[1.0]]), "loss_after must hold numbers only"),
        (lambda: Curve([1e-3], [1.0], measured=measured(2, 1)), "measured must be as long as lr"),
        (lambda: Curve([1e-3], [1.0], measured={}), "measured must be a Measured, or None; got"),
        (
            lambda: Curve.from_json('{"lr": [1], "loss": [1], "skipped": [], "smoothed": false, '
                                    '"ended": "completed", "measured": {"slope": [1]}}'),
            "this is no curve",
        ),
        (
            lambda: Curve.from_json('{"lr": [1], "loss": [1], "skipped": [], "smoothed": false, '
                                    '"ended": "completed", "measured": [1]}'),
            "this is no curve",
        ),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_refused(columns, said):
    with pytest.raises(UserError, match=said):
        columns()
