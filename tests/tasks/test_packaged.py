"""Datasets inside packages: what the packages' own pages say of them, and what the readers keep."""

import sys
import unicodedata
from importlib.metadata import version

import numpy as np
import pytest
from helpers import read_raw, readers_of

from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.packaged import faces, letters
from lrsuggest.tasks.data.readers.texts import PAD

SIZES = {
    "randhie": (), "fair": (), "co2": (), "unicode_names": (8,), "python_manual": (48,),
    "photographs": (16, 16), "dejavu": (16, 16),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_there_is_enough_to_train_on_and_the_split_stays(name):
    data = read(name, None, SIZES[name], lambda done, of: None)
    assert (~data.valid).sum() >= 1_500
    assert data.valid.sum() >= 400
    assert len(data.inputs) == len(data.targets) == len(data.valid)
    again = read_raw(name, None, SIZES[name])
    np.testing.assert_array_equal(again.valid, data.valid)
    np.testing.assert_array_equal(again.inputs, data.inputs)


def test_every_one_is_tested_and_in_the_catalog_with_its_package():
    assert readers_of("packaged") == set(SIZES)
    entries = [each for each in catalog.datasets().values() if each.reader in SIZES]
    assert {each.reader for each in entries} == set(SIZES)
    others = {each.family for each in catalog.datasets().values()} - {e.family for e in entries}
    assert not others & {each.family for each in entries}
    for each in entries:
        assert each.folder is None
        assert each.packages


def test_the_facts_of_statsmodels_tables():
    visits = read_raw("randhie", None, ())
    assert visits.inputs.shape == (20_190, 9)
    assert (visits.targets.min(), visits.targets.max()) == (0, 77)
    assert visits.targets.mean() == pytest.approx(2.8604, abs=1e-4)
    survey = read_raw("fair", None, ())
    assert survey.inputs.shape == (6_366, 8)
    assert survey.classes == ("none", "some")
    assert int((survey.targets == 1).sum()) == 2_053


def test_carbon_dioxide_looks_a_year_back_and_a_quarter_ahead():
    from statsmodels.datasets import co2

    ppm = co2.load_pandas().data["co2"].interpolate().to_numpy()
    data = read_raw("co2", None, ())
    assert data.inputs.shape == (2_284 - 52 - 13, 52)
    assert data.targets[0, 0] == pytest.approx(ppm[65] - ppm[52], abs=1e-4)
    assert data.targets[-1, 0] == pytest.approx(ppm[-1] - ppm[-14], abs=1e-4)
    first = int(data.valid.argmax())
    assert data.valid[first:].all(), "nothing of the future is trained on"
    assert not data.valid[:first].any()
    latest = ppm[52 - 1 : -13 - 1] - ppm[52:-13]  # the change to one week ago
    seen = latest[~data.valid]
    np.testing.assert_allclose(
        data.inputs[:, 0], (latest - seen.mean()) / seen.std(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
def test_names_that_only_repeat_a_number_are_left_out():
    data = read_raw("unicode_names", None, (8,))
    named = [chr(c) for c in range(0x110000) if unicodedata.name(chr(c), "")]
    by_rule = ("CJK ", "HANGUL SYLLABLE", "TANGUT IDEOGRAPH", "NUSHU CHARACTER")
    told = [c for c in named if not unicodedata.name(c).startswith((*by_rule, "KHITAN"))]
    assert 0 <= len(data.targets) - len(told) < 0.05 * len(told)  # CJK's strokes have real names
    assert set(data.classes) <= {unicodedata.category(c) for c in named}
    space = data.targets.tolist().index(data.classes.index("Zs"))
    assert data.inputs[space].tolist()[1:] == [PAD] * 7, "the first space is called SPACE"


def test_the_manual_is_read_to_its_end_and_held_out_there():
    data = read_raw("python_manual", None, (48,))
    np.testing.assert_array_equal(data.inputs[:, 1:], data.targets[:, :-1])
    text = "".join(np.array(data.classes)[data.inputs[~data.valid].ravel()])
    assert 'The "assert" statement' in text
    first = int(data.valid.argmax())
    assert data.valid[first:].all()
    assert data.valid.mean() == pytest.approx(0.1, abs=0.005)


def test_patches_cover_both_photographs_and_can_be_laid_together():
    from sklearn.datasets import load_sample_image

    data = read_raw("photographs", None, (16, 16))
    assert data.inputs.shape == (2 * 26 * 40, 3, 16, 16)
    assert np.bincount(data.targets).tolist() == [1_040, 1_040]
    flower = data.inputs[data.targets == data.classes.index("flower")]
    laid = flower.reshape(26, 40, 3, 16, 16).transpose(0, 3, 1, 4, 2).reshape(416, 640, 3)
    np.testing.assert_array_equal(laid, load_sample_image("flower.jpg")[:416])
    assert read_raw("photographs", None, (32, 32)).inputs.shape[2:] == (32, 32)


def test_every_face_has_every_letter():
    from matplotlib.ft2font import FT2Font

    wanted = {ord(letter) for letter in letters()}
    assert len(wanted) == len(letters()) == 243
    assert len(faces()) == 12
    for path in faces().values():
        assert wanted <= FT2Font(str(path)).get_charmap().keys()


def test_a_letter_is_held_out_in_all_faces_and_fits_its_image():
    data = read_raw("dejavu", None, (32, 32))
    assert data.inputs.shape == (12 * 243, 1, 32, 32)
    held = data.valid.reshape(12, 243)
    assert (held == held[0]).all()
    assert np.bincount(data.targets).tolist() == [243] * 12
    images = data.inputs[:, 0].reshape(12, 243, 32, 32)
    assert (images.max((-2, -1)) > 100).all(), "none is blank"
    inked = [images[list(faces()).index(f"DejaVuSans{bold}")].mean() for bold in ("", "-Bold")]
    assert inked[0] < inked[1]
    assert (images[:, :, [0, -1]] == 0).mean() > 0.99, "hardly any reaches the edge"


def test_the_versions_of_the_packages_are_the_fingerprint():
    seen = catalog.fingerprint(None, None, ("statsmodels", "pillow"))
    assert seen == f"statsmodels-{version('statsmodels')}+pillow-{version('pillow')}"
    python = "python-" + ".".join(map(str, sys.version_info[:3]))
    assert catalog.fingerprint(None, None, ("python",)) == python
    with pytest.raises(UserError, match=r"no-such-thing: pip install 'lrsuggest\[bench\]'"):
        catalog.fingerprint(None, None, ("no-such-thing",))


@pytest.mark.parametrize("name", ["randhie", "fair", "co2"])
def test_without_statsmodels_the_extra_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    with pytest.raises(UserError, match=rf"{name} needs statsmodels: .*lrsuggest\[bench\]'"):
        read_raw(name, None, ())
