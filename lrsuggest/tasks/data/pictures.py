"""Pictures and masks as people have them: opened so that no pixel changes, or refused."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.formats import decoded, image_bytes
from lrsuggest.tasks.data.formats import upright as as_seen
from lrsuggest.tasks.data.resident import Size

_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")  # a TIFF may hold a JPEG, which is looked at
_BITS, _PHOTOMETRIC = 258, 262  # tags of a TIFF
_WHITE_IS_ZERO = 0


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
    image, turned = decoded(path, content)
    if turned and upright:
        raise UserError(
            f"the image {path} is to be turned by its EXIF orientation, but points or a mask "
            "belong to it; save it upright and without the EXIF data, as they lie on it"
        )
    return _eight_bits(path, _opaque(path, as_seen(image)))


def open_mask(path: Path, content: bytes | None = None) -> Image.Image:
    """Open a mask: an image of mode "L" whose values are classes, a palette's indices among them.

    Raises:
        UserError: it is missing or corrupt, has several channels, was compressed with loss, is to
            be turned, is a TIFF whose values are not those stored, or holds a class above 255.
    """
    content = image_bytes(path) if content is None else content
    image = _lossless(path, content)
    tags = getattr(image, "tag_v2", {})
    if image.mode not in ("1", "P") and any(bits < 8 for bits in tags.get(_BITS, ())):
        raise UserError(
            f"{path} is a TIFF of fewer than eight bits, whose values are scaled when it is "
            "opened; save the mask as PNG"
        )
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 255:
        raise UserError(f"{path} holds {values.max():g}; a mask holds classes from 0 to 255")
    return Image.fromarray(values.astype(np.uint8) // _spread(image, content))


def open_binary(path: Path, content: bytes | None = None) -> Image.Image:
    """Open a mask of one class and its background as mode "L" of 0 and 255.

    Of two values the brighter is the class, whether it is stored as 1, 255, 65535 or a palette's
    white; of more, as antialiasing leaves them, those above half of what can be stored. One value
    alone is told by being the lowest or the highest that can be stored.

    Raises:
        UserError: as `open_mask`, or its values do not tell which is the class.
    """
    image = _lossless(path, image_bytes(path) if content is None else content)
    values = _brightness(path, image)
    highest = {"1": 1, "L": 255, "P": 255}.get(image.mode, 65535)
    known = np.unique(values)
    unclear = len(known) == 1 and known[0] not in (0, highest)
    if unclear or image.mode == "F" or known[0] < 0 or known[-1] > highest:
        raise UserError(
            f"{path} holds {known[-1]:g}, which may be the class or its background; save the mask "
            "as PNG with 0 for the background and 255 for the class"
        )
    half = known[0] if len(known) == 2 else highest / 2
    if len(known) > 2 and known[-1] <= half:
        raise UserError(
            f"{path} holds {len(known)} values up to {known[-1]:g}, and none above half of "
            f"{highest}; save the mask with 0 for the background and {highest} for the class"
        )
    return Image.fromarray(np.where(values > half, 255, 0).astype(np.uint8))


def pixels(image: Image.Image, size: Size, mode: str = "RGB") -> NDArray[np.uint8]:
    """Resize to (height, width) with antialiasing; returns (channels, height, width)."""
    resized = image.convert(mode).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(resized)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


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


def _lossless(path: Path, content: bytes) -> Image.Image:
    """Open an image of one channel that holds what its maker stored."""
    image, turned = decoded(path, content)
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
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise UserError(
            f"{path} is a TIFF that stores white as 0, so its values are turned round when it is "
            "opened; save the mask as PNG"
        )
    return image


def _brightness(path: Path, image: Image.Image) -> NDArray[np.float64]:
    """Return an image's values as they are seen, of a palette its colours' brightness."""
    stored = np.asarray(image).astype(np.float64)
    if image.mode != "P":
        return stored
    seen = np.asarray(image.convert("RGB").convert("L")).astype(np.float64)
    indices = np.unique(stored)
    bright = [seen[stored == index][0] for index in indices]
    if any(a >= b for a, b in pairwise(bright)):
        raise UserError(
            f"{path} has a palette in which a higher index is not brighter, so which is the class "
            "cannot be told; save the mask as PNG in grey"
        )
    return seen


def _spread(image: Image.Image, content: bytes) -> int:
    """Return by what Pillow multiplies the values of a grey PNG of two or four bits."""
    if image.format != "PNG" or image.mode != "L":
        return 1
    return {2: 85, 4: 17}.get(content[24], 1)  # the bit depth in the file's first chunk
