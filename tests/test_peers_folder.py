"""The folder that compares with the peers is skipped, not broken, where a peer is missing."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
HIDE = """
import importlib.util, sys
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {!r} else there(name, *rest)
import pytest
sys.exit(pytest.main(["-p", "no:cacheprovider", "--co", *sys.argv[1:]]))
"""


def collected(lacking):
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(lacking), str(TESTS / "peers")], cwd=TESTS.parent,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_without_a_peer_the_folder_is_skipped_in_a_sentence():
    done = collected("ignite")
    assert done.returncode == 5, done.stdout  # no test was collected
    assert "tests/peers skipped, missing: ignite; pip install 'lrsuggest[peers]'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout
