"""Lists, tables of points and other texts of a dataset as editors and systems write them."""

import csv
import unicodedata

import numpy as np
import pytest
from PIL import Image
from task_files import FORMS, orientation, quietly, same

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.synthetic import write_street


@pytest.fixture
def street(tmp_path):
    write_street(tmp_path / "street", train=4, valid=2)
    return tmp_path / "street"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["codes.txt", "valid.txt"])
def test_a_list_reads_as_the_plain_one(street, name, form):
    before = read("camvid", street, (12, 16), quietly)
    (street / name).write_bytes(FORMS[form]((street / name).read_bytes()))
    assert same(read("camvid", street, (12, 16), quietly), before)


@pytest.mark.parametrize("name", ["codes.txt", "valid.txt"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_list_in_wide_letters_is_one_sentence(street, name, encoding):
    (street / name).write_bytes((street / name).read_text().encode(encoding))
    with pytest.raises(UserError, match=rf"{name} is no UTF-8 text"):
        read("camvid", street, (12, 16), quietly)


@pytest.mark.parametrize(
    "written", ["./{}", ".\\{}", "images/{}", "images\\{}", "./images/{}", "  {}  ", "{}\n{}"]
)
def test_names_in_a_list_are_found_as_they_are_meant(street, written):
    before = read("camvid", street, (12, 16), quietly)
    names = (street / "valid.txt").read_text().split()
    (street / "valid.txt").write_text("\n".join(written.replace("{}", name) for name in names))
    assert same(read("camvid", street, (12, 16), quietly), before)


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_spelt_either_way(street, listed, stored):
    before = read("camvid", street, (12, 16), quietly)
    name = "stréet 0005"
    for folder, end in (("images", ".png"), ("labels", "_P.png")):
        way = stored if folder == "images" else listed
        old = street / folder / f"street_0005{end}"
        old.rename(street / folder / (unicodedata.normalize(way, name) + end))
    text = (street / "valid.txt").read_text()
    text = text.replace("street_0005", unicodedata.normalize(listed, name))
    (street / "valid.txt").write_text(text)
    assert same(read("camvid", street, (12, 16), quietly), before)


def test_a_name_that_is_nowhere_or_in_two_lists_is_named(street):
    text = (street / "valid.txt").read_text()
    for wrong in ("gone.png", "../street/images/street_0000.png", "/etc/passwd", "codes.txt"):
        (street / "valid.txt").write_text(f"{text}\n{wrong}\n")
        with pytest.raises(UserError, match=rf"valid\.txt names {wrong}, which is not in"):
            read("camvid", street, (12, 16), quietly)
    (street / "valid.txt").write_text(text)
    (street / "test.txt").write_text("lost.png")
    with pytest.raises(UserError, match=r"test\.txt names lost\.png"):
        read("camvid", street, (12, 16), quietly)
    (street / "test.txt").write_text("street_0005.png")
    with pytest.raises(UserError, match=r"valid\.txt and test\.txt .* both name street_0005\.png"):
        read("camvid", street, (12, 16), quietly)


HEADER = ["file", "person", "valid"] + [f"{a}{k}" for k in range(68) for a in "xy"]


def faces(folder, change=lambda rows: rows, form=lambda text: text, delimiter=","):
    """Two faces, and a table whose rows `change` may alter."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for name, valid in (("a b.png", "0"), ("é.png", "1")):
        image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
        image.save(folder / "images" / name)
        rows.append([name, "me", valid, *(f"{v:.2f}" for v in rng.uniform(0, 20, 136))])
    path = folder / "landmarks.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
            change([HEADER, *rows])
        )
    path.write_bytes(form(path.read_bytes()))
    return folder


def with_cell(row, column, value):
    def change(rows):
        rows = [list(cells) for cells in rows]
        rows[row][HEADER.index(column)] = value
        return rows

    return change


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_points_reads_as_the_plain_one(tmp_path, form):
    plain = read("face_landmarks", faces(tmp_path / "a"), (10, 10), quietly)
    other = read("face_landmarks", faces(tmp_path / "b", form=FORMS[form]), (10, 10), quietly)
    assert same(other, plain)
    assert plain.valid.tolist() == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [[cell.upper() for cell in rows[0]], *rows[1:]],
        lambda rows: [[f" {cell} " for cell in row] for row in rows],
        lambda rows: [[*row, ""] for row in rows],
        lambda rows: [["", *rows[0]], *([str(k), *row] for k, row in enumerate(rows[1:]))],
        lambda rows: [[*row, "more"] for row in rows],
        lambda rows: [row[::-1] for row in rows],
        with_cell(1, "file", ".\\images\\a b.png"),
        with_cell(2, "file", unicodedata.normalize("NFD", "é.png")),
        with_cell(2, "valid", "True"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_points_may_be_written_otherwise(tmp_path, change, delimiter):
    plain = read("face_landmarks", faces(tmp_path / "a"), (10, 10), quietly)
    other = faces(tmp_path / "b", change, delimiter=delimiter)
    assert same(read("face_landmarks", other, (10, 10), quietly), plain)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_cell(1, "x3", "nan"), r"landmarks\.csv, line 2: x3 is nan, which is no place"),
        (with_cell(2, "y67", "inf"), r"landmarks\.csv, line 3: y67 is inf"),
        (with_cell(2, "y5", "1e9"), r"landmarks\.csv, line 3: y5 is 1e9"),
        (with_cell(1, "x3", ""), "line 2, must hold"),
        (with_cell(1, "x3", "1_0"), "line 2, must hold"),
        (with_cell(1, "x3", "3,5"), "line 2, must hold"),
        (with_cell(1, "valid", "perhaps"), "line 2, must hold"),
        (with_cell(1, "file", "gone.png"), r"line 2 names 'gone\.png', which is not in"),
        (with_cell(1, "file", "../secret.png"), r"line 2 names '\.\./secret\.png', which is not"),
        (with_cell(1, "file", ""), "line 2 names '', which is not in"),
        (with_cell(2, "file", "a b.png"), r"line 3 names a b\.png for training and for"),
        (with_cell(0, "y0", "x0"), "two columns x0"),
        (lambda rows: [row[:-1] for row in rows], "line 2, must hold"),
        (lambda rows: [*rows[:2], rows[2][:-1]], "line 3 has 138 values, but there are 139"),
    ],
)
def test_a_slip_in_a_table_of_points_is_named(tmp_path, change, says):
    (tmp_path / "secret.png").write_bytes(b"")
    folder = faces(tmp_path / "f", change)
    before = (folder / "landmarks.csv").read_bytes()
    with pytest.raises(UserError, match=says):
        read("face_landmarks", folder, (10, 10), quietly)
    assert (folder / "landmarks.csv").read_bytes() == before


def test_a_face_that_is_to_be_turned_is_refused(tmp_path):
    folder = faces(tmp_path)
    path = folder / "images" / "a b.png"
    image = Image.open(path)
    image.load()
    image.save(path, exif=orientation(3))
    with pytest.raises(UserError, match=r"a b\.png is to be turned by its EXIF orientation"):
        read("face_landmarks", folder, (10, 10), quietly)


def heads(folder):
    for person in ("01", "13"):
        (folder / person).mkdir(parents=True)
        (folder / person / "rgb.cal").write_text("50 0 32\n0 50 24\n0 0 1\n")
        Image.new("RGB", (64, 48)).save(folder / person / "frame_00003_rgb.png")
        (folder / person / "frame_00003_pose.txt").write_text("1 0 0\n0 1 0\n0 0 1\n\n0 0 800\n")
    return folder


def test_heads_of_other_makes_are_read_or_refused(tmp_path):
    folder = heads(tmp_path)
    before = read("biwi", folder, (48, 64), quietly)
    for name in ("rgb.cal", "frame_00003_pose.txt"):
        for form in FORMS.values():
            path = folder / "01" / name
            plain = path.read_bytes()
            path.write_bytes(form(plain))
            assert same(read("biwi", folder, (48, 64), quietly), before)
            path.write_bytes(plain)
    frame = folder / "01" / "frame_00003_rgb.png"
    (folder / "01" / "._frame_00003_rgb.png").write_bytes(b"AppleDouble")
    frame.rename(frame.with_suffix(".PNG"))
    assert same(read("biwi", folder, (48, 64), quietly), before)
    Image.new("RGB", (64, 48)).save(frame, exif=orientation(8))
    frame.with_suffix(".PNG").unlink()
    with pytest.raises(UserError, match=r"frame_00003_rgb\.png is to be turned"):
        read("biwi", folder, (48, 64), quietly)


def test_membranes_with_odd_names_or_masks_are_named(tmp_path):
    for name in ("image", "label"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(8):
            Image.new("L", (16, 12), 255 * (index % 2)).save(
                tmp_path / "train" / name / f"{index}.png"
            )
    before = read("isbi", tmp_path, (6, 8), quietly)
    (tmp_path / "train" / "image" / "._3.png").write_bytes(b"AppleDouble")
    assert same(read("isbi", tmp_path, (6, 8), quietly), before)
    label = tmp_path / "train" / "label" / "3.png"
    Image.new("L", (12, 16)).save(label)
    with pytest.raises(UserError, match=r"label/3\.png is 12x16, but its image is 16x12"):
        read("isbi", tmp_path, (6, 8), quietly)
    Image.new("RGB", (16, 12)).save(label)
    with pytest.raises(UserError, match=r"label/3\.png has 3 channels"):
        read("isbi", tmp_path, (6, 8), quietly)
    (tmp_path / "train" / "image" / "copy of 3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"copy of 3\.png must have a number for its name"):
        read("isbi", tmp_path, (6, 8), quietly)
