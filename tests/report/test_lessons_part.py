"""What a report says of lessons, and the pictures beside it."""

import base64
import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lrsuggest.evidence.lessons import CHAINS, STAGES, LessonEvidence, Trace
from lrsuggest.evidence.verdicts import compare
from lrsuggest.report.lessons import metric, several, spread, strip, trace_figure, verdict
from lrsuggest.report.pictures import predictions

NAN, INF = math.nan, math.inf
BOTH = ("hand-picked", "suggested")


def shown(targets, outputs, channels=3):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 12, 16), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=images, targets=targets, outputs=outputs)
    return buffer.getvalue()


def trace(pilot="suggested", held=None, losses=(2.0, 1.0, 0.5)):
    return Trace(pilot, 1, np.array([1e-3, 1e-2, 1e-4]), np.array(losses), ((3, 0.6),), held)


def pixels(uri):
    kind, _, text = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.int64)


@pytest.mark.parametrize(
    ("truth", "other", "channels"),
    [
        (np.zeros((2, 12, 16), np.int16), np.full((2, 12, 16), 6, np.int16), 3),
        (np.full((2, 5, 2), -0.5, np.float32), np.full((2, 5, 2), 0.5, np.float32), 3),
        (np.array([3, 7], np.int16), np.array([8, 1], np.int16), 1),
    ],
    ids=["masks", "points", "classes"],
)
def test_predictions_stand_beside_the_truth(truth, other, channels):
    right = pixels(predictions([trace(held=shown(truth, truth, channels))]))
    wrong = pixels(predictions([trace(held=shown(truth, other, channels))]))
    assert right.shape == wrong.shape
    third = right.shape[1] // 3
    differs = np.abs(right - wrong).max(axis=(0, 2))
    assert differs[2 * third :].max() > 100  # the predictions' column
    assert differs[: 2 * third - 8].max() == 0  # not the image's, nor the truth's
    two = [trace("hand-picked", shown(truth, truth, channels)),
           trace("suggested", shown(truth, other, channels))]  # fmt: skip
    assert pixels(predictions(two)).shape[1] > right.shape[1]


def test_without_images_there_is_no_picture():
    assert predictions([trace()]) is None
    assert predictions([]) is None


def test_losses_and_rates_are_drawn_for_both_even_after_a_divergence():
    svg = trace_figure("f", [trace("hand-picked"), trace(losses=(2.0, NAN, math.inf))])
    for said in ("training loss, hand-picked", "validation loss, suggested", "learning rate"):
        assert said in svg


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (spread(NAN, 3e-3), "3e-3"),
        (spread(1e-5, 2e-3), "1e-5 to 2e-3"),
        (several(((NAN, 3e-3), (NAN, 3e-3), (NAN, 5e-3))), "3e-3, 5e-3"),
        (several([(NAN, 10.0**-k) for k in range(4)]), "1e-3 … 1e0 (4 seeds)"),
        (metric(np.array([0.91, 0.92, 0.93])), "0.9200 ± 0.0100 (n 3)"),
        (metric(np.array([0.91234])), "0.9123 (n 1)"),
        (metric(np.array([0.5, INF, NAN, NAN])), "0.5000 (n 1), 1 diverged, 2 missing"),
        (metric(np.array([INF])), "1 diverged"),
        (verdict(None), ""),
        (verdict(compare([0.8] * 3, [0.9] * 3, margin=0.005, higher=True)),
         "worse, −0.1000 [−0.1000, −0.1000]"),
        (verdict(compare([0.8], [0.9], margin=0.005, higher=True)), "undecided, −0.1000"),
        (verdict(compare([NAN], [0.9], margin=0.005, higher=True)), "not measured"),
        (verdict(compare([INF] * 3, [0.9] * 3, margin=0.005, higher=True)), "worse"),
    ],
)  # fmt: skip
def test_figures_are_written_with_what_belongs_to_them(found, wanted):
    assert found == wanted


def lesson(name, family, sizes, formats=("fp32",), skipped="", pilots=BOTH):
    stages = [
        (name, i, "", "frozen", size, 8, 1, 10, 0.01, "fp32", "a net")
        for i, size in enumerate(sizes, 1)
    ]
    rows = [(name, pilot, each, 0, i, 1e-2, NAN, "ok", 1.0, 0.5, 1.0, NAN, each)
            for pilot in pilots for each in formats for i in range(1, 1 + len(sizes))]  # fmt: skip
    facts = {"lesson": name, "family": family, "skipped": skipped}
    return LessonEvidence(facts, pd.DataFrame(stages, columns=list(STAGES)),
                          pd.DataFrame(rows, columns=list(CHAINS)), pd.DataFrame())  # fmt: skip


def test_the_strip_says_what_was_not_validated():
    said = dict(strip([], ["camvid: /x does not exist", "biwi: /y does not exist"]))
    assert said["CamVid"] == "camvid not validated: data not at hand"
    assert said["BIWI"] == "biwi not validated: data not at hand"
    assert said["Progressive sizes"].startswith("not validated")
    assert said["fp16"] == "not validated: not in this suite"
    held = lesson("camvid11", "camvid", ("72x96", "96x128"), skipped="fp16")
    said = dict(strip([held], ["camvid: /x does not exist"]))
    assert said["CamVid"] == (
        "camvid11 at 72x96, 96x128 pixels; camvid not validated: data not at hand"
    )
    assert said["BIWI"].startswith("not validated")
    assert said["Progressive sizes"] == "camvid11"
    assert said["fp16"].startswith("not validated: emulated on a CPU")
    said = dict(strip([lesson("b", "biwi", ("9x9",), ("fp32", "fp16"))], []))
    assert said["fp16"] == "b"
    assert said["BIWI"] == "b at 9x9 pixels"
    assert said["Progressive sizes"].startswith("not validated")


@pytest.mark.parametrize("pilot", BOTH)
def test_one_pilot_alone_validates_nothing(pilot):
    said = dict(strip([lesson("c", "camvid", ("72x96", "96x128"), pilots=(pilot,))], []))
    assert all(text.startswith("not validated") for text in said.values())
