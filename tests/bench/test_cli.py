"""The command line as a person uses it: real processes, real folders, real training."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from bench_helpers import bench, gone
from helpers import sweep_like
from PIL import Image
from rich.console import Console

from lrsuggest import Curve, suggest_lr
from lrsuggest.bench.__main__ import main
from lrsuggest.bench.commands import run  # noqa: F401 - loaded before a test takes its time
from lrsuggest.bench.commands.list import print_list
from lrsuggest.bench.jobs.record import decode
from lrsuggest.tasks.data.catalog import datasets
from lrsuggest.tasks.data.readers.synthetic import write_street

TINY = """
title = "Tiny"
[sweep]
start = 1e-5
steps = 40
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 12
rates = [1e-4, 1e-3, 1e-2, 1e-1, 3e1]
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A suite that was run once by a real process."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(TINY)
    return folder, bench("run", "tiny.toml", "--out", "out", cwd=folder)


def test_a_suite_runs_reports_and_keeps_its_records(tiny):
    folder, done = tiny
    assert done.returncode == 0, done.stderr
    assert "one-cycle 1.0e-03 seed 1: ok" in done.stdout
    records = [json.loads(p.read_text()) for p in (folder / "out" / "records").iterdir()]
    assert {r["result"]["status"] for r in records} <= {"ok", "diverged"}
    assert sum(r["job"]["kind"] == "sweep" for r in records) == 2
    again = bench("run", "tiny.toml", "--out", "out", cwd=folder)
    assert again.returncode == 0
    assert "runs to do" not in again.stdout
    report = bench("report", "tiny", "--out", "out", cwd=folder)
    assert report.returncode == 0, report.stderr
    page = (folder / "out" / "report.html").read_text()
    assert "digits 8x8 scratch" in page
    assert "min_10" in page
    score = bench("score", "--out", "out", cwd=folder)
    assert "constant 1e-2" in score.stdout


def test_a_report_tells_job_keys_and_strays_and_is_made_from_tables_too(tiny, monkeypatch, capsys):
    folder, _ = tiny
    monkeypatch.chdir(folder)
    stray = folder / "out" / "records" / "ffffffffffffffff.json"
    stray.write_text("{}")
    try:
        assert main(["report", "--out", "out"]) == 0
    finally:
        stray.unlink()
    page = (folder / "out" / "report.html").read_text()
    assert "1 record belongs to no planned run" in page
    keys = {path.stem for path in (folder / "out" / "records").iterdir()}
    assert len(keys) >= 12
    assert all(key in page for key in keys)
    assert main(["export", "--out", "out", "--to", "tables"]) == 0
    assert main(["report", "tables"]) == 0
    table = (folder / "reports" / "tables.html").read_text()
    assert f"{len(keys)}</b>recorded runs" in table
    assert "digits 8x8 scratch" in table
    assert "python -m lrsuggest.bench report tables" in table
    capsys.readouterr()
    assert main(["report", "--compare", "out", "tables", "--out", "both"]) == 0
    assert "trained tasks better: none\ntrained tasks worse: none" in capsys.readouterr().out
    assert "Nothing moved beyond noise." in (folder / "both" / "compare.html").read_text()
    shutil.copytree("out", "elsewhere/run.v2")
    assert main(["report", "elsewhere/run.v2"]) == 0
    assert (folder / "elsewhere" / "run.v2" / "report.html").exists()
    (folder / "elsewhere" / "empty").mkdir()
    assert main(["report", "elsewhere/empty"]) == 2
    assert "empty holds neither plan.json nor tasks.csv" in capsys.readouterr().err
    assert main(["report", "--compare", "out", "nowhere"]) == 2
    assert "nowhere holds neither plan.json nor tasks.csv" in capsys.readouterr().err
    (folder / "file").write_text("")
    assert main(["report", "tables", "--out", "file"]) == 2
    assert "file/report.html cannot be written" in capsys.readouterr().err


def test_lost_and_damaged_records_are_run_again_and_damage_is_set_aside(tiny):
    folder, _ = tiny
    records = folder / "out" / "records"
    lost, torn, other = sorted(records.iterdir())[:3]
    kept = {path: decode(path.read_bytes()) for path in (lost, torn, other)}
    lost.unlink()
    torn.write_text("{")
    other.write_bytes(torn.with_name(sorted(records.iterdir())[3].name).read_bytes())
    report = bench("report", "--out", "out", cwd=folder)
    assert report.returncode == 1
    assert "never ran" in (folder / "out" / "report.html").read_text()
    assert torn.read_text() == "{", "who only reads moves nothing"
    again = bench("run", "tiny.toml", "--out", "out", cwd=folder)
    assert again.returncode == 0
    assert again.stdout.count(", 0.") == 3  # runs that were made
    assert f"{torn.name} is damaged (Input data was truncated)" in again.stdout
    aside = folder / "out" / "quarantine"
    assert (aside / torn.name).read_text() == "{"
    assert "holds another job" in (aside / f"{other.stem}.reason").read_text()
    assert len(list(aside.iterdir())) == 4
    for path, before in kept.items():  # the same job gives the same numbers
        assert decode(path.read_bytes()).result == before.result


STREET = """
title = "Streets"
[sweep]
start = 1e-5
steps = 24
[[entry]]
dataset = "street"
only = "without data"
stage = "frozen"
sizes = [[36, 48]]
batch = 8
steps = 4
rates = [1e-3, 1e-1]
"""


def test_without_data_streets_are_drawn_swept_and_marked(tmp_path):
    (tmp_path / "s.toml").write_text(STREET)
    alone = {k: v for k, v in os.environ.items() if k != "LRSUGGEST_DATA"}
    done = bench("run", "s.toml", "--out", "out", cwd=tmp_path, env=alone)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "data" / "street" / "images").iterdir())) == 200
    assert bench("report", "--out", "out", cwd=tmp_path).returncode == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>synthetic data</b>street 36x48 frozen." in page
    assert "No verdict" in page
    assert (
        "nothing was measured on real data" in bench("score", "--out", "out", cwd=tmp_path).stdout
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_soon_and_the_printed_command_goes_on(tmp_path, monkeypatch, capsys, number):
    (tmp_path / "long.toml").write_text(TINY.replace("steps = 12", "steps = 400"))
    command = [sys.executable, "-m", "lrsuggest.bench", "run", "long.toml", "--out", "out dir"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Under nohup, or behind an &, the tests themselves ignore SIGINT, and hand that down.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    records = tmp_path / "out dir" / "records"
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(records.glob("*.json"))) < 3:
        time.sleep(0.05)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "long.toml", "--out", "out dir"]) == 2
    second = capsys.readouterr().err
    kin = psutil.Process(process.pid).children(recursive=True)
    before = len(list(records.glob("*.json")))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert len(kin) >= 2
    assert gone(kin, 5)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    said, told = err.strip().splitlines()
    assert "finished runs are kept" in said
    assert f"out dir is in use by process {process.pid} on " in second
    assert second.count("\n") == 1
    kept = {path: path.read_bytes() for path in records.glob("*.json")}
    assert 3 <= len(kept) < 12
    assert len(kept) <= before + 2, "nothing more was begun"
    assert all(decode(text).status in ("ok", "diverged") for text in kept.values())
    assert not list(records.glob(".*"))
    report = bench("report", "--out", "out dir", cwd=tmp_path)
    assert report.returncode == 1, "the plan knows what is missing"
    assert f"{len(kept)} of 12 planned runs" in report.stdout
    done = subprocess.run(shlex.split(told), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{12 - len(kept)} runs to do" in done.stdout
    assert all(path.read_bytes() == text for path, text in kept.items())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "absent"], "the data folder absent does not exist"),
        (["run", "quik"], "no suite 'quik'"),
        (["run", "bad.toml"], r"`$.entry[0]`"),
        (["fly"], "invalid choice: 'fly'"),
        (["--workers", "-1"], "at least 1; got -1"),
        pytest.param(
            ["--device", "cuda"],
            "torch sees no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
        (["--workers", "two"], "invalid int value: 'two'"),
        (["report", "--out", "absent"], "absent holds no plan.json"),
        (["read", "absent.csv"], "absent.csv cannot be read as a curve: No such file"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSUGGEST_DATA", raising=False)
    (tmp_path / "bad.toml").write_text(TINY.replace("batch", "btach"))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_damaged_data_are_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    write_street(tmp_path / "data" / "camvid11", train=3, valid=2)
    label = tmp_path / "data" / "camvid11" / "labels" / "street_0001_P.png"
    Image.fromarray(np.full((120, 160), 40, np.uint8)).save(label)
    suite = (
        TINY.replace("digits", "camvid11")
        .replace("scratch", "frozen")
        .replace("[8, 8]", "[36, 48]")
    )
    (tmp_path / "s.toml").write_text(suite)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "s.toml", "--data", "data", "--out", "out"]) == 2
    assert "holds class 40, but codes.txt names only 0 to 11" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))
    assert main(["run", "s.toml", "--data", ".", "--out", "out"]) == 2
    assert "camvid11 does not exist; put CamVid" in capsys.readouterr().err


def test_entries_that_differ_in_length_are_told_apart(tmp_path):
    entry = TINY[TINY.index("[[entry]]") :].replace("steps = 12", "steps = 6")
    (tmp_path / "two.toml").write_text(TINY + entry)
    assert bench("run", "two.toml", "--out", "out", cwd=tmp_path).returncode == 0
    assert bench("report", "--out", "out", cwd=tmp_path).returncode == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "digits 8x8 scratch, small_cnn, sgd, 12 steps, batch 64" in page
    assert "digits 8x8 scratch, small_cnn, sgd, 6 steps, batch 64" in page
    assert "run two.toml --out out" in page


def test_a_curve_is_read(tmp_path, capsys):
    Curve(*sweep_like(noise=0.01)).to_csv(tmp_path / "curve.csv")
    assert main(["read", str(tmp_path / "curve.csv")]) == 0
    out = capsys.readouterr().out
    assert "min_10" in out
    assert "fastai_valley" in out
    Curve(np.geomspace(1e-6, 1, 50), np.ones(50)).to_csv(tmp_path / "flat.csv")
    assert main(["read", str(tmp_path / "flat.csv")]) == 0
    assert "Why: The loss is flat" in capsys.readouterr().out


def test_a_curve_is_read_with_what_it_cannot_show(tmp_path, capsys):
    Curve(*sweep_like(noise=0.01)).to_csv(tmp_path / "curve.csv")
    words = ["read", str(tmp_path / "curve.csv")]
    told = ["--optimizer", "sgd", "--stage", "unfrozen", "--train-steps", "2000"]
    page = tmp_path / "page.html"
    assert main([*words, *told, "--schedule", "constant", "--html", str(page)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    found = suggest_lr(
        Curve.from_csv(words[1]), optimizer="sgd", stage="unfrozen", total_steps=2000,
        schedule="constant",
    )  # fmt: skip
    assert first == str(found).splitlines()[0]
    assert first.startswith("Constant learning rate")
    assert "over layer groups" in first
    assert last == f"page: {page}"
    assert "<h1>" in page.read_text()
    assert main([*words, "--stage", "warm"]) == 2
    assert capsys.readouterr().err.startswith("lrsuggest: stage 'warm' is unknown; use one of fro")
    assert main([*words, "--train-steps", "0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lrsuggest: --train-steps must be a whole number of at least 1; got 0")
    assert main([*words, "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 160])
def test_list_sorts_datasets_by_how_one_comes_by_them(tmp_path, width):
    write_street(tmp_path / "camvid11", train=1, valid=1)
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "human_numbers.tgz").write_bytes(bytes(30_252))
    (tmp_path / "archives" / "mnist_sample.tgz.part").write_bytes(bytes(321_495))
    console = Console(width=width, file=io.StringIO())
    print_list(console, tmp_path)
    out = console.file.getvalue()
    assert max(map(len, out.splitlines())) <= width
    groups = re.split(r"\n(?=At hand|Can be|To be put|.heuristic)", out)[1:5]
    names = [set(re.findall(r"^ (\S+)", group, re.MULTILINE)) for group in groups]
    assert {"camvid11", "human_numbers", "digits", "randhie", "street"} <= names[0]
    assert {"adult", "mnist_sample", "pets", "camvid", "imdb_sample"} <= names[1]
    assert {"face_landmarks", "planet", "macaques", "trec"} <= names[2]
    assert names[0] | names[1] | names[2] >= datasets().keys()
    plain = " ".join(out.split())
    for word in ("frozen 0.002, unfrozen 2e-5 to 0.002", "scratch 0.1", "DATA/planet"):
        assert word in plain
    assert f"DATA is {tmp_path}" in out.replace("\n", "")


def test_list_of_a_dataset_says_all_about_it(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LRSUGGEST_DATA", raising=False)
    assert main(["list", "camvid", "human_numbers", "pets", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in (
        "camvid: CamVid street scenes, 32 classes", "G. Brostow, J. Fauqueur", "not stated",
        "fetch camvid, 599 MB", "camvid; trained with unet_norm/",
        "720x960, batch 4, epochs 10, one-cycle, weight decay 0.001, fp32",
        "- 1e-6 to 0.001, reached accuracy .9216 (fast.ai course v3, lesson3-camvid, as in",
        "3 tokens", "compared with only where asked for", "no hand-picked rate",
        "no reader yet, so nothing can be trained on it", "CC BY-SA 4.0",
    ):  # fmt: skip
        assert word in out
    assert main(["list", "camvid12"]) == 2
    assert "there is no dataset 'camvid12'" in capsys.readouterr().err


def test_what_has_no_reader_is_not_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.toml").write_text(TINY.replace('"digits"', '"pets"'))
    assert main(["run", "pets.toml"]) == 2
    err = capsys.readouterr().err
    assert "pets has no reader yet; add one to" in err
    assert err.count("\n") == 1


def test_list_and_help_are_worth_reading(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("LRSUGGEST_DATA", raising=False)
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("quick", "camvid11", "frozen 0.002", "min_10", "put it in DATA/camvid11",
                 "fetch pets, 812 MB", "no reader yet"):  # fmt: skip
        assert word in out
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ("--data", "--out", "run", "report", "score", "read", "exit status"):
        assert word in text
