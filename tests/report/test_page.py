import math
import re

import numpy as np
import pandas as pd
import pytest
from helpers import Reader, sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.evidence.response import Response, TaskEvidence
from lrsuggest.report.page import Story, number, rate, render

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1])


def task(label="faces 48x48", *, synthetic=False, loss=None, hand_picked=((2e-3, "lesson 3"),)):
    loss = np.array([[2, 1.5, 1, math.inf], [2, 1.4, 1.1, 2.5]]) if loss is None else loss
    table = pd.DataFrame(
        [{"lr": lr, "seed": s, "valid_loss": v, "value": 0.5}
         for s, row in enumerate(loss) for lr, v in zip(RATES, row, strict=True)]
    )  # fmt: skip
    return TaskEvidence(
        label, "A title", label, "frozen", "adamw", synthetic,
        (Curve(*sweep_like(noise=0.03)),), Response(RATES, loss, 3.0), hand_picked, "accuracy",
        table, {"model": "m", "batch": "8", "steps a run": "40", "device": "cpu"},
    )  # fmt: skip


STORY = Story("First look", "python -m lrsuggest.bench", 10)


def test_one_page_tells_it_all_and_asks_for_nothing_else():
    page = render([task(), task("camvid 60x80")], STORY)
    read = Reader(page)
    assert len(read.ids) == len(set(read.ids))
    assert all(link.startswith("#") for link in read.links)
    assert not re.search(r"url\((?!#)|@import|<script|https?://(?!www\.w3\.org)", page)
    text = " ".join(read.text)
    for words in ("min_10", "fastai_valley", "constant 1e-2", "hand-picked", "diverged",
                  "10 of 10", "constant, out of fold", "2e-3", "no verdict"):  # fmt: skip
        assert words in text, words
    assert read.tags.count("svg") == 4
    assert len(page) < 3_000_000


def test_ids_within_a_figure_are_referred_to_by_the_same_name():
    page = render([task()], STORY)
    ids = set(Reader(page).ids)
    referred = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page))
    assert referred
    assert all((a or b) in ids for a, b in referred)


def test_it_is_the_same_to_the_byte_each_time():
    assert render([task()], STORY) == render([task()], STORY)


def test_synthetic_data_are_marked_and_judged_nowhere():
    page = render([task("street", synthetic=True)], STORY)
    text = " ".join(Reader(page).text)
    assert "no verdict" in text
    assert "Synthetic data: street" in text
    assert "no regret is reported" in text
    assert "Regret, all tasks" not in text
    assert "lowest median" not in text


def test_few_families_and_failures_are_said_first():
    story = Story("x", "y", 10, ("faces one-cycle 1e-3 seed 0: timeout, stopped after 240 s",))
    page = render([task()], story)
    text = " ".join(Reader(page).text)
    assert "9 of 10" in text
    assert "Only 1 family of real data" in text
    assert "1 of 10 planned runs have no result" in text
    assert "stopped after 240 s" in text


def test_a_verdict_needs_six_families_and_no_hindsight():
    page = render([task(f"family {k}") for k in range(6)], STORY)
    text = " ".join(Reader(page).text)
    assert "lowest median regret" in text
    head = text[: text.index("lowest median regret")].split()
    assert "constant" not in head[-2:]


def test_hostile_names_are_shown_and_not_run():
    evil = "<script>alert(1)</script>\"'&"
    page = render([task(evil, hand_picked=((1e-3, evil),))], Story(evil, evil, 1, (evil,)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    Reader(page)


@pytest.mark.parametrize(
    "loss", [np.full((2, 4), math.inf), np.full((2, 4), math.nan), np.full((1, 4), 1.0)]
)
def test_nothing_learnt_is_still_a_page(loss):
    Reader(render([task(loss=loss)], STORY))
    Reader(render([], STORY))


def test_rates_and_regrets_read_well():
    assert [rate(x) for x in (3e-3, 1.24e-2, 1, math.nan)] == ["3e-3", "1.2e-2", "1e0", "–"]
    assert [number(x) for x in (0.01234, -0.5, math.nan)] == ["0.012", "−0.500", "–"]
