"""What a job does to real networks, and that it does the same twice."""

import math
from shutil import rmtree

import msgspec
import numpy as np
import pytest
import torch
from bench_helpers import job

from lrsuggest.bench.engines import work
from lrsuggest.bench.engines.work import begin, halves
from lrsuggest.bench.engines.work import run as run_order
from lrsuggest.bench.jobs.job import Order, data_file
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.readers.images import read_digits
from lrsuggest.tasks.data.resident import Resident, cached
from lrsuggest.tasks.lesson import Leg
from lrsuggest.tasks.task import build_learner
from lrsuggest.training.one_cycle import fit_constant, fit_one_cycle


def run(asked, path):
    return run_order(Order(asked, path))


def frozen(steps, rate):
    return (Leg("frozen", (32, 32), 8, steps, 999, (rate,)),)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Some of the digits, with an odd number of them for validation."""
    whole = read_digits(None, (8, 8))
    keep = np.r_[:256, -41:0]
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    cached(path, lambda: Resident(whole.inputs[keep], whole.targets[keep], whole.valid[keep],
                                  whole.classes))  # fmt: skip
    return path


@pytest.fixture(scope="module")
def insects(tmp_path_factory):
    """Pictures of two kinds, one brighter than the other."""
    rng = np.random.default_rng(0)
    kinds = np.arange(31) % 2
    images = rng.integers(0, 160, (31, 3, 32, 32)) + 80 * kinds[:, None, None, None]
    path = tmp_path_factory.mktemp("insects") / data_file("hymenoptera", "packaged", (32, 32))
    cached(path, lambda: Resident(images.astype(np.uint8), kinds, np.arange(31) >= 24,
                                  ("ants", "bees")))  # fmt: skip
    return path


def thawed(**changes):
    settings = {
        "dataset": "hymenoptera", "model": "cnn_head/tf_efficientnet_lite0", "optimizer": "adamw",
        "stage": "unfrozen", "before": frozen(3, 1e-2), "size": (32, 32), "batch": 8, "steps": 3,
    }  # fmt: skip
    return job(**{**settings, **changes})


def frozen_end(path, steps, rate):
    with np.load(path) as held:
        data = Resident(held["inputs"], held["targets"], held["valid"], ("ants", "bees"))
    learner = build_learner(dataset("hymenoptera"), data, stage="frozen", batch_size=8)
    fit_one_cycle(learner, rate, steps=steps, seed=999)
    return learner.model.state_dict()


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_an_unfrozen_job_goes_on_from_the_frozen_runs_weights(insects):
    expected = frozen_end(insects, 3, 1e-2)
    learner = begin(thawed(seed=7), insects)
    assert same(learner.model.state_dict(), expected)
    assert all(p.requires_grad for p in learner.model.parameters())
    raw = begin(thawed(stage="finetune", before=None), insects).model.state_dict()
    assert not same(raw, expected)
    assert same({k: v for k, v in raw.items() if k == "body.conv_stem.weight"},
                {k: v for k, v in expected.items() if k == "body.conv_stem.weight"})  # fmt: skip
    # Training one does not move what the next one begins with.
    fit_one_cycle(learner, 1e-1, steps=2, seed=0)
    assert not same(learner.model.state_dict(), expected)
    assert same(begin(thawed(seed=8), insects).model.state_dict(), expected)
    other = begin(thawed(before=frozen(3, 1e-3)), insects).model.state_dict()
    assert same(other, frozen_end(insects, 3, 1e-3)), "another frozen run, other weights"


def test_the_same_job_twice_ends_bitwise_the_same(insects):
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)  # what ran before in this process must not matter
        work._weights.cache_clear()
        rmtree(insects.parent / "checkpoints", ignore_errors=True)
        found.append(run(thawed(looks=2), insects))
    first, second = found
    assert first.status == "ok"
    assert first.result.end == second.result.end
    assert first.result.losses == second.result.losses
    assert first.result.trace == second.result.trace
    other = run(thawed(seed=1, looks=2), insects)
    assert other.result.losses != first.result.losses, "another seed, another order"


@pytest.mark.parametrize("stage", ["frozen", "finetune"])
def test_what_a_job_trains_is_its_own(insects, stage):
    asked = thawed(stage=stage, before=None)
    first = begin(asked, insects)
    untouched = {name: value.clone() for name, value in first.model.state_dict().items()}
    fit_one_cycle(first, 1e-1, steps=2, seed=0)
    again = begin(asked, insects)
    assert same(again.model.state_dict(), untouched)
    assert again.model.training
    trains = [p.requires_grad for p in again.model.parameters()]
    assert all(trains) is (stage == "finetune"), "a frozen job before leaves nothing frozen"
    work._untrained.cache_clear()
    assert same(begin(asked, insects).model.state_dict(), untouched)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_checkpoint_that_was_changed_is_trained_anew(insects, sealed):
    expected = frozen_end(insects, 3, 1e-2)
    begin(thawed(), insects)
    (path,) = (insects.parent / "checkpoints").glob(f"{last_key(thawed())}.pt")
    whole = path.read_bytes()
    half = len(whole) // 2
    if sealed:
        path.write_bytes(whole[:half] + b"\xff" * 8 + whole[half + 8 :])
    else:  # as older versions left it, and cut short
        path.write_bytes(whole[:half])
        path.with_name(f"{path.name}.blake2b").unlink()
    work._weights.cache_clear()
    assert same(begin(thawed(), insects).model.state_dict(), expected)
    assert path.stat().st_size == len(whole)
    work._weights.cache_clear()
    assert same(begin(thawed(), insects).model.state_dict(), expected)


def last_key(asked):
    return msgspec.structs.replace(asked.last, looks=1).key


def test_halves_average_to_the_whole(digits):
    learner = begin(job(), digits)
    fit_one_cycle(learner, 1e-2, steps=5, seed=0)
    whole = learner.evaluate()
    found = halves(learner, job(), digits)
    assert found.keys() == {"loss", "accuracy", "loss_probe", "loss_score"}
    assert found["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(whole["accuracy"], rel=1e-5)
    assert found["loss_probe"] != found["loss_score"]
    with_21, with_20 = found["loss_probe"], found["loss_score"]
    assert found["loss"] == pytest.approx((21 * with_21 + 20 * with_20) / 41)
    data = work._resident(digits)
    learner.valid = Batches(data, train=False, batch_size=7, half=1)
    assert learner.evaluate()["loss"] == pytest.approx(with_20, rel=1e-5)


def test_the_start_is_measured_once_batch_norms_have_seen_data(digits):
    sweep = {"kind": "sweep", "rates": (1e-5, 1.0), "steps": 20}
    normed = job(**sweep)
    start = run(normed, digits).result.start
    raw = begin(normed, digits).evaluate()
    assert start.keys() >= {"loss", "accuracy", "loss_probe", "loss_score"}
    assert abs(start["loss"] - raw["loss"]) > 1e-3
    calm = job(**sweep, model="linear")  # no norms: nothing else may have changed
    assert run(calm, digits).result.start["loss"] == pytest.approx(
        begin(calm, digits).evaluate()["loss"], rel=1e-5
    )
    assert run(job(**{**sweep, "seed": 1}), digits).result.start is None


def test_the_start_is_the_same_whatever_ran_before(insects):
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        asked = thawed(kind="sweep", stage="frozen", before=None, rates=(1e-6, 1e-2), steps=12)
        found.append(run(asked, insects).result.start)
    assert found[0] == found[1]


def test_a_sweep_keeps_its_curve(digits):
    record = run(job(kind="sweep", rates=(1e-5, 1e-1), steps=30), digits)
    assert (record.status, record.result.end, record.result.losses) == ("ok", None, None)
    assert record.result.curve.lr[0] == pytest.approx(1e-5)
    assert len(record.result.curve.lr) == len(record.result.curve.loss) > 10
    assert record.provenance.versions["torch"]


def test_a_slice_spreads_the_rates_over_the_layers(insects):
    asked = thawed(rates=(1e-5, 1e-2), seed=2, stage="finetune", before=None)
    learner = begin(asked, insects)
    direct = fit_one_cycle(learner, slice(1e-5, 1e-2), steps=3, seed=2)
    record = run(asked, insects)
    assert record.result.losses == direct.loss.tolist()
    assert record.result.end == halves(learner, asked, insects)
    flat = run(thawed(rates=(1e-2,), seed=2, stage="finetune", before=None), insects)
    assert flat.result.end != record.result.end


def test_a_constant_schedule_is_a_constant_rate(digits):
    asked = job(schedule="constant", rates=(1e-2,), steps=20)
    direct = fit_constant(begin(asked, digits), 1e-2, steps=20, seed=0)
    record = run(asked, digits)
    assert record.result.losses == direct.loss.tolist()
    assert record.result.losses != run(job(rates=(1e-2,), steps=20), digits).result.losses


def test_looks_leave_a_trace_and_nothing_else(digits):
    once = run(job(steps=20, rates=(1e-2,)), digits)
    often = run(job(steps=20, rates=(1e-2,), looks=5), digits)
    assert once.result.trace == []
    assert [step for step, _ in often.result.trace] == [4, 8, 12, 16]
    assert often.result.trace[-1][1] < often.result.trace[0][1]
    assert often.result.end == once.result.end
    assert often.result.losses == once.result.losses
    assert once.result.end["loss_probe"] != once.result.end["loss_score"]


@pytest.mark.parametrize("schedule", ["one_cycle", "constant"])
@pytest.mark.parametrize("looks", [1, 5])
def test_a_diverged_run_has_an_empty_end(digits, schedule, looks):
    record = run(job(rates=(1e30,), steps=30, schedule=schedule, looks=looks), digits)
    assert (record.status, record.result.end, record.provenance.error) == ("diverged", {}, None)
    assert len(record.result.losses) < 30
    assert all(x is None or math.isfinite(x) for x in record.result.losses)
    assert all(math.isfinite(loss) for _, loss in record.result.trace)
