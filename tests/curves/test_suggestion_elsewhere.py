"""Where no rate was found, other libraries' numbers are told so, or refuse; none is made up."""

import struct
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from lrsuggest import Curve, NoSuggestion, suggest_lr

SAYS = "no learning rate can be suggested: The loss is flat"


@pytest.fixture(scope="module")
def nothing():
    found = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.ones(100)))
    assert found.lr is None
    return found


TOLD = {
    "Decimal plus": lambda s: Decimal(1) + s,
    "Fraction times": lambda s: s * Fraction(1, 2),
    "its ratio": lambda s: Fraction(*s.as_integer_ratio()),
    "Series of float": lambda s: pd.Series([s], dtype=float),
    "to_numeric": lambda s: pd.to_numeric(pd.Series([s])),
    "coerced": lambda s: pd.to_numeric(pd.Series([1e-3, s]), errors="coerce"),
    "isna": pd.isna,
    "Series times": lambda s: pd.Series([s]) * 2,
    "Series greater": lambda s: pd.Series([s]) > 0,
    "nullable": lambda s: pd.Series([s], dtype="Float64"),
}


@pytest.mark.parametrize("use", TOLD.values(), ids=TOLD.keys())
def test_the_reason_is_told(nothing, use):
    with pytest.raises(NoSuggestion, match=SAYS):
        use(nothing)


# Python's and numpy's own code, which says that it takes no such thing before it asks for a float.
REFUSED = {
    "Decimal": Decimal,
    "Decimal of text": lambda s: Decimal(str(s)),
    "Fraction of text": lambda s: Fraction(str(s)),
    "struct": lambda s: struct.pack("d", s),
    "Series mean": lambda s: pd.Series([s]).mean(),
    "Series sum": lambda s: pd.Series([s, 1.0]).sum(),
    "in a Series": lambda s: pd.Series([1.0]).__setitem__(0, s),
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(nothing, use):
    with pytest.raises((TypeError, ValueError, ArithmeticError, struct.error)):
        use(nothing)


def test_a_fraction_is_refused_or_told(nothing):
    with pytest.raises((TypeError, NoSuggestion)):  # from Python 3.14 on it asks for the ratio
        Fraction(nothing)


@pytest.mark.parametrize("made", [pd.Series, lambda held: pd.DataFrame({"lr": held})])
def test_a_table_holds_it_as_it_is_and_makes_no_number_of_it(nothing, made):
    held = made([1e-3, nothing])
    assert held.to_numpy().ravel()[1] is nothing
    with pytest.raises(ValueError, match="setting an array element") as caught:
        held.astype(float)
    assert isinstance(caught.value.__cause__, NoSuggestion)
    assert SAYS in str(caught.value.__cause__)


def test_a_rate_is_a_number_to_all_of_them():
    lr = np.geomspace(1e-7, 10, 100)
    loss = 2 - np.clip(np.log10(lr) + 4, 0, 2) + np.where(lr > 1, lr, 0)
    found = suggest_lr(Curve(lr, loss))
    assert Decimal(found) == Decimal(found.lr)
    assert Fraction(found) == Fraction(found.lr)
    assert pd.Series([found]).astype(float).tolist() == [found.lr]
    assert struct.pack("d", found) == struct.pack("d", found.lr)
