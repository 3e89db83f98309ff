"""A report, a score and a comparison of next to nothing are pages and sentences, no tracebacks."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from report_tasks import INF, NAN, RATES, STORY, task
from rich.console import Console

from lrsuggest.bench.commands.score import print_regret
from lrsuggest.evidence.consensus_fit import intervals
from lrsuggest.evidence.regret import rankable
from lrsuggest.evidence.response import Response
from lrsuggest.report.compare import Comparison, Side, render_comparison
from lrsuggest.report.page import render


def noisy(label):
    """Rates that nothing tells apart: the error is far above what a best rate needs."""
    rng = np.random.default_rng(len(label))
    loss = 2 + 0.5 * rng.normal(size=(4, len(RATES)))
    return replace(task(label), response=Response(RATES, loss, 3.0))


def alone(part, rates=RATES, seeds=1):
    """A task whose runs are of one part."""
    rows = [
        {"part": part, "lr": lr, "seed": seed, "steps": 40, "loss": 1.0, "loss_probe": 1.0,
         "loss_score": 1.0, "low": lr / 10, "metric": 0.5, "looks": NAN, "seconds": 1.0}
        for lr in rates for seed in range(seeds)
    ]  # fmt: skip
    return replace(task("family 0"), runs=pd.DataFrame(rows), starts=(3.0, 3.0))


LITTLE = {
    "two families and none clear": [noisy("family a"), noisy("family bb")],
    "eight families and none clear": [noisy(f"family {'x' * k}") for k in range(8)],
    "two families, one clear": [noisy("family a"), task("family b")],
    "one family": [task("one")],
    "one family, none clear": [noisy("family a")],
    "no range test": [replace(task(f"family {k}"), curves=()) for k in range(7)],
    "no range test anywhere but one": [task("a"), *(replace(task(f"f{k}"), curves=())
                                                    for k in range(7))],
    "no run": [task(f"family {k}", bare=True) for k in range(7)],
    "one rate": [replace(task("a"), response=Response(RATES[:1], np.ones((3, 1)), 3.0))],
    "one seed": [replace(task("a"), response=Response(RATES, np.ones((1, 4)), 3.0))],
    "nothing learnt": [task(f"family {k}", loss=np.full((4, 4), 9.0)) for k in range(7)],
    "all diverged": [task(f"family {k}", loss=np.full((4, 4), INF)) for k in range(7)],
    "one learnt of seven": [task("a"), *(task(f"f{k}", loss=np.full((2, 4), INF))
                                         for k in range(6))],
    "drawn data alone": [task("street", synthetic=True)],
    "drawn data beside one family": [task("street", synthetic=True), task("real")],
    "at a constant rate": [replace(task("a"), schedule="constant")],
    "both schedules": [task("a"), replace(noisy("b"), schedule="constant")],
    "one schedule drawn": [task("a"), replace(task("b", synthetic=True), schedule="constant")],
    "no optimizer that is known": [replace(task(f"f{k}"), optimizer="sgd") for k in range(2)],
    "short runs alone": [alone("short")],
    "slices alone": [alone("slice")],
    "no start": [replace(task("a"), response=Response(RATES, np.ones((2, 4)), NAN))],
    "no task": [],
}  # fmt: skip


@pytest.mark.parametrize("which", LITTLE)
def test_little_evidence_is_reported(which):
    page = render(LITTLE[which], STORY)
    assert page.rstrip().endswith("</html>")
    assert ">nan<" not in page


@pytest.mark.parametrize("which", LITTLE)
def test_little_evidence_is_scored(which):
    out = io.StringIO()
    table = print_regret(LITTLE[which], Console(file=out, width=200))
    said = out.getvalue()
    ranked = len(rankable(LITTLE[which])) > 0
    assert ("Regret on" in said) == ranked
    assert ("no ranking" in said) == (not ranked)
    assert ("nothing was measured on real data" in said) == table.empty
    lacking = "no rate learnt anything" in said
    assert lacking == ("learnt" in which or which == "all diverged")


@pytest.mark.parametrize("which", LITTLE)
def test_little_evidence_is_compared(which):
    for pair in (("one family", which), (which, "one family"), (which, which)):
        sides = [Side(name, LITTLE[name]) for name in pair]
        assert "</html>" in render_comparison(Comparison.of(*sides), "a command")


def test_intervals_of_nothing_have_their_columns():
    none = intervals(LITTLE["two families and none clear"], {})
    assert none.empty
    some = intervals([task("family b")], {}, [task("family c")])
    assert set(none.columns) == set(some.columns)
