import msgspec
import numpy as np
import pytest
import torch

from lrsuggest import fit_one_cycle, suggest_lr
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import dataset, datasets
from lrsuggest.tasks.data.readers.images import read_camvid, read_digits
from lrsuggest.tasks.data.readers.points import read_face_landmarks
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.models.registry import pretrained
from lrsuggest.tasks.task import build_learner, point_error, unfreeze


def thinned(data, keep):
    return Resident(
        data.inputs[keep], data.targets[keep], data.valid[keep], data.classes, data.mirror
    )


@pytest.mark.slow
def test_digits_are_learnt_at_the_suggested_rate():
    learner = build_learner(
        dataset("digits"), read_digits(None, (8, 8)), stage="scratch", batch_size=64
    )
    suggestion = suggest_lr(learner, seed=0)
    fit_one_cycle(learner, float(suggestion), epochs=4, seed=0)
    assert learner.evaluate()["accuracy"] > 0.8


@pytest.mark.slow
def test_camvid_frames_are_learnt_with_a_frozen_body(data_root):
    data = read_camvid(data_root / "camvid11", (36, 48))
    keep = np.flatnonzero(data.valid)[::4].tolist() + np.flatnonzero(~data.valid)[::4].tolist()
    learner = build_learner(dataset("camvid11"), thinned(data, keep), stage="frozen", batch_size=8)
    held = [p.clone() for p in learner.model.body.parameters() if not p.requires_grad]
    fit = fit_one_cycle(learner, 1e-2, steps=40, seed=0)
    assert fit.metrics[-1]["accuracy"] > 0.5  # the commonest class covers .29
    still = [p for p in learner.model.body.parameters() if not p.requires_grad]
    assert held
    assert all(torch.equal(a, b) for a, b in zip(held, still, strict=True))
    unfreeze(learner.model)
    assert all(p.requires_grad for p in learner.model.parameters())
    fit_one_cycle(learner, slice(1e-5, 1e-3), steps=4, seed=0)
    assert not all(torch.equal(a, b) for a, b in zip(held, still, strict=True))


@pytest.mark.slow
def test_faces_are_learnt(data_root):
    data = read_face_landmarks(data_root / "face_landmarks", (48, 48))
    keep = np.flatnonzero(data.valid)[::10].tolist() + np.flatnonzero(~data.valid)[::5].tolist()
    learner = build_learner(
        dataset("face_landmarks"), thinned(data, keep), stage="frozen", batch_size=16
    )
    assert learner.detected_stage == "frozen"
    fit = fit_one_cycle(learner, 5e-2, steps=120, seed=0)
    assert fit.metrics[-1]["point_error"] < 0.12  # the middle of every image scores .153


def test_void_is_left_out_of_the_accuracy():
    data = Resident(
        np.zeros((4, 3, 32, 32), np.uint8), np.full((4, 32, 32), 11, np.uint8),
        np.array([False, False, True, True]), tuple(["x"] * 11 + ["Void"]),
    )  # fmt: skip
    data.targets[:, :16] = 3
    learner = build_learner(dataset("camvid11"), data, stage="frozen", batch_size=2)
    metric = learner.metrics["accuracy"]
    target = torch.from_numpy(data.targets[:2]).long()
    scores = torch.zeros(2, 12, 32, 32)
    scores[:, 3] = 1
    metric.reset()
    metric.update(scores, target)
    assert float(metric.compute()) == 1.0
    metric.reset()
    metric.update(scores.flip(2), torch.where(target == 3, 4, target))
    assert float(metric.compute()) == 0.0


def test_point_error_is_a_share_of_the_side():
    assert float(point_error(torch.zeros(1, 2, 2), torch.tensor([[[2.0, 0], [0, 0]]]))) == 0.5


def test_a_seed_gives_the_same_start_and_leaves_the_random_state_alone():
    data = read_digits(None, (8, 8))
    torch.manual_seed(9)
    state = torch.get_rng_state()
    a, b, c = (
        build_learner(dataset("digits"), data, stage="scratch", batch_size=8, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.model[0].weight, b.model[0].weight)
    assert not torch.equal(a.model[0].weight, c.model[0].weight)


def test_stage_and_model_must_go_together():
    data = read_digits(None, (8, 8))
    for stage, says in (("frozen", "no pretrained body"), ("finetune", "does not go with")):
        with pytest.raises(UserError, match=says):
            build_learner(dataset("digits"), data, stage=stage, batch_size=8)


def made(kind, model):
    """A few examples of a kind, fit for the model."""
    rng = np.random.default_rng(0)
    valid = np.arange(24) >= 16
    if kind == "language":
        ids = rng.integers(0, 7, (24, 12))
        return Resident(ids, (ids + 1) % 7, valid, tuple("abcdefg"))
    if kind == "regression":
        if model.startswith("dot"):
            return Resident(rng.integers(0, 6, (24, 2)), np.full((24, 1), 4, np.float32), valid)
        rows = rng.normal(size=(24, 5)).astype(np.float32)
        return Resident(rows, rows.sum(1, keepdims=True), valid)
    classes = np.arange(24) % 3
    if model.startswith(("bag", "word_cnn", "transformer")):
        return Resident(rng.integers(0, 9, (24, 12)), classes, valid, ("a", "b", "c"))
    if model.startswith(("mlp", "linear")):
        rows = rng.normal(size=(24, 5)).astype(np.float32)
        return Resident(rows, classes, valid, ("a", "b", "c"))
    images = rng.integers(0, 256, (24, 3, 32, 32)).astype(np.uint8)
    if kind == "points":
        points = rng.uniform(0, 32, (24, 2, 2)).astype(np.float32)
        return Resident(images, points, valid, (), (1, 0))
    if kind == "segmentation":
        masks = rng.integers(0, 3, (24, 32, 32)).astype(np.uint8)
        return Resident(images, masks, valid, ("a", "b", "Void"))
    return Resident(images, classes, valid, ("a", "b", "c"))


SHIPPED = {
    (each.kind, each.model, each.optimizer, each.void)
    for each in datasets().values()
    if each.reader
}
KINDS = [
    *sorted(SHIPPED, key=str),
    ("classification", "timm/test_resnet", "sgd", None),
    ("classification", "transformer/64", "adamw", None),
    ("language", "transformer/64", "adamw", None),
    ("classification", "linear", "adam", None),
    ("classification", "cnn_head/tf_efficientnet_lite0", "sgd", None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "model", "optimizer", "void"), KINDS)
def test_every_kind_of_task_trains_and_is_measured(kind, model, optimizer, void):
    which = msgspec.structs.replace(
        dataset("digits"), kind=kind, model=model, optimizer=optimizer, void=void
    )
    stage = "finetune" if pretrained(model) else "scratch"
    learner = build_learner(which, made(kind, model), stage=stage, batch_size=8)
    assert learner.optimizer_name == optimizer
    before = [p.clone() for p in learner.model.parameters()]
    fit = fit_one_cycle(learner, 1e-2, steps=3, seed=0)
    assert not fit.diverged
    name = {"points": "point_error", "regression": "mean_absolute_error"}.get(kind, "accuracy")
    assert fit.metrics[-1].keys() == {"step", "loss", name}
    assert any(not torch.equal(a, b) for a, b in zip(before, learner.model.parameters(),
                                                     strict=True))  # fmt: skip


def test_adam_has_fastais_betas_and_only_adamw_decays():
    made_up = made("regression", "mlp")
    groups = {}
    for name in ("adam", "adamw", "sgd"):
        which = msgspec.structs.replace(dataset("diabetes"), optimizer=name)
        learner = build_learner(which, made_up, stage="scratch", batch_size=8)
        groups[name] = learner.optimizer.param_groups[0]
    assert groups["adam"]["betas"] == groups["adamw"]["betas"] == (0.9, 0.99)
    assert [groups[n]["weight_decay"] for n in ("adam", "adamw", "sgd")] == [0, 0.01, 0]
    assert groups["sgd"]["momentum"] == 0.9


def test_a_line_is_learnt_and_its_error_is_in_the_targets_units():
    learner = build_learner(
        msgspec.structs.replace(dataset("diabetes"), model="linear"), made("regression", "mlp"),
        stage="scratch", batch_size=8,
    )  # fmt: skip
    fit_one_cycle(learner, 0.1, steps=300, seed=0)
    found = learner.evaluate()
    assert found["mean_absolute_error"] < 0.05
    assert found["loss"] < 0.01


def test_a_simple_language_is_learnt():
    learner = build_learner(
        dataset("human_numbers"), made("language", "gru"), stage="scratch", batch_size=8
    )
    assert learner.evaluate()["accuracy"] < 0.5
    fit_one_cycle(learner, 2e-2, steps=60, seed=0)
    assert learner.evaluate()["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("kind", "model", "flips"),
    [("classification", "plain_cnn", False), ("segmentation", "dilated_cnn", True)],
)
def test_pictures_of_classes_are_not_flipped(kind, model, flips):
    which = msgspec.structs.replace(dataset("digits"), kind=kind, model=model)
    data = made(kind, model)
    learner = build_learner(which, data, stage="scratch", batch_size=8)
    known = {image.tobytes() for image in data.inputs}
    shown = {
        ((each + 1) * 127.5).round().to(torch.uint8).numpy().tobytes()
        for images, _ in learner.batches
        for each in images
    }
    assert (shown <= known) is not flips


def test_an_unknown_model_is_refused_and_unfrozen_needs_a_body():
    which = msgspec.structs.replace(dataset("digits"), model="mlpp/3")
    with pytest.raises(UserError, match=r"no model 'mlpp/3'; use one of .*mlp_norm"):
        build_learner(which, made("regression", "mlp"), stage="scratch", batch_size=8)
    with pytest.raises(UserError, match="'unfrozen' does not go with the model mlp/50"):
        build_learner(dataset("wine"), made("classification", "mlp"), stage="unfrozen",
                      batch_size=8)  # fmt: skip
    learner = build_learner(
        dataset("hymenoptera"), made("classification", "cnn_head"), stage="unfrozen", batch_size=8
    )
    assert all(p.requires_grad for p in learner.model.parameters())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_that_overflows_leaves_nothing_behind(name):
    """fp16: the scaler skips the first step, and the second is as if it had been the first."""
    which = msgspec.structs.replace(dataset("wine"), optimizer=name)
    data = made("classification", "mlp")
    pair = []
    for overflow in (True, False):
        learner = build_learner(which, data, stage="scratch", batch_size=8, precision="fp16")
        batch = next(iter(learner.batches))
        learner.set_lr([0.1] * len(learner.optimizer.param_groups))
        learner.scaler.scale(torch.ones(()))  # makes its scale, which may then be set
        if overflow:
            learner.scaler.update(2.0**120)
            learner.step(iter([batch]))
        learner.scaler.update(2.0**8)
        learner.step(iter([batch]))
        pair.append([p.detach() for p in learner.model.parameters()])
    for after, alone in zip(*pair, strict=True):
        assert torch.isfinite(after).all()
        assert torch.equal(after, alone)
