"""Readers of street scenes with their masks, and of scikit-learn's digits."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.pictures import pixels
from lrsuggest.tasks.data.readers.registry import PICTURES, reader
from lrsuggest.tasks.data.resident import Resident, Size, Split
from lrsuggest.tasks.data.sources import Files, Progress, no_progress


@reader("camvid", size=PICTURES, splits=("valid", "test"))
def read_camvid(
    folder: Path, size: Size, progress: Progress = no_progress, split: Split = "valid"
) -> Resident:
    """Read CamVid's layout: images/, labels/ with `_P.png`, codes.txt, valid.txt.

    Frames named in test.txt, where there is one, are left out; with split "test" they take the
    place of those in valid.txt. Masks are resized to the nearest pixel, images with antialiasing.

    Raises:
        UserError: a file is missing or corrupt, a mask's size differs from its image's, or a
            mask holds a class beyond codes.txt.
    """
    files = Files(folder)
    codes = tuple(files.lines("codes.txt"))
    frames = files.pictures("images")
    if not frames:
        raise UserError(f"{folder / 'images'} holds no .png or .jpg; give the extracted dataset")
    listed = {"valid": _listed(files, "valid.txt")}
    listed["test"] = _listed(files, "test.txt") if "test.txt" in files else set()
    if twice := listed["valid"] & listed["test"]:
        raise UserError(
            f"valid.txt and test.txt of {folder} both name {PurePosixPath(min(twice)).name}; "
            "leave it in one of them"
        )
    if split == "test" and not listed["test"]:
        raise UserError(f"{folder} has no test.txt, so no test split; ask for valid")
    left_out = listed["valid" if split == "test" else "test"]
    names = [name for name in frames if name not in left_out]
    valid = np.array([name in listed[split] for name in names], bool)
    _check_masks(files, frames)
    return _segmented(files, names, valid, codes, size, progress)


def _listed(files: Files, name: str) -> set[str]:
    """Return the frames that a list of names stands for.

    Raises:
        UserError: the list is missing, or names a frame that is not there.
    """
    found = {line: files.find(line, "images") for line in files.lines(name)}
    lost = [line for line, frame in found.items() if frame is None]
    if lost:
        raise UserError(f"{name} names {min(lost)}, which is not in {files['images']}")
    return {frame for frame in found.values() if frame is not None}


@reader("camvid_tiny", size=PICTURES)
def read_camvid_tiny(source: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read the course's sample of CamVid, from its .tgz or unpacked: images/, labels/, codes.txt.

    It has no valid.txt: in the order of the names every fifth frame, from the fifth on, is for
    validation. Its neighbours of the same drive are trained on, so that a score is higher than
    on frames of another drive.

    Raises:
        UserError: a file is missing or corrupt, or a mask does not fit.
    """
    files = Files(source)
    names = files.pictures("images")
    if not names or "codes.txt" not in files:
        raise UserError(f"{source} holds no images/ or no codes.txt; fetch camvid_tiny again")
    lost = [_mask_of(name) for name in names if files.find(_mask_of(name)) is None]
    if lost:
        raise UserError(f"{source} lacks the mask {min(lost)}; fetch camvid_tiny again")
    _check_masks(files, names)
    valid = np.arange(len(names)) % 5 == 4
    codes = tuple(files.text("codes.txt").split())
    return _segmented(files, names, valid, codes, size, progress)


def _mask_of(name: str) -> str:
    return f"labels/{PurePosixPath(name).stem}_P.png"


def _check_masks(files: Files, frames: Sequence[str]) -> None:
    """Refuse a mask that has no frame, or two of them.

    Raises:
        UserError: there is one; most likely a frame was lost on the way.
    """
    owners: dict[str, str] = {}
    for frame in frames:
        mask = files.find(_mask_of(frame)) or _mask_of(frame)
        if mask in owners:
            raise UserError(
                f"{files[owners[mask]]} and {files[frame]} have one mask, {mask}; leave one of them"
            )
        owners[mask] = frame
    for name in files.pictures("labels"):
        if name not in owners:
            raise UserError(
                f"the mask {files[name]} has no image in {files['images']}; restore the image or "
                "take the mask away"
            )


def _segmented(
    files: Files,
    names: Sequence[str],
    valid: NDArray[np.bool_],
    codes: tuple[str, ...],
    size: Size,
    progress: Progress,
) -> Resident:
    """Read frames and their masks."""
    images = np.empty((len(names), 3, *size), np.uint8)
    masks = np.empty((len(names), *size), np.uint8)
    for index, name in enumerate(names):
        image = files.image(name, upright=True)
        label = files.find(_mask_of(name)) or _mask_of(name)
        mask = files.mask(label)
        if mask.size != image.size:
            raise UserError(
                f"{files[label]} is {mask.size[0]}x{mask.size[1]}, but its image is "
                f"{image.size[0]}x{image.size[1]}; a mask must have its image's size"
            )
        highest = int(np.asarray(mask).max())
        if highest >= len(codes):
            raise UserError(
                f"{files[label]} holds class {highest}, but codes.txt names only 0 to "
                f"{len(codes) - 1}"
            )
        images[index] = pixels(image, size)
        masks[index] = np.asarray(mask.resize((size[1], size[0]), Image.Resampling.NEAREST))
        progress(index + 1, len(names))
    return Resident(images, masks, valid, codes)


@reader("digits", size=PICTURES, source=False)
def read_digits(folder: Path | None, size: Size, progress: Progress = no_progress) -> Resident:
    """Read scikit-learn's 1,797 digits; the last fifth, by other writers, is for validation.

    Raises:
        UserError: another size than 8x8 is asked for.
    """
    from sklearn.datasets import load_digits

    if size != (8, 8):
        raise UserError(f"digits exist at 8x8 only; the suite asks for {size[0]}x{size[1]}")
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    valid = np.arange(len(images)) >= len(images) * 4 // 5
    progress(len(images), len(images))
    return Resident(images, bunch.target.astype(np.int64), valid, tuple("0123456789"))
