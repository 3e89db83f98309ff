"""Real photographs and membranes where they are at hand, and files in the same layouts."""

import numpy as np
import pytest
from helpers import damage, need, write_tgz
from PIL import Image
from task_files import picture, png

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.pictures import open_image, pixels
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.folders import read_folders, read_isbi
from lrsuggest.tasks.data.sources import contents


def quietly(done, of):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "where", "size", "channels", "train", "valid", "classes"),
    [
        ("grey_folders", "archives/mnist_sample.tgz", (7, 7), 1, 12_396, 2_038, ("3", "7")),
        ("grey_folders", "archives/mnist_tiny.tgz", (7, 7), 1, 709, 699, ("3", "7")),
        ("folders", "hymenoptera", (16, 16), 3, 243, 153, ("ants", "bees")),
        ("folders", "cifar10_small", (8, 8), 3, 5_000, 1_000, None),
    ],
)
def test_sorted_images_are_read_whole(
    data_root, reader, where, size, channels, train, valid, classes
):
    data = read(reader, need(data_root, where), size, quietly)
    assert data.inputs.shape == (train + valid, channels, *size)
    assert data.inputs.dtype == np.uint8
    assert (int((~data.valid).sum()), int(data.valid.sum())) == (train, valid)
    assert len(data.classes) == 10 if classes is None else data.classes == classes
    for held in (False, True):
        assert set(data.targets[data.valid == held]) == set(range(len(data.classes)))
    assert len(np.unique(data.inputs.reshape(len(data.inputs), -1), axis=0)) > 0.99 * (
        train + valid
    )


FILES = {
    "train/dark/1.png": png(20), "train/light/1.png": png(220), "train/light/2.PNG": png(210, "L"),
    "valid/dark/9.png": png(30, "P"), "test/light/3.png": png(200, "RGBA"),
    "labels.csv": b"a,b\n", "readme.png": b"not one of them",
}  # fmt: skip


def write_folder(folder):
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_and_its_archive_read_alike(tmp_path):
    folder, archive = write_folder(tmp_path / "f"), write_tgz(tmp_path / "a.tgz", FILES)
    assert list(contents(folder)) == list(contents(archive))
    told = []
    one = read("folders", folder, (6, 9), lambda done, of: told.append((done, of)))
    two = read("folders", archive, (6, 9), quietly)
    assert told == [(k, 5) for k in range(1, 6)]
    for name in ("inputs", "targets", "valid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.inputs.shape == (5, 3, 6, 9)
    assert one.classes == two.classes == ("dark", "light")
    # In order of path: test/light, train/dark, train/light twice, valid/dark.
    assert one.targets.tolist() == [1, 0, 1, 1, 0]
    assert one.valid.tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(one.inputs.mean((1, 2, 3)) > 128, one.targets)
    assert read("grey_folders", folder, (6, 9), quietly).inputs.shape == (5, 1, 6, 9)


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "missing"])
def test_a_damaged_archive_is_one_sentence(tmp_path, how):
    path = damage(write_tgz(tmp_path / "a.tgz", FILES), how)
    with pytest.raises(UserError, match=r"(?s)a\.tgz is damaged .*; fetch it again"):
        read_folders(path, (6, 6))


@pytest.mark.parametrize("harm", [b"", b"no image", FILES["train/dark/1.png"][:200]])
def test_a_corrupt_image_is_named_wherever_it_lies(tmp_path, harm):
    files = {**FILES, "train/dark/1.png": harm}
    archive = write_tgz(tmp_path / "a.tgz", files)
    folder = write_folder(tmp_path / "f")
    (folder / "train" / "dark" / "1.png").write_bytes(harm)
    for source in (archive, folder):
        with pytest.raises(UserError, match=r"train/dark/1\.png is corrupt") as caught:
            read_folders(source, (6, 6))
        assert str(source) in str(caught.value)


def test_a_folder_without_classes_or_split_is_refused(tmp_path):
    (tmp_path / "ants").mkdir()
    (tmp_path / "ants" / "1.png").write_bytes(png(9))
    with pytest.raises(UserError, match="holds no SPLIT/CLASS/IMAGE"):
        read_folders(tmp_path, (6, 6))
    (tmp_path / "train" / "ants").mkdir(parents=True)
    (tmp_path / "ants" / "1.png").rename(tmp_path / "train" / "ants" / "1.png")
    with pytest.raises(UserError, match="leaves nothing for validation"):
        read("folders", tmp_path, (6, 6), quietly)


def quarters_back(parts):
    """Put four quarters, in the order left to right and top to bottom, together."""
    top, bottom = np.concatenate(parts[:2], -1), np.concatenate(parts[2:4], -1)
    return np.concatenate([top, bottom], -2)


@pytest.mark.slow
def test_membranes_are_cut_into_quarters_of_the_whole(data_root):
    folder = need(data_root, "isbi_membrane")
    data = read_isbi(folder, (64, 64))
    assert data.inputs.shape == (120, 3, 64, 64)
    assert data.targets.shape == (120, 64, 64)
    assert set(np.unique(data.targets)) == {0, 1}
    assert data.classes == ("membrane", "cell")
    assert 0.7 < data.targets.mean() < 0.85, "most of a picture is cell"
    # Membranes are dark under the microscope.
    grey = data.inputs[:, 0]
    assert grey[data.targets == 0].mean() < grey[data.targets == 1].mean() - 20
    np.testing.assert_array_equal(np.flatnonzero(data.valid), np.arange(96, 120))
    for number in (0, 29):
        whole = pixels(open_image(folder / "train" / "image" / f"{number}.png"), (128, 128))
        np.testing.assert_array_equal(quarters_back(data.inputs[4 * number :]), whole)


def membranes(folder, n=8):
    rng = np.random.default_rng(0)
    for name in ("image", "label"):
        (folder / "train" / name).mkdir(parents=True)
    for index in range(n):
        mask = (rng.random((16, 20)) < 0.7) * np.uint8(255)
        Image.fromarray(mask).save(folder / "train" / "label" / f"{index}.png")
        picture = np.full((16, 20), 10 * index, np.uint8)
        Image.fromarray(picture).save(folder / "train" / "image" / f"{index}.png")
    return folder


def test_quarters_of_masks_stay_binary_and_in_the_order_of_the_numbers(tmp_path):
    folder = membranes(tmp_path, 12)
    data = read("isbi", folder, (8, 10), quietly)
    assert data.inputs[:, 0, 0, 0].tolist() == [10 * k for k in range(12) for _ in range(4)]
    assert data.valid.tolist() == [False] * 24 + [True] * 24
    for index in range(12):
        mask = np.asarray(Image.open(folder / "train" / "label" / f"{index}.png"))
        np.testing.assert_array_equal(quarters_back(data.targets[4 * index :]), mask > 127)
    smaller = read("isbi", folder, (3, 5), quietly)
    assert set(np.unique(smaller.targets)) == {0, 1}


def test_lacking_and_corrupt_membranes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"train/image holds no \.png"):
        read_isbi(tmp_path, (8, 8))
    folder = membranes(tmp_path)
    (folder / "train" / "label" / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"label/3\.png is corrupt"):
        read_isbi(folder, (8, 8))
    (folder / "train" / "label" / "3.png").unlink()
    with pytest.raises(UserError, match=r"label/3\.png is missing"):
        read_isbi(folder, (8, 8))


def test_one_class_in_two_spellings_is_refused(tmp_path):
    for split in ("train", "valid"):
        for name in ("Cat", "cat", "a", "A"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.png").write_bytes(picture(3))
    with pytest.raises(UserError, match="holds 'Cat' and 'cat', one word in two spellings"):
        read_folders(tmp_path, (6, 6))
    for split in ("train", "valid"):
        (tmp_path / split / "cat").rename(tmp_path / split / "dog")
    assert set(read_folders(tmp_path, (6, 6)).classes) == {"Cat", "dog", "a", "A"}
