"""Folders as people have them: links, hidden files, odd names; fingerprints see what is read."""

import json
import os
import shutil
import socket
import stat
import tarfile
from io import BytesIO

import numpy as np
import pytest
from helpers import need, write_tgz
from PIL import Image
from task_files import classes, picture, quietly

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import data_root as root_of
from lrsuggest.tasks.data.catalog import dataset, datasets, fingerprint, locate
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.synthetic import write_street
from lrsuggest.tasks.data.sources import contents
from lrsuggest.tasks.data.walk import walk

LITTER = (
    ".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r", "._1.png", ".git/HEAD", "notes.txt~",
    "__MACOSX/._1.png", "@eaDir/1.png", ".ipynb_checkpoints/1.png", ".nfs0001", "~$table.xlsx",
)  # fmt: skip
# Computed before hidden files were left out and links followed: tidy folders keep their names.
FINGERPRINTS = {
    "camvid11": "05f59d3d3e7203ce", "face_landmarks": "fc2ad4aefd174cb8",
    "cifar10_small": "81a93a1a742c3b21", "hymenoptera": "d526c8dec3054301",
    "mnist_sample": "7bfdcdbbbe88e2c1", "isbi_membrane": "89d8cfdceb4bcb85",
    "movielens": "dc60741664c32838", "california": "a7cb4a1d263f0db0",
    "adult": "a3aecd6acb55985d", "mr_polarity": "c991d17a6154e5ab",
    "imdb_sample": "20879c219e6ea144", "trec": "f61f246ad1847abe",
    "human_numbers": "0f053eefb5d5c709", "mnist_tiny": "0519e5304d9a5222",
    "camvid_tiny": "8afe56be0bc31a9a",
}  # fmt: skip


def values(data):
    return data.inputs[:, 0, 0, 0].tolist(), data.targets.tolist(), data.classes


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_tidy_dataset_keeps_its_fingerprint(data_root, name):
    entry = datasets()[name]
    assert fingerprint(need(data_root, entry.folder), None) == FINGERPRINTS[name]


@pytest.mark.parametrize("litter", LITTER)
def test_what_is_hidden_or_a_system_s_is_no_data(tmp_path, litter):
    folder = classes(tmp_path / "f")
    before, data = fingerprint(folder), values(read("folders", folder, (9, 9), quietly))
    for place in (folder, folder / "train", folder / "train" / "ants", folder / "valid" / "bees"):
        (place / litter).parent.mkdir(parents=True, exist_ok=True)
        (place / litter).write_bytes(picture(250))
    assert fingerprint(folder) == before
    assert values(read("folders", folder, (9, 9), quietly)) == data
    files = dict(contents(folder))
    packed = {f"train/ants/{litter}": picture(250), f"train/{litter}": b"", **files}
    assert list(contents(write_tgz(tmp_path / "a.tgz", packed))) == list(contents(folder))


def test_a_folder_that_is_itself_hidden_is_read(tmp_path):
    folder = classes(tmp_path / ".cache" / "f")
    assert len(read("folders", folder, (9, 9), quietly).inputs) == 4


def test_images_behind_a_link_are_part_of_the_fingerprint(tmp_path):
    street = tmp_path / "camvid11"
    write_street(street, train=4, valid=2)
    shutil.move(street / "images", tmp_path / "elsewhere")
    plain = tmp_path / "plain"
    write_street(plain, train=4, valid=2)
    (street / "images").symlink_to(tmp_path / "elsewhere")
    assert fingerprint(street) == fingerprint(plain), "a link is as good as a folder"
    before = read("camvid", street, (12, 16), quietly)
    cache = tmp_path / "cache"
    first = fingerprint(street, cache)
    changed = tmp_path / "changed"
    shutil.copytree(tmp_path / "elsewhere", changed)
    for path in changed.iterdir():  # as many bytes, written at the same time as before
        old = path.stat()
        turned = path.read_bytes()
        Image.open(BytesIO(turned)).transpose(Image.Transpose.ROTATE_180).save(path)
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    (street / "images").unlink()
    (street / "images").symlink_to(changed)
    assert fingerprint(street, cache) != first
    after = read("camvid", street, (12, 16), quietly)
    assert (after.inputs != before.inputs).any()


def test_a_file_swapped_behind_its_back_is_noticed_with_a_cache(tmp_path):
    folder, cache = classes(tmp_path / "f"), tmp_path / "cache"
    path = folder / "train" / "ants" / "1.png"
    first = fingerprint(folder, cache)
    old, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert fingerprint(folder, cache) != first


def test_a_class_behind_a_link_is_read(tmp_path):
    folder = classes(tmp_path / "f")
    data = values(read("folders", folder, (9, 9), quietly))
    (tmp_path / "away").mkdir()
    shutil.move(folder / "train" / "ants", tmp_path / "away" / "ants")
    (folder / "train" / "ants").symlink_to(tmp_path / "away" / "ants")
    target = folder / "train" / "bees" / "1.png"
    target.rename(tmp_path / "a bee.png")
    target.symlink_to(tmp_path / "a bee.png")
    assert values(read("folders", folder, (9, 9), quietly)) == data
    before = fingerprint(folder)
    (tmp_path / "a bee.png").write_bytes(picture(9))
    assert fingerprint(folder) != before


def test_links_in_circles_end(tmp_path):
    folder = classes(tmp_path / "f")
    before, data = fingerprint(folder), values(read("folders", folder, (9, 9), quietly))
    (folder / "train" / "ants" / "up").symlink_to(folder)
    (folder / "again").symlink_to(".")
    (folder / "valid" / "round").symlink_to(folder / "train" / ".." / "valid")
    assert fingerprint(folder) == before
    assert values(read("folders", folder, (9, 9), quietly)) == data
    (folder / "one.png").symlink_to(folder / "two.png")
    (folder / "two.png").symlink_to(folder / "one.png")
    for ask in (fingerprint, walk, lambda f: read("folders", f, (9, 9), quietly)):
        with pytest.raises(UserError, match=r"(one|two)\.png is a link that leads nowhere"):
            ask(folder)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    folder = classes(tmp_path / "f")
    (folder / "train" / "ants" / "2.png").symlink_to(tmp_path / "gone.png")
    for ask in (fingerprint, lambda f: read("folders", f, (9, 9), quietly)):
        with pytest.raises(UserError, match=r"2\.png is a link that leads nowhere .*take it away"):
            ask(folder)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, kind, monkeypatch):
    folder = classes(tmp_path / "f")
    monkeypatch.chdir(folder / "train")  # a socket's path must be short
    if kind == "pipe":
        os.mkfifo("x.png")
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("x.png")
    assert not stat.S_ISREG(os.stat("x.png").st_mode)
    for ask in (fingerprint, lambda f: read("folders", f, (9, 9), quietly)):
        with pytest.raises(UserError, match=r"x\.png is a pipe, a socket or a device"):
            ask(folder)


@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "abalone.csv", "rt-polarity.neg"])
def test_a_pipe_in_a_file_s_place_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    reader = {"tinyshakespeare.txt": "shakespeare", "abalone.csv": "abalone"}.get(
        name, "mr_polarity"
    )
    with pytest.raises(UserError, match="is a pipe, a socket or a device"):
        read(reader, tmp_path, (8,), quietly)


def test_names_that_are_no_utf8_are_read(tmp_path):
    folder = classes(tmp_path / "f")
    odd = os.fsencode(folder / "train") + b"/caf\xe9"
    os.mkdir(odd)
    with open(odd + b"/\xff1.png", "wb") as file:
        file.write(picture(200))
    assert len(fingerprint(folder, tmp_path / "cache")) == 16
    data = read("folders", folder, (9, 9), quietly)
    assert data.classes == ("ants", "bees", "caf\\xe9")
    json.dumps(data.classes, ensure_ascii=False).encode()
    with open(odd + b"/\xff1.png", "wb") as file:
        file.write(b"no picture")
    with pytest.raises(UserError, match=r"caf\\xe9/\\xff1\.png is corrupt") as caught:
        read("folders", folder, (9, 9), quietly)
    str(caught.value).encode()


def test_one_class_spelt_two_ways_is_one(tmp_path):
    composed, apart = "Z\u00fcrich", "Zu\u0308rich"
    folder = classes(tmp_path / "f", (apart, "ants"))
    (folder / "valid" / apart).rename(folder / "valid" / composed)
    data = read("folders", folder, (9, 9), quietly)
    assert data.classes == (composed, "ants")
    assert sorted(data.targets.tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["Valid", "VAL", "Test", "validation", "Testing"])
def test_the_split_for_validation_may_be_written_large(tmp_path, name):
    folder = classes(tmp_path / "f")
    (folder / "valid").rename(folder / name)
    data = read("folders", folder, (9, 9), quietly)
    assert int(data.valid.sum()) == 2


def test_a_class_that_is_empty_or_slipped_is_named(tmp_path):
    folder = classes(tmp_path / "f")
    (folder / "notes.txt").write_text("a file beside")
    (folder / "train" / "notes.txt").write_text("a file beside")
    (folder / "train" / "ants" / "notes.txt").write_text("a file beside")
    assert read("folders", folder, (9, 9), quietly).classes == ("ants", "bees")
    (folder / "train" / "wasps").mkdir()
    with pytest.raises(UserError, match=r"class folder .*train/wasps holds no images"):
        read("folders", folder, (9, 9), quietly)
    (folder / "train" / "wasps" / "1.png").write_bytes(picture(3))
    assert read("folders", folder, (9, 9), quietly).classes == ("ants", "bees", "wasps")
    (folder / "valid" / "ants").rename(folder / "valid" / "Ants")
    with pytest.raises(UserError, match="'Ants' and 'ants', one word in two spellings"):
        read("folders", folder, (9, 9), quietly)
    (folder / "valid" / "Ants").rename(folder / "valid" / "aunts")
    with pytest.raises(UserError, match="class 'aunts' for validation but none for training"):
        read("folders", folder, (9, 9), quietly)


def test_deeper_images_and_formats_that_are_not_read_are_named(tmp_path):
    folder = classes(tmp_path / "f")
    (folder / "train" / "ants" / "more").mkdir()
    (folder / "train" / "ants" / "more" / "2.png").write_bytes(picture(3))
    with pytest.raises(UserError, match=r"more/2\.png lies deeper than SPLIT/CLASS/IMAGE"):
        read("folders", folder, (9, 9), quietly)
    (folder / "train" / "ants" / "more" / "2.png").rename(folder / "train" / "ants" / "2.heic")
    with pytest.raises(UserError, match=r"2\.heic is a picture of a format that is not read"):
        read("folders", folder, (9, 9), quietly)


def test_one_class_only_is_refused(tmp_path):
    folder = classes(tmp_path / "f", ("ants",))
    with pytest.raises(UserError, match="has one class only, 'ants'"):
        read("folders", folder, (9, 9), quietly)


def test_real_photographs_with_litter_and_links_read_the_same(data_root, tmp_path):
    source, tidy, mine = need(data_root, "hymenoptera"), tmp_path / "tidy", tmp_path / "mine"
    for split in ("train", "val"):
        for name in ("ants", "bees"):
            (tidy / split / name).mkdir(parents=True)
            for path in sorted((source / split / name).iterdir())[:4]:
                shutil.copy(path, tidy / split / name)
    shutil.copytree(tidy, mine)
    shutil.move(mine / "train" / "bees", tmp_path / "bees")
    (mine / "train" / "bees").symlink_to(tmp_path / "bees")
    (mine / "train" / ".ipynb_checkpoints").mkdir()
    (mine / ".DS_Store").write_bytes(b"\0")
    assert fingerprint(mine) == fingerprint(tidy)
    one, two = (read("folders", folder, (32, 32), quietly) for folder in (mine, tidy))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert one.classes == two.classes == ("ants", "bees")


def test_an_archive_without_a_top_folder_is_read(tmp_path):
    folder = classes(tmp_path / "f")
    for base in ("f", "."):
        archive = shutil.make_archive(str(tmp_path / f"a{len(base)}"), "gztar", folder
                                      if base == "." else tmp_path, base)  # fmt: skip
        path = tmp_path / f"a{len(base)}{'x' if base == '.' else ''}.tgz"
        os.rename(archive, path)
        assert list(contents(path)) == list(contents(folder))


def test_where_the_data_are_may_be_written_as_people_do(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert root_of("~/data") == tmp_path / "data"
    assert root_of(f"{tmp_path}/data/") == tmp_path / "data"
    monkeypatch.setenv("LRSUGGEST_DATA", "~/data/")
    assert root_of(None) == tmp_path / "data"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; give --data"):
        root_of(tmp_path / "file")
    with pytest.raises(UserError, match="a user who is not known here"):
        root_of("~nobody-of-this-name/data")
    (tmp_path / "data" / "camvid11.zip").write_bytes(b"")
    with pytest.raises(UserError, match=r"unpack .*camvid11\.zip to it"):
        locate(dataset("camvid11"), tmp_path / "data")


def test_an_empty_folder_is_refused(tmp_path):
    for reader in ("folders", "camvid", "camvid_tiny", "isbi", "biwi", "face_landmarks"):
        with pytest.raises(UserError, match=str(tmp_path)):
            read(reader, tmp_path, (8, 8), quietly)


def test_of_two_members_of_one_name_the_later_counts(tmp_path):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for value in (200, 9):
            content = picture(value)
            member = tarfile.TarInfo("top/train/ants/1.png")
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    assert list(contents(path)) == [("train/ants/1.png", picture(9))]


def test_a_link_in_an_archive_that_leads_nowhere_is_one_sentence(tmp_path):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("top/train/ants/1.png")
        member.type, member.linkname = tarfile.SYMTYPE, "gone.png"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"a\.tgz is damaged \(a link in it leads nowhere\)"):
        read("folders", path, (9, 9), quietly)
