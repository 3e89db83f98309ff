"""Real CamVid frames and faces where they are at hand, and files in the same layouts elsewhere."""

import csv

import numpy as np
import pytest
from PIL import Image

from lrsuggest.errors import UserError
from lrsuggest.files import atomic
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.images import read_camvid, read_digits
from lrsuggest.tasks.data.readers.points import project, read_biwi, read_face_landmarks
from lrsuggest.tasks.data.readers.synthetic import CODES, write_street
from lrsuggest.tasks.data.resident import Resident, cached


@pytest.fixture
def street(tmp_path):
    write_street(tmp_path / "street", train=4, valid=2)
    return tmp_path / "street"


@pytest.mark.slow
def test_camvid_is_read_whole(data_root):
    data = read_camvid(data_root / "camvid11", (36, 48))
    assert data.inputs.shape == (468, 3, 36, 48)
    assert data.targets.shape == (468, 36, 48)
    assert (int(data.valid.sum()), data.classes[-1]) == (101, "Void")
    assert data.targets.max() == 11
    # Sky is at the top and road at the bottom of a street.
    sky, road = data.classes.index("Sky"), data.classes.index("Road")
    assert (data.targets[:, :6] == sky).mean() > 10 * (data.targets[:, -6:] == sky).mean()
    assert (data.targets[:, -6:] == road).mean() > 10 * (data.targets[:, :6] == road).mean()


@pytest.mark.slow
def test_faces_are_read_whole_and_split_by_person(data_root):
    folder = data_root / "face_landmarks"
    data = read_face_landmarks(folder, (48, 48))
    assert data.inputs.shape == (3462, 3, 48, 48)
    assert data.targets.shape == (3462, 68, 2)
    assert int(data.valid.sum()) == 681
    with open(folder / "landmarks.csv", newline="") as file:
        people = np.array([row["person"] for row in csv.DictReader(file)])
    assert not set(people[data.valid]) & set(people[~data.valid])
    # Eyes are above the mouth, and a person's left eye is to the right in the picture.
    assert (data.targets[:, 36:48, 1].mean(1) < data.targets[:, 48:, 1].mean(1)).mean() > 0.99
    assert (data.targets[:, 36, 0] < data.targets[:, 45, 0]).mean() > 0.99


def test_points_move_with_the_image(tmp_path):
    (tmp_path / "images").mkdir()
    image = np.zeros((60, 120, 3), np.uint8)
    image[30:36, 90:96] = 255  # a bright square of 6 x 6, its centre at (92.5, 32.5)
    Image.fromarray(image).save(tmp_path / "images" / "one.png")
    with open(tmp_path / "landmarks.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "person", "valid"] + [f"{a}{k}" for k in range(68) for a in "xy"])
        out.writerow(["one.png", "me", "0"] + [92.5, 32.5] * 68)
    data = read_face_landmarks(tmp_path, (30, 40))
    bright = np.argwhere(data.inputs[0, 0] > 60)
    np.testing.assert_allclose(data.targets[0, 0], bright.mean(0)[::-1], atol=0.3)


def test_the_projection_is_that_of_the_course():
    """Frame 09/frame_00667 with the calibration of lesson 3."""
    camera = np.array([[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])
    x, y = project(np.array([187.332, 40.3892, 893.135]), camera)
    assert (round(y, 2), round(x, 2)) == (263.91, 428.58)


def test_biwi_frames_are_read_with_both_kinds_of_pose(data_root):
    folder = data_root / "biwi_mini"
    if not folder.is_dir():
        pytest.skip(f"no biwi_mini in {data_root}")
    data = read_biwi(folder, (120, 160))
    assert data.inputs.shape == (11, 3, 120, 160)
    assert not data.valid.any()
    x, y = data.targets[:, 0].T
    assert ((x > 80) & (x < 95) & (y > 55) & (y < 70)).all()  # the nose, as seen in the pictures
    # The frames are moments apart, so text and binary poses must agree.
    assert np.ptp(x) < 4
    assert np.ptp(y) < 4


def test_biwi_frames_may_be_jpeg(tmp_path):
    person = tmp_path / "01"
    person.mkdir()
    (person / "rgb.cal").write_text("50 0 32\n0 50 24\n0 0 1\n")
    for number, suffix in ((3, "png"), (4, "jpg")):
        Image.new("RGB", (64, 48)).save(person / f"frame_0000{number}_rgb.{suffix}")
        pose = "1 0 0\n0 1 0\n0 0 1\n\n0 0 800\n"
        (person / f"frame_0000{number}_pose.txt").write_text(pose)
    data = read_biwi(tmp_path, (48, 64))
    np.testing.assert_allclose(data.targets[:, 0], [[32, 24], [32, 24]])


def test_a_damaged_pose_or_calibration_is_named(tmp_path):
    person = tmp_path / "01"
    person.mkdir()
    with pytest.raises(UserError, match="holds no 01/frame"):
        read_biwi(tmp_path, (12, 16))
    Image.new("RGB", (64, 48)).save(person / "frame_00003_rgb.png")
    with pytest.raises(UserError, match=r"rgb\.cal is missing"):
        read_biwi(tmp_path, (12, 16))
    (person / "rgb.cal").write_text("50 0 32\n0 50 24\n")
    with pytest.raises(UserError, match="must begin with the camera's 3x3 matrix"):
        read_biwi(tmp_path, (12, 16))
    (person / "rgb.cal").write_text("50 0 32\n0 50 24\n0 0 1\n\n0 0 0 0\n")
    with pytest.raises(UserError, match=r"has no pose; put frame_00003_pose\.txt"):
        read_biwi(tmp_path, (12, 16))
    (person / "frame_00003_pose.bin").write_bytes(b"abc")
    with pytest.raises(UserError, match="is damaged"):
        read_biwi(tmp_path, (12, 16))
    (person / "frame_00003_pose.txt").write_text("1 0 0\n0 1 0\n0 0 1\n\n0 0 800\n")
    assert read_biwi(tmp_path, (48, 64)).targets[0, 0].tolist() == [32, 24]


def test_digits_are_packaged():
    data = read_digits(None, (8, 8))
    assert data.inputs.shape == (1797, 1, 8, 8)
    assert data.inputs.max() == 255
    with pytest.raises(UserError, match="8x8 only; the suite asks for 16x16"):
        read_digits(None, (16, 16))


def test_drawn_streets_read_like_camvid_and_repeat(street, tmp_path):
    data = read("camvid", street, (36, 48), lambda done, of: None)
    assert data.inputs.shape == (6, 3, 36, 48)
    assert data.classes == CODES
    assert data.valid.tolist() == [False] * 4 + [True] * 2
    assert len(np.unique(data.targets)) >= 8
    write_street(tmp_path / "again", train=4, valid=2)
    for path in street.rglob("*.png"):
        twin = tmp_path / "again" / path.relative_to(street)
        assert path.read_bytes() == twin.read_bytes()


def test_a_mask_of_another_size_is_refused(street):
    label = street / "labels" / "street_0001_P.png"
    Image.open(label).resize((80, 60)).save(label)
    with pytest.raises(UserError, match=r"street_0001_P\.png is 80x60, but its image is 160x120"):
        read_camvid(street, (36, 48))


def test_a_class_beyond_the_codes_is_refused(street):
    label = street / "labels" / "street_0002_P.png"
    mask = np.array(Image.open(label))
    mask[0, 0] = 12
    Image.fromarray(mask).save(label)
    with pytest.raises(UserError, match=r"street_0002_P\.png holds class 12, but .* 0 to 11"):
        read_camvid(street, (36, 48))


@pytest.mark.parametrize("where", ["images/street_0003.png", "labels/street_0003_P.png"])
def test_a_corrupt_image_is_named(street, where):
    whole = (street / where).read_bytes()
    for damage in (b"not an image", whole[: len(whole) // 2], b""):
        (street / where).write_bytes(damage)
        with pytest.raises(UserError, match=r"street_0003.*\.png is corrupt"):
            read_camvid(street, (36, 48))


@pytest.mark.parametrize(
    ("lost", "says"),
    [("codes.txt", "codes.txt is missing"), ("valid.txt", "valid.txt is missing"),
     ("labels/street_0000_P.png", "is missing; restore"),
     ("images/street_0005.png", r"valid.txt names street_0005\.png")],
)  # fmt: skip
def test_a_missing_file_is_named(street, lost, says):
    (street / lost).unlink()
    with pytest.raises(UserError, match=says):
        read_camvid(street, (36, 48))


def test_other_damage_is_one_sentence_too(street, tmp_path):
    def quietly(done, of):
        pass

    names = (street / "valid.txt").read_text()
    (street / "valid.txt").write_text("")
    with pytest.raises(UserError, match="leaves nothing for validation"):
        read("camvid", street, (36, 48), quietly)
    every = "\n".join(p.name for p in (street / "images").iterdir())
    (street / "valid.txt").write_text(every)
    with pytest.raises(UserError, match="leaves nothing for training"):
        read("camvid", street, (36, 48), quietly)
    (street / "valid.txt").write_text(names)
    label = street / "labels" / "street_0001_P.png"
    Image.open(label).convert("RGB").save(label)
    with pytest.raises(UserError, match="has 3 channels; a mask has one"):
        read_camvid(street, (36, 48))
    (street / "codes.txt").write_bytes(b"Sky\n\xff\xfe")
    with pytest.raises(UserError, match=r"codes\.txt is no UTF-8 text"):
        read_camvid(street, (36, 48))
    for text in (b"file,person\n\xff\xfe", b"file,person,x0,y0\na,b,1,2\n"):
        (tmp_path / "landmarks.csv").write_bytes(text)
        with pytest.raises(UserError, match=r"landmarks\.csv"):
            read_face_landmarks(tmp_path, (8, 8))


def test_an_empty_folder_and_an_unknown_reader_are_refused(street, tmp_path):
    for path in (street / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"holds no \.png or \.jpg"):
        read_camvid(street, (36, 48))
    with pytest.raises(UserError, match="no reader 'coco'"):
        read("coco", tmp_path, (8, 8), lambda done, of: None)
    with pytest.raises(UserError, match=r"landmarks\.csv is missing"):
        read_face_landmarks(tmp_path, (8, 8))
    (tmp_path / "landmarks.csv").write_text("file,person,valid,x0\na.png,me,0,eye\n")
    with pytest.raises(UserError, match="line 2, must hold"):
        read_face_landmarks(tmp_path, (8, 8))


def test_what_is_written_can_be_read_by_others(tmp_path):
    with atomic(tmp_path / "a") as file:
        file.write(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_resident_data_are_cached_whole_or_not_at_all(tmp_path):
    path = tmp_path / "cache" / "x.npz"
    calls = []

    def make():
        calls.append(1)
        if len(calls) == 1:
            raise UserError("torn")
        return Resident(
            np.ones((2, 3, 4, 5), np.uint8), np.ones((2, 3, 2), np.float32),
            np.array([True, False]), (), (1, 0, 2),
        )  # fmt: skip

    with pytest.raises(UserError, match="torn"):
        cached(path, make)
    assert not list(tmp_path.rglob("*.npz*"))
    first, second = cached(path, make), cached(path, make)
    assert len(calls) == 2
    np.testing.assert_array_equal(first.targets, second.targets)
    assert (second.mirror, second.classes, second.size) == ((1, 0, 2), (), (4, 5))


@pytest.mark.parametrize(
    ("reader", "size", "says"),
    [
        ("trec", (), r"trec needs sizes = \[\[length\]\] in tokens; the suite gives none"),
        ("shakespeare", (16, 16), r"\[\[length\]\] in tokens; the suite gives \[16, 16\]"),
        ("camvid", (48,), r"\[\[height, width\]\] in pixels; the suite gives \[48\]"),
        ("folders", (), r"folders needs sizes = \[\[height, width\]\]"),
        ("digits", (), r"digits needs sizes"),
    ],
)
def test_a_size_that_is_none_of_the_readers_is_told(tmp_path, reader, size, says):
    with pytest.raises(UserError, match=says):
        read(reader, tmp_path, size, lambda *_: None)
