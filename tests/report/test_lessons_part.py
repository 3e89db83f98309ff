"""What a report says of lessons, and the pictures beside it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from report_tasks import BOTH, INF, NAN, lesson, trace

from lrsuggest.evidence.paired import compare
from lrsuggest.report.figures.chains import trace_figure
from lrsuggest.report.figures.predictions import predictions
from lrsuggest.report.lessons import metric, overview, several, spread, strip, verdict


def shown(targets, outputs, channels=3):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 12, 16), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=images, targets=targets, outputs=outputs)
    return buffer.getvalue()


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
    svg = trace_figure("f", [trace("hand-picked"), trace(losses=(2.0, NAN, INF))])
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


def told(*args):
    return {each.what: (each.state, each.said) for each in strip(*args)}


def test_the_strip_says_what_was_not_validated():
    said = told([], ["camvid: /x does not exist", "biwi: /y does not exist"])
    assert said["CamVid"] == ("no", "data of camvid not at hand")
    assert said["BIWI"] == ("no", "data of biwi not at hand")
    assert said["progressive sizes"][0] == "no"
    assert said["fp16"] == ("no", "not in this suite")
    held = lesson("camvid11", "camvid", ("72x96", "96x128"), skipped="fp16")
    said = told([held], ["camvid: /x does not exist"])
    assert said["CamVid"] == ("in part", "camvid11 (72x96, 96x128); data of camvid not at hand")
    assert said["BIWI"] == ("no", "not in this suite, or not yet run")
    assert said["progressive sizes"] == ("yes", "camvid11")
    assert said["fp16"] == ("no", "emulated on a CPU, several times slower")
    assert told([held], [])["CamVid"][0] == "yes"
    said = told([lesson("b", "biwi", ("9x9",), ("fp32", "fp16"))], [])
    assert said["fp16"] == ("yes", "b")
    assert said["BIWI"] == ("yes", "b (9x9)")
    assert said["progressive sizes"][0] == "no"


@pytest.mark.parametrize("pilot", BOTH)
def test_one_pilot_alone_validates_nothing(pilot):
    said = told([lesson("c", "camvid", ("72x96", "96x128"), pilots=(pilot,))], [])
    assert all(state == "no" for state, _ in said.values())


def test_the_overview_counts_what_the_chains_came_to():
    held = lesson("camvid11", "camvid", ("72x96", "96x128"))
    found = overview([held])
    assert found["caption"].endswith("1 undecided.")
    assert [row["number"] for row in found["rows"]] == [2]
    assert "No whole chain" in overview([])["caption"]
