"""Readers of images sorted into folders by class, and of images beside their masks."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.pictures import pixels
from lrsuggest.tasks.data.readers.frames import check_words
from lrsuggest.tasks.data.readers.registry import PICTURES, reader
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.sources import Files, Progress, no_progress, shown

_TRAIN = {"train", "training"}  # in capitals or not, as those
_VALID = {"valid", "val", "validation", "test", "testing"}
_TILES = 2  # a side of an ISBI image is cut in so many, for there are only 30 images


@reader("folders", size=PICTURES)
def read_folders(
    source: Path, size: Size, progress: Progress = no_progress, *, mode: str = "RGB"
) -> Resident:
    """Read SPLIT/CLASS/IMAGE from a folder or a .tgz.

    The splits valid, val, validation, test and testing validate, in capitals or not; the others
    are trained on, but beside train (or training) no other may lie.

    Args:
        source: folder or archive.
        size: height and width in pixels.
        progress: told after each image.
        mode: Pillow's, "RGB" or "L".

    Raises:
        UserError: it holds no such images, a corrupt one, a class without images, or a split of
            which nobody knows what it is for.
    """
    files = Files(source)
    names = [name for name in files if name.count("/") >= 2 and files.is_picture(name)]
    found = [PurePosixPath(name) for name in names if name.count("/") == 2]
    if not found:
        raise UserError(f"{source} holds no SPLIT/CLASS/IMAGE; give the dataset as published")
    splits = {path.parts[0] for path in found}
    _check_places(files, names, splits)
    _check_splits(source, splits)
    labels = [shown(path.parts[1]) for path in found]
    valid = np.array([path.parts[0].casefold() in _VALID for path in found])
    _check_classes(files, found, zip(labels, valid.tolist(), strict=True))
    classes, codes = np.unique(labels, return_inverse=True)
    images = []
    for index, path in enumerate(found):
        images.append(pixels(files.image(path.as_posix()), size, mode))
        progress(index + 1, len(found))
    return Resident(np.stack(images), codes.astype(np.int64), valid, tuple(classes.tolist()))


def _check_places(files: Files, names: list[str], splits: set[str]) -> None:
    """Refuse an image that lies in a split but in no class, or below a class.

    Raises:
        UserError: there is one.
    """
    for name in names:
        if name.count("/") > 2 and PurePosixPath(name).parts[0] in splits:
            raise UserError(f"{files[name]} lies deeper than SPLIT/CLASS/IMAGE; move it up")
    for split in sorted(splits):
        for name in files.pictures(split):
            raise UserError(
                f"{files[name]} lies beside the class folders, in none of them; move it into one "
                "or take it away"
            )


def _check_splits(source: Path, splits: set[str]) -> None:
    """Refuse splits that do not tell what to train on and what to validate on.

    Raises:
        UserError: there is such a split, or none to train or to validate on.
    """
    folded = {split: split.casefold() for split in sorted(splits)}
    trained = [split for split, name in folded.items() if name not in _VALID]
    unknown = [split for split in trained if folded[split] not in _TRAIN]
    if unknown and len(unknown) < len(trained):
        raise UserError(
            f"{source / unknown[0]} lies beside {source / (set(trained) - set(unknown)).pop()}, "
            "but is neither train nor valid, val, validation, test or testing; rename it to one of "
            "these, or take it away"
        )
    beside = ", ".join(folded)
    if not trained:
        raise UserError(f"{source} leaves nothing for training, for it holds only {beside}; name "
                        "a folder train")  # fmt: skip
    if len(trained) == len(splits):
        raise UserError(f"{source} leaves nothing for validation, for it holds only {beside}; name "
                        "a folder valid (or val, validation, test, testing)")  # fmt: skip


def _check_classes(
    files: Files, found: list[PurePosixPath], labels: Iterable[tuple[str, bool]]
) -> None:
    """Refuse a class that is empty or that no training image has: most likely a slip.

    Raises:
        UserError: there is one; the sentence names its folder.
    """
    source = files.source
    filled = {path.parts[:2] for path in found}
    splits = {path.parts[0] for path in found}
    for name in files.folders():
        parts = PurePosixPath(name).parts
        if len(parts) == 2 and parts[0] in splits and parts not in filled:
            raise UserError(
                f"the class folder {files[name]} holds no images; put them there or take it away"
            )
    held = defaultdict(set)
    for label, valid in labels:
        held[label].add(valid)
    check_words(sorted(held), str(source))
    alone = sorted(label for label, parts in held.items() if parts == {True})
    if alone and any(False in parts for parts in held.values()):
        raise UserError(
            f"{source} has images of the class {alone[0]!r} for validation but none for training; "
            "give the class one name in both, or put images of it into training"
        )


@reader("grey_folders", size=PICTURES)
def read_grey_folders(source: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read `read_folders`' layout as brightness alone."""
    return read_folders(source, size, progress, mode="L")


@reader("isbi", size=PICTURES)
def read_isbi(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read ISBI's membranes: train/image and train/label, cut into quarters of `size`.

    The last six images of the thirty are for validation. Class 1 is cell, 0 membrane.

    Raises:
        UserError: a file is missing or corrupt.
    """
    files = Files(folder)
    names = files.pictures("train/image")
    if not names:
        raise UserError(
            f"{folder / 'train' / 'image'} holds no .png; give the dataset as published"
        )
    for name in names:
        if not PurePosixPath(name).stem.isdecimal():
            raise UserError(f"{files[name]} must have a number for its name, as published")
    names.sort(key=lambda name: int(PurePosixPath(name).stem))
    whole = (size[0] * _TILES, size[1] * _TILES)
    images, masks = [], []
    for index, name in enumerate(names):
        label = f"train/label/{PurePosixPath(name).name}"
        picture, drawn = files.image(name, upright=True), files.binary(label)
        if drawn.size != picture.size:
            raise UserError(
                f"{files[label]} is {drawn.size[0]}x{drawn.size[1]}, but its image is "
                f"{picture.size[0]}x{picture.size[1]}; a mask must have its image's size"
            )
        image, mask = pixels(picture, whole), pixels(drawn, whole, "L")[0] > 127
        for top in range(0, whole[0], size[0]):
            for left in range(0, whole[1], size[1]):
                here = np.s_[top : top + size[0], left : left + size[1]]
                images.append(image[:, here[0], here[1]])
                masks.append(mask[here].astype(np.uint8))
        progress(index + 1, len(names))
    valid = np.arange(len(images)) >= (len(names) - 6) * _TILES**2
    return Resident(np.stack(images), np.stack(masks), valid, ("membrane", "cell"))
