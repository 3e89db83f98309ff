"""Readers of images sorted into folders by class, and of images beside their masks."""

from pathlib import Path, PurePosixPath

import numpy as np

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.files import Progress, contents, no_progress, open_image, pixels
from lrsuggest.tasks.data.resident import Resident, Size

_IMAGES = {".png", ".jpg", ".jpeg"}
_VALID = {"valid", "val", "test", "testing"}
_TILES = 2  # a side of an ISBI image is cut in so many, for there are only 30 images


def read_folders(
    source: Path, size: Size, progress: Progress = no_progress, *, mode: str = "RGB"
) -> Resident:
    """Read SPLIT/CLASS/IMAGE from a folder or a .tgz; split valid, val, test or testing validates.

    Args:
        source: folder or archive.
        size: height and width in pixels.
        progress: told after each image.
        mode: Pillow's, "RGB" or "L".

    Raises:
        UserError: it holds no such images, or a corrupt one.
    """
    found = [
        (PurePosixPath(name), content)
        for name, content in contents(source)
        if PurePosixPath(name).suffix.lower() in _IMAGES and name.count("/") == 2
    ]
    if not found:
        raise UserError(f"{source} holds no SPLIT/CLASS/IMAGE; give the dataset as published")
    labels = [path.parts[1] for path, _ in found]
    classes, codes = np.unique(labels, return_inverse=True)
    images = []
    for index, (path, content) in enumerate(found):
        images.append(pixels(open_image(source / path, content), size, mode))
        progress(index + 1, len(found))
    valid = np.array([path.parts[0] in _VALID for path, _ in found])
    return Resident(np.stack(images), codes.astype(np.int64), valid, tuple(classes.tolist()))


def read_isbi(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read ISBI's membranes: train/image and train/label, cut into quarters of `size`.

    The last six images of the thirty are for validation. Class 1 is cell, 0 membrane.

    Raises:
        UserError: a file is missing or corrupt.
    """
    paths = sorted((folder / "train" / "image").glob("*.png"), key=lambda p: int(p.stem))
    if not paths:
        raise UserError(
            f"{folder / 'train' / 'image'} holds no .png; give the dataset as published"
        )
    whole = (size[0] * _TILES, size[1] * _TILES)
    images, masks = [], []
    for index, path in enumerate(paths):
        image = pixels(open_image(path), whole)
        mask = pixels(open_image(folder / "train" / "label" / path.name), whole, "L")[0] > 127
        for top in range(0, whole[0], size[0]):
            for left in range(0, whole[1], size[1]):
                here = np.s_[top : top + size[0], left : left + size[1]]
                images.append(image[:, here[0], here[1]])
                masks.append(mask[here].astype(np.uint8))
        progress(index + 1, len(paths))
    valid = np.arange(len(images)) >= (len(paths) - 6) * _TILES**2
    return Resident(np.stack(images), np.stack(masks), valid, ("membrane", "cell"))
