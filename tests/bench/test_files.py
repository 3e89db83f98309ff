"""The command line on files and folders as people have them: measured anew, read, or exit 2."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from bench_helpers import bench
from PIL import Image
from rich.progress import Progress

from lrsuggest import Curve
from lrsuggest.bench.__main__ import main
from lrsuggest.bench.jobs.job import data_file
from lrsuggest.bench.plan.prepare import prepare
from lrsuggest.bench.plan.suite import load
from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog
from lrsuggest.tasks.data.readers.synthetic import write_street
from lrsuggest.testing import simulated

SUITE = """
title = "Small"
chase = false
[sweep]
start = 1e-5
steps = 12
seeds = 1
[[entry]]
dataset = "DATASET"
stage = "STAGE"
sizes = [SIZE]
batch = 4
steps = 3
rates = [1e-3, 1e-2]
"""
KINDS = {
    "cifar10_small": ("scratch", "[8, 8]"), "camvid11": ("frozen", "[16, 24]"),
    "face_landmarks": ("frozen", "[16, 16]"), "diamonds": ("scratch", "[]"),
    "hymenoptera": ("frozen", "[16, 16]"),
}  # fmt: skip


def suite(folder, dataset):
    stage, size = KINDS[dataset]
    text = SUITE.replace("DATASET", dataset).replace("STAGE", stage).replace("SIZE", size)
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def photographs(folder, seed=0):
    rng = np.random.default_rng(seed)
    for split, n in (("train", 8), ("test", 4)):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for k in range(n):
                image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
                image.save(folder / split / label / f"{k}.png")
    return folder


def test_images_replaced_behind_a_link_are_measured_anew_and_litter_is_not(tmp_path):
    data = photographs(tmp_path / "data" / "cifar10_small")
    shutil.move(data / "train", tmp_path / "train")
    (data / "train").symlink_to(tmp_path / "train")
    words = ("run", suite(tmp_path, "cifar10_small"), "--data", tmp_path / "data", "--out",
             tmp_path / "out")  # fmt: skip
    assert bench(*words).returncode == 0
    records = tmp_path / "out" / "records"
    first = {path.name for path in records.iterdir()}
    assert first
    for place in (data, tmp_path / "train", tmp_path / "train" / "cat"):
        (place / ".DS_Store").write_bytes(b"\0")
        (place / ".ipynb_checkpoints").mkdir()
    assert bench(*words).returncode == 0
    assert {path.name for path in records.iterdir()} == first
    shutil.rmtree(tmp_path / "train")
    shutil.move(photographs(tmp_path / "other", seed=1) / "train", tmp_path / "train")
    assert bench(*words).returncode == 0
    after = {path.name: json.loads(path.read_text())["job"] for path in records.iterdir()}
    assert first <= after.keys(), "nothing is lost"
    anew = {name: job for name, job in after.items() if name not in first}
    assert len(anew) == len(first)
    assert {job["kind"] for job in anew.values()} == {after[name]["kind"] for name in first}
    prints = [{job["fingerprint"] for job in each}
              for each in (anew.values(), (after[name] for name in first))]  # fmt: skip
    assert [len(each) for each in prints] == [1, 1]
    assert prints[0] != prints[1]


def test_a_data_folder_whose_name_is_no_utf8_is_used(tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    photographs(tmp_path / "cifar10_small")
    shutil.move(tmp_path / "cifar10_small", os.fsdecode(odd))
    done = bench("run", suite(tmp_path, "cifar10_small"), "--data", os.fsdecode(odd), "--out",
                 tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = bench("report", tmp_path / "out")
    assert report.returncode == 0, report.stderr
    listed = bench("list", "cifar10_small", "--data", os.fsdecode(odd))
    assert listed.returncode == 0, listed.stderr
    assert "caf" in listed.stdout
    away = bench("run", tmp_path / "mine.toml", "--data", tmp_path, "--out", os.fsdecode(odd))
    assert away.returncode == 2
    assert "is no UTF-8; give another --out" in away.stderr


def nothing_is_left(out):
    kept = [p for p in out.rglob("*") if p.is_file() and p.suffix != ".fingerprint"]
    return [path for path in kept if "lock" not in path.name] == []


def street(data):
    write_street(data / "camvid11", train=4, valid=2)
    return data / "camvid11"


def harm_mask(data):
    path = street(data) / "labels" / "street_0001_P.png"
    Image.open(path).convert("RGB").save(path)


def harm_name(data):
    with open(street(data) / "valid.txt", "a") as file:
        file.write("\ngone.png")


def harm_link(data):
    (street(data) / "images" / "more.png").symlink_to(data / "gone.png")


def harm_price(data):
    (data / "tables").mkdir()
    rows = [f"0.{k + 10},Ideal,{300 + k}" for k in range(40)]
    rows[30] = "0.2,Ideal,n/a"
    (data / "tables" / "diamonds.csv").write_text("\n".join(["carat,cut,price", *rows]))


def harm_point(data):
    (data / "face_landmarks" / "images").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(data / "face_landmarks" / "images" / "a.png")
    header = ["file", "person", "valid"] + [f"{a}{k}" for k in range(68) for a in "xy"]
    row = ["a.png", "me", "0", *["3"] * 135, "nan"]
    text = "\n".join(",".join(each) for each in (header, row))
    (data / "face_landmarks" / "landmarks.csv").write_text(text)


def harm_pipe(data):
    photographs(data / "hymenoptera")
    os.mkfifo(data / "hymenoptera" / "train" / "cat" / "pipe.png")


@pytest.mark.parametrize(
    ("dataset", "harm", "says"),
    [
        ("camvid11", harm_mask, "street_0001_P.png has 3 channels"),
        ("camvid11", harm_name, "valid.txt names gone.png"),
        ("camvid11", harm_link, "more.png is a link that leads nowhere"),
        ("diamonds", harm_price, "diamonds.csv, line 32: price is not a number; it is 'n/a'"),
        ("face_landmarks", harm_point, "landmarks.csv, line 2: y67 is nan"),
        ("hymenoptera", harm_pipe, "pipe.png is a pipe, a socket or a device"),
    ],
)
def test_a_fault_of_the_files_is_one_sentence_and_exit_2(tmp_path, capsys, dataset, harm, says):
    (tmp_path / "data").mkdir()
    harm(tmp_path / "data")
    words = ["run", str(suite(tmp_path, dataset)), "--data", str(tmp_path / "data"), "--out",
             str(tmp_path / "out")]  # fmt: skip
    assert main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert nothing_is_left(tmp_path / "out")


def test_a_suite_reads_as_the_plain_one_whatever_the_editor(tmp_path, monkeypatch):
    path = suite(tmp_path, "cifar10_small")
    plain, before = path.read_bytes(), load(str(path))
    for content in (b"\xef\xbb\xbf" + plain, plain.replace(b"\n", b"\r\n"),
                    b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"), plain.replace(b"\n", b"\r"),
                    plain.replace(b" = ", b"\t=\t")):  # fmt: skip
        path.write_bytes(content)
        assert load(str(path)) == before
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/mine.toml") == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.encode("utf-16"), r"mine\.toml is no UTF-8 text; save it in UTF-8"),
        (lambda text: text.encode("utf-16-le"), r"mine\.toml is no UTF-8 text"),
        (lambda text: text.replace("Small", "Größe").encode("latin-1"), "is no UTF-8 text"),
        (lambda text: text.replace("batch = 4", 'batch = "four"').encode(),
         r"Expected `int`.*\$\.entry\[0\]\.batch"),
        (lambda text: b"", r"missing required field `title`"),
    ],
)  # fmt: skip
def test_a_suite_of_another_kind_is_one_sentence(tmp_path, capsys, change, says):
    path = suite(tmp_path, "cifar10_small")
    path.write_bytes(change(path.read_text()))
    with pytest.raises(UserError, match=says):
        load(str(path))
    assert main(["plan", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_catalogue_with_a_byte_order_mark_is_read(tmp_path):
    plain = catalog.shipped("datasets.toml").read_bytes()
    (tmp_path / "datasets.toml").write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    assert catalog.read_catalog(tmp_path / "datasets.toml") == catalog.datasets()


def test_data_changed_while_they_are_read_leave_no_prepared_file(tmp_path, monkeypatch):
    folder = photographs(tmp_path / "cifar10_small")
    which = catalog.dataset("cifar10_small")
    cache = tmp_path / "cache"
    path = cache / data_file(which.name, catalog.fingerprint(folder, cache), (8, 8))
    shutil.copy(folder / "train" / "cat" / "0.png", folder / "train" / "dog" / "0.png")
    with pytest.raises(UserError, match="cifar10_small was changed while it was read"):
        prepare(which, folder, (8, 8), path, Progress(disable=True))
    assert not path.exists()
    path = cache / data_file(which.name, catalog.fingerprint(folder, cache), (8, 8))
    assert len(prepare(which, folder, (8, 8), path, Progress(disable=True)).inputs) == 24


@pytest.mark.parametrize("form", ["plain", "bom", "trailing", "semicolons", "log"])
def test_the_command_read_reads_what_is_reasonable(tmp_path, capsys, form):
    path = tmp_path / "curve.csv"
    Curve(*simulated(100, 0.1, 2.0, 0.0, 0)).to_csv(path)
    text = path.read_text()
    assert main(["read", str(path)]) == 0
    plain = capsys.readouterr().out
    lines = text.splitlines()
    path.write_bytes({
        "plain": text, "bom": "\ufeff" + text, "trailing": text.replace("\n", ",\n"),
        "semicolons": text.replace(",", ";"),
        "log": "\n".join([f"{lines[0]},eval_loss", *(f"{line}," for line in lines[1:50]),
                          ",,,0.7", *(f"{line}," for line in lines[50:])]),
    }[form].encode())  # fmt: skip
    assert main(["read", str(path)]) == 0
    assert capsys.readouterr().out == plain


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"lr,loss\n1e-3,two\n", "line 2: loss is not a number; it is 'two'"),
     ("lr,loss\n1,2\n".encode("utf-16"), "no UTF-8 text"), (b"\x89PNG\r\n\x1a\n\0\0", "no UTF-8"),
     (b'{"lr": [1]}', "is JSON"), (b"", "needs a header line")],
)  # fmt: skip
def test_the_command_read_refuses_the_rest(tmp_path, capsys, content, says):
    (tmp_path / "curve.csv").write_bytes(content)
    assert main(["read", str(tmp_path / "curve.csv")]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert (tmp_path / "curve.csv").read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/fd")
def test_a_curve_from_a_pipe_is_read(tmp_path):
    read_end, write_end = os.pipe()
    os.write(write_end, b"lr,loss\n1e-3,2\n1e-2,1\n")
    os.close(write_end)
    assert len(Curve.from_csv(f"/dev/fd/{read_end}")) == 2
    os.close(read_end)
