import pytest

from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog


def test_every_entry_is_complete():
    table = catalog.datasets()
    assert {"digits", "camvid11", "face_landmarks", "street"} <= table.keys()
    for name, each in table.items():
        assert each.name == name
        assert each.terms
        assert each.cite
        assert each.synthetic == (name == "street")
        for picked in (p for stage in each.stages for p in stage.hand_picked):
            assert 1e-6 < picked.top < 1
            assert "lesson" in picked.where


def test_an_unknown_dataset_is_refused():
    with pytest.raises(UserError, match="no dataset 'camvid12'; datasets"):
        catalog.dataset("camvid12")


def test_a_missing_folder_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("LRSUGGEST_DATA", raising=False)
    assert catalog.data_root(None) is None
    with pytest.raises(UserError, match="absent does not exist; give --data"):
        catalog.data_root(tmp_path / "absent")
    monkeypatch.setenv("LRSUGGEST_DATA", str(tmp_path))
    assert catalog.data_root(None) == tmp_path
    with pytest.raises(UserError, match="camvid11 does not exist; put CamVid"):
        catalog.locate(catalog.dataset("camvid11"), tmp_path)
    with pytest.raises(UserError, match="needs data; give --data"):
        catalog.locate(catalog.dataset("camvid11"), None)


def test_the_fingerprint_follows_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = catalog.fingerprint(tmp_path)
    (tmp_path / "a").write_text("2")
    second = catalog.fingerprint(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, catalog.fingerprint(tmp_path)}) == 3
    assert catalog.fingerprint(None) == "packaged"
    cache = tmp_path.parent / "cache"
    assert catalog.fingerprint(tmp_path, cache) == catalog.fingerprint(tmp_path)
    assert catalog.fingerprint(tmp_path, cache) == catalog.fingerprint(tmp_path)
    (tmp_path / "b").write_text("33")
    assert catalog.fingerprint(tmp_path, cache) == catalog.fingerprint(tmp_path)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [("[x]\ntitel = 1", r"unknown field `titel`.*\$"), ("[x", "invalid|Expected|TOML"),
     ("[x]\ntitle = 3", r"Expected `str`, got `int`.*\$")],
)  # fmt: skip
def test_a_bad_toml_names_the_path(tmp_path, text, says):
    path = tmp_path / "d.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        catalog.read_toml(path, dict[str, catalog.Dataset])
    assert str(path) in str(caught.value)
