"""What looks like other data and would be read wrong: masks, rows, splits and pictures."""

import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import need
from PIL import Image
from task_files import ask, classes, diamonds, encoded, png, quietly, same, write

from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog
from lrsuggest.tasks.data.catalog import fingerprint
from lrsuggest.tasks.data.pictures import open_binary, open_mask
from lrsuggest.tasks.data.readers.all import read

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
CELLS = np.array([[0, 1, 1], [1, 0, 0]], bool)


def palette(colours):
    image = Image.fromarray(CELLS.astype(np.uint8))
    image.putpalette(colours)
    return image


def test_a_mask_of_two_values_is_the_same_however_they_are_stored(tmp_path):
    forms = [
        encoded(Image.fromarray(CELLS)), encoded(Image.fromarray(CELLS.astype(np.uint8))),
        encoded(Image.fromarray(CELLS.astype(np.uint8) * 255)),
        encoded(Image.fromarray(CELLS.astype(np.uint16) * 65535)),
        encoded(palette([0, 0, 0, 255, 255, 255])), encoded(palette([0, 0, 0, 128, 0, 0]), bits=1),
        encoded(Image.fromarray(np.where(CELLS, 130, 120).astype(np.uint8))),
    ]  # fmt: skip
    for content in forms:
        held = np.asarray(open_binary(tmp_path / "a", content))
        np.testing.assert_array_equal(held, np.where(CELLS, 255, 0))
    grey = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert np.asarray(open_binary(tmp_path / "a", encoded(grey))).tolist() == [[0, 0, 255, 255]]
    for value, seen in ((0, 0), (255, 255)):
        one = Image.fromarray(np.full((2, 2), value, np.uint8))
        assert (np.asarray(open_binary(tmp_path / "a", encoded(one))) == seen).all()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (Image.fromarray(np.full((2, 2), 1, np.uint8)), "a holds 1, which may be the class or its"),
        (Image.fromarray(np.array([[0, 1, 2]], np.uint8)), "a holds 3 values up to 2, and none"),
        (palette([255, 255, 255, 0, 0, 0]), "a higher index is not brighter"),
    ],
)
def test_a_mask_that_does_not_tell_its_class_is_refused(tmp_path, image, says):
    with pytest.raises(UserError, match=says):
        open_binary(tmp_path / "a", encoded(image))


@pytest.mark.slow
def test_isbi_s_masks_read_alike_as_bits(data_root, tmp_path):
    folder = tmp_path / "isbi"
    for part in ("image", "label"):
        (folder / "train" / part).mkdir(parents=True)
        for k in range(8):
            name = f"train/{part}/{k}.png"
            shutil.copyfile(need(data_root, "isbi_membrane") / name, folder / name)
    before = read("isbi", folder, (32, 32), quietly)
    for path in (folder / "train" / "label").iterdir():
        values = np.asarray(Image.open(path).convert("L")) > 127
        Image.fromarray(values).save(path)
    assert 0.5 < before.targets.mean() < 0.9
    assert same(read("isbi", folder, (32, 32), quietly), before)


def tiff(photometric, bits):
    import struct

    data = {1: b"\xa0\0", 4: b"\1\x23", 8: b"\0\1\2\3"}[bits]
    entries = [(256, 4), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1),
               (278, 1), (279, len(data))]  # fmt: skip
    out = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries))
    return out + b"".join(struct.pack("<HHIHH", t, 3, 1, v, 0) for t, v in entries) + bytes(4)


@pytest.mark.parametrize(
    ("photometric", "bits", "says"),
    [(0, 8, "stores white as 0"), (0, 1, "stores white as 0"), (1, 4, "fewer than eight bits")],
)
def test_a_tiff_whose_values_are_changed_by_opening_is_no_mask(tmp_path, photometric, bits, says):
    with pytest.raises(UserError, match=says):
        open_mask(tmp_path / "a", tiff(photometric, bits))


@pytest.mark.parametrize(
    ("reader", "size", "names"),
    [
        ("trec", (8,), ("TREC.train.all", "TREC.test.all")),
        ("mr_polarity", (8,), ("rt-polarity.neg", "rt-polarity.pos")),
        ("shakespeare", (8,), ("tinyshakespeare.txt",)), ("diamonds", (), ("diamonds.csv",)),
        ("human_numbers", (8,), ("train.txt", "valid.txt")),
        ("camvid", (8, 8), ("codes.txt", "valid.txt", "images/1.png")),
        ("folders", (8, 8), ("train/a/1.jpg", "valid/a/1.jpg")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pointer", [POINTER, b"/annex/objects/SHA256E-s1--0.jpg\n"])
def test_what_stands_for_a_file_is_not_read_for_it(tmp_path, reader, size, names, pointer):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(pointer)
    with pytest.raises(UserError, match="only stands for a file that was not fetched; run git"):
        read(reader, tmp_path, size, quietly)


@pytest.mark.parametrize("content", [POINTER, b"\0" * 20, np.full(6, 1e4, "<f4").tobytes()])
def test_a_pose_of_another_size_or_far_outside_is_refused(data_root, tmp_path, content):
    folder = tmp_path / "b"
    shutil.copytree(need(data_root, "biwi_mini"), folder, copy_function=shutil.copyfile)
    for path in folder.rglob("*_pose.bin"):
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"not fetched|is damaged|give no point"):
        read("biwi", folder, (12, 16), quietly)


@pytest.mark.parametrize("word", ["#N/A", "#DIV/0!", "#VALUE!", "#1.jpg"])
def test_a_row_that_begins_with_a_mark_is_not_lost(tmp_path, word):
    rows = [[row[1], row[0], *row[2:]] for row in diamonds()]
    rows[5][0] = word
    if word == "#1.jpg":
        assert len(ask(write(tmp_path / "a", rows)).targets) == len(rows) - 1
    rows = diamonds()
    rows[5][0] = word
    if word == "#N/A":  # a gap, which is filled
        assert len(ask(write(tmp_path / "b", rows)).targets) == len(rows) - 1
    else:
        with pytest.raises(UserError, match="line 6: carat"):
            ask(write(tmp_path / "b", rows))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_index_saved_again_and_again_is_no_feature(tmp_path, times):
    plain = ask(write(tmp_path / "a", diamonds()))
    folder = write(tmp_path / "b", diamonds())
    for _ in range(times):
        pd.read_csv(folder / "diamonds.csv").to_csv(folder / "diamonds.csv")
    assert same(ask(folder), plain)
    pd.read_csv(folder / "diamonds.csv", index_col=0).reset_index().to_csv(
        folder / "diamonds.csv", index=False
    )
    assert same(ask(folder), plain)


def test_an_index_beside_a_table_without_header_is_told(tmp_path):
    rows = [[str(k), *["M", "1", "1", "1", "1", "1", "1", "1", "9"]] for k in range(20)]
    write(tmp_path, rows, name="abalone.csv")
    with pytest.raises(UserError, match="an index as its first column, beside its 9 columns"):
        ask(tmp_path, "abalone")


@pytest.mark.parametrize("split", ["eval", "test_set", "holdout", "dev", "val (1)"])
def test_a_split_that_nobody_knows_is_not_trained_on(tmp_path, split):
    classes(tmp_path)
    shutil.copytree(tmp_path / "valid", tmp_path / split)
    with pytest.raises(UserError, match=r"is neither train nor valid.*rename it"):
        read("folders", tmp_path, (9, 9), quietly)
    shutil.rmtree(tmp_path / "valid")
    shutil.rmtree(tmp_path / split)
    with pytest.raises(UserError, match="leaves nothing for validation, for it holds only train"):
        read("folders", tmp_path, (9, 9), quietly)


@pytest.mark.parametrize("suffix", ["", ".jif", ".jpg.1", ".jpg_original", ".npy", ".cr3", ".tga"])
def test_a_picture_by_another_name_is_not_left_out(tmp_path, suffix):
    classes(tmp_path)
    (tmp_path / "train" / "ants" / f"2{suffix}").write_bytes(png(9))
    (tmp_path / "train" / "ants" / "notes.txt").write_text("BM, II, P6 and 8BPS")
    with pytest.raises(UserError, match=r"whose name does not say so|of a format that is not read"):
        read("folders", tmp_path, (9, 9), quietly)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPE"])
def test_a_jpeg_by_its_other_names_is_read(tmp_path, suffix):
    classes(tmp_path)
    image = encoded(Image.new("RGB", (9, 9), (7, 7, 7)), "jpeg")
    (tmp_path / "train" / "ants" / f"2{suffix}").write_bytes(image)
    assert len(read("folders", tmp_path, (9, 9), quietly).inputs) == 5


@pytest.mark.parametrize("kind", ["avif", "jpeg2000", "ppm"])
def test_another_format_under_a_known_name_is_named(tmp_path, kind):
    classes(tmp_path)
    content = encoded(Image.new("RGB", (16, 16)), kind)
    (tmp_path / "train" / "ants" / "2.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"2\.jpg is (AVIF|JPEG 2000|PPM), which is not read"):
        read("folders", tmp_path, (9, 9), quietly)


@pytest.mark.parametrize(
    "name",
    ["1.png:Zone.Identifier", "Thumbs.db:encryptable", "Picasa.ini", "1.png~", "#1.png#", "1.swp",
     "1.png.crdownload", "1.png.part", "~snapshot/1.png", "#snapshot/1.png", "../../RECYCLER/1.png",
     "../../FOUND.000/1.png", "__pycache__/1.png", "1.png.lnk", "Thumbs (1).db"],
)  # fmt: skip
def test_what_programs_leave_behind_is_no_data(tmp_path, name):
    folder = classes(tmp_path)
    before, data = fingerprint(folder), read("folders", folder, (9, 9), quietly)
    path = folder / "train" / "ants" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(250))
    assert fingerprint(folder) == before
    assert same(read("folders", folder, (9, 9), quietly), data)


def test_a_file_that_icloud_holds_is_told(tmp_path):
    classes(tmp_path)
    (tmp_path / "train" / "ants" / ".2.png.icloud").write_bytes(b"bplist00")
    with pytest.raises(UserError, match="is in iCloud only; download it"):
        read("folders", tmp_path, (9, 9), quietly)


def test_a_file_that_vanishes_while_it_is_looked_at_is_one_sentence(tmp_path, monkeypatch):
    listed = catalog.below

    def racing(folder):
        found = listed(folder)
        found[0].unlink()
        return found

    monkeypatch.setattr(catalog, "below", racing)
    with pytest.raises(UserError, match=r"1\.png cannot be read: No such file"):
        fingerprint(classes(tmp_path))
