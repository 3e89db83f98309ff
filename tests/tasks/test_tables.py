"""Real tables and ratings where they are at hand, and files in the same layouts elsewhere."""

import numpy as np
import pandas as pd
import pytest
from helpers import damage, need, read_raw, readers_of, write_tgz

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.tables import read_movielens

WHERE = {
    "california": "tables/california_housing.csv", "diamonds": "tables/diamonds.csv",
    "abalone": "tables/abalone.csv", "mammography": "tables/mammography.csv",
    "adult": "archives/adult_sample.tgz",
}  # fmt: skip
FACTS = {  # rows, columns, classes
    "california": (20_640, 14, 0), "diamonds": (53_940, 26, 0), "abalone": (4_177, 10, 0),
    "mammography": (11_183, 6, 2), "adult": (32_561, 109, 2), "breast_cancer": (569, 30, 2),
    "diabetes": (442, 10, 0), "wine": (178, 13, 3),
}  # fmt: skip


def is_flag(column):
    return set(np.unique(column)) <= {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_a_table_is_read_whole_and_scaled_by_its_training_rows(request, name):
    folder = None
    if name in WHERE:
        folder = need(request.getfixturevalue("data_root"), WHERE[name]).parent
    data = read_raw(name, folder)
    rows, columns, classes = FACTS[name]
    assert data.inputs.shape == (rows, columns)
    assert data.inputs.dtype == np.float32
    assert np.isfinite(data.inputs).all()
    assert np.isfinite(data.targets).all()
    assert len(data.classes) == classes
    assert data.valid.mean() == pytest.approx(0.2, abs=0.05)
    if classes:
        assert data.targets.shape == (rows,)
        assert set(data.targets) == set(range(classes))
    else:
        assert data.targets.shape == (rows, 1)
        assert data.targets.dtype == np.float32
    scaled = data.inputs.astype(float)[:, [not is_flag(c) for c in data.inputs.T]]
    seen = scaled[~data.valid]
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-3)
    assert np.abs(scaled.mean(0)).max() > 1e-3, "the validation rows must not be in the scale"


def test_every_table_is_tested():
    assert readers_of("tables") == {*FACTS, "movielens"}


@pytest.mark.slow
def test_the_facts_of_the_tables(data_root):
    house = read_raw("california", need(data_root, WHERE["california"]).parent)
    values = np.unique(house.inputs[:, 8], return_counts=True)
    assert values[1].tolist() == [20_433, 207], "a column of its own marks the 207 gaps"
    assert (house.targets.min(), house.targets.max()) == pytest.approx((0.14999, 5.00001))
    abalone = read_raw("abalone", need(data_root, WHERE["abalone"]).parent)
    assert (abalone.targets[0, 0], abalone.targets.min(), abalone.targets.max()) == (15, 1, 29)
    np.testing.assert_array_equal(abalone.inputs[:, 7:].sum(1), 1)  # M, F or I
    mammography = read_raw("mammography", need(data_root, WHERE["mammography"]).parent)
    assert mammography.classes == ("-1", "1")
    assert int((mammography.targets == 1).sum()) == 260
    adult = read_raw("adult", need(data_root, WHERE["adult"]).parent)
    assert adult.classes == ("<50k", ">=50k")
    assert (adult.targets == 1).mean() == pytest.approx(0.2408, abs=1e-3)
    diamonds = read_raw("diamonds", need(data_root, WHERE["diamonds"]).parent)
    assert np.exp(diamonds.targets[0, 0]) == pytest.approx(326, rel=1e-5)


def test_what_is_packaged_keeps_its_names():
    assert read_raw("breast_cancer", None).classes == ("malignant", "benign")[::-1]
    assert read_raw("wine", None).classes == ("class_0", "class_1", "class_2")
    diabetes = read_raw("diabetes", None)
    assert (diabetes.targets.min(), diabetes.targets.max()) == (25, 346)


def houses(folder, change=lambda frame: frame, n=200):
    """A table in the layout of the house values, every tenth row without bedrooms."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "median_income": rng.normal(4, 2, n),
            "total_bedrooms": np.where(np.arange(n) % 10, rng.normal(500, 100, n), np.nan),
            "median_house_value": rng.uniform(1e5, 5e5, n),
            "ocean_proximity": np.where(np.arange(n) % 2, "INLAND", "NEAR BAY"),
        }
    )
    folder.mkdir(exist_ok=True)
    change(frame).to_csv(folder / "california_housing.csv", index=False)
    return folder


def test_a_gap_is_filled_with_the_median_and_marked(tmp_path):
    data = read_raw("california", houses(tmp_path))
    gap = np.arange(200) % 10 == 0
    income, bedrooms, marked, inland, bay = data.inputs.T
    assert np.isfinite(data.inputs).all()
    assert len(set(bedrooms[gap])) == 1
    assert bedrooms[gap][0] == pytest.approx(np.median(bedrooms[~gap & ~data.valid]), abs=1e-6)
    np.testing.assert_array_equal(marked > 0, gap)
    np.testing.assert_array_equal(inland, np.arange(200) % 2)
    np.testing.assert_array_equal(inland + bay, 1)
    assert np.std(income[~data.valid]) == pytest.approx(1, abs=1e-5)


def test_validation_rows_move_nothing_but_themselves(tmp_path):
    before = read_raw("california", houses(tmp_path / "a"))

    def spoil(frame):
        income = frame.median_income.where(~before.valid, 1e6)
        sea = frame.ocean_proximity.where(~before.valid, "ISLAND")
        return frame.assign(median_income=income, ocean_proximity=sea)

    after = read_raw("california", houses(tmp_path / "b", spoil))
    np.testing.assert_array_equal(after.valid, before.valid)
    np.testing.assert_array_equal(after.inputs[~after.valid], before.inputs[~after.valid])
    assert (after.inputs[after.valid, 0] > 1e3).all()
    np.testing.assert_array_equal(after.inputs[after.valid, 3:], 0)  # a kind never seen: none


def test_a_table_without_a_header_keeps_its_first_row(tmp_path):
    rows = [f"{'MFI'[i % 3]},{i},1.{i},2,3,4,5,6,{i + 1}" for i in range(60)]
    (tmp_path / "abalone.csv").write_text("\n".join(rows))
    data = read("abalone", tmp_path, (), lambda done, of: None)
    assert data.targets[:, 0].tolist() == list(range(1, 61))
    assert data.inputs.shape == (60, 10)
    flags = {tuple(row) for row in data.inputs[:, 7:].tolist()}
    assert flags == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    cells = [f"{i},{i % 7},0,0,0,{i % 3},'{'-1' if i % 4 else '1'}'" for i in range(60)]
    (tmp_path / "mammography.csv").write_text("\n".join(cells))
    data = read_raw("mammography", tmp_path)
    assert data.classes == ("-1", "1")
    assert data.targets.tolist() == [int(i % 4 == 0) for i in range(60)]


def adult(path):
    rng = np.random.default_rng(0)  # noise that does not compress, so that damage hits data
    rows = [
        f"{i % 60}, {rng.integers(10**9)}, {'Private' if i % 2 else 'State-gov'}, "
        f"{'<50k' if i % 3 else '>=50k'}"
        for i in range(400)
    ]
    text = "\n".join(["age,fnlwgt,workclass,salary", *rows])
    return write_tgz(path / "adult_sample.tgz", {"adult.csv": text.encode()})


def test_an_archive_is_read_where_it_lies(tmp_path):
    adult(tmp_path)
    data = read_raw("adult", tmp_path)
    assert data.classes == ("<50k", ">=50k")
    assert data.inputs.shape == (400, 4)
    assert [p.name for p in tmp_path.iterdir()] == ["adult_sample.tgz"]


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "missing"])
def test_a_damaged_archive_is_one_sentence(tmp_path, how):
    damage(adult(tmp_path), how)
    with pytest.raises(UserError, match=r"adult_sample\.tgz (is damaged|is missing|holds no)"):
        read_raw("adult", tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00x,y", b'a,b\n"1,2\n', b"a,b\n1,2\n"])
@pytest.mark.parametrize("name", ["california", "diamonds", "mammography", "adult"])
def test_a_damaged_table_is_one_sentence(tmp_path, name, content):
    file = tmp_path / WHERE[name].partition("/")[2]
    if content is not None and name == "adult":
        write_tgz(file, {"adult.csv": content})
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=file.name):
        read_raw(name, tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    write_tgz(tmp_path / "adult_sample.tgz", {"other.csv": b"a,b\n1,2\n"})
    with pytest.raises(UserError, match=r"adult_sample\.tgz holds no adult\.csv"):
        read_raw("adult", tmp_path)
    with pytest.raises(UserError, match="the reader abalone needs a folder; give --data"):
        read("abalone", None, ())


@pytest.mark.slow
def test_ratings_are_read_whole_in_their_own_split(data_root):
    data = read_movielens(need(data_root, "ml-100k"))
    assert data.inputs.shape == (100_000, 2)
    assert (int((~data.valid).sum()), int(data.valid.sum())) == (80_000, 20_000)
    assert data.inputs.min(0).tolist() == [0, 0]
    assert data.inputs.max(0).tolist() == [942, 1681]
    assert (data.inputs.dtype, data.targets.dtype) == (np.int64, np.float32)
    assert set(data.targets[:, 0]) == {1, 2, 3, 4, 5}
    pairs = {tuple(row) for row in data.inputs.tolist()}
    assert len(pairs) == 100_000, "nobody rates a film twice, in either part"


def test_ratings_count_from_zero(tmp_path):
    (tmp_path / "u1.base").write_text("1\t1\t5\t874965758\n2\t7\t3\t876893171\n")
    (tmp_path / "u1.test").write_text("1\t6\t4\t887431973\n")
    data = read("movielens", tmp_path, (), lambda done, of: None)
    assert data.inputs.tolist() == [[0, 0], [1, 6], [0, 5]]
    assert data.targets.tolist() == [[5], [3], [4]]
    assert data.valid.tolist() == [False, False, True]
    (tmp_path / "u1.base").write_text("one\ttwo\tthree\tfour\n")
    with pytest.raises(UserError, match=str(tmp_path)):
        read_movielens(tmp_path)
    (tmp_path / "u1.test").unlink()
    with pytest.raises(UserError, match=r"u1\.(base|test)"):
        read_movielens(tmp_path)
