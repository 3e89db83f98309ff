"""A lesson from its file to the report: real networks in processes of their own."""

import msgspec
import numpy as np
import pytest
from helpers import Reader
from rich.console import Console

from lrsuggest.bench import run
from lrsuggest.bench.commands.evidence import evidence, gather
from lrsuggest.bench.engines.engine import Outcome
from lrsuggest.bench.engines.local import Local
from lrsuggest.bench.jobs.record import Record, RecordedCurve, Result
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan import chains, suite
from lrsuggest.bench.plan.chains import FALLBACK, RULE, nearest, suggested, walk
from lrsuggest.bench.plan.make import make_plan
from lrsuggest.bench.plan.plan import Chain, NamedRates, load_plan
from lrsuggest.bench.run import run_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.errors import UserError
from lrsuggest.evidence import tables
from lrsuggest.evidence.lessons import SUGGESTED, autopilot, branches
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.evidence.tables import load_lessons
from lrsuggest.report.about import Story
from lrsuggest.report.page import render
from lrsuggest.tasks.data import catalog
from lrsuggest.tasks.data.catalog import CourseStage, HandPicked

TINY = """
title = "t"
chase = false
[sweep]
steps = 24
seeds = 1
[rates]
adamw = [1e-3, 1e-2]
[[lesson]]
name = "drawn"
dataset = "street"
chain_seeds = 2
precisions = ["fp32", "fp16"]
stage = [
    { stage = "frozen", size = [24, 32], batch = 32, epochs = 1, course = 1 },
    { stage="unfrozen", size=[32, 32], batch=32, epochs=1, course=2, weight_decay=0.1, FP16 },
]
[[lesson]]
dataset = "biwi"
margin = 0.01
stage = [{ stage = "frozen", size = [24, 32], batch = 16, epochs = 1, course = 1 }]
"""
TINY = TINY.replace("FP16", 'precision = "fp16"')
COURSE = (
    CourseStage("frozen", "n", hand_picked=(HandPicked(1.05e-2, "a lesson"),)),
    CourseStage("unfrozen", "n", hand_picked=(HandPicked((1e-4, 5e-3), "a lesson"),)),
)


@pytest.fixture(scope="module")
def street():
    """The drawn street with a course of its own: its data are always at hand."""
    known = catalog.dataset

    def dataset(name):
        found = known(name)
        return msgspec.structs.replace(found, stages=COURSE) if name == "street" else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "dataset", dataset)
        patch.setattr(suite, "dataset", dataset)
        yield


def load_text(folder, text):
    (folder / "mine.toml").write_text(text)
    return suite.load(str(folder / "mine.toml"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory, street):
    """The folder of a run that went through, and what was said."""
    folder = tmp_path_factory.mktemp("lesson")
    console = Console(file=(folder / "said.txt").open("w"), width=200)
    store = Store(folder)
    plan = make_plan("mine", load_text(folder, TINY), None, folder, device="cpu", console=console,
                     command="run mine")  # fmt: skip
    with Local(2) as engine:
        run_plan(plan, store, folder, engine=engine, console=console)
    console.file.close()
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("seeds = 1\n[rates]", "seeds = 2\n[rates]"), None),
        (('name = "drawn"', "seeds = 2"), r"three seeds or more of its responses.*lesson\[0\]"),
        (("chain_seeds = 2", "chain_seeds = 0"), r"a seed of its chains"),
        (('["fp32", "fp16"]', '["fp16"]'), "must hold fp32"),
        (('["fp32", "fp16"]', '["fp64"]'), r"'fp64' - at `\$\.lesson\[0\]\.precisions"),
        (("epochs = 1, course = 1", "epochs = 0, course = 1"), "stage 1: size, batch and epochs"),
        (("course=2", "course=3"), "street has 2 published stages, course = 3 is none"),
        (('"frozen", size = [24, 32], batch = 32, epochs = 1, course = 1 },\n    {',
          '"unfrozen", size = [24, 32], batch = 32, epochs = 1, course = 1 },\n    {'),
         "stage 1: unfrozen goes on from a frozen stage"),
        (('"frozen"', '"scratch"'), "stage 1: scratch does not go with the model unet_norm"),
        (("adamw = [1e-3, 1e-2]", "adamw = [1e-3]"), "stage 1 needs two or more different"),
        (('dataset = "biwi"', 'dataset = "street"\nname = "drawn"'), "two lessons have one name"),
        (('name = "drawn"', 'teacher = "me"'), r"unknown field `teacher` - at `\$\.lesson\[0\]`"),
    ],
)  # fmt: skip
def test_a_bad_lesson_is_refused_with_its_place(tmp_path, street, change, says):
    assert change[0] in TINY
    text = TINY.replace(*change, 1)
    if says is None:
        load_text(tmp_path, text)
        return
    with pytest.raises(UserError, match=says):
        load_text(tmp_path, text)


def test_a_stage_without_a_published_rate_is_no_lesson(tmp_path, street):
    text = TINY.replace('dataset = "street"', 'dataset = "digits"').replace('"frozen"', '"scratch"')
    text = text.replace("adamw = ", "sgd = ")
    with pytest.raises(UserError, match="digits has 0 published stages"):
        load_text(tmp_path, text)


def test_every_chain_and_response_was_measured(ran):
    plan, store = load_plan(ran), Store(ran)
    tasks, story, (lesson,), _ = evidence(to_tables(plan, store))
    assert (story.failed, story.unreached) == ((), 0)
    # 2 seeds: 2 hand-picked stages, 2 suggested ones with a range test before each
    assert story.planned == len(plan.jobs) + 2 * 2 + 2 * 4
    assert len(lesson.chains) == 2 * 2 + 2 * 2
    assert np.isfinite(lesson.chains["value"]).all()
    assert [task.label for task in tasks] == lesson.stages.task.tolist()
    assert all(task.response.loss.shape[0] == 3 for task in tasks)
    named = lesson.named.groupby(["number", "contestant"]).seed.nunique()
    assert (named == 3).all()
    assert set(named.index) == {
        (1, HAND_PICKED), (1, SUGGESTED), (2, HAND_PICKED), (2, SUGGESTED), (2, RULE),
    }  # fmt: skip
    # a hand-picked 1.05e-2 shares the runs of the grid's 1e-2; the slices have their own
    assert set(lesson.named[lesson.named.contestant == HAND_PICKED].lr) == {1e-2, 5e-3}
    rule = lesson.named[lesson.named.contestant == RULE].iloc[0]
    assert (rule.lr, rule.low) == pytest.approx((1.05e-2 / 5, 1.05e-2 / 5 / 200))


def test_stages_go_on_from_the_chain_at_hand_picked_rates(ran):
    plan, store = load_plan(ran), Store(ran)
    (planned,) = plan.lessons
    first, second = walk(planned, Chain("hand-picked", 0), store.measured)
    assert second[0].last.key == msgspec.structs.replace(first[0], looks=1).key
    assert second[0].weight_decay == 0.1
    assert first[1].result.shown
    for task in plan.tasks:
        grid = {job.before for job in task.all_jobs}
        assert grid == ({None} if "frozen" in task.label.split() else {second[0].before})
    (lesson,) = evidence(to_tables(plan, store)).lessons
    assert [(t.pilot, t.number) for t in lesson.traces] == [
        (HAND_PICKED, 1), (HAND_PICKED, 2), (SUGGESTED, 1), (SUGGESTED, 2),
    ]  # fmt: skip
    for trace in lesson.traces:
        assert len(trace.loss) == len(trace.lr) == trace.looks[-1][0]


def test_the_second_time_nothing_is_run(ran, street):
    before = {path.name: path.stat().st_mtime_ns for path in (ran / "records").iterdir()}
    plan = make_plan("mine", load_text(ran, TINY), None, ran, device="cpu",
                     console=Console(quiet=True), command="run mine")  # fmt: skip
    with Local(1) as engine:
        run_plan(plan, Store(ran), ran, engine=engine, console=Console(quiet=True))
    assert {p.name: p.stat().st_mtime_ns for p in (ran / "records").iterdir()} == before


def test_what_is_not_at_hand_or_not_worth_running_is_said(ran):
    plan = load_plan(ran)
    assert [lesson.name for lesson in plan.lessons] == ["drawn"]
    (said,) = plan.absent
    assert said.startswith("biwi: ")
    assert f"left out: {said}" in (ran / "said.txt").read_text().replace("\n", "")
    assert plan.lessons[0].skipped == ("fp16", "fp16 in stage 2, run in fp32")
    tasks, _, lessons, _ = gather(ran)
    page = render(tasks, Story("t", "c", 1, (), plan.absent), lessons)
    text = " ".join(" ".join(Reader(page).text).split())
    assert "fp16 ✗ not validated emulated on a CPU" in text
    assert said in text


def test_the_report_shows_both_comparisons_and_what_was_predicted(ran):
    tasks, _, found, _ = gather(ran)
    page = render(tasks, Story("t", "c", 1), found)
    read = Reader(page)
    assert len(set(read.ids)) == len(read.ids)
    text = " ".join(read.text)
    assert "Autopilot: the whole chain" in text
    assert "Branch: every contestant from the same weights" in text
    assert sum(link.startswith("data:image/jpeg;base64,") for link in read.links) == 2
    assert not [link for link in read.links if link.startswith(("http", "//"))]
    assert "Ranking: " not in text  # what was drawn enters no ranking
    assert len(page) < 3e6


def test_tables_give_the_comparisons_back(ran, tmp_path):
    tasks, _, found, _ = gather(ran)
    to_tables(load_plan(ran), Store(ran)).tables.write(tmp_path)
    (back,) = load_lessons(tmp_path)
    was, now = autopilot(found[0]), autopilot(back)
    for ours, theirs in zip(now.our_rates, was.our_rates, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert [a.outcome for a in now.against] == [a.outcome for a in was.against]
    again = tables.load(tmp_path)
    picked = [[rate for rate, _ in task.hand_picked] for task in tasks]
    assert picked == [[1.05e-2], []]  # this stage's own, and no slice
    assert [[rate for rate, _ in task.hand_picked] for task in again] == picked
    columns = ["number", "contestant", "lr", "mean", "regret"]
    wanted = branches(found[0], tasks)[columns]
    for column in columns:
        got = branches(back, again)[column].tolist()
        if column == "contestant":
            assert got == wanted[column].tolist()
        else:
            np.testing.assert_allclose(got, wanted[column], rtol=1e-3, atol=1e-4)


def test_a_missing_run_is_named_with_what_waits_for_it(ran, tmp_path):
    plan, store = load_plan(ran), Store(ran)
    other = Store(tmp_path)
    (planned,) = plan.lessons
    first, second = walk(planned, Chain("suggested", 1), store.measured)[1::2]
    for path in (ran / "records").iterdir():
        if path.stem != first[0].key:
            (tmp_path / "records" / path.name).write_bytes(path.read_bytes())
    tables, story, _ = to_tables(plan, other)
    here = [lost for lost in story.failed if lost.label == first[0].label]
    assert [lost.status for lost in here] == ["missing"]
    assert story.unreached == 2  # the range test and the run of the second stage
    other.put(Record(first[0], Result("diverged", end={})))
    tables, later, _ = to_tables(plan, other)
    assert (later.failed, later.unreached, later.planned) == (
        tuple(each for each in story.failed if each not in here), 0, story.planned - 2,
    )  # fmt: skip
    (lesson,) = tables.lessons()
    row = lesson.chains[(lesson.chains.pilot == SUGGESTED) & (lesson.chains.seed == 1)]
    assert row[["status", "number"]].to_numpy().tolist() == [["diverged", 1]]
    assert second[0].label not in {lost.label for lost in later.failed}


@pytest.mark.parametrize(
    ("rate", "found"), [(1e-2, 1e-2), (1.09e-2, 1e-2), (1.12e-2, None), (0.92e-2, 1e-2), (1, None)]
)
def test_rates_within_a_tenth_are_one(rate, found):
    assert nearest(rate, [1e-3, 1e-2]) == found
    assert nearest(rate, []) is None


def test_where_nothing_can_be_suggested_people_have_their_say():
    flat = Curve(np.geomspace(1e-7, 10, 100), np.ones(100))
    found = suggested([flat, flat], Context("adamw", "frozen", 100, 8))
    assert found == NamedRates(
        SUGGESTED, (FALLBACK,), f"abstained in 2 of 2, so {FALLBACK:g} there"
    )


def test_number_formats_are_those_of_the_stage_or_of_the_whole_chain(tmp_path, street):
    plan = make_plan("mine", load_text(tmp_path, TINY), None, tmp_path, device="cuda",
                     console=Console(quiet=True), command="run mine")  # fmt: skip
    (lesson,) = plan.lessons
    assert lesson.skipped == ()
    formats = {chain.precision for chain in lesson.chains if chain.pilot == "suggested"}
    assert formats == {"fp32", "fp16"}
    (first, _), *_ = walk(lesson, Chain("suggested", 0, "fp16"), lambda job: None)
    assert first.precision == "fp16"
    flat = Curve(np.geomspace(1e-7, 10, 100), np.ones(100))

    def find(job):
        if job.kind == "sweep":
            return Record(job, Result("ok", curve=RecordedCurve.of(flat)))
        return Record(job, Result("ok", end={"loss": 1.0}))

    walked = [job for job, _ in walk(lesson, Chain("hand-picked", 0), find)]
    assert [job.precision for job in walked] == ["fp32", "fp16"]
    assert walked[1].before[0].precision == "fp32"
    assert {job.precision for job in plan.tasks[1].jobs} == {"fp16"}


def test_what_failed_is_not_tried_again_in_the_same_call(ran, tmp_path):
    plan, store = load_plan(ran), Store(tmp_path)
    asked = []

    class Late:
        """Range tests run out of time, all else ends as it did."""

        def run(self, orders, limit):
            asked.extend(order.job.key for order in orders)
            for order in orders:
                kept = Store(ran).get(order.job)
                late = order.job.kind == "sweep" or kept is None
                yield Outcome(Record(order.job, Result("timeout")) if late else kept)

    run._run_chains(plan, plan.lessons[0], store, tmp_path, Late(), Console(quiet=True))
    assert len(asked) == len(set(asked))
    assert len(asked) == 2 + 2 + 2  # both stages at hand-picked rates; the first range tests


def test_a_margin_must_be_given_where_accuracy_does_not_judge(tmp_path, street):
    text = TINY.replace("margin = 0.01\n", "")
    with pytest.raises(UserError, match=r"biwi is not judged by accuracy, so its margin must be"):
        load_text(tmp_path, text)
    load_text(tmp_path, TINY)
