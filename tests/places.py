"""Where the slow tests stand, and those that need the peers."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
COLLECTED = pytest.StashKey[int]()
# What trains with a framework, measures whole suites, draws pages or starts processes, by folder
# and module. A single slow test of another module has its own mark.
SLOW = (
    "adapters", "bench", "peers", "report",
)  # fmt: skip
# What needs the frameworks and the released finders: the extra "peers".
PEERS = (
    "peers", "adapters/test_fastai", "adapters/test_lightning", "adapters/test_mistakes_",
    "adapters/test_passed_over", "adapters/test_refusals", "adapters/test_several_inputs",
    "adapters/test_transformers", "adapters/test_unseen_rates", "training/test_set_rates",
)  # fmt: skip
