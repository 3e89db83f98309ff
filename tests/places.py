"""Where the slow tests stand, and those that need the peers."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
COLLECTED = pytest.StashKey[int]()
# What trains with a framework, measures whole suites, draws pages, starts processes or tries one
# file in very many spellings, by folder and module. A single slow test of another module has its
# own mark.
SLOW = (
    "adapters", "bench", "peers", "report", "curves/test_suggestion_page",
    "evidence/test_contested", "evidence/test_rankable", "tasks/test_cells", "tasks/test_lists",
    "tasks/test_models", "test_bare", "test_confirm",
    "test_examples", "test_fuzz", "test_kills", "test_overhead", "test_peers_folder",
    "test_process", "test_scale", "test_site",
)  # fmt: skip
# What needs the frameworks and the released finders: the extra "peers".
PEERS = (
    "peers", "adapters/test_fastai", "adapters/test_lightning", "adapters/test_mistakes_",
    "adapters/test_passed_over", "adapters/test_refusals", "adapters/test_several_inputs",
    "adapters/test_transformers", "adapters/test_unseen_rates", "training/test_set_rates",
)  # fmt: skip
