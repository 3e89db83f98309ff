"""The parts of a report, each on its own: alerts, verdict, figures, comparison, provenance."""

import base64
import gzip
import io
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_tasks import INF, STORY, lesson, task

from lrsuggest.curves.display.svg import figure
from lrsuggest.evidence.contested import contested
from lrsuggest.evidence.response import Response
from lrsuggest.evidence.statistics import summary
from lrsuggest.report.about import Lost, Story, alerts
from lrsuggest.report.compare import ALIKE, BETTER, WORSE, Comparison, Side
from lrsuggest.report.figures.svg import inline
from lrsuggest.report.figures.task import lanes, near, task_figure
from lrsuggest.report.provenance import about, citations, downloads, sources
from lrsuggest.report.ranking import heat, leader, rows_of
from lrsuggest.report.text import rate

CLEAN = {"device": ("cpu",), "precision": ("fp16",), "versions": {"torch": ("2.9",)}}


def said(tasks, story=STORY, lessons=()):
    return {alert.what: alert.said for alert in alerts(tasks, story, lessons)}


def six(**settings):
    return [replace(task(f"family {k}", hand_picked=(), **settings), **CLEAN) for k in range(6)]


def test_nothing_is_said_of_what_is_as_it_should_be():
    assert said(six()) == {}


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("error", "failed"),
        ("oom", "out of memory"),
        ("timeout", "timed out"),
        ("interrupted", "interrupted"),
        ("missing", "never ran"),
        ("stalled", "stalled"),  # one that is not known yet is not hidden
    ],
)
def test_every_way_of_failing_is_an_alert_of_its_own(status, what):
    story = Story("t", "c", 10, (Lost("faces seed 0", status, "why"),) * 2)
    (alert,) = alerts(six(), story)
    assert (alert.what, alert.said) == (what, "2 of 10 planned runs have no result.")
    assert alert.each == (f"faces seed 0: {what}, why",) * 2


def test_what_else_must_be_known_is_said():
    tasks = six()
    tasks[0] = replace(
        tasks[0], device=("cuda",), versions={"torch": ("2.9",), "source": ("abc+changes",)}
    )
    tasks[1] = replace(tasks[1], versions={"torch": ("2.9", "2.10")})
    found = said(tasks, Story("t", "c", 10, unreached=1, stray=3))
    assert found["mixed devices"].startswith("device: cuda (1 task) and cpu (5 tasks).")
    assert found["mixed versions"].startswith("torch: 2.9 (6 tasks) and 2.10 (1 task).")
    assert "changed after abc," in found["dirty source"]
    assert found["stale"].startswith("3 records belong to no planned run")
    assert found["not reached"] == "1 run waits for one of these."
    plain = [replace(each, precision=("fp32",)) for each in six()]
    assert "fp16 not run" in said(plain)
    assert "fp16 not run" not in said(plain, lessons=[lesson("b", "biwi", ("9x9",), ("fp16",))])


def test_a_constant_of_the_grid_and_the_fitted_rule_cannot_win():
    ranked = pd.DataFrame({
        "contestant": ["constant 1e-2", "consensus", "partial", "consensus, out of fold", "ignite"],
        "whole": [True, True, False, True, True], "median": [0.0, 0.01, 0.02, 0.03, 0.04],
    })  # fmt: skip
    assert leader(ranked)["contestant"] == "consensus, out of fold"
    assert leader(ranked.iloc[:1]) is None


def test_the_oracle_and_mean_ranks_stand_in_the_ranking():
    tasks = six()
    table = contested(tasks)
    rows = rows_of(table, summary(table, tasks), tasks)
    assert rows[0]["contestant"] == "split-half oracle"
    assert rows[0]["median"] == rows[0]["worst"] == 0
    ranks = [row["rank"] for row in rows[1:]]
    assert sum(ranks) == pytest.approx(len(ranks) * (len(ranks) + 1) / 2)


def test_the_heat_map_holds_the_logarithms():
    tasks = six()
    table = contested(tasks)
    found = heat(table, summary(table, tasks), tasks)
    names = [each["name"] for each in found["names"]]
    assert not [name for name in names if re.fullmatch(r"constant \d.*", name)]
    row = found["rows"][0]
    assert row["best"] == pytest.approx(1e-2)
    mine = table[(table.task == "family 0") & (table.contestant == "min_10")].pick
    cell = row["cells"][names.index("min_10")]
    away = float(np.log10(mine / 1e-2).mean())
    assert float(cell["said"].replace("−", "-")) == pytest.approx(away, abs=0.051)
    assert (cell["depth"][0] in "np") == (abs(away) >= 0.15)


@given(st.lists(st.floats(1e-7, 10), max_size=20))
def test_marks_of_one_lane_do_not_cover_each_other(rates):
    picks = {str(place): rate for place, rate in enumerate(rates)}
    found = lanes(picks)
    assert found.keys() == picks.keys()
    for a in picks:
        for b in picks:
            if a != b and found[a] == found[b]:
                assert abs(math.log10(picks[a] / picks[b])) > 0.2


def test_the_band_is_the_run_of_good_rates_around_the_best():
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    losses = np.array([[0.51, 2.0, 0.51, 0.5, INF]] * 2)
    assert near(Response(rates, losses, 3.0)) == (1e-2, 1e-1)  # 1e-4 lies beyond a bad one
    assert near(Response(rates, np.full((2, 5), INF), 3.0)) is None


def test_a_figure_is_small_and_in_the_pages_colours():
    raw = task_figure("t0", task(), {"min_10": 1e-3, "lightning": 1e-6})
    made = inline(raw, 'a "label" <b>')
    assert len(made) < 0.6 * len(raw)
    assert 'aria-label="a &quot;label&quot; &lt;b&gt;"' in made
    assert "#000000" not in made
    assert "currentColor" in made
    assert not re.search(r"\d\.\d\d\d", made)
    ids = re.findall(r'\bid="([^"]+)"', made)
    referred = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', made)
    assert {a or b for a, b in referred} == set(ids)
    assert all(each.startswith("t0-") for each in ids)


def test_an_inlined_figure_looks_as_drawn():
    """A line's corners come back to a tenth of a point."""
    with figure("f") as (axes, out):
        axes.plot([0, 1, 2], [5, -3, 4])
    drawn = re.findall(r'd="(M [^"]+)" clip-path', out[0])[0]
    kept = re.findall(r'd="(M[^"]+)" clip-path', inline(out[0], ""))[0]
    numbers = [[float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text)] for text in (drawn, kept)]
    assert numbers[1] == pytest.approx(numbers[0], abs=0.051)


def test_downloads_are_the_tables():
    tasks = six()
    table = contested(tasks)
    found = {each.name: each for each in downloads(table, summary(table, tasks), tasks)}

    def read(name):
        kind, _, text = found[name].uri.partition(",")
        content = base64.b64decode(text)
        assert kind == ("data:application/gzip;base64" if name.endswith("gz")
                        else "data:text/csv;base64")  # fmt: skip
        return pd.read_csv(io.BytesIO(gzip.decompress(content) if name.endswith("gz") else content))

    assert set(read("ranking.csv").contestant) == set(table.contestant)
    picks = read(next(name for name in found if name.startswith("picks")))
    assert len(picks) == len(table)
    np.testing.assert_allclose(picks.pick, table.pick, rtol=1e-5)
    runs = read("responses.csv")
    assert len(runs) == 6 * 8
    assert np.isinf(runs.loss).sum() == 6


def test_thanks_and_sources_come_from_the_datasets():
    held = replace(task(), title="CamVid street scenes, 11 classes and Void")
    (cited,) = citations([held], [])
    assert "Brostow" in cited["cite"]
    assert sources()["CamVid street scenes, 11 classes and Void 2e-3"].startswith("fast.ai")
    found = about(six(), [], Story("t", "run it", 5, suite="quick", kept="x/records"))
    assert found["command"] == "run it"
    assert found["runs"] == "5 of 5 planned runs"
    assert found["torch"] == "2.9"
    assert found["source revision"] == "not recorded by these runs"


def test_a_comparison_finds_what_moved_and_nothing_in_itself():
    before = Side("a", six(), [lesson("c", "camvid", ("9x9",), seeds=3)])
    same = Comparison.of(before, before)
    assert {row["verdict"] for row in same.contestants + same.tasks} == {ALIKE}
    assert same.moves == []
    assert [row["verdict"] for row in same.lessons] == [ALIKE]
    flat = np.array([[1.3, 1.2, 1.0, 1.1], [1.31, 1.2, 1.01, 1.1]])  # low rates do well now
    better = lesson("c", "camvid", ("9x9",), seeds=3)
    better.chains.loc[better.chains.pilot == "suggested", "value"] = 1.5
    found = Comparison.of(before, Side("b", six(loss=flat)[:5], [better]))
    verdicts = {row["contestant"]: row["verdict"] for row in found.contestants}
    assert verdicts["lightning"] == BETTER
    assert {row["contestant"] for row in found.moves} >= {"lightning", "constant 1e-1"}
    assert [row["verdict"] for row in found.lessons] == ["better"]
    assert found.alone == (["family 5"], [])
    (line,) = (line for line in found.lines if line.startswith("contestants better: "))
    assert "none" not in line
    back = Comparison.of(Side("b", six(loss=flat)), before)
    assert {r["contestant"]: r["verdict"] for r in back.contestants}["lightning"] == WORSE
    # Swapping A and B swaps every verdict, and the page's first sentence tells of lessons too.
    there, here = (
        Comparison.of(*pair)
        for pair in [(before, Side("b", [], [better])), (Side("b", [], [better]), before)]
    )
    assert [row["verdict"] for row in there.lessons] == [BETTER]
    assert [row["verdict"] for row in here.lessons] == [WORSE]
    assert here.gist == "Lessons worse: c, stage 1, fp32."
    small = lesson("c", "camvid", ("9x9",), seeds=3)
    small.chains.loc[small.chains.pilot == "suggested", "value"] -= 0.001  # within the margin
    (row,) = Comparison.of(before, Side("b", [], [small])).lessons
    assert row["verdict"] == WORSE
    few = lesson("c", "camvid", ("9x9",), seeds=2)
    (row,) = Comparison.of(before, Side("b", [], [few])).lessons
    assert "nothing is said" in row["verdict"]
    other = lesson("c", "camvid", ("9x9",), seeds=3)
    other = replace(other, metric="error_rate")
    longer = [replace(each, steps=77) for each in six()]
    found = Comparison.of(before, Side("b", longer, [other]))
    assert found.lessons == []
    assert "not the same in both: lesson c (metric)" in found.lines
    assert sum("(steps)" in line for line in found.unlike) == 6
    nothing = Comparison.of(before, Side("none", []))
    assert nothing.contestants == nothing.tasks == nothing.lessons == []


def test_every_place_that_published_a_rate_is_named():
    """Several notebooks have one dataset and one rate; none may take another's place."""
    from lrsuggest.tasks.data.catalog import datasets

    named, places = sources(), {}
    for each in datasets().values():
        for stage in each.stages:
            for pick in stage.hand_picked:
                places.setdefault(f"{each.title} {rate(pick.top)}", set()).add(pick.where)
    assert max(map(len, places.values())) > 1, "some rate was published twice"
    for what, where in places.items():
        assert set(named[what].split("; ")) >= {part for one in where for part in one.split("; ")}
        assert len(named[what]) == len("; ".join(where))
