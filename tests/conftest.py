"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data; without it the tests that want it say what was missing."""
    root = Path(os.environ.get("LRSUGGEST_DATA") or SHARED)
    missing = [name for name in ("camvid11", "face_landmarks") if not (root / name).is_dir()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {root}; set LRSUGGEST_DATA")
    return root


@pytest.fixture
def one_thread():
    """On layers this small, threads only stand in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
