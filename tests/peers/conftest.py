"""The comparison with the released peers (extra "peers")."""

import pytest
from peer_curves import SCRIPTS

for library in ("fastai", "pytorch_lightning", "torch_lr_finder", "ignite"):
    pytest.importorskip(library, reason=f"{library} is missing: pip install 'lrsuggest[peers]'")


@pytest.fixture(params=SCRIPTS, ids=lambda name: name.replace(" ", "-"))
def script(request):
    return SCRIPTS[request.param]
