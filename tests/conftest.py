"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from places import COLLECTED, PEERS, SLOW, TESTS

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

SHARED = TESTS.parents[1] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Count before anything is deselected, and mark what is slow or needs the peers."""
    config.stash[COLLECTED] = len(items)
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        for mark, places in (("slow", SLOW), ("peers", PEERS)):
            if place.startswith(places):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data; without it the tests that want it say what was missing."""
    root = Path(os.environ.get("LRSUGGEST_DATA") or SHARED)
    missing = [name for name in ("camvid11", "face_landmarks") if not (root / name).is_dir()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {root}; set LRSUGGEST_DATA")
    return root


@pytest.fixture
def examples(request) -> int:
    """How many curves a law is tried on: in the quick half a tenth of them."""
    return 20 if "not slow" in request.config.option.markexpr else 200


@pytest.fixture
def one_thread():
    """On layers this small, threads only stand in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
