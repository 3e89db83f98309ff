"""Readers of tables: rows in, standardised numbers and a target out; and of MovieLens' ratings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.frames import column, features, labels, numbers, read_cells
from lrsuggest.tasks.data.readers.registry import reader
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.sources import Progress, contents, no_progress

_VALID_SHARE = 0.2
_ABALONE = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]


def _table(name: str) -> Callable[[Callable[[Path], pd.DataFrame]], Callable[[Path], pd.DataFrame]]:
    """Register what reads a folder's table as a reader; a random fifth of the rows validates."""

    def register(find: Callable[[Path], pd.DataFrame]) -> Callable[[Path], pd.DataFrame]:
        @reader(name)
        def read(source: Path, size: Size, progress: Progress = no_progress) -> Resident:
            return standardised(find(source))

        return find

    return register


@_table("california")
def _california(folder: Path) -> pd.DataFrame:
    path = folder / "california_housing.csv"
    return _regression(path, read_cells(path), "median_house_value", 1e5)  # in 100,000 dollars


@_table("diamonds")
def _diamonds(folder: Path) -> pd.DataFrame:
    path = folder / "diamonds.csv"
    cells = read_cells(path)
    price = numbers(cells, "price", path, above=0)  # for its logarithm
    return _with_target(path, cells, "price", np.log(price))


@_table("abalone")
def _abalone(folder: Path) -> pd.DataFrame:
    path = folder / "abalone.csv"
    cells = read_cells(path, names=_ABALONE)
    cells["sex"] = cells["sex"].str.upper()  # M, F and I
    return _regression(path, cells, "rings")  # as it is: 1 to 29 rings


@_table("mammography")
def _mammography(folder: Path) -> pd.DataFrame:
    path = folder / "mammography.csv"
    cells = read_cells(path, names=[str(k) for k in range(7)])
    cells["6"] = cells["6"].str.strip("'").str.strip()
    return _with_target(path, cells, "6", labels(cells, "6", path))


@_table("adult")
def _adult(folder: Path) -> pd.DataFrame:
    archive = folder / "adult_sample.tgz"
    found = dict(contents(archive))
    if "adult.csv" not in found:
        raise UserError(f"{archive} holds no adult.csv; fetch it again")
    cells = read_cells(archive, found["adult.csv"])
    return _with_target(archive, cells, "salary", labels(cells, "salary", archive))


def _regression(path: Path, cells: pd.DataFrame, name: str, unit: float = 1) -> pd.DataFrame:
    return _with_target(path, cells, name, numbers(cells, name, path) / unit)


def _with_target(path: Path, cells: pd.DataFrame, name: str, target: Any) -> pd.DataFrame:
    """Return the other columns as features, and the target in a column of that name."""
    others = cells.drop(columns=column(cells, name, path))
    return features(others, path).assign(target=target)


def _register_packaged(name: str) -> None:
    """Register a table that scikit-learn's wheel carries."""

    @reader(name, source=False)
    def read(source: Path | None, size: Size, progress: Progress = no_progress) -> Resident:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.frame
        if hasattr(bunch, "target_names"):
            frame["target"] = np.asarray(bunch.target_names)[frame["target"]]
        return standardised(pd.DataFrame(frame))


for _name in ("breast_cancer", "diabetes", "wine"):
    _register_packaged(_name)


def random_fifth(n: int) -> NDArray[np.bool_]:
    """Choose about a fifth of n examples for validation, always the same."""
    return np.random.default_rng(0).random(n) < _VALID_SHARE


def standardised(frame: pd.DataFrame, valid: NDArray[np.bool_] | None = None) -> Resident:
    """Turn a table with a column "target" into arrays.

    Numbers are standardised by the training rows, gaps filled with the median and marked,
    categories become one column each. A text target gives classes, a numeric one (n, 1) float32
    in its own units: a person who forgets to scale it is a case to be measured too.

    Args:
        frame: a row per example.
        valid: shape (n,), True for validation; None for a random fifth.

    Raises:
        UserError: there are too few rows to train on some and validate on others.
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    target = frame.pop("target")
    if valid is None:
        valid = random_fifth(len(frame))
    if valid.all() or not valid.any():
        raise UserError(
            f"a table of {len(frame)} rows leaves nothing for training or for validation; give more"
        )
    numeric = make_column_selector(dtype_include="number")
    others = make_column_selector(dtype_exclude="number")
    transform = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
         numeric),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=10), others),
        sparse_threshold=0,
    )  # fmt: skip
    transform.fit(frame[~valid])
    rows = np.asarray(transform.transform(frame), np.float32)
    if pd.api.types.is_numeric_dtype(target):
        return Resident(rows, target.to_numpy(np.float32)[:, None], valid)
    classes, codes = np.unique(target.astype(str), return_inverse=True)
    return Resident(rows, codes.astype(np.int64), valid, tuple(classes.tolist()))


@reader("movielens")
def read_movielens(folder: Path, size: Size = (), progress: Progress = no_progress) -> Resident:
    """Read MovieLens 100k's own split: inputs (n, 2) user and film from 0, targets (n, 1) stars.

    Raises:
        UserError: a file is missing or damaged.
    """
    names = ["user", "item", "rating", "time"]
    pairs, stars, held = [], [], []
    for name, valid in (("u1.base", False), ("u1.test", True)):
        path = folder / name
        cells = read_cells(path, names=names, delimiter="\t")
        ids = [numbers(cells, each, path, above=0, whole=True) for each in names[:2]]
        pairs.append(np.stack(ids, 1).astype(np.int64) - 1)
        stars.append(numbers(cells, "rating", path).astype(np.float32)[:, None])
        held.append(np.full(len(cells), valid))
    return Resident(np.concatenate(pairs), np.concatenate(stars), np.concatenate(held))
