import csv
import os
import re
from pathlib import Path

import pytest

from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog

# Beside the data, wherever those are.
DATA = Path(os.environ.get("LRSUGGEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
CORPUS = DATA.parent / "corpus"
corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not at hand")


def rows(name):
    with open(CORPUS / name, newline="") as file:
        return list(csv.DictReader(file))


def test_every_entry_is_complete():
    table = catalog.datasets()
    assert {"digits", "camvid11", "face_landmarks", "street"} <= table.keys()
    for name, each in table.items():
        assert each.name == name
        assert each.title
        assert each.family
        assert each.terms
        assert each.cite
        assert each.synthetic == (name == "street")
        assert bool(each.reader) == bool(each.model), "with a reader comes a model"


def test_every_stage_says_where_its_rates_are_from():
    stages = [(each, stage) for each in catalog.datasets().values() for stage in each.stages]
    assert len(stages) > 40
    source = re.compile(r"(borrowed from \w+: )?fast.ai (course v3, lesson\d|book, chapter \d)")
    for each, stage in stages:
        assert stage.network, each.name
        assert len(stage.size) <= 2
        assert min(stage.size, default=1) >= 1
        assert stage.batch >= 1
        assert stage.epochs >= 1
        assert stage.hand_picked or "nobody picked" in stage.note, each.name
        assert stage.compare or stage.note, "what is different is said"
        for picked in stage.hand_picked:
            assert 1e-6 <= picked.low <= picked.top <= 0.1
            assert picked.low < picked.top or not isinstance(picked.lr, tuple)
            assert source.match(picked.where), picked.where


def test_archives_are_named_once_and_can_be_checked():
    fetched = [each for each in catalog.datasets().values() if each.url]
    assert len(fetched) == len({each.url for each in fetched}) > 50
    for each in fetched:
        assert re.fullmatch(r"https://[a-z0-9./-]+/[\w-]+\.(tgz|zip)", each.url)
        assert re.fullmatch("[0-9a-f]{32}", each.md5)
        assert each.bytes > 10_000
        assert each.folder, "where it is put"
        assert each.fetchable == each.url.endswith(".tgz")
    assert not catalog.dataset("digits").fetchable
    assert not catalog.dataset("camvid11").fetchable


@corpus
def test_the_course_page_is_there_whole():
    published = {
        row["url"]: (int(row["bytes"]), row["md5"])
        for row in rows("fastai_archives.csv")
        if row["file"] != "transformer.tgz"  # weights of a model, no dataset
    }
    known = {each.url: (each.bytes, each.md5) for each in catalog.datasets().values() if each.url}
    assert known == published


ENTRIES = {
    "URLs.PETS": "pets", "URLs.MNIST": "mnist", "nb:lesson5-sgd-mnist": "mnist",
    "URLs.MNIST_SAMPLE": "mnist_sample", "path:camvid-tiramisu": "camvid11",
    "URLs.CAMVID": "camvid", "URLs.BIWI_HEAD_POSE": "biwi", "URLs.IMDB": "imdb",
    "kaggle:planet-understanding-the-amazon-from-space": "planet",
    "URLs.ML_SAMPLE": "movie_lens_sample", "URLs.ADULT_SAMPLE": "adult",
    "nb:lesson6-rossmann": "rossmann", "URLs.HUMAN_NUMBERS": "human_numbers",
    "URLs.LSUN_BEDROOMS": "bedroom",
}  # fmt: skip


@corpus
def test_every_rate_of_the_lessons_is_there_in_the_course_s_order():
    wanted: dict[str, list[tuple[float, float]]] = {}
    for row in rows("course_lessons.csv"):
        if row["pick_kind"] != "explicit" or row["dataset"] == "path:bears":
            continue  # everybody searches bears of their own
        if row["notebook"] == "lesson7-superres-imagenet.ipynb":
            continue  # ImageNet itself, which the course page does not have
        name = ENTRIES[row["dataset"]]
        if row["notebook"] == "lesson4-collab.ipynb" and row["epochs"] == "5.0":
            name = "movielens"  # the notebook goes on to all 100,000 ratings
        high = float(row["lr_hi"])
        wanted.setdefault(name, []).append((float(row["lr_lo"] or high), high))
    assert len(wanted) == 13
    for name, rates in wanted.items():
        known = iter([p for s in catalog.dataset(name).stages for p in s.hand_picked])
        for low, high in rates:
            assert any(
                (pick.low, pick.top) == pytest.approx((low, high), rel=0.01) for pick in known
            ), f"{name} lacks {low:g} to {high:g}, or has it too early"


# The design's table of hand-picked rates: stage, epochs, then the rate of each pick and its score.
LESSONS = {
    "camvid": [
        ("frozen", 10, {1e-2: ".9019", 3e-3: ".8929"}),
        ("unfrozen", 12, {(1e-5, 2e-3): ".9161", (7.5e-6, 7.5e-4): ".9270"}),
        ("frozen", 10, {1e-3: ".9298"}),
        ("unfrozen", 10, {(1e-6, 1e-3): ".9216", (1e-6, 1e-4): ".9333"}),
    ],
    "camvid11": [
        ("frozen", 10, {2e-3: ".907"}),
        ("unfrozen", 12, {(2e-5, 2e-3): ".927"}),
        ("frozen", 10, {1e-3: ".939"}),
        ("unfrozen", 10, {(1e-6, 1e-4): ".94"}),
    ],
    "biwi": [("frozen", 5, {2e-2: ".000381"})],
    "movielens": [("scratch", 5, {5e-3: ".815"})],
    "adult": [("scratch", 1, {1e-2: ".82"})],
    "planet": [
        ("frozen", 5, {1e-2: ".925"}),
        ("unfrozen", 5, {(1e-5, 2e-3): ".928"}),
        ("frozen", 5, {5e-3: ".930"}),
        ("unfrozen", 5, {(1e-5, 1e-3): ".931"}),
    ],
}


@pytest.mark.parametrize("name", LESSONS)
def test_lessons_are_as_published(name):
    stages = catalog.dataset(name).stages
    assert [(stage.stage, stage.epochs) for stage in stages] == [one[:2] for one in LESSONS[name]]
    for stage, (*_, picks) in zip(stages, LESSONS[name], strict=True):
        reached = {pick.lr: pick.reached for pick in stage.hand_picked}
        assert reached.keys() == picks.keys()
        assert all(score in reached[lr].split("; ")[0] for lr, score in picks.items())


def test_sizes_batches_and_decay_of_camvid_s_ladder():
    stages = catalog.dataset("camvid").stages
    assert [stage.size for stage in stages] == [(360, 480)] * 2 + [(720, 960)] * 2
    assert [stage.batch for stage in stages] == [8, 8, 4, 4]
    assert [stage.weight_decay for stage in stages] == [1e-2, 1e-2, 1e-2, 1e-3]
    tiny = catalog.dataset("camvid_tiny").stages
    for mine, theirs in zip(tiny, stages, strict=True):
        assert [pick.lr for pick in mine.hand_picked] == [pick.lr for pick in theirs.hand_picked]
        assert all(pick.where.startswith("borrowed from camvid: ") for pick in mine.hand_picked)
        assert "those of camvid" in mine.note


def test_a_task_is_compared_with_its_like_only():
    def tops(name, stage):
        return [pick.top for pick in catalog.dataset(name).picked(stage)]

    assert tops("camvid11", "frozen") == [2e-3, 1e-3]
    assert tops("camvid11", "unfrozen") == [2e-3, 1e-4]
    assert tops("face_landmarks", "frozen") == tops("biwi", "frozen") == [2e-2]
    assert len(catalog.dataset("human_numbers").stages) == 6
    assert tops("human_numbers", "scratch") == [1e-2]  # the recurrent network with gates
    assert tops("imdb", "frozen") == [2e-2]  # not the language model's
    assert tops("mnist_sample", "frozen") == []  # the library's default is nobody's pick


def test_an_entry_without_a_reader_is_refused():
    assert catalog.dataset("camvid").need_reader() == "camvid"
    with pytest.raises(UserError, match=r"^pets has no reader yet; add one to .* another dataset$"):
        catalog.dataset("pets").need_reader()


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
    with pytest.raises(UserError, match=r"mnist_png.tgz does not exist; fetch it .*fetch mnist -"):
        catalog.locate(catalog.dataset("mnist"), tmp_path)
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
    for kept in cache.iterdir():  # a write that was cut short is not believed
        kept.write_text("00ff")
    assert catalog.fingerprint(tmp_path, cache) == catalog.fingerprint(tmp_path)


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


@pytest.mark.parametrize("what", ["a file", "below a file", "a folder in the digest's place"])
def test_a_cache_that_cannot_be_written_is_told(tmp_path, what):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.txt").write_text("a")
    cache = tmp_path / "cache"
    if what.startswith("a folder"):
        catalog.fingerprint(tmp_path / "f", cache)
        (kept,) = cache.iterdir()
        kept.unlink()
        kept.mkdir()
    else:
        cache.write_text("kept")
    asked = cache / "deep" if what.startswith("below") else cache
    with pytest.raises(UserError, match=r"\.fingerprint cannot be written \(.*\); give ano"):
        catalog.fingerprint(tmp_path / "f", asked)
    assert cache.is_dir() or cache.read_text() == "kept"
