"""Readers of real data that come inside Python packages: no folder and no download.

`packages` in datasets.toml names those whose versions say which data these are.
"""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lrsuggest.extras import need
from lrsuggest.tasks.data.pictures import pixels
from lrsuggest.tasks.data.readers.registry import PICTURES, TEXTS, reader
from lrsuggest.tasks.data.readers.tables import random_fifth, standardised
from lrsuggest.tasks.data.readers.texts import numbered, running
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.sources import Progress, no_progress

_YEAR, _QUARTER = 52, 13  # weeks
_PATCH = 16  # pixels of a photograph
_LETTERS = (  # first and last of each run; the signs between them are none
    ("A", "Z"), ("a", "z"), ("À", "Ö"), ("Ø", "ö"), ("ø", "ÿ"),
    ("Α", "Ρ"), ("Σ", "Ω"), ("α", "ω"), ("Ѐ", "я"),
)  # fmt: skip
_STYLES = {
    "Sans": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "SansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "Serif": ("", "-Bold", "-Italic", "-BoldItalic"),
}


def _statsmodels(name: str) -> pd.DataFrame:
    """Load one of statsmodels' tables."""
    need(f"the dataset {name}", "bench", "statsmodels")
    from statsmodels import datasets  # type: ignore[import-untyped]

    table: Any = getattr(datasets, name)
    return pd.DataFrame(table.load_pandas().data)


@reader("randhie", source=False)
def _randhie(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """A person's visits to a doctor in a year, as they are: 0 to 77."""
    frame = _statsmodels("randhie")
    return standardised(frame.assign(target=frame.pop("mdvis").astype(float)))


@reader("fair", source=False)
def _fair(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """Whether the person told of any affair."""
    frame = _statsmodels("fair")
    told = np.where(frame.pop("affairs") > 0, "some", "none")
    return standardised(frame.assign(target=told))


@reader("co2", source=False)
def _co2(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """The change over the next quarter from the last year's weeks, both against this week.

    Gaps are filled linearly. Changes that end in the last fifth of the weeks are for validation.
    """
    ppm = _statsmodels("co2")["co2"].interpolate().to_numpy(float)
    now = np.arange(_YEAR, len(ppm) - _QUARTER)
    weeks = {f"{back} weeks ago": ppm[now - back] - ppm[now] for back in range(1, _YEAR + 1)}
    frame = pd.DataFrame({**weeks, "target": ppm[now + _QUARTER] - ppm[now]})
    return standardised(frame, now + _QUARTER >= len(ppm) * 4 // 5)


@reader("unicode_names", size=TEXTS, source=False)
def _unicode_names(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """Names of Unicode's characters, and their general category.

    Names that only repeat the character's number, or spell a Hangul syllable, are left out.
    """
    names, categories = [], []
    for code in range(0x110000):
        name = unicodedata.name(chr(code), "")
        if name and not name.endswith(f"{code:X}") and not name.startswith("HANGUL SYLLABLE"):
            names.append(name)
            categories.append(unicodedata.category(chr(code)))
    return numbered(names, categories, random_fifth(len(names)), size[0])


@reader("python_manual", size=TEXTS, source=False)
def _python_manual(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """The chapters of Python's manual that help() shows, by characters; the last tenth is held."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    cut = len(text) * 9 // 10
    return running(text[:cut], text[cut:], size[0])


@reader("photographs", size=PICTURES, source=False)
def _photographs(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """Patches of scikit-learn's two photographs, 16x16 pixels each, and which one they are of."""
    from sklearn.datasets import load_sample_image

    patches, labels = [], []
    for name in ("china", "flower"):
        photograph = Image.fromarray(load_sample_image(f"{name}.jpg"))
        for top in range(0, photograph.height - _PATCH + 1, _PATCH):
            for left in range(0, photograph.width - _PATCH + 1, _PATCH):
                patch = photograph.crop((left, top, left + _PATCH, top + _PATCH))
                patches.append(pixels(patch, size))
                labels.append(name)
    return _classes(np.stack(patches), labels, random_fifth(len(labels)))


def letters() -> list[str]:
    """Return the Latin, Greek and Cyrillic letters that every DejaVu face has."""
    return [chr(code) for first, last in _LETTERS for code in range(ord(first), ord(last) + 1)]


def faces() -> dict[str, Path]:
    """Return the files of DejaVu's twelve faces in matplotlib, by name."""
    from matplotlib import get_data_path

    folder = Path(get_data_path()) / "fonts" / "ttf"
    names = [f"DejaVu{kind}{style}" for kind, styles in _STYLES.items() for style in styles]
    return {name: folder / f"{name}.ttf" for name in names}


@reader("dejavu", size=PICTURES, source=False)
def _dejavu(source: None, size: Size, progress: Progress = no_progress) -> Resident:
    """Letters in DejaVu's twelve faces, and which face; a fifth of the letters is for validation.

    White on black, in the middle of the image, the em three quarters of its height.
    """
    chosen = letters()
    images, labels = [], []
    for name, path in faces().items():
        font = ImageFont.truetype(path, size[0] * 3 // 4, layout_engine=ImageFont.Layout.BASIC)
        for letter in chosen:
            image = Image.new("L", (size[1], size[0]))
            place = (size[1] / 2, size[0] / 2)
            ImageDraw.Draw(image).text(place, letter, fill=255, font=font, anchor="mm")
            images.append(np.asarray(image)[None])
            labels.append(name)
    return _classes(np.stack(images), labels, np.tile(random_fifth(len(chosen)), len(faces())))


def _classes(images: NDArray[np.uint8], labels: list[str], valid: NDArray[np.bool_]) -> Resident:
    classes, codes = np.unique(labels, return_inverse=True)
    return Resident(images, codes.astype(np.int64), valid, tuple(classes.tolist()))
