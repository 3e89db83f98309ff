"""Pictures and masks as people have them: opened so that no pixel changes, or refused."""

import mimetypes
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lrsuggest.decoding import read_bytes
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.resident import Size

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")  # an MPO is opened as a JPEG
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")  # a TIFF may hold a JPEG, which is looked at
_OTHERS = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".nef", ".arw")
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, 2 to 8 are turned or mirrored
# What decoding a damaged file may raise, by the decoders that do it.
_DAMAGE = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError,
    EOFError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def is_picture(path: PurePath) -> bool:
    """Say by its name whether a file is a picture that can be read; capitals do not count.

    Raises:
        UserError: it is a picture of a format that is not read.
    """
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return True
    kind = mimetypes.guess_type(f"a{suffix}", strict=False)[0] or ""
    if suffix in _OTHERS or kind.startswith("image/"):
        raise UserError(
            f"{path} is a picture of a format that is not read; save it as PNG or JPEG, or take it "
            "away"
        )
    return False


def open_image(path: Path, content: bytes | None = None, *, upright: bool = False) -> Image.Image:
    """Open and decode an image, from its file or from the given bytes.

    A camera that was held sideways notes it in the EXIF data; such a picture is turned upright.

    Args:
        path: the file, or what a sentence calls it.
        content: its bytes.
        upright: refuse a picture that would have to be turned, for points or a mask belong to it
            and nothing says whether they were turned.

    Raises:
        UserError: it is missing or corrupt, holds several pictures or transparent pixels, or more
            than eight bits that cannot be scaled.
    """
    image, turned = _decoded(path, content)
    if turned and upright:
        raise UserError(
            f"the image {path} is to be turned by its EXIF orientation, but points or a mask "
            "belong to it; save it upright and without the EXIF data, as they lie on it"
        )
    return _eight_bits(path, _opaque(path, ImageOps.exif_transpose(image)))


def open_mask(path: Path, content: bytes | None = None) -> Image.Image:
    """Open a mask: an image of mode "L" whose values are classes, a palette's indices among them.

    Raises:
        UserError: it is missing or corrupt, has several channels, was compressed with loss, is to
            be turned, or holds a class above 255.
    """
    content = _bytes(path) if content is None else content
    image, turned = _decoded(path, content)
    if image.format not in _LOSSLESS or image.info.get("compression") in ("jpeg", "webp"):
        raise UserError(
            f"{path} is a {image.format} image, whose compression changes classes; save the mask "
            "as PNG from its source"
        )
    if turned:
        raise UserError(
            f"{path} is to be turned by its EXIF orientation; save the mask without EXIF data, as "
            "it lies on its image"
        )
    if len(image.getbands()) != 1:
        raise UserError(
            f"{path} has {len(image.getbands())} channels; a mask has one, the class of each pixel"
        )
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 255:
        raise UserError(f"{path} holds {values.max():g}; a mask holds classes from 0 to 255")
    return Image.fromarray(values.astype(np.uint8) // _spread(image, content))


def _spread(image: Image.Image, content: bytes) -> int:
    """Return by what Pillow multiplies the values of a grey PNG of two or four bits."""
    if image.format != "PNG" or image.mode != "L":
        return 1
    return {2: 85, 4: 17}.get(content[24], 1)  # the bit depth in the file's first chunk


def pixels(image: Image.Image, size: Size, mode: str = "RGB") -> NDArray[np.uint8]:
    """Resize to (height, width) with antialiasing; returns (channels, height, width)."""
    resized = image.convert(mode).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(resized)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"the image {path} is missing; restore it from the archive") from None
    except OSError as error:
        raise UserError(
            f"the image {path} cannot be read ({error.strerror}); restore it from the archive"
        ) from None


def _decoded(path: Path, content: bytes | None) -> tuple[Image.Image, bool]:
    """Return a picture as stored, and whether its EXIF data say that it is to be turned."""
    content = _bytes(path) if content is None else content
    if not content:
        raise UserError(f"the image {path} is corrupt (it is empty); restore it from the archive")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EXIF data that make no sense
            with Image.open(BytesIO(content), formats=_FORMATS) as image:
                # Before decoding, for with TIFF that turns the picture.
                turned = image.getexif().get(_ORIENTATION) in range(2, 9)
                # A telephone's MPO is a photograph with something of its own behind it.
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                image.load()
    except _DAMAGE as error:
        said = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"the image {path} is corrupt ({said}); restore it from the archive"
        ) from None
    if frames > 1:
        raise UserError(f"the image {path} holds {frames} pictures; save the one that is meant")
    return image, turned


def _opaque(path: Path, image: Image.Image) -> Image.Image:
    """Refuse transparent pixels: what is seen there depends on what lies behind."""
    clear = image.has_transparency_data
    if clear and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255:
        raise UserError(
            f"the image {path} has transparent pixels; save it on the background that is meant"
        )
    image.info.pop("transparency", None)  # no pixel uses it, and Pillow would warn of it
    return image


def _eight_bits(path: Path, image: Image.Image) -> Image.Image:
    """Scale 16 bits of grey to 8; Pillow's own conversion would clip them."""
    if image.mode in _16_BIT:
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise UserError(
            f"the image {path} is of Pillow's mode {image.mode}, which has no given range of 8 "
            "bits; save it as grey or RGB of 8 bits"
        )
    return image
