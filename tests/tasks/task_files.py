"""Small files of pictures and of cells."""

import io

import numpy as np
from PIL import Image

from lrsuggest.tasks.data.readers.all import read

N = 60
KINDS = ("Ideal", "Good", "Fair")
BOM = b"\xef\xbb\xbf"
FORMS = {
    "bom": lambda text: BOM + text, "crlf": lambda text: text.replace(b"\n", b"\r\n"),
    "old mac": lambda text: text.replace(b"\n", b"\r"),
    "bom and crlf": lambda text: BOM + text.replace(b"\n", b"\r\n"),
    "no final newline": lambda text: text.rstrip(b"\n"),
    "blank lines": lambda text: b"\n" + text.replace(b"\n", b"  \n\n"),
}  # fmt: skip


def quietly(done, of):
    pass


def picture(value, suffix="png"):
    file = io.BytesIO()
    Image.new("RGB", (9, 9), (value, value, value)).save(file, suffix)
    return file.getvalue()


def classes(folder, names=("ants", "bees")):
    for split in ("train", "valid"):
        for value, name in enumerate(names):
            (folder / split / name).mkdir(parents=True)
            (folder / split / name / "1.png").write_bytes(picture(50 + 100 * value))
    return folder


def encoded(image, suffix="png", **options):
    file = io.BytesIO()
    image.save(file, suffix, **options)
    return file.getvalue()


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def png(value, mode="RGB"):
    """A noisy picture of about that grey."""
    noise = np.random.default_rng(value).integers(-9, 9, (12, 12, 3))
    file = io.BytesIO()
    picture = np.clip(value + noise, 0, 255).astype(np.uint8)
    Image.fromarray(picture).convert(mode).save(file, "png")
    return file.getvalue()


def same(one, two):
    np.testing.assert_array_equal(one.inputs, two.inputs)
    np.testing.assert_array_equal(one.targets, two.targets)
    np.testing.assert_array_equal(one.valid, two.valid)
    assert one.classes == two.classes
    return True


def diamonds(n=N):
    rng = np.random.default_rng(0)
    header = ["carat", "cut", "depth", "price"]
    carats = rng.uniform(0.2, 3, n)
    rows = ([f"{carats[k]:.2f}", KINDS[k % 3], f"{60 + k % 5}", f"{300 + 7 * k}"] for k in range(n))
    return [header, *rows]


def write(folder, rows, delimiter=",", form=lambda text: text, name="diamonds.csv"):
    folder.mkdir(exist_ok=True)
    text = "".join(f"{delimiter.join(row)}\n" for row in rows)
    (folder / name).write_bytes(form(text.encode()))
    return folder


def ask(folder, name="diamonds"):
    return read(name, folder, (), quietly)
