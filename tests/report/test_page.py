import math
import re

import numpy as np
import pytest
from helpers import Reader
from report_tasks import EVIL, STORY, evil_story, task

from lrsuggest.evidence.regret import constants
from lrsuggest.report.about import Lost, Story
from lrsuggest.report.page import render
from lrsuggest.report.text import listed, number, percent, rate, signed


def test_one_page_tells_it_all_and_asks_for_nothing_else():
    page = render([task(), task("camvid 60x80")], STORY)
    read = Reader(page)
    assert len(read.ids) == len(set(read.ids))
    assert all(re.match("#|data:(text/csv|application/gzip);base64,", x) for x in read.links)
    assert not re.search(r"url\((?!#)|@import|<script[^>]", page)
    text = " ".join(read.text)
    for words in ("min_10", "fastai_valley", "constant 1e-2", "hand-picked", "diverged",
                  "10 of 10", "constant, out of fold", "2e-3", "No verdict"):  # fmt: skip
        assert words in text, words
    assert len(page) < 3_000_000


def test_ids_within_a_figure_are_referred_to_by_the_same_name():
    page = render([task()], STORY)
    ids = set(Reader(page).ids)
    referred = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"|aria-labelledby="([^"]+)"', page))
    assert len(referred) > 20
    assert all((a or b or c) in ids for a, b, c in referred)


def test_it_is_the_same_to_the_byte_each_time():
    assert render([task()], STORY) == render([task()], STORY)


def test_synthetic_data_are_marked_and_judged_nowhere():
    page = render([task("street", synthetic=True)], STORY)
    text = " ".join(Reader(page).text)
    assert "No verdict: nothing was measured on real data" in text
    assert "synthetic data street." in text
    assert "no regret is reported" in text
    assert "Ranking: " not in text
    assert "pick to use" not in text


def test_few_families_and_failures_are_said_first():
    story = Story("x", "y", 10, (Lost("faces seed 0", "timeout", "stopped after 240 s"),))
    page = render([task()], story)
    text = " ".join(Reader(page).text)
    assert "9 of 10" in text
    assert "Only 1 family of real data" in text
    assert "timed out 1 of 10 planned runs have no result" in text
    assert "stopped after 240 s" in text


def test_a_verdict_needs_six_families_and_no_hindsight():
    page = render([task(f"family {k}") for k in range(6)], STORY)
    text = " ".join(" ".join(Reader(page).text).split())
    said = re.search(r"pick to use (.+?) (?:ours|another library's|a constant|people)", text)
    assert said
    assert said[1] not in constants()
    assert re.search(r"Train at the .*: on the median task it costs \S+ % of", text)


def test_hostile_names_are_shown_and_not_run():
    page = render([task(EVIL, hand_picked=((1e-3, EVIL),))], evil_story())
    assert page.count("<script") == 1
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
    assert [number(x) for x in (-0.0001, -0.5, math.nan)] == ["0.000", "−0.500", "–"]
    assert [signed(x) for x in (0.04, -0.26, 1)] == ["0.0", "−0.3", "+1.0"]
    assert [percent(x) for x in (0.0046, 0.57, 0, 1)] == [
        "0.5\xa0%", "57\xa0%", "0\xa0%", "100\xa0%"
    ]  # fmt: skip
    assert listed("abc") == "a, b and c"
    assert listed("abcdef", 3) == "a, b and 4 more"
