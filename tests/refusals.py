"""A mistake is refused in one sentence."""

import pytest
from helpers import sweep_like

from lrsuggest import Curve, UserError

CURVE = Curve(*sweep_like())


def one_sentence(told):
    said = str(told.value)
    assert "\n" not in said
    assert len(said) < 600
    assert "Traceback" not in said
    return said


def refused(says, call, *args, **settings):
    """Check that a call says so in one sentence."""
    with pytest.raises(UserError, match=says) as told:
        call(*args, **settings)
    return one_sentence(told)
