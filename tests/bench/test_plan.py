"""What a suite plans, and what follows from results."""

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bench_helpers import GOOD
from rich.console import Console

from lrsuggest.bench.engines.engine import Outcome
from lrsuggest.bench.jobs.record import Provenance, Record, RecordedCurve, Result
from lrsuggest.bench.jobs.store import Store
from lrsuggest.bench.plan.follow import FRESH, _following, chased, refined
from lrsuggest.bench.plan.make import make_plan
from lrsuggest.bench.plan.plan import Plan, load_plan, save_plan
from lrsuggest.bench.plan.suite import load
from lrsuggest.bench.run import run_plan
from lrsuggest.bench.tables import to_tables
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import dataset, datasets
from lrsuggest.tasks.models.registry import pretrained

ENTRY = GOOD[GOOD.index("[[entry]]") :]


def plan_of(tmp_path, text, root=None):
    (tmp_path / "mine.toml").write_text(text)
    suite = load(str(tmp_path / "mine.toml"))
    return make_plan("mine", suite, root, tmp_path / "out", device="cpu",
                     console=Console(quiet=True), command="run mine")  # fmt: skip


def only(tmp_path, text):
    (task,) = plan_of(tmp_path, text).tasks
    return task


FULL = GOOD.replace("steps = 5\n", "steps = 40\nslices = [10, 100]\n").replace(
    "[[entry]]",
    """
held_out = ["digits"]
[sweep]
steps = 20
seeds = 3
[[variants]]
start = 1e-6
end = 1.0
steps = 30
seeds = 2
[refine]
seeds = 4
rates = 5
[probe]
shorter = 4
seeds = 3
[[entry]]""",
    1,
)


def test_a_full_suite_plans_sweeps_variants_a_grid_and_a_shorter_one(tmp_path):
    task = only(tmp_path, FULL)
    kinds = Counter((j.kind, j.steps, j.rates if j.kind == "sweep" else None) for j in task.jobs)
    assert kinds == {
        ("sweep", 20, (1e-7, 10.0)): 3, ("sweep", 30, (1e-6, 1.0)): 2,
        ("run", 40, None): 4, ("run", 10, None): 6,
    }  # fmt: skip
    assert len({j.key for j in task.jobs}) == len(task.jobs)
    assert {(j.rates[0], j.seed) for j in task.grid} == {(r, s) for r in (1e-3, 1e-2)
                                                         for s in (0, 1)}  # fmt: skip
    assert Counter(j.looks for j in task.grid) == {5: 2, 1: 2}
    assert {j.seed for j in task.grid if j.looks == 5} == {0}
    assert all(j.looks == 1 for j in task.jobs if j.steps != 40)
    main = [j for j in task.jobs if task.main(j)]
    assert Counter(j.kind for j in main) == {"sweep": 3, "run": 4}
    assert task.held_out
    assert Path(task.prepared).exists()
    assert not only(tmp_path, GOOD).held_out
    assert {j.looks for j in only(tmp_path, GOOD).jobs} == {1}


def test_refined_runs_surround_the_best_rate_with_fresh_seeds(tmp_path):
    task = only(tmp_path, FULL)
    jobs = refined(task, 1e-2)
    assert {j.seed for j in jobs} == set(range(FRESH, FRESH + 4))
    assert not {j.seed for j in jobs} & {j.seed for j in task.jobs}
    rates = sorted({j.rates[0] for j in jobs if len(j.rates) == 1})
    # Five around the best, and the plain run that the higher slices are compared with.
    np.testing.assert_allclose(rates, 1e-2 * 10 ** (np.array([-2, -1, 0, 1, 2, 3]) / 6), rtol=5e-3)
    assert 1e-2 in rates
    slices = sorted({j.rates for j in jobs if len(j.rates) == 2})
    expected = [(1e-4, 1e-2), (3.16e-4, 3.16e-2), (1e-3, 1e-2), (3.16e-3, 3.16e-2)]
    np.testing.assert_allclose(slices, expected)
    assert len(jobs) == len(set(jobs)) == 4 * (6 + 4)
    assert all((j.steps, j.looks, j.kind) == (40, 1, "run") for j in jobs)
    assert [task.main(j) for j in jobs] == [len(j.rates) == 1 for j in jobs]
    assert refined(only(tmp_path, GOOD), 1e-2) == ()


def test_picks_outside_the_grid_are_chased_once(tmp_path):
    task = only(tmp_path, GOOD)
    jobs = chased(task, [3e-3, 1.005e-2, 0.995e-3, 5e-2, 5.2e-2, 8e-2, 1e-4])
    assert sorted({j.rates[0] for j in jobs}) == [1e-4, 5e-2, 8e-2]
    assert {(j.rates[0], j.seed) for j in jobs} == {(r, s) for r in (1e-4, 5e-2, 8e-2)
                                                    for s in (0, 1)}  # fmt: skip
    assert all(task.main(j) for j in jobs)
    assert chased(task, []) == chased(task, [1e-3, 5e-3, 1e-2]) == ()


def test_labels_are_told_apart_by_what_differs(tmp_path):
    twins = [
        ENTRY, ENTRY.replace("steps = 5", "steps = 6"),
        ENTRY.replace("steps = 5", 'steps = 5\nschedule = "constant"'),
        ENTRY.replace("steps = 5", 'steps = 5\nmodel = "linear"'),
        ENTRY.replace("steps = 5", 'steps = 5\noptimizer = "adam"'),
        ENTRY.replace("batch = 64", "batch = 32"), ENTRY.replace("1e-3", "1e-4"),
        ENTRY.replace("1e-3", "1e-5"),
    ]  # fmt: skip
    tasks = plan_of(tmp_path, 'title = "t"\n' + "\n".join(twins)).tasks
    said = "digits 8x8 scratch, small_cnn, sgd, 5 steps, batch 64"
    assert [t.label for t in tasks] == [
        said, said.replace("5", "6"), f"{said}, constant", said.replace("small_cnn", "linear"),
        said.replace("sgd", "adam"), said.replace("64", "32"), f"{said}, entry 7",
        f"{said}, entry 8",
    ]  # fmt: skip
    assert (tasks[3].dataset.model, tasks[4].dataset.optimizer) == ("linear", "adam")
    assert {j.schedule for j in tasks[2].grid} == {"constant"}
    assert only(tmp_path, GOOD).label == "digits 8x8 scratch"
    assert dataset("digits").model == "small_cnn", "the catalog keeps its own"


def test_a_table_needs_no_size_and_no_folder(tmp_path):
    task = only(tmp_path, GOOD.replace("digits", "wine").replace("sizes = [[8, 8]]\n", ""))
    assert (task.label, task.size) == ("wine scratch", ())
    assert task.grid[0].label == "wine one-cycle 1.0e-03 seed 0"
    with np.load(task.prepared) as held:
        assert held["inputs"].shape == (178, 13)


def test_what_follows_is_refined_where_no_run_diverged_and_chased_where_asked(tmp_path):
    text = FULL.replace('title = "t"', 'title = "t"\nchase = false')
    text = text.replace("[1e-3, 1e-2]", "[1e-3, 1e-2, 1e-1]")
    task, store = only(tmp_path, text), Store(tmp_path)
    assert _following(task, store) == ()
    losses = {(1e-3, 0): 1.0, (1e-3, 1): 1.2, (1e-2, 0): 0.8, (1e-2, 1): 0.9, (1e-1, 0): 0.1}
    for each in task.grid:
        loss = losses.get((each.rates[0], each.seed))
        store.put(Record(each, Result("ok", end={"loss": loss}) if loss
                         else Result("diverged", end={})))  # fmt: skip
    for each in task.jobs:  # a shorter run that is better does not choose
        if each.kind == "run" and each.steps == 10:
            store.put(Record(each, Result("ok", end={"loss": 0.01 * each.rates[0]})))
    assert _following(task, store) == refined(task, 1e-2)
    eager = msgspec.structs.replace(task, chase=True, refine=None)
    for each in task.jobs:
        if each.kind == "sweep":
            rates = np.geomspace(*each.rates, each.steps)
            curve = Curve(rates, 1 - 0.5 / (1 + (1 / rates)))
            result = Result("ok", start={"loss": 2.0}, curve=RecordedCurve.of(curve))
            store.put(Record(each, result))
    found = _following(eager, store)
    assert found
    assert all(not 1e-3 <= j.rates[0] <= 1e-1 for j in found)
    tables, story, _ = to_tables(plan_of(tmp_path, text), store)
    evidence = tables.tasks()
    assert story.failed == ()
    assert evidence[0].response.rates.tolist() == [1e-3, 1e-2, 1e-1]
    assert len(evidence[0].curves) == 3, "variants are no curves to be judged"


def test_a_plan_comes_back_whole(tmp_path):
    plan = plan_of(tmp_path, FULL)
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan
    (tmp_path / "plan.json").write_text('{"suite": 3}')
    with pytest.raises(UserError, match=r"plan\.json is damaged .*`\$\.suite`"):
        load_plan(tmp_path)
    with pytest.raises(UserError, match=r"holds no plan\.json"):
        load_plan(tmp_path / "absent")


@pytest.fixture(scope="module")
def evidence():
    return load("evidence")


def test_the_evidence_is_wide_and_no_family_outweighs_the_others(evidence):
    tasks = [(e.which.family, e.schedule) for e in evidence.entry for _ in e.sizes]
    cycles = Counter(family for family, schedule in tasks if schedule == "one_cycle")
    assert max(cycles.values()) <= 3
    assert len(cycles) >= 12
    assert sum(cycles.values()) >= 24
    assert sum(schedule == "constant" for _, schedule in tasks) >= 6
    assert not any(e.which.synthetic for e in evidence.entry)
    assert set(evidence.held_out) <= cycles.keys(), "a family held out is one that is measured"
    assert len(evidence.held_out) >= 3


def test_every_entry_of_the_evidence_can_be_planned(evidence):
    readers = {d.reader for d in datasets().values() if d.reader}
    for entry in evidence.entry:
        assert entry.which.reader in readers
        assert len(evidence.rates_of(entry)) >= 12
        assert entry.seeds >= 3
        assert entry.steps // evidence.probe.shorter >= 10, "a shorter run is still a run"
        assert pretrained(entry.which.model) or not entry.slices
        images = entry.which.kind in ("segmentation", "points") or "cnn" in entry.which.model
        assert not images or all(len(s) in (1, 2) for s in entry.sizes)
    for sweep in (evidence.sweep, *evidence.variants):
        assert sweep.seeds >= 2
    every = [msgspec.structs.asdict(entry) for entry in evidence.entry]
    assert all(every.count(each) == 1 for each in every)


def test_a_kind_of_job_may_have_a_limit_of_its_own():
    plan = Plan("s", "t", "c", 600.0, (), limits_s={"sweep": 60.0})
    assert [plan.limit_of(kind) for kind in ("sweep", "run", "test")] == [60.0, 600.0, 600.0]


class Falling:
    """An engine whose losses fall as the rate rises; it counts, and says when it is killed."""

    def __init__(self, late=None, orders=10**6):
        self.tries, self.late, self.orders = Counter(), late, orders

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, orders, limit):
        for order in orders:
            if self.tries.total() == self.orders:
                raise KeyboardInterrupt
            self.tries[order.job] += 1
            result = Result("ok", end={"loss": 1 - float(np.log10(order.job.rates[0])) / 10})
            if order.job.kind == "sweep":
                curve = Curve(np.geomspace(1e-7, 10, 60), np.linspace(2, 1, 60))
                result = Result("ok", start={"loss": 2.0}, curve=RecordedCurve.of(curve))
            if order.job == self.late:
                result = Result("timeout")
            yield Outcome(Record(order.job, result, Provenance()))


def test_what_failed_is_not_tried_again_in_the_same_call(tmp_path):
    plan = plan_of(tmp_path, FULL)
    late = plan.tasks[0].grid[1]
    engine, store = Falling(late), Store(tmp_path / "out")
    told = run_plan(plan, store, tmp_path / "out", engine=engine, console=Console(quiet=True))
    assert len(told.tasks[0].jobs) > len(plan.tasks[0].jobs), "the grid was extended"
    assert set(engine.tries.values()) == {1}
    assert store.get(late).status == "timeout"
    again = Falling()
    run_plan(plan, store, tmp_path / "out", engine=again, console=Console(quiet=True))
    assert again.tries[late] == 1, "the next call tries it"


def test_a_call_that_is_killed_early_forgets_no_run_that_was_added_before(tmp_path):
    out, plan = tmp_path / "out", plan_of(tmp_path, FULL)
    store, quiet = Store(out), Console(quiet=True)
    whole = run_plan(plan, store, out, engine=Falling(), console=quiet)
    (task,) = load_plan(out).tasks
    assert task == whole.tasks[0]
    assert task.extra
    (store.folder / f"{plan.tasks[0].jobs[0].key}.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, out, engine=Falling(orders=0), console=quiet)
    assert load_plan(out) == whole
    again = run_plan(plan, store, out, engine=Falling(), console=quiet)
    assert again == load_plan(out) == whole, "a grid grows no further by being run again"
    more = plan_of(tmp_path, FULL.replace("[1e-3, 1e-2]", "[1e-3, 2e-3, 1e-2]"))
    with pytest.raises(KeyboardInterrupt):
        run_plan(more, store, out, engine=Falling(orders=0), console=quiet)
    assert load_plan(out) == more, "another grid has other runs"
