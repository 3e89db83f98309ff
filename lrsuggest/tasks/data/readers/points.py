"""Readers of pictures with points: faces with their landmarks, heads with their centre."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lrsuggest.errors import UserError
from lrsuggest.tabular import number
from lrsuggest.tasks.data.pictures import pixels
from lrsuggest.tasks.data.readers.frames import read_cells
from lrsuggest.tasks.data.readers.registry import PICTURES, reader
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.sources import Files, Progress, no_progress

_FAR = 1e6  # pixels
_BEYOND = 1.0  # of the picture's width and height, from its middle: half a picture outside
_FLAGS = {"0": False, "1": True, "false": False, "true": True}
_FRAME = re.compile(r"[^/]+/frame_[^/]*_rgb\.(png|jpe?g)", re.IGNORECASE)


def _mirror_68() -> tuple[int, ...]:
    """The left-right swap of the 68-point face annotation (Multi-PIE / iBUG 300-W)."""
    swap = list(range(68))
    runs = [(0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67)]
    for first, last in runs:
        swap[first : last + 1] = range(last, first - 1, -1)
    for left, right in ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)):
        swap[left], swap[right] = right, left
    return tuple(swap)


@reader("face_landmarks", size=PICTURES)
def read_face_landmarks(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read images/ and landmarks.csv: file, person, valid, then x and y of 68 points in pixels.

    Raises:
        UserError: a file is missing or corrupt, or a row is not as described.
    """
    files = Files(folder)
    table = files["landmarks.csv"]
    cells = read_cells(table, files.content("landmarks.csv"))
    cells.columns = cells.columns.str.casefold()
    images = np.empty((len(cells), 3, *size), np.uint8)
    points = np.empty((len(cells), 68, 2), np.float32)
    splits: dict[str, bool] = {}
    for index, (line, row) in enumerate(zip(cells.index, cells.to_dict("records"), strict=True)):
        try:
            xy = np.array([[number(row[f"{a}{k}"]) for a in "xy"] for k in range(68)])
            name = files.find(row["file"], "images") if row["file"] else None
            valid = _FLAGS[row["valid"].casefold()]
        except (KeyError, ValueError):
            raise UserError(
                f"{table}, line {line}, must hold file, person, valid (0 or 1), x0, y0 … y67"
            ) from None
        if not (np.abs(xy) < _FAR).all():  # NaN included
            k, a = np.argwhere(~(np.abs(xy) < _FAR))[0]
            name = f"{'xy'[a]}{k}"
            raise UserError(
                f"{table}, line {line}: {name} is {row[name]}, which is no place in a picture; "
                "mend it or take the row away"
            )
        if name is None:
            raise UserError(
                f"{table}, line {line} names {row['file']!r}, which is not in {files['images']}"
            )
        if splits.setdefault(name, valid) is not valid:
            raise UserError(
                f"{table}, line {line} names {row['file']} for training and for validation; leave "
                "it in one"
            )
        image = files.image(name, upright=True)
        scale = np.array([size[1] / image.width, size[0] / image.height])
        # Centres of pixels lie at whole numbers, so the grid's edge is half a pixel before 0.
        points[index] = (xy + 0.5) * scale - 0.5
        images[index] = pixels(image, size)
        progress(index + 1, len(cells))
    held = np.array([_FLAGS[flag.casefold()] for flag in cells["valid"]])
    return Resident(images, points, held, mirror=_mirror_68())


def project(centre: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project a point in front of the camera onto the image: (x, y) in pixels.

    Args:
        centre: (x, y, z) in millimetres in the camera's frame, z away from it.
        calibration: the camera's 3x3 intrinsic matrix.
    """
    seen = calibration @ centre
    return np.asarray(seen[:2] / seen[2])


def _head_centre(files: Files, frame: str) -> NDArray[np.float64]:
    """The head's centre in millimetres, from frame_XXXXX_pose.txt or the shorter _pose.bin.

    The text holds a 3x3 rotation and the centre; the binary six little-endian floats, the centre
    first (Fanelli et al., IJCV 2013, the dataset's readme).
    """
    stem = PurePosixPath(frame).stem.removesuffix("_rgb")
    text, binary = (
        (PurePosixPath(frame).with_name(f"{stem}_pose.{end}")).as_posix() for end in ("txt", "bin")
    )
    try:
        if text in files:
            return np.array(files.text(text).split()[9:12], float).reshape(3)
        if binary in files:
            return np.frombuffer(files.content(binary), "<f4").astype(float).reshape(6)[:3]
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"the pose of {files[frame]} is damaged; restore it from the archive"
        ) from None
    raise UserError(f"{files[frame]} has no pose; put {files[text].name} beside it")


@reader("biwi", size=PICTURES)
def read_biwi(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read the BIWI Kinect head poses: the projected centre of the head is the point.

    One folder per person with rgb.cal and frame_XXXXX_rgb.png or .jpg. Person 13 is for
    validation, as in the course.

    Raises:
        UserError: a file is missing or corrupt.
    """
    # The original frames are PNG, those of the course's archive JPEG.
    files = Files(folder)
    frames = [name for name in files if _FRAME.fullmatch(name)]
    if not frames:
        raise UserError(f"{folder} holds no 01/frame_XXXXX_rgb.png; give the extracted dataset")
    images = np.empty((len(frames), 3, *size), np.uint8)
    points = np.empty((len(frames), 1, 2), np.float32)
    calibrations: dict[str, NDArray[np.float64]] = {}
    people = [PurePosixPath(frame).parts[0] for frame in frames]
    for index, (frame, person) in enumerate(zip(frames, people, strict=True)):
        if person not in calibrations:
            calibrations[person] = _calibration(files, f"{person}/rgb.cal")
        image = files.image(frame, upright=True)
        scale = np.array([size[1] / image.width, size[0] / image.height])
        with np.errstate(all="ignore"):
            xy = project(_head_centre(files, frame), calibrations[person])
        near = image.width * _BEYOND, image.height * _BEYOND
        if not (np.abs(xy - (image.width / 2, image.height / 2)) < near).all():  # NaN included
            raise UserError(
                f"the pose of {files[frame]} and rgb.cal give no point of the image; restore both "
                "from the archive"
            )
        points[index, 0] = (xy + 0.5) * scale - 0.5
        images[index] = pixels(image, size)
        progress(index + 1, len(frames))
    valid = np.array([person == "13" for person in people])
    return Resident(images, points, valid, mirror=(0,))


def _calibration(files: Files, name: str) -> NDArray[np.float64]:
    """Return the camera's 3x3 intrinsic matrix."""
    try:
        return np.array(files.text(name).split()[:9], float).reshape(3, 3)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{files[name]} must begin with the camera's 3x3 matrix") from None
