"""The library leaves the process it is used in as it was."""

import subprocess
import sys

CODE = """
import os, sys, threading
import torch
from torch import nn

def state():
    return (
        dict(os.environ), os.getcwd(), torch.get_num_threads(), torch.get_num_interop_threads(),
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.initial_seed(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        threading.active_count(), list(sys.path),
    )

torch.set_num_threads(2)
x = torch.randn(256, 8)
batches = list(zip(x.split(32), (x[:, 0] > 0).long().split(32)))
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.SGD(model.parameters(), 0.1)  # torch sets a variable of its own here
before = state()
import lrsuggest
from lrsuggest import Curve, Learner, RangeTest, fit_one_cycle, suggest_lr
import lrsuggest.adapters.fastai.adapter, lrsuggest.adapters.lightning.adapter
import lrsuggest.adapters.transformers.adapter
from lrsuggest.bench.commands import doctor, score
from lrsuggest.bench.plan import suite

learner = Learner(model, nn.functional.cross_entropy, batches, optimizer, valid=batches)
found = suggest_lr(learner, sweep=RangeTest(num_iter=60), probes=2)
fit_one_cycle(learner, found.lr or 0.1, epochs=1)
suggest_lr(Curve(found.curve.lr, found.curve.loss))._repr_html_()
after = state()
assert after == before, [(a, b) for a, b in zip(before, after) if a != b]
print("as it was")
"""


def test_threads_environment_and_settings_are_as_they_were():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "as it was\n", done.stderr
