"""Pictures and masks as people have them: read without a changed pixel, or refused by name."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps
from task_files import classes, encoded, orientation, quietly

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.pictures import open_image, open_mask, pixels
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.readers.synthetic import write_street

SIZE = (12, 18)
COLOURS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
GREY = COLOURS[..., 0]
CLASSES = (GREY % 5).astype(np.uint8)


def rgb(path, content):
    return pixels(open_image(path, content), SIZE).transpose(1, 2, 0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "gif"])
def test_lossless_pictures_keep_every_pixel(tmp_path, suffix):
    options = {"webp": {"lossless": True}}.get(suffix, {})
    image = Image.fromarray(GREY) if suffix == "gif" else Image.fromarray(COLOURS)
    wanted = np.repeat(GREY[..., None], 3, 2) if suffix == "gif" else COLOURS
    np.testing.assert_array_equal(rgb(tmp_path / "a", encoded(image, suffix, **options)), wanted)


@pytest.mark.parametrize("suffix", [".PNG", ".JPG", ".Jpeg", ".bmp", ".webp", ".TIF", ".gif"])
def test_every_suffix_is_read_in_a_folder_of_classes(tmp_path, suffix):
    folder = classes(tmp_path / "f")
    path = folder / "train" / "ants" / f"2{suffix}"
    kind = {".tif": "tiff", ".jpg": "jpeg"}.get(suffix.lower(), suffix[1:].lower())
    path.write_bytes(encoded(Image.fromarray(COLOURS), kind))
    assert len(read("folders", folder, SIZE, quietly).inputs) == 5


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp", "tiff"])
def test_a_picture_is_turned_upright(tmp_path, turn, suffix):
    # What each value does to bring the stored rows upright (EXIF 2.3, table 4).
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
    }[turn]  # fmt: skip
    image = Image.fromarray(COLOURS)
    options = {"lossless": True} if suffix == "webp" else {}
    plain = np.asarray(open_image(tmp_path / "a", encoded(image, suffix, **options)))
    content = encoded(image, suffix, exif=orientation(turn), **options)
    seen = open_image(tmp_path / "a", content)
    np.testing.assert_array_equal(np.asarray(seen), turned(plain))
    if turn == 1:
        open_image(tmp_path / "a", content, upright=True)
    else:
        with pytest.raises(UserError, match="a is to be turned by its EXIF orientation"):
            open_image(tmp_path / "a", content, upright=True)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_means_nothing_turns_nothing(tmp_path, value):
    content = encoded(Image.fromarray(COLOURS), exif=orientation(value))
    np.testing.assert_array_equal(
        np.asarray(open_image(tmp_path / "a", content, upright=True)), COLOURS
    )


def test_exif_data_that_are_broken_do_no_harm(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = encoded(
            Image.fromarray(COLOURS), "jpeg", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff"
        )
        assert open_image(tmp_path / "a", content).size == SIZE[::-1]


def test_grey_palette_and_one_bit_pictures_keep_their_pixels(tmp_path):
    grey = np.repeat(GREY[..., None], 3, 2)
    np.testing.assert_array_equal(rgb(tmp_path / "a", encoded(Image.fromarray(GREY))), grey)
    bits = Image.fromarray(GREY > 127)
    np.testing.assert_array_equal(
        rgb(tmp_path / "a", encoded(bits)), np.repeat(((GREY > 127) * 255)[..., None], 3, 2)
    )
    few = Image.fromarray(COLOURS).quantize(7)
    np.testing.assert_array_equal(rgb(tmp_path / "a", encoded(few)), np.asarray(few.convert("RGB")))


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path):
    deep = (np.arange(216).reshape(SIZE) * 304).astype(np.uint16)
    for suffix in ("png", "tiff"):
        seen = rgb(tmp_path / "a", encoded(Image.fromarray(deep), suffix))[..., 0]
        np.testing.assert_allclose(seen, deep / 257, atol=0.5)
        assert len(np.unique(seen)) > 200
    for mode in ("I", "F"):
        image = Image.fromarray(deep).convert("I").convert(mode)
        with pytest.raises(UserError, match=f"a is of Pillow's mode {mode}.* save it as grey"):
            open_image(tmp_path / "a", encoded(image, "tiff"))


def test_transparent_pixels_are_refused_and_opaque_ones_read(tmp_path):
    opaque = Image.fromarray(COLOURS).convert("RGBA")
    np.testing.assert_array_equal(rgb(tmp_path / "a", encoded(opaque)), COLOURS)
    clear = opaque.copy()
    clear.putpixel((3, 2), (9, 9, 9, 254))
    few = Image.fromarray(COLOURS).quantize(7)
    pictures = {
        "RGBA": encoded(clear), "LA": encoded(clear.convert("LA")),
        "P": encoded(few, transparency=int(np.asarray(few)[0, 0])),
        "RGB": encoded(Image.fromarray(COLOURS), transparency=tuple(COLOURS[0, 0].tolist())),
    }  # fmt: skip
    for mode, content in pictures.items():
        assert Image.open(io.BytesIO(content)).mode == mode
        with pytest.raises(UserError, match="a has transparent pixels; save it on the background"):
            open_image(tmp_path / "a", content)
    unused = encoded(few, transparency=200)
    np.testing.assert_array_equal(rgb(tmp_path / "a", unused), np.asarray(few.convert("RGB")))


def test_a_printer_s_jpeg_has_the_colours_that_are_seen(tmp_path):
    flat = Image.new("RGB", SIZE[::-1], (200, 40, 90)).convert("CMYK")
    seen = rgb(tmp_path / "a", encoded(flat, "jpeg", quality=100))
    np.testing.assert_allclose(seen.reshape(-1, 3).mean(0), [200, 40, 90], atol=4)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_several_pictures_in_one_file_are_refused(tmp_path, suffix):
    more = Image.fromarray(COLOURS[::-1].copy())
    content = encoded(Image.fromarray(COLOURS), suffix, save_all=True, append_images=[more])
    with pytest.raises(UserError, match="a holds 2 pictures; save the one that is meant"):
        open_image(tmp_path / "a", content)


def test_a_telephone_s_photograph_with_a_picture_behind_it_is_read(tmp_path):
    content = encoded(
        Image.fromarray(COLOURS), "mpo", save_all=True, append_images=[Image.fromarray(GREY)]
    )
    assert Image.open(io.BytesIO(content)).n_frames == 2
    jpeg = np.asarray(open_image(tmp_path / "a", encoded(Image.fromarray(COLOURS), "jpeg")))
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a", content)), jpeg)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "it is empty"), (b"no picture at all", "it is no picture"),
     (b"<svg/>", "it is no picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "it is no picture")],
)  # fmt: skip
@pytest.mark.parametrize("open_it", [open_image, open_mask])
def test_what_is_no_picture_is_one_sentence(tmp_path, content, says, open_it):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.jpg is corrupt \({says}\); restore it"):
        open_it(path)


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp", "tiff", "gif", "bmp"])
def test_a_picture_cut_short_is_one_sentence(tmp_path, suffix):
    content = encoded(Image.fromarray(np.tile(COLOURS, (9, 9, 1))), suffix)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(UserError, match="a is corrupt") as caught:
            open_image(tmp_path / "a", content[: int(len(content) * share)])
        assert "\n" not in str(caught.value)


def test_a_picture_too_large_to_be_one_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(UserError, match="a is too large, for Pillow reads at most 100 pixels"):
        open_image(tmp_path / "a", encoded(Image.fromarray(COLOURS)))


def test_a_mask_keeps_its_classes_in_every_form(tmp_path):
    palette = Image.fromarray(CLASSES)
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9, 50, 60, 70])
    forms = {
        "grey": encoded(Image.fromarray(CLASSES)), "palette": encoded(palette),
        "palette of four bits": encoded(palette, bits=4),
        "transparent palette": encoded(palette, transparency=0),
        "sixteen bits": encoded(Image.fromarray(CLASSES.astype(np.uint16))),
        "bmp": encoded(Image.fromarray(CLASSES), "bmp"),
        "tiff": encoded(Image.fromarray(CLASSES), "tiff", compression="tiff_lzw"),
    }  # fmt: skip
    for name, content in forms.items():
        mask = open_mask(tmp_path / "a", content)
        np.testing.assert_array_equal(np.asarray(mask), CLASSES, err_msg=name)
    bits = open_mask(tmp_path / "a", encoded(Image.fromarray(CLASSES > 2)))
    np.testing.assert_array_equal(np.asarray(bits), CLASSES > 2)


def png_of_few_bits(values, depth):
    """A grey PNG of two or four bits a pixel, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(
            ">I", zlib.crc32(kind + body)
        )  # fmt: skip

    height, width = values.shape
    rows = b""
    for row in values:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))  # fmt: skip


@pytest.mark.parametrize("depth", [2, 4])
def test_a_grey_mask_of_few_bits_is_not_multiplied(tmp_path, depth):
    values = CLASSES % 2**depth
    content = png_of_few_bits(values, depth)
    assert np.asarray(Image.open(io.BytesIO(content))).max() > 16, "Pillow spreads the values"
    np.testing.assert_array_equal(np.asarray(open_mask(tmp_path / "a", content)), values)


def test_a_mask_that_lost_its_classes_is_refused(tmp_path):
    grey = Image.fromarray(CLASSES)
    refused = {
        "a is a JPEG image": encoded(grey, "jpeg", quality=100),
        "a is a WEBP image": encoded(grey.convert("RGB"), "webp", lossless=True),
        "a is a TIFF image": encoded(grey, "tiff", compression="jpeg"),
        "a has 3 channels; a mask has one": encoded(grey.convert("RGB")),
        "a has 4 channels; a mask has one": encoded(grey.convert("RGBA")),
        "a has 2 channels; a mask has one": encoded(grey.convert("LA")),
        "a is to be turned by its EXIF": encoded(grey, exif=orientation(6)),
        "a holds 300; a mask holds classes from": encoded(
            Image.fromarray(np.full(SIZE, 300, np.uint16))
        ),
        "a holds 0.5; a mask holds": encoded(
            Image.fromarray(np.full(SIZE, 0.5, np.float32)), "tiff"
        ),
    }
    for says, content in refused.items():
        with pytest.raises(UserError, match=says):
            open_mask(tmp_path / "a", content)


@pytest.fixture
def street(tmp_path):
    write_street(tmp_path / "street", train=4, valid=2)
    return tmp_path / "street"


@pytest.mark.parametrize("where", ["images/street_0003.png", "labels/street_0003_P.png"])
def test_frames_and_masks_that_are_to_be_turned_are_refused(street, where):
    path = street / where
    image = Image.open(path)
    image.load()
    image.save(path, exif=orientation(6))
    with pytest.raises(UserError, match=r"street_0003.*\.png is to be turned by its EXIF"):
        read("camvid", street, (12, 16), quietly)


def test_a_mask_without_its_frame_and_two_frames_of_one_mask_are_named(street):
    lost = street / "images" / "street_0001.png"
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UserError, match=r"mask .*street_0001_P\.png has no image in"):
        read("camvid", street, (12, 16), quietly)
    lost.write_bytes(content)
    (street / "images" / "street_0001.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"street_0001\.(jpg|png) .* have one mask"):
        read("camvid", street, (12, 16), quietly)


def test_a_mask_in_a_palette_reads_as_a_grey_one(street):
    before = read("camvid", street, (12, 16), quietly)
    for path in (street / "labels").iterdir():
        coloured = Image.fromarray(np.asarray(Image.open(path)))
        coloured.putpalette(list(range(255, 255 - 36, -1)))
        coloured.save(path)
    np.testing.assert_array_equal(read("camvid", street, (12, 16), quietly).targets, before.targets)


TURNED = (0x0112, 3, 1, b"\x06\0\0\0")  # to be turned by 90 degrees


@pytest.mark.parametrize(
    "entry",
    [
        (0x011A, 2, 4, b"72\0\0"), (0x0100, 6, 1, b"\xff\0\0\0"), (0x0101, 7, 1, bytes(4)),
        (0x0102, 12, 1, b"\x08\0\0\0"), (0x8825, 4, 1, b"\xff\xff\0\0"),
        (0x8769, 4, 1, b"\x90\xff\0\0"), (0x011A, 5, 1, b"\x08\0\0\0"), (0x011A, 99, 1, bytes(4)),
    ],
)  # fmt: skip
def test_exif_data_that_make_no_sense_do_not_hide_how_a_picture_lies(tmp_path, entry):
    fields = b"".join(struct.pack("<HHI4s", *each) for each in (TURNED, entry))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + fields + bytes(4)
    left = Image.new("RGB", (16, 8))
    left.paste((255, 255, 255), (0, 0, 8, 8))  # the left half is white, the upper when upright
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = open_image(tmp_path / "a.jpg", encoded(left, "jpeg", exif=exif))
    assert image.size == (8, 16)
    assert np.asarray(image)[:6].min() > 250
    assert np.asarray(image)[10:].max() < 5


@pytest.mark.parametrize("value", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(tmp_path, value):
    content = encoded(Image.fromarray(COLOURS), "png", exif=orientation(value))
    with Image.open(io.BytesIO(content)) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png", content)), wanted)
