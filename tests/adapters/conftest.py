"""Fixtures that the adapters' test modules share."""

import gc

import pytest


@pytest.fixture
def quiet_log(caplog):
    caplog.set_level("ERROR")


@pytest.fixture
def quiet_output(capsys):
    yield
    capsys.readouterr()


@pytest.fixture(scope="module")
def little_garbage():
    """At each train() accelerate collects garbage, and would walk through all modules loaded."""
    gc.freeze()
    yield
    gc.unfreeze()
