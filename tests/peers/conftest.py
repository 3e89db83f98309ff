"""The comparison with the released peers (extra "peers")."""

from importlib.util import find_spec

import pytest
from peer_curves import SCRIPTS

PEERS = ("fastai", "pytorch_lightning", "torch_lr_finder", "ignite")
LACKING = [name for name in PEERS if find_spec(name) is None]
# A skip raised in a conftest is a traceback where pytest is given this folder alone.
collect_ignore_glob = ["test_*.py"] if LACKING else []


def pytest_terminal_summary(terminalreporter):
    """Say what was not run, and how to run it."""
    if LACKING:
        terminalreporter.write_line(
            f"tests/peers skipped, missing: {', '.join(LACKING)}; pip install 'lrsuggest[peers]'"
        )


@pytest.fixture(params=SCRIPTS, ids=lambda name: name.replace(" ", "-"))
def script(request):
    return SCRIPTS[request.param]


@pytest.fixture
def quiet(caplog, capsys):
    caplog.set_level("CRITICAL")
    yield
    capsys.readouterr()
