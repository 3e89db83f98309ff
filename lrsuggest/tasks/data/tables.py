"""Readers of tables: rows in, standardised numbers and a target out; and of MovieLens' ratings."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.files import contents
from lrsuggest.tasks.data.resident import Resident

_VALID_SHARE = 0.2
_ABALONE = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]


def _csv(
    path: Path, column: str | int, content: bytes | None = None, **options: object
) -> pd.DataFrame:
    """Read a CSV file, or the given bytes of one; it must have the named column.

    Raises:
        UserError: it is missing or no such table.
    """
    source = path if content is None else BytesIO(content)
    try:
        frame: pd.DataFrame = pd.read_csv(source, **options)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it from its source") from None
    except ValueError as error:  # pandas' own errors and those of decoding among them
        raise UserError(f"{path} is no such table ({error}); restore it from its source") from None
    if column not in frame:
        raise UserError(f"{path} has no column {column}; restore it from its source")
    return frame


def _california(folder: Path | None) -> pd.DataFrame:
    frame = _csv(_file(folder, "california_housing.csv"), "median_house_value")
    return frame.assign(target=frame.pop("median_house_value") / 1e5)  # in 100,000 dollars


def _diamonds(folder: Path | None) -> pd.DataFrame:
    frame = _csv(_file(folder, "diamonds.csv"), "price")
    return frame.assign(target=np.log(frame.pop("price")))


def _abalone(folder: Path | None) -> pd.DataFrame:
    path = _file(folder, "abalone.csv")
    frame = _csv(path, "rings", header=None, names=_ABALONE, dtype={"rings": float})
    return frame.assign(target=frame.pop("rings"))  # as it is: 1 to 29 rings


def _mammography(folder: Path | None) -> pd.DataFrame:
    frame = _csv(_file(folder, "mammography.csv"), 6, header=None, dtype={6: str})
    frame = frame.rename(columns=str)
    return frame.assign(target=frame.pop("6").str.strip("'"))


def _adult(folder: Path | None) -> pd.DataFrame:
    archive = _file(folder, "adult_sample.tgz")
    found = dict(contents(archive))
    if "adult.csv" not in found:
        raise UserError(f"{archive} holds no adult.csv; fetch it again")
    frame = _csv(archive, "salary", found["adult.csv"], skipinitialspace=True)
    return frame.assign(target=frame.pop("salary"))


def _packaged(name: str) -> Callable[[Path | None], pd.DataFrame]:
    """A table that scikit-learn's wheel carries."""

    def read(folder: Path | None) -> pd.DataFrame:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.frame
        if hasattr(bunch, "target_names"):
            frame["target"] = np.asarray(bunch.target_names)[frame["target"]]
        return pd.DataFrame(frame)

    return read


def _file(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise UserError(f"{name} needs a folder; give --data")
    return folder / name


_TABLES: dict[str, Callable[[Path | None], pd.DataFrame]] = {
    "california": _california,
    "diamonds": _diamonds,
    "abalone": _abalone,
    "mammography": _mammography,
    "adult": _adult,
    "breast_cancer": _packaged("breast_cancer"),
    "diabetes": _packaged("diabetes"),
    "wine": _packaged("wine"),
}


def random_fifth(n: int) -> NDArray[np.bool_]:
    """Choose about a fifth of n examples for validation, always the same."""
    return np.random.default_rng(0).random(n) < _VALID_SHARE


def read_table(name: str, folder: Path | None) -> Resident:
    """Read a table by its reader's name; a random fifth of the rows is for validation.

    Raises:
        UserError: the file is missing or damaged.
    """
    return standardised(_TABLES[name](folder))


def standardised(frame: pd.DataFrame, valid: NDArray[np.bool_] | None = None) -> Resident:
    """Turn a table with a column "target" into arrays.

    Numbers are standardised by the training rows, gaps filled with the median and marked,
    categories become one column each. A text target gives classes, a numeric one (n, 1) float32
    in its own units: a person who forgets to scale it is a case to be measured too.

    Args:
        frame: a row per example.
        valid: shape (n,), True for validation; None for a random fifth.
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    target = frame.pop("target")
    if valid is None:
        valid = random_fifth(len(frame))
    numbers = make_column_selector(dtype_include="number")
    others = make_column_selector(dtype_exclude="number")
    transform = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
         numbers),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=10), others),
        sparse_threshold=0,
    )  # fmt: skip
    transform.fit(frame[~valid])
    rows = np.asarray(transform.transform(frame), np.float32)
    if pd.api.types.is_numeric_dtype(target):
        return Resident(rows, target.to_numpy(np.float32)[:, None], valid)
    classes, codes = np.unique(target.astype(str), return_inverse=True)
    return Resident(rows, codes.astype(np.int64), valid, tuple(classes.tolist()))


def read_movielens(folder: Path) -> Resident:
    """Read MovieLens 100k's own split: inputs (n, 2) user and film from 0, targets (n, 1) stars.

    Raises:
        UserError: a file is missing or damaged.
    """
    names = ["user", "item", "rating", "time"]
    types = {"user": np.int64, "item": np.int64, "rating": np.float32}
    parts = [
        _csv(folder / name, "rating", sep="\t", header=None, names=names, dtype=types)
        for name in ("u1.base", "u1.test")
    ]
    pairs = pd.concat(parts)[["user", "item"]].to_numpy(np.int64) - 1
    stars = pd.concat(parts)["rating"].to_numpy(np.float32)[:, None]
    valid = np.arange(len(pairs)) >= len(parts[0])
    return Resident(pairs, stars, valid)


def tables() -> tuple[str, ...]:
    """Return the names of the tables."""
    return tuple(_TABLES)
