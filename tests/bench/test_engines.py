"""Jobs that hang, die or fail give a record each, and the others go on."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
from test_suite import job

from lrsuggest.bench import engines
from lrsuggest.bench.engines import run_jobs
from lrsuggest.bench.jobs import Order
from lrsuggest.tasks.data.readers import read_digits
from lrsuggest.tasks.data.resident import atomic


def prepared(tmp_path):
    data = read_digits(None, (8, 8))
    path = tmp_path / "digits.npz"
    with atomic(path) as file:
        np.savez(file, inputs=data.inputs, targets=data.targets, valid=data.valid,
                 classes=np.array(data.classes), mirror=np.array([], np.int64))  # fmt: skip
    return path


def test_every_order_gets_a_record_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "IMPORTS_S", 0.0)
    path = prepared(tmp_path)
    orders = [
        Order(job(seed=1), path),
        Order(job(steps=1_000_000), path),  # never ends in time
        Order(job(seed=2), tmp_path / "absent.npz"),  # raises
        Order(job(seed=3, rates=(1e30,)), path),  # diverges
        Order(job(seed=4), path),
    ]
    found = {r.job.seed: r for r in run_jobs(orders, workers=2, limit_s=20)}
    assert {seed: r.status for seed, r in found.items()} == {
        1: "ok", 0: "timeout", 2: "error", 3: "diverged", 4: "ok",
    }  # fmt: skip
    assert "was not prepared" in found[2].error
    assert found[1].end["loss"] < 3
    assert found[1].versions["torch"]


def test_a_process_that_dies_is_a_record_and_is_replaced(tmp_path):
    path = prepared(tmp_path)
    orders = [Order(job(steps=1_000_000), path), Order(job(seed=1), path)]

    def kill_first_child():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            kids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            busy = [k for k in kids if b"spawn_main" in Path(f"/proc/{k}/cmdline").read_bytes()]
            if busy:
                time.sleep(1)
                os.kill(int(busy[0]), signal.SIGKILL)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_first_child)
    killer.start()
    found = list(run_jobs(orders, workers=1, limit_s=100))
    killer.join()
    assert [r.status for r in found] == ["oom", "ok"]
    assert "code -9" in found[0].error
