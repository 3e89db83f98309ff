"""A dask cluster on this machine: real scheduler, real workers, and all that befalls them."""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from bench_helpers import bench, gone

from lrsuggest.bench.__main__ import main
from lrsuggest.bench.jobs.record import decode
from lrsuggest.errors import UserError

pytest.importorskip("distributed", reason="the extra cluster is not installed")
# dask's Client may fail in its __del__, where it could not be made.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected():
    """What dask leaves is collected here, and not in somebody else's test."""
    yield
    gc.collect()


SUITE = """
title = "Cluster"
chase = false
[sweep]
start = 1e-4
steps = 40
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 250
rates = [3e-3, 1e-2, 3e-2, 1e-1]
seeds = 3
"""


class Cluster:
    """A scheduler and its workers, all of them processes that can be killed."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes = []

    def start(self, *words):
        log = open(self.folder / "cluster.log", "ab")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"], cwd=self.folder, stdout=log,
            stderr=log,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def scheduler(self):
        return self.start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))

    def worker(self):
        return self.start("worker", self.address, "--nthreads", "1", "--no-nanny")

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.stop()


def until(happens, seconds=120):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def busy(worker):
    """Whether a worker has a child at work."""
    return any(p.cpu_times().user > 1 for p in psutil.Process(worker.pid).children())


def test_a_killed_a_late_and_a_slow_worker_and_a_new_scheduler_change_no_result(tmp_path, cluster):
    (tmp_path / "s.toml").write_text(SUITE)
    scheduler, killed, slow = cluster.scheduler(), cluster.worker(), cluster.worker()
    with open(tmp_path / "driver.log", "wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", "lrsuggest.bench", "run", "s.toml", "--out", "out",
             "--scheduler", cluster.address],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    said = tmp_path / "driver.log"
    records = tmp_path / "out" / "records"
    until(lambda: records.exists() and busy(killed))
    kin = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    assert gone(kin), "its child has ended with it"
    slow.send_signal(signal.SIGSTOP)
    late = cluster.worker()
    until(lambda: len(list(records.glob("*.json"))) >= 3)
    slow.send_signal(signal.SIGCONT)
    assert driver.poll() is None, said.read_text()
    done = {path: path.read_bytes() for path in records.glob("*.json")}
    for process in (scheduler, late, slow):  # a restart of the cluster, work in flight
        process.kill()
        process.wait()
    cluster.scheduler(), cluster.worker(), cluster.worker()
    assert driver.wait(240) == 0, said.read_text()
    assert "what was in flight there is submitted anew" in said.read_text()
    assert len(done) < 14
    assert all(path.read_bytes() == text for path, text in done.items())
    here = bench("run", "s.toml", "--out", "here", "--workers", "2", cwd=tmp_path)
    assert here.returncode == 0, here.stderr
    found = {
        folder: {p.name: decode(p.read_bytes()).result for p in (tmp_path / folder).rglob("*.json")
                 if p.parent.name == "records"}
        for folder in ("out", "here")
    }  # fmt: skip
    assert len(found["here"]) >= 14
    assert found["out"] == found["here"]


def test_a_stopped_driver_leaves_no_child_on_the_workers(tmp_path, cluster):
    (tmp_path / "s.toml").write_text(SUITE.replace("steps = 250", "steps = 100000"))
    cluster.scheduler()
    said = tmp_path / "driver.log"
    with open(said, "wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", "lrsuggest.bench", "run", "s.toml", "--out", "out",
             "--scheduler", cluster.address],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    until(lambda: "has no workers yet; waiting for one" in said.read_text())
    worker = cluster.worker()
    until(lambda: len(list((tmp_path / "out").glob("records/*"))) >= 2 and busy(worker))
    (child,) = psutil.Process(worker.pid).children()
    driver.kill()
    driver.wait()
    until(lambda: not psutil.pid_exists(child.pid) or child.status() == "zombie", 30)
    assert worker.poll() is None


def test_mistakes_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(SUITE)
    away = ["run", "s.toml", "--scheduler", "tcp://127.0.0.1:9"]
    assert main([*away, "--workers", "2"]) == 2
    assert "with --scheduler the cluster has its own" in capsys.readouterr().err
    for address, says in (
        ("", "--scheduler is empty; give an address"),
        ("tls://127.0.0.1:9", "cannot be used (TLS expects"),
        ("here", "address 'here' cannot be used (missing port number"),
    ):
        assert main([*away[:-1], address]) == 2
        assert says in capsys.readouterr().err
    done = bench(*away, cwd=tmp_path)
    assert done.returncode == 2
    assert "the scheduler tcp://127.0.0.1:9 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    shutil.rmtree(tmp_path / "reports")
    assert os.listdir(tmp_path) == ["s.toml"]


def test_a_scheduler_that_comes_late_is_waited_for_with_pauses(cluster, monkeypatch):
    """While nobody listens a try may fail at once; the next one is not made in the same breath.

    dask's own client may fail in ways of its own while a scheduler dies on a busy machine.
    """
    for left in (2, 1, 0):
        try:
            with monkeypatch.context() as patched:
                comes_late(cluster, patched)
            return
        except (AssertionError, UserError):
            if not left:
                raise
            for process in cluster.processes:
                process.kill()
                process.wait()


def comes_late(cluster, monkeypatch):
    from lrsuggest.bench.engines import cluster as ours

    paused, told = [], []

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(seconds):
            paused.append(seconds)
            if len(paused) == 1:
                cluster.scheduler()
            time.sleep(seconds)

    first = cluster.scheduler()
    until(lambda: not refused(cluster.port))
    with ours.Cluster(cluster.address, told.append) as engine:
        before = engine._client
        first.kill()
        first.wait()
        until(lambda: before.status != "running")
        monkeypatch.setattr(ours, "time", Clock)
        assert engine._connected().status == "running"
        assert engine._client is not before
    assert paused
    assert set(paused) == {ours._LOOK_S}
    assert told == [f"{cluster.address} is gone; what was in flight there is submitted anew"]


def refused(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0
