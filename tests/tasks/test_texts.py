"""Real sentences and running text where they are at hand, and files in the same layouts."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import damage, need, read_raw, readers_of, write_tgz
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.texts import (
    PAD,
    UNKNOWN,
    read_human_numbers,
    read_shakespeare,
)


def quietly(done, of):
    pass


@pytest.mark.parametrize(
    ("name", "where", "length", "train", "valid", "classes"),
    [
        ("trec", "text", 16, 5_452, 500, 6),
        ("mr_polarity", "text/mr_polarity", 32, None, None, 2),
        ("imdb", "text/imdb_sample", 100, 800, 200, 2),
    ],
)
def test_labelled_texts_are_read_whole(data_root, name, where, length, train, valid, classes):
    need(data_root, "text")
    data = read_raw(name, need(data_root, where), (length,))
    assert data.inputs.shape == (len(data.targets), length)
    assert (data.inputs.dtype, data.targets.dtype) == (np.int64, np.int64)
    assert len(data.classes) == classes
    assert set(data.targets) == set(range(classes))
    if train:
        assert (int((~data.valid).sum()), int(data.valid.sum())) == (train, valid)
    else:
        assert np.bincount(data.targets).tolist() == [5_331, 5_331]
        assert data.valid.mean() == pytest.approx(0.2, abs=0.01)
    assert data.inputs.min() == PAD
    assert data.inputs.max() < 8000
    # Padding comes last, and only a validation text has many words that were not seen before.
    assert ((data.inputs[:, :-1] != PAD) | (data.inputs[:, 1:] == PAD)).all()
    unknown = [(part == UNKNOWN).sum() / (part != PAD).sum()
               for part in (data.inputs[~data.valid], data.inputs[data.valid])]  # fmt: skip
    assert unknown[0] < unknown[1] < 0.2


def test_the_course_s_layout_of_the_reviews_reads_as_the_other(data_root, tmp_path):
    folder = need(data_root, "text/imdb_sample")
    parts = [pd.read_csv(folder / f"{n}.csv", header=None) for n in ("train", "valid")]
    whole = pd.concat(parts).set_axis(["label", "text"], axis=1)
    whole["is_valid"] = np.arange(len(whole)) >= len(parts[0])
    whole.to_csv(tmp_path / "texts.csv", index=False)
    data, same = read_raw("imdb", tmp_path, (60,)), read_raw("imdb", folder, (60,))
    for mine, theirs in ((data.inputs, same.inputs), (data.targets, same.targets),
                         (data.valid, same.valid)):  # fmt: skip
        np.testing.assert_array_equal(mine, theirs)
    assert data.classes == same.classes


def test_every_labelled_text_is_tested():
    running = {"shakespeare", "human_numbers"}
    assert readers_of("texts") == running | {"trec", "mr_polarity", "imdb"}


def trec(folder, train, test):
    (folder / "TREC.train.all").write_bytes("\n".join(train).encode("latin-1"))
    (folder / "TREC.test.all").write_bytes("\n".join(test).encode("latin-1"))
    return folder


def test_words_are_numbered_by_the_training_texts_alone(tmp_path):
    trec(tmp_path, ["0 the The café ?", "3 the cat the the"], ["3 the DOG , café", "0 dog"])
    data = read("trec", tmp_path, (5,), quietly)
    numbers = dict(zip(["the", "the", "café", "?"], data.inputs[0], strict=False))
    assert numbers["the"] == 2, "the commonest word comes first"
    assert data.inputs[0].tolist() == [2, 2, numbers["café"], numbers["?"], PAD]
    assert data.inputs[1].tolist()[::2] == [2, 2, PAD]
    assert data.inputs[2].tolist() == [2, UNKNOWN, UNKNOWN, numbers["café"], PAD]
    assert data.inputs[3].tolist() == [UNKNOWN, PAD, PAD, PAD, PAD]
    assert data.classes == ("0", "3")
    assert data.targets.tolist() == [0, 1, 1, 0]
    assert data.valid.tolist() == [False, False, True, True]
    assert read_raw("trec", tmp_path, (2,)).inputs[1].tolist() == data.inputs[1, :2].tolist()


def test_only_the_commonest_words_are_kept(tmp_path):
    words = [f"w{i}" for i in range(9000)]
    trec(tmp_path, ["0 " + " ".join(words), "1 " + " ".join(words[:500])], ["0 w0"])
    data = read_raw("trec", tmp_path, (9000,))
    assert data.inputs.max() == 7999
    assert (data.inputs[0] == UNKNOWN).sum() == 9000 - 7998
    assert data.inputs[1, :500].min() >= 2
    assert data.inputs[1, :500].max() < 502, "words seen twice come before those seen once"


def test_reviews_in_columns_keep_their_commas(tmp_path):
    (tmp_path / "train.csv").write_text('0,"bad, very bad"\n1,good\n')
    (tmp_path / "valid.csv").write_text("1,good\n")
    data = read_raw("imdb", tmp_path, (4,))
    bad, comma, very, again = data.inputs[0]
    assert bad == again == 2
    assert len({bad, comma, very}) == 3
    assert data.inputs[1].tolist() == data.inputs[2].tolist()
    assert data.targets.tolist() == [0, 1, 1]
    assert data.valid.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("name", "files", "says"),
    [
        ("trec", {"TREC.train.all": b"0 a"}, r"TREC\.test\.all is missing"),
        ("trec", {}, r"TREC\.train\.all is missing"),
        ("mr_polarity", {"rt-polarity.neg": b"a"}, r"rt-polarity\.pos is missing"),
        ("imdb", {"train.csv": b"0,a"}, r"valid\.csv is missing"),
        ("imdb", {"train.csv": b"", "valid.csv": b"0,a"}, r"train\.csv has no rows"),
        ("imdb", {"train.csv": b"0\n1", "valid.csv": b"0,a"}, "line 1 has 1 values"),
        ("imdb", {"train.csv": b"0,\xff\xfe", "valid.csv": b"0,a"}, r"train\.csv is no UTF-8 text"),
        ("imdb", {"texts.csv": b"text,label\na,0"}, "has no column is_valid"),
        (
            "imdb",
            {"texts.csv": b"text,label,is_valid\na,0,perhaps"},
            "line 2: is_valid must be",
        ),
        ("trec", {"TREC.train.all": b"0 a", "TREC.test.all": b""}, "nothing for validation"),
        ("shakespeare", {}, r"tinyshakespeare\.txt is missing"),
        (
            "shakespeare",
            {"tinyshakespeare.txt": b"To \xff be"},
            r"speare\.txt is no UTF-8 text",
        ),
        ("shakespeare", {"tinyshakespeare.txt": b"To be"}, "leaves nothing for"),
        ("shakespeare", {"tinyshakespeare.txt": b""}, "leaves nothing for"),
    ],
)
def test_missing_or_damaged_texts_are_named(tmp_path, name, files, says):
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        read(name, tmp_path, (8,), quietly)
    assert str(tmp_path) in str(caught.value)


def test_shakespeare_is_read_by_characters(data_root):
    path = need(data_root, "text/tinyshakespeare.txt")
    data = read_shakespeare(path.parent, (48,))
    text = path.read_text()
    assert len(data.classes) == 65
    assert data.inputs.shape == data.targets.shape
    assert int((~data.valid).sum()) == (len(text) * 9 // 10 - 1) // 48
    back = "".join(data.classes[i] for i in data.inputs[~data.valid].ravel())
    assert text.startswith(back)
    rest = "".join(data.classes[i] for i in data.inputs[data.valid].ravel())
    assert text[len(text) * 9 // 10 :].startswith(rest)
    assert len(back) + len(rest) > len(text) - 2 * 49


def test_numbers_are_read_by_words(data_root):
    data = read_human_numbers(need(data_root, "archives/human_numbers.tgz"), (24,))
    assert len(data.classes) == 30  # 27 words, "hundred", "thousand" and the full stop
    said = " ".join(data.classes[i] for i in data.inputs[0])
    assert said.startswith("one . two . three . four . five .")
    held_out = [data.classes[i] for i in data.inputs[data.valid][0]]
    assert held_out[:3] == ["eight", "thousand", "one"]


@given(st.text("ab cd\n", min_size=120, max_size=400), st.integers(1, 11))
def test_the_target_of_a_token_is_the_next_one(text, length):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tinyshakespeare.txt").write_text(text)
        data = read_shakespeare(Path(folder), (length,))
    assert data.inputs.shape[1] == length
    for held in (False, True):
        inputs, targets = data.inputs[data.valid == held], data.targets[data.valid == held]
        np.testing.assert_array_equal(inputs.ravel()[1:], targets.ravel()[:-1])
    back = "".join(data.classes[i] for i in data.inputs[~data.valid].ravel())
    assert text.startswith(back)
    assert data.classes[data.targets[~data.valid].ravel()[-1]] == text[len(back)]


def test_validation_tokens_never_seen_in_training_are_left_out(tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_text("ab" * 45 + "aZbZaZbZaZ")
    data = read_shakespeare(tmp_path, (2,))
    assert data.classes == ("a", "b")
    assert data.inputs[data.valid].tolist() == [[0, 1], [0, 1]]
    assert data.targets[data.valid].tolist() == [[1, 0], [1, 0]]


def numbers(path):
    rng = np.random.default_rng(0)  # in no order, so that they do not compress
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    said = [words[i] for i in rng.integers(7, size=4000)]
    lines = "\n".join(said)
    return write_tgz(path, {"train.txt": lines.encode(), "valid.txt": b"two\none\ntwo\nthree\n"})


def test_an_archive_of_words_is_read_where_it_lies(tmp_path):
    data = read("human_numbers", numbers(tmp_path / "n.tgz"), (3,), quietly)
    assert data.classes[0] == "."
    assert [data.classes[i] for i in data.inputs[data.valid][0]] == ["two", ".", "one"]
    assert [data.classes[i] for i in data.targets[data.valid][0]] == [".", "one", "."]
    assert [p.name for p in tmp_path.iterdir()] == ["n.tgz"]
    write_tgz(tmp_path / "n.tgz", {"train.txt": b"one"})
    with pytest.raises(UserError, match=r"n\.tgz must hold train\.txt and valid\.txt"):
        read_human_numbers(tmp_path / "n.tgz", (3,))


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "missing"])
def test_a_damaged_archive_is_one_sentence(tmp_path, how):
    path = damage(numbers(tmp_path / "n.tgz"), how)
    with pytest.raises(UserError, match=re.escape(f"{path} is damaged")):
        read_human_numbers(path, (3,))
