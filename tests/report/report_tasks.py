"""Made-up evidence that the tests of the report are written on, and what they do for want."""

import math
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.lessons import CHAINS, STAGES, LessonEvidence, Trace
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.report.about import Lost, Story

NAN, INF = math.nan, math.inf
BOTH = ("hand-picked", "suggested")
EVIL = "<script>window.ran = 1</script>\"'&<img src=x onerror='window.ran = 1'>"
RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])
STORY = Story("First look", "python -m lrsuggest.bench", 10)


def task(
    label="faces 48x48", *, synthetic=False, loss=None, hand_picked=((2e-3, "lesson 3"),),
    kind="points", bare=False, seed=0,
):  # fmt: skip
    """Four rates and two seeds; `bare` leaves a task without a single result."""
    loss = np.array([[2, 1.5, 1, INF], [2, 1.4, 1.1, 2.5]]) if loss is None else loss
    table = pd.DataFrame(
        [{"lr": lr, "seed": s, "valid_loss": v, "value": 0.5}
         for s, row in enumerate(loss) for lr, v in zip(RATES, row, strict=True)]
    )  # fmt: skip
    return TaskEvidence(
        label, "A title", label, "frozen", "adamw", synthetic,
        () if bare else (Curve(*sweep_like(noise=0.03, seed=seed)),),
        None if bare else Response(RATES, loss, 3.0), hand_picked, "accuracy",
        pd.DataFrame() if bare else table,
        model="m", device=("cpu",), precision=("fp32",), versions={"torch": ("2.9",)},
        steps=40, batch=8, kind=kind, keys=(("range tests", "0123456789abcdef"),),
    )  # fmt: skip


def evil_story():
    """A story whose every word would be code, were it not escaped."""
    lost = (Lost(EVIL, EVIL, EVIL), Lost(EVIL, "error", EVIL))
    return Story(EVIL, EVIL, 2, lost, (EVIL,), suite=EVIL, kept=EVIL)


def lesson(name, family, sizes, formats=("fp32",), skipped="", pilots=BOTH, seeds=1):
    """A lesson whose chains of every pilot and format came to a metric of 1."""
    stages = [
        (name, i, "", "frozen", size, 8, 1, 10, 0.01, "fp32", "a net")
        for i, size in enumerate(sizes, 1)
    ]
    rows = [(name, pilot, each, seed, i, 1e-2, NAN, "ok", 1.0, 0.5, 1.0, NAN, each)
            for pilot in pilots for each in formats for seed in range(seeds)
            for i in range(1, 1 + len(sizes))]  # fmt: skip
    named = pd.DataFrame(columns=["lesson", "number", "contestant", "where", "lr", "low", "seed",
                                  "loss", "value"])  # fmt: skip
    return LessonEvidence(
        name=name, title=name, family=family, skipped=skipped, model="m", optimizer="adamw",
        schedule="one_cycle", metric="accuracy", margin=0.005, chain_seeds=seeds,
        stages=pd.DataFrame(stages, columns=list(STAGES)),
        chains=pd.DataFrame(rows, columns=list(CHAINS)), named=named,
    )  # fmt: skip


def trace(pilot="suggested", held=None, losses=(2.0, 1.0, 0.5), number=1):
    """Three steps of a stage, looked at once."""
    return Trace(pilot, number, np.array([1e-3, 1e-2, 1e-4]), np.array(losses), ((3, 0.6),), held)


def camvid():
    """A lesson of two sizes with a figure of its losses."""
    held = lesson("camvid11", "camvid", ("72x96", "96x128"))
    traces = tuple(trace(each, number=number) for each in BOTH for number in (1, 2))
    return replace(held, traces=traces)


def lacking(what: str) -> None:
    """Skip for want of something; where LRSUGGEST_BROWSER says so, fail instead."""
    if os.environ.get("LRSUGGEST_BROWSER") == "required":
        pytest.fail(f"LRSUGGEST_BROWSER is required, but {what}")
    pytest.skip(what)
