"""One reader per on-disk layout: a folder and a size in, resident arrays out."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.files import Progress, contents, lines, no_progress, open_image, pixels
from lrsuggest.tasks.data.folders import read_folders, read_isbi
from lrsuggest.tasks.data.packaged import packaged, read_packaged
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.tables import read_movielens, read_table, tables
from lrsuggest.tasks.data.texts import (
    labelled,
    read_human_numbers,
    read_labelled,
    read_shakespeare,
)

Split = Literal["valid", "test"]
_FAR = 1e6  # pixels
_FRAMES = (".png", ".jpg", ".jpeg")


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
    codes = tuple(lines(folder / "codes.txt"))
    valid_names = set(lines(folder / "valid.txt"))
    left_out = set(lines(folder / "test.txt")) if (folder / "test.txt").exists() else set()
    if split == "test":
        if not left_out:
            raise UserError(f"{folder} has no test.txt, so no test split; ask for valid")
        valid_names, left_out = left_out, valid_names
    names = sorted(
        p.name for p in (folder / "images").glob("*")
        if p.suffix.lower() in _FRAMES and p.name not in left_out
    )  # fmt: skip
    if not names:
        raise UserError(f"{folder / 'images'} holds no .png or .jpg; give the extracted dataset")
    lost = valid_names - set(names)
    if lost:
        raise UserError(f"{split}.txt names {min(lost)}, which is not in {folder / 'images'}")
    valid = np.array([name in valid_names for name in names])
    return _segmented(folder, names, valid, codes, size, progress)


def read_camvid_tiny(source: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read the course's sample of CamVid, from its .tgz or unpacked: images/, labels/, codes.txt.

    It has no valid.txt: in the order of the names every fifth frame, from the fifth on, is for
    validation. Its neighbours of the same drive are trained on, so that a score is higher than
    on frames of another drive.

    Raises:
        UserError: a file is missing or corrupt, or a mask does not fit.
    """
    held = dict(contents(source))
    names = [PurePosixPath(n).name for n in held if PurePosixPath(n).suffix.lower() in _FRAMES
             and n.startswith("images/")]  # fmt: skip
    if not names or "codes.txt" not in held:
        raise UserError(f"{source} holds no images/ or no codes.txt; fetch camvid_tiny again")
    lost = {_mask_of(name) for name in names} - held.keys()
    if lost:
        raise UserError(f"{source} lacks the mask {min(lost)}; fetch camvid_tiny again")
    valid = np.arange(len(names)) % 5 == 4
    codes = tuple(held["codes.txt"].decode("utf-8", "replace").split())
    return _segmented(source, names, valid, codes, size, progress, held)


def _mask_of(name: str) -> str:
    return f"labels/{PurePosixPath(name).stem}_P.png"


def _segmented(
    source: Path,
    names: Sequence[str],
    valid: NDArray[np.bool_],
    codes: tuple[str, ...],
    size: Size,
    progress: Progress,
    held: Mapping[str, bytes] | None = None,
) -> Resident:
    """Read frames and their masks, from the bytes of an archive or, without, from the folder."""
    held = held or {}
    images = np.empty((len(names), 3, *size), np.uint8)
    masks = np.empty((len(names), *size), np.uint8)
    for index, name in enumerate(names):
        image = open_image(source / "images" / name, held.get(f"images/{name}"))
        label = source / _mask_of(name)
        mask = open_image(label, held.get(_mask_of(name)))
        if mask.size != image.size:
            raise UserError(
                f"{label} is {mask.size[0]}x{mask.size[1]}, but its image is "
                f"{image.size[0]}x{image.size[1]}; a mask must have its image's size"
            )
        if len(mask.getbands()) != 1:
            raise UserError(f"{label} has {len(mask.getbands())} channels; a mask has one")
        highest = int(np.asarray(mask).max())
        if highest >= len(codes):
            raise UserError(
                f"{label} holds class {highest}, but codes.txt names only 0 to {len(codes) - 1}"
            )
        images[index] = pixels(image, size)
        masks[index] = np.asarray(mask.resize((size[1], size[0]), Image.Resampling.NEAREST))
        progress(index + 1, len(names))
    return Resident(images, masks, valid, codes)


def _mirror_68() -> tuple[int, ...]:
    """The left-right swap of the 68-point face annotation (Multi-PIE / iBUG 300-W)."""
    swap = list(range(68))
    runs = [(0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67)]
    for first, last in runs:
        swap[first : last + 1] = range(last, first - 1, -1)
    for left, right in ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)):
        swap[left], swap[right] = right, left
    return tuple(swap)


def read_face_landmarks(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read images/ and landmarks.csv: file, person, valid, then x and y of 68 points in pixels.

    Raises:
        UserError: a file is missing or corrupt, or a row is not as described.
    """
    table = folder / "landmarks.csv"
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        raise UserError(f"{table} is missing; it lists the faces and their points") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is damaged ({error}); restore it from its source") from None
    if not rows:
        raise UserError(f"{table} has no rows; restore it from its source")
    images = np.empty((len(rows), 3, *size), np.uint8)
    points = np.empty((len(rows), 68, 2), np.float32)
    valid = np.zeros(len(rows), bool)
    for index, row in enumerate(rows):
        try:
            xy = np.array([[float(row[f"{a}{k}"]) for a in "xy"] for k in range(68)])
            path = folder / "images" / row["file"]
            valid[index] = bool(("0", "1").index(row["valid"]))
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{table}, line {index + 2}, must hold file, person, valid (0 or 1), x0, y0 … y67"
            ) from None
        image = open_image(path)
        scale = np.array([size[1] / image.width, size[0] / image.height])
        # Centres of pixels lie at whole numbers, so the grid's edge is half a pixel before 0.
        points[index] = (xy + 0.5) * scale - 0.5
        images[index] = pixels(image, size)
        progress(index + 1, len(rows))
    return Resident(images, points, valid, mirror=_mirror_68())


def project(centre: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project a point in front of the camera onto the image: (x, y) in pixels.

    Args:
        centre: (x, y, z) in millimetres in the camera's frame, z away from it.
        calibration: the camera's 3x3 intrinsic matrix.
    """
    seen = calibration @ centre
    return np.asarray(seen[:2] / seen[2])


def _head_centre(frame: Path) -> NDArray[np.float64]:
    """The head's centre in millimetres, from frame_XXXXX_pose.txt or the shorter _pose.bin.

    The text holds a 3x3 rotation and the centre; the binary six little-endian floats, the centre
    first (Fanelli et al., IJCV 2013, the dataset's readme).
    """
    stem = frame.stem.removesuffix("_rgb")
    text, binary = frame.with_name(f"{stem}_pose.txt"), frame.with_name(f"{stem}_pose.bin")
    try:
        if text.exists():
            return np.array(text.read_text("ascii").split()[9:12], float).reshape(3)
        return np.frombuffer(binary.read_bytes(), "<f4", count=3).astype(float)
    except FileNotFoundError:
        raise UserError(f"{frame} has no pose; put {text.name} beside it") from None
    except ValueError:
        raise UserError(f"the pose of {frame} is damaged; restore it from the archive") from None


def read_biwi(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read the BIWI Kinect head poses: the projected centre of the head is the point.

    One folder per person with rgb.cal and frame_XXXXX_rgb.png or .jpg. Person 13 is for
    validation, as in the course.

    Raises:
        UserError: a file is missing or corrupt.
    """
    # The original frames are PNG, those of the course's archive JPEG.
    frames = sorted(p for p in folder.glob("*/frame_*_rgb.*") if p.suffix in (".png", ".jpg"))
    if not frames:
        raise UserError(f"{folder} holds no 01/frame_XXXXX_rgb.png; give the extracted dataset")
    images = np.empty((len(frames), 3, *size), np.uint8)
    points = np.empty((len(frames), 1, 2), np.float32)
    calibrations: dict[Path, NDArray[np.float64]] = {}
    for index, frame in enumerate(frames):
        if frame.parent not in calibrations:
            numbers = " ".join(lines(frame.parent / "rgb.cal")).split()[:9]
            try:
                calibrations[frame.parent] = np.array(numbers, float).reshape(3, 3)
            except ValueError:
                raise UserError(
                    f"{frame.parent / 'rgb.cal'} must begin with the camera's 3x3 matrix"
                ) from None
        image = open_image(frame)
        scale = np.array([size[1] / image.width, size[0] / image.height])
        with np.errstate(all="ignore"):
            xy = project(_head_centre(frame), calibrations[frame.parent])
        if not (np.abs(xy) < _FAR).all():  # NaN included
            raise UserError(
                f"the pose of {frame} and rgb.cal give no point of the image; restore both from "
                "the archive"
            )
        points[index, 0] = (xy + 0.5) * scale - 0.5
        images[index] = pixels(image, size)
        progress(index + 1, len(frames))
    valid = np.array([frame.parent.name == "13" for frame in frames])
    return Resident(images, points, valid, mirror=(0,))


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


def read(
    reader: str, source: Path | None, size: Size, progress: Progress, split: Split = "valid"
) -> Resident:
    """Read a dataset with the reader that datasets.toml names, from its folder or archive.

    With split "test" the examples marked `valid` are those of a test split, which few have.

    Raises:
        UserError: there is no such reader, or the data are not as it expects.
    """
    if split == "test" and reader != "camvid":
        raise UserError(f"the reader {reader} knows of no test split; ask for valid")
    if reader == "digits":
        return read_digits(source, size, progress)
    if reader in packaged():
        return read_packaged(reader, size)
    if reader in tables():
        return read_table(reader, source)
    if source is None:
        raise UserError(f"the reader {reader} needs a folder")
    if reader in labelled():
        data = read_labelled(reader, source, size[0])
    elif reader == "movielens":
        data = read_movielens(source)
    elif reader in _RUNNING:
        data = _RUNNING[reader](source, size[0])
    elif reader == "grey_folders":
        data = read_folders(source, size, progress, mode="L")
    elif reader == "camvid":
        data = read_camvid(source, size, progress, split)
    elif reader in _IMAGES:
        data = _IMAGES[reader](source, size, progress)
    else:
        known = ("camvid", *_IMAGES, "grey_folders", *_RUNNING, *labelled(), *tables(), *packaged(),
                 "movielens", "digits")  # fmt: skip
        raise UserError(f"there is no reader {reader!r}; use {', '.join(known)}")
    if data.valid.all() or not data.valid.any():
        lacking = "training" if data.valid.all() else "validation"
        raise UserError(f"{source} leaves nothing for {lacking}; mend its list of valid examples")
    return data


_IMAGES: dict[str, Callable[[Path, Size, Progress], Resident]] = {
    "face_landmarks": read_face_landmarks, "biwi": read_biwi,
    "folders": read_folders, "isbi": read_isbi, "camvid_tiny": read_camvid_tiny,
}  # fmt: skip
_RUNNING = {"shakespeare": read_shakespeare, "human_numbers": read_human_numbers}
