import numpy as np
import pytest
import torch

from lrsuggest import fit_one_cycle, suggest_lr
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.readers import read_camvid, read_digits, read_face_landmarks
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.task import build_learner, point_error, unfreeze


def thinned(data, keep):
    return Resident(
        data.inputs[keep], data.targets[keep], data.valid[keep], data.classes, data.mirror
    )


def test_digits_are_learnt_at_the_suggested_rate():
    learner = build_learner(
        dataset("digits"), read_digits(None, (8, 8)), stage="scratch", batch_size=64
    )
    suggestion = suggest_lr(learner, seed=0)
    fit_one_cycle(learner, float(suggestion), epochs=4, seed=0)
    assert learner.evaluate()["accuracy"] > 0.8


def test_camvid_frames_are_learnt_with_a_frozen_body(data_root):
    data = read_camvid(data_root / "camvid11", (36, 48))
    keep = np.flatnonzero(data.valid)[::4].tolist() + np.flatnonzero(~data.valid)[::4].tolist()
    learner = build_learner(dataset("camvid11"), thinned(data, keep), stage="frozen", batch_size=8)
    held = [p.clone() for p in learner.model.body.parameters() if not p.requires_grad]
    fit = fit_one_cycle(learner, 1e-2, steps=24, seed=0)
    assert fit.metrics[-1]["accuracy"] > 0.5  # the commonest class covers .29
    still = [p for p in learner.model.body.parameters() if not p.requires_grad]
    assert held
    assert all(torch.equal(a, b) for a, b in zip(held, still, strict=True))
    unfreeze(learner.model)
    assert all(p.requires_grad for p in learner.model.parameters())
    fit_one_cycle(learner, slice(1e-5, 1e-3), steps=4, seed=0)
    assert not all(torch.equal(a, b) for a, b in zip(held, still, strict=True))


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
