"""Picture files: which are pictures, and their pixels as stored."""

import re
import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePath

from PIL import Image, UnidentifiedImageError

from lrsuggest.decoding import read_bytes
from lrsuggest.errors import UserError

_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif",
)  # fmt: skip
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")  # an MPO is opened as a JPEG
# A list of our own, for the system's differ from machine to machine.
_OTHERS = frozenset({
    ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".apng", ".svg", ".svgz",
    ".psd", ".psb", ".xcf", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".tga", ".exr", ".hdr", ".dds",
    ".ico", ".cur", ".pcx", ".xbm", ".xpm", ".ras", ".sgi", ".eps", ".wmf", ".emf", ".dcm",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw", ".djvu",
})  # fmt: skip
# How files begin; of ISO's container the brand behind "ftyp" tells.
_BEGINS = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"), (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"), (re.compile(rb"II\*\0|MM\0\*"), "TIFF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"), (re.compile(rb"8BPS\0"), "Photoshop"),
    (re.compile(rb"BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "JPEG XL"), (re.compile(rb"v/1\x01"), "OpenEXR"),
    (re.compile(rb"P[1-6]\s(#[^\n]*\n)*\s*\d+\s+\d+\s"), "PPM"),
    (re.compile(rb"(.{128})DICM", re.DOTALL), "DICOM"),
)  # fmt: skip
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
# What decoding a damaged file may raise, by the decoders that do it.
_DAMAGE = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError,
    EOFError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error,
)  # fmt: skip


def is_picture(path: PurePath, content: Callable[[], bytes]) -> bool:
    """Say whether a file is a picture that can be read: by its name, in capitals or not.

    Args:
        path: the file, or what a sentence calls it.
        content: returns its first bytes, which tell of a picture by a name that is none's.

    Raises:
        UserError: it is a picture of a format that is not read, or not named as one.
    """
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return True
    if suffix in _OTHERS:
        raise UserError(
            f"{path} is a picture of a format that is not read; save it as PNG or JPEG, or take it "
            "away"
        )
    if kind := _kind(content()):
        raise UserError(
            f"{path} is a {kind} picture whose name does not say so; name it as one, or take it "
            "away"
        )
    return False


def _kind(content: bytes) -> str | None:
    """Return the format of a picture by its first bytes, None for no picture."""
    return next((kind for begins, kind in _BEGINS if begins.match(content)), None)


def image_bytes(path: Path) -> bytes:
    """Return the bytes of an image; raises UserError where it is missing or cannot be read."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"the image {path} is missing; restore it from the archive") from None
    except OSError as error:
        raise UserError(
            f"the image {path} cannot be read ({error.strerror}); restore it from the archive"
        ) from None


def decoded(path: Path, content: bytes | None) -> tuple[Image.Image, bool]:
    """Return a picture as stored, and whether its EXIF data say that it is to be turned.

    Raises:
        UserError: it is missing or corrupt, holds several pictures, or is of a format that is not
            read.
    """
    content = image_bytes(path) if content is None else content
    if not content:
        raise UserError(f"the image {path} is corrupt (it is empty); restore it from the archive")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EXIF data that make no sense
            with Image.open(BytesIO(content), formats=_FORMATS) as image:
                # Before decoding, for with TIFF that turns the picture.
                turned = _turn(image) is not None
                # A telephone's MPO is a photograph with something of its own behind it.
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                image.load()
    except _DAMAGE as error:
        kind = _kind(content)
        if isinstance(error, Image.DecompressionBombError):
            raise UserError(
                f"the image {path} is too large, for Pillow reads at most "
                f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller"
            ) from None
        if isinstance(error, UnidentifiedImageError) and kind and kind not in _FORMATS:
            raise UserError(
                f"the image {path} is {kind}, which is not read; save it as PNG or JPEG"
            ) from None
        said = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"the image {path} is corrupt ({said}); restore it from the archive"
        ) from None
    if frames > 1:
        raise UserError(f"the image {path} holds {frames} pictures; save the one that is meant")
    return image, turned


def upright(image: Image.Image) -> Image.Image:
    """Return a decoded picture as its EXIF data say that it is to be seen.

    By the number alone: Pillow's own means writes the other EXIF data anew, which may be wrong.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    noted = image.getexif().get(_ORIENTATION)
    return _TURNS.get(noted) if isinstance(noted, int) else None
