"""The released functions and ours on the same recorded curves."""

import io
import math
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from peer_curves import oddities, sweeps

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics import peers
from lrsuggest.curves.heuristics.all import HEURISTICS
from lrsuggest.curves.heuristics.registry import Abstention

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback import schedule
    from ignite.handlers.lr_finder import FastaiLRFinder
    from pytorch_lightning.tuner.lr_finder import _LRFinder
    from torch_lr_finder import LRFinder


def ask_fastai(name):
    def ask(lr, loss):
        # As lr_find prepares them: trimmed, cut at the first NaN, in single precision.
        done = peers.fastai_record(loss)
        rates = torch.tensor(lr[: len(done)][len(lr) // 10 : -5], dtype=torch.float32)
        losses = torch.tensor(done[len(lr) // 10 : -5], dtype=torch.float32)
        bad = torch.nonzero(torch.isnan(losses.view(-1)))
        if len(bad):
            rates, losses = rates[: min(bad)], losses[: min(bad)]
        return getattr(schedule, name)(rates, losses, len(lr))[0]

    return ask


def ask_lightning(lr, loss):
    done = peers.lightning_record(loss)
    finder = _LRFinder("exponential", 1e-8, 1, 100)
    finder.results = {"lr": lr[: len(done)].tolist(), "loss": done.tolist()}
    return finder.suggestion()


def ask_torch_lr_finder(lr, loss):
    done = peers.twentieth_record(loss)
    finder = LRFinder.__new__(LRFinder)
    finder.history = {"lr": lr[: len(done)].tolist(), "loss": done.tolist()}
    with redirect_stdout(io.StringIO()):
        return finder.plot(ax=Figure().subplots())[1]


def ask_ignite(lr, loss):
    done = peers.twentieth_record(loss)
    finder = FastaiLRFinder()
    finder._history = {"lr": lr[: len(done)].tolist(), "loss": done.tolist()}
    return finder.lr_suggestion()


PEERS = {
    "fastai_minimum": ask_fastai("minimum"),
    "fastai_steep": ask_fastai("steep"),
    "fastai_valley": ask_fastai("valley"),
    "fastai_slide": ask_fastai("slide"),
    "lightning": ask_lightning,
    "torch_lr_finder": ask_torch_lr_finder,
    "ignite": ask_ignite,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy, on infinities the peers divide
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # fastai's slide
@pytest.mark.parametrize("name", PEERS)
def test_the_same_answer_on_every_curve(name):
    answers, abstained, different = [], 0, []
    curves = sweeps() + oddities()
    for number, (lr, loss) in enumerate(curves):
        try:
            theirs = PEERS[name](lr, loss)
        except Exception:
            theirs = None
        ours = HEURISTICS[name](Curve(lr, loss))
        if isinstance(ours, Abstention) or theirs is None:
            abstained += 1
            if not (isinstance(ours, Abstention) and theirs is None):
                different.append((number, ours, theirs))
            continue
        answers.append(float(theirs))
        if np.ptp(loss) == 0:
            continue  # which of many equal slopes is the least is for rounding to say
        if not math.isclose(ours, float(theirs), rel_tol=1e-5):
            different.append((number, ours, float(theirs)))
    print(f"{name}: {len(curves)} curves, {len(set(answers))} answers, {abstained} abstentions")
    assert not different, different[:5]
    assert len(curves) >= 300
    assert len(set(np.round(np.log10(answers), 6))) >= 100
    assert abstained >= 1
