"""Any bytes in a file of ours give a value or a UserError: nothing else, and no write outside."""

import contextlib
import json
import shutil

import msgspec
import numpy as np
import pytest
from helpers import sweep_like
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from lrsuggest import Curve
from lrsuggest.bench.plan.make import make_plan
from lrsuggest.bench.plan.plan import Plan, load_plan, save_plan
from lrsuggest.bench.plan.suite import Suite
from lrsuggest.bench.plan.suite import load as load_suite
from lrsuggest.errors import UserError
from lrsuggest.resources import shipped
from lrsuggest.tasks.data.catalog import Dataset, read_catalog
from lrsuggest.tasks.data.readers.images import read_camvid
from lrsuggest.tasks.data.readers.points import read_biwi
from lrsuggest.tasks.data.resident import Resident, cached

SUITE = (shipped("benchmarks/suites") / "quick.toml").read_bytes()
CATALOG = shipped("datasets.toml").read_bytes()[:6000]
WORDS = (b"\0", b"..", b"/", b"-1", b"1e999", b"nan", b"inf", b"[", b"{", b'"', b"\n", b"\xff",
         b"= ", b"999999999999999999999", b"[[" * 9000)  # fmt: skip


@st.composite
def mangled(draw, whole):
    """A good file with a piece taken out and something put in its place, or any bytes."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    begin = draw(st.integers(0, len(whole)))
    end = draw(st.integers(begin, min(len(whole), begin + 40)))
    return whole[:begin] + draw(st.sampled_from(WORDS) | st.binary(max_size=9)) + whole[end:]


def fuzz(whole):
    """Give a test that takes `content` mangled bytes; the fixtures are shared by all examples."""

    def decorate(test):
        shared = [HealthCheck.function_scoped_fixture]
        often = settings(max_examples=60, deadline=None, suppress_health_check=shared)
        return often(given(content=mangled(whole))(test))

    return decorate


@pytest.fixture
def place(tmp_path):
    """A folder to write into; beside it nothing may appear."""
    inside = tmp_path / "inside"
    inside.mkdir()
    yield inside
    assert list(tmp_path.iterdir()) == [inside]


@fuzz(CATALOG)
def test_catalogs(place, content):
    path = place / "datasets.toml"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert all(isinstance(each, Dataset) for each in read_catalog(path).values())


@pytest.mark.parametrize("name", ["'../x'", "'a/b'", "'/x'", "''", "'a\\b'", "'.'"])
def test_names_that_lead_out_of_their_folder_are_refused(tmp_path, name):
    entry = 'title="t"\nkind="points"\nfamily="f"\nsource="s"\nterms="t"\ncite="c"\n'
    path = tmp_path / "datasets.toml"
    path.write_text(f"[good]\n{entry}folder = 'a/b'\n")
    assert read_catalog(path)["good"].folder == "a/b"
    path.write_text(f"[{name}]\n{entry}")
    with pytest.raises(UserError, match="must be plain names below"):
        read_catalog(path)
    for folder in ("'../x'", "'/x'", "'a/../../x'"):
        path.write_text(f"[good]\n{entry}folder = {folder}\n")
        with pytest.raises(UserError, match="must be plain names below"):
            read_catalog(path)


@fuzz(SUITE)
def test_suites(place, content):
    path = place / "mine.toml"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert isinstance(load_suite(str(path)), Suite)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    whole = load_suite("quick")
    entries = tuple(each for each in whole.entry if each.dataset == "digits")
    suite = msgspec.structs.replace(whole, entry=entries)
    said = Console(quiet=True)
    save_plan(make_plan("t", suite, None, folder, device="cpu", console=said, command=""), folder)
    return (folder / "plan.json").read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_plans(plan, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("out")
    (folder / "plan.json").write_bytes(data.draw(mangled(plan)))
    with contextlib.suppress(UserError):
        assert isinstance(load_plan(folder), Plan)


@fuzz(b"lr,loss,skipped\n1e-3,2.5,0\n1e-2,2.25,1\n1e-1,nan,0\n")
def test_curves_as_tables(place, content):
    path = place / "curve.csv"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert isinstance(Curve.from_csv(path), Curve)


@fuzz(Curve(*sweep_like(12)).to_json().encode())
def test_curves_as_json(content):
    with contextlib.suppress(UserError):
        assert isinstance(Curve.from_json(content.decode("utf-8", "replace")), Curve)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("lr", "loss", "smoothed", "skipped", "ended"), JSON)
    )
)  # fmt: skip
def test_curves_of_any_json(fields):
    whole = json.loads(Curve(*sweep_like(5)).to_json())
    with contextlib.suppress(UserError):
        assert isinstance(Curve.from_json(json.dumps({**whole, **fields})), Curve)


CALIBRATION = b"6.25 0 4\n0 6.25 3\n0 0 1\n\n0 0 0\n"  # of an image of 8x6
POSE = b"1 0 0\n0 1 0\n0 0 1\n\n12.5 -30 900\n"


@pytest.fixture
def biwi(place):
    (place / "01").mkdir(exist_ok=True)
    Image.new("RGB", (8, 6)).save(place / "01" / "frame_00003_rgb.png")
    (place / "01" / "rgb.cal").write_bytes(CALIBRATION)
    (place / "01" / "frame_00003_pose.txt").write_bytes(POSE)
    assert np.isfinite(read_biwi(place, (6, 8)).targets).all()
    return place


@fuzz(CALIBRATION)
def test_calibrations(biwi, content):
    (biwi / "01" / "rgb.cal").write_bytes(content)
    with contextlib.suppress(UserError):
        assert np.isfinite(read_biwi(biwi, (6, 8)).targets).all()


@pytest.mark.parametrize("kind", ["txt", "bin"])
@fuzz(POSE)
def test_poses(biwi, kind, content):
    (biwi / "01" / "frame_00003_pose.txt").unlink(missing_ok=True)
    (biwi / "01" / f"frame_00003_pose.{kind}").write_bytes(content)
    with contextlib.suppress(UserError):
        assert np.isfinite(read_biwi(biwi, (6, 8)).targets).all()


@pytest.mark.parametrize("name", ["codes.txt", "valid.txt"])
@fuzz(b"Sky\nRoad\nVoid\na.png\n")
def test_codes(place, name, content):
    shutil.rmtree(place)
    for folder, mode, end in (("images", "RGB", ""), ("labels", "L", "_P")):
        (place / folder).mkdir(parents=True)
        for frame in "ab":
            Image.new(mode, (8, 6)).save(place / folder / f"{frame}{end}.png")
    (place / "codes.txt").write_text("Sky\nRoad\n")
    (place / "valid.txt").write_text("a.png\n")
    (place / name).write_bytes(content)
    with contextlib.suppress(UserError):
        assert isinstance(read_camvid(place, (6, 8)), Resident)


TINY = Resident(np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5), np.array([0, 1]),
                np.array([True, False]), ("a", "b"))  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared") / "tiny.npz"
    cached(path, lambda: TINY)
    return path


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_prepared_data_that_were_changed_are_made_anew(prepared, data):
    """Without its checksum, as older versions wrote them: reading alone must notice damage."""
    whole = prepared.read_bytes()
    path = prepared.with_name("changed.npz")
    path.write_bytes(data.draw(mangled(whole)))
    path.with_name("changed.npz.blake2b").unlink(missing_ok=True)
    assert isinstance(cached(path, lambda: TINY), Resident)


def test_a_changed_byte_in_prepared_data_is_noticed(prepared):
    seal = prepared.with_name("tiny.npz.blake2b")
    whole = prepared.read_bytes()
    at = whole.index(bytes(TINY.inputs[0, 0, 0])) + 1
    prepared.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    asked = []

    def make():
        asked.append(1)
        return TINY

    assert np.array_equal(cached(prepared, make).inputs, TINY.inputs)
    assert asked == [1]
    assert prepared.read_bytes() == whole
    held = cached(prepared, make)
    assert asked == [1]
    assert isinstance(held.inputs, np.memmap), "shared, not copied"
    assert np.array_equal(held.inputs, TINY.inputs)
    assert np.array_equal(held.targets, TINY.targets)
    seal.unlink()
    assert np.array_equal(cached(prepared, make).inputs, TINY.inputs), "older ones have none"
    assert asked == [1]
