"""Jobs that hang, die or fail give a record each, the others go on, and nothing is left running."""

import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest
from bench_helpers import gone, job

from lrsuggest.bench.engines.engine import ATTEMPTS
from lrsuggest.bench.engines.local import SETTINGS, Children, Local, _Child, oom_kills
from lrsuggest.bench.jobs.job import Order
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.images import read_digits
from lrsuggest.tasks.data.resident import cached

ENDLESS = 1_000_000  # steps


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    cached(path, lambda: read_digits(None, (8, 8)))
    return path


@pytest.fixture(scope="module")
def once():
    return {}


def kin(pid=None):
    return psutil.Process(pid).children(recursive=True)


def held(digits, folder):
    """Data whose checksum is a named pipe: whoever opens it waits for the other side."""
    path = folder / "held.npz"
    shutil.copy(digits, path)
    pipe = folder / "held.npz.blake2b"
    os.mkfifo(pipe)
    return path, pipe


def test_every_order_gets_a_record_whatever_happens(digits, tmp_path):
    hanging, _ = held(digits, tmp_path)
    orders = [
        Order(job(seed=1), digits),
        Order(job(steps=ENDLESS), digits),  # never ends in time
        Order(job(seed=5), hanging),
        Order(job(seed=2), tmp_path / "absent.npz"),  # raises
        Order(job(seed=3, rates=(1e30,)), digits),  # diverges
        Order(job(seed=4), digits),
    ]

    def limit(order):
        return 4 if order.job.seed in (0, 5) else 100

    with Local(2) as engine:
        outcomes = list(engine.run(orders, limit))
        assert not list(engine.run([], limit))
    found = {outcome.record.job.seed: outcome for outcome in outcomes}
    assert {seed: o.record.status for seed, o in found.items()} == {
        1: "ok", 0: "timeout", 5: "timeout", 2: "error", 3: "diverged", 4: "ok",
    }  # fmt: skip
    assert found[1].record.result.end["loss"] < 3
    how = found[1].record.provenance
    assert how.versions["torch"]
    assert (how.threads, how.attempts, found[1].log) == (1, 1, b"")
    assert 0 < how.in_steps <= 1
    assert "was not prepared" in found[2].record.provenance.error
    assert b"Traceback" in found[2].log
    for seed, where in ((0, b"one_cycle.py"), (5, b"resident.py")):  # where it was when stopped
        assert found[seed].record.provenance.error == "stopped after 4 s"
        assert where in found[seed].log


@pytest.mark.parametrize(("kills", "status"), [(1, "ok"), (ATTEMPTS, "error")])
def test_a_process_that_dies_is_replaced_and_its_job_tried_again(digits, tmp_path, kills, status):
    path, pipe = held(digits, tmp_path)

    def kill():
        for _ in range(kills):
            with open(pipe, "wb"):  # waits until the job opens it to read
                (child,) = psutil.Process().children()
                child.kill()
                while psutil.pid_exists(child.pid):  # the engine reaps it
                    time.sleep(0.01)
                if status == "ok":  # the next attempt gets through
                    pipe.unlink()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with Local(1) as engine:
        orders = [Order(job(), path), Order(job(seed=1), digits)]
        found = {o.record.job.seed: o for o in engine.run(orders, lambda order: 100)}
    killer.join(60)
    assert (found[0].record.status, found[1].record.status) == (status, "ok")
    assert found[0].record.provenance.attempts == min(kills + 1, ATTEMPTS)
    assert b"attempt 1: the process was stopped by signal 9" in found[0].log


@pytest.mark.parametrize("more", [1, 8])  # MB: none for oneDNN's code, none for activations
def test_no_memory_is_its_own_status_and_never_a_smaller_batch(digits, more):
    """A limit on the address space, put on the living child: its next allocation fails."""
    with Local(1) as engine:
        (first,) = engine.run([Order(job(), digits)], lambda order: 100)
        (child,) = psutil.Process().children()
        room = child.memory_info().vms + more * 2**20
        resource.prlimit(child.pid, resource.RLIMIT_AS, (room, room))
        wide = job(batch=1400, steps=50)
        (short,) = engine.run([Order(wide, digits)], lambda order: 100)
    assert first.record.status == "ok"
    assert (short.record.status, short.record.job.batch) == ("oom", 1400)
    assert short.record.provenance.attempts == 1
    assert b"Traceback" in short.log


def test_a_kill_by_the_system_for_memory_is_told_and_tried_again(digits):
    """A real one: the living child is put into a control group with too little memory."""
    group = Path("/sys/fs/cgroup/memory") / f"lrsuggest-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group to limit memory in: {error}")
    try:
        with Local(1) as engine:
            list(engine.run([Order(job(), digits)], lambda order: 100))
            (child,) = psutil.Process().children()
            (group / "memory.limit_in_bytes").write_text(str(8 * 2**20))
            (group / "cgroup.procs").write_text(str(child.pid))
            wide = Order(job(batch=1400, seed=1), digits)
            (outcome,) = engine.run([wide], lambda order: 100)
    finally:
        group.rmdir()
    assert (outcome.record.status, outcome.record.provenance.attempts) == ("ok", 2)
    assert b"attempt 1: the system stopped the process for want of memory" in outcome.log


def test_a_kill_by_the_system_for_memory_is_told_from_others(tmp_path):
    assert oom_kills(tmp_path / "absent") == 0
    (tmp_path / "vmstat").write_text("nr_free 3\noom_kill 7\n")
    assert oom_kills(tmp_path / "vmstat") == 7


@pytest.mark.parametrize("workers", [1, 3])
def test_results_do_not_depend_on_how_many_run_or_in_which_order(digits, workers, once):
    sweep = {"kind": "sweep", "rates": (1e-4, 1.0), "steps": 40}
    jobs = [job(seed=seed, steps=30, rates=(1e-2,)) for seed in range(4)] + [job(**sweep)]
    random.Random(workers).shuffle(jobs)
    with Local(workers) as engine:
        found = list(engine.run([Order(each, digits) for each in jobs], lambda order: 100))
    results = {o.record.job.key: o.record.result for o in found}
    assert len(results) == 5
    assert once.setdefault("results", results) == results


def test_stopping_an_engine_stops_the_jobs_at_work(digits):

    def work(engine):
        orders = [Order(job(steps=ENDLESS, seed=seed), digits) for seed in range(3)]
        with pytest.raises((CancelledError, RuntimeError)):
            list(engine.run(orders, lambda order: 99))

    with Local(2) as engine:
        worker = threading.Thread(target=work, args=(engine,))
        worker.start()
        until = time.monotonic() + 30
        while len(kin()) < 4 and time.monotonic() < until:  # two children, two guards
            time.sleep(0.05)
        running = kin()
    worker.join()
    assert len(running) == 4
    assert gone(running, 1)


GROUP = """
import os, subprocess, sys, time
os.setsid()
from lrsuggest.bench.engines.child import _guard
spare, _ = os.pipe()
_guard(int(sys.argv[1]), spare)
subprocess.Popen(["sleep", "1000"])
print("ready", flush=True)
while True:
    pass
"""


@pytest.mark.parametrize("end", ["driver", "child", "stopped child"])
def test_a_childs_whole_group_ends_with_the_driver_or_the_child(end):
    lifeline, ours = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", GROUP, str(lifeline)], pass_fds=[lifeline], stdout=subprocess.PIPE
    )
    os.close(lifeline)
    assert child.stdout.readline() == b"ready\n"
    group = kin(child.pid)
    assert len(group) == 2  # the guard and what the job began
    if end == "child":
        child.kill()
        child.wait()
    if end == "stopped child":
        child.send_signal(signal.SIGSTOP)
    if end != "child":
        os.close(ours)
    assert gone([*group, psutil.Process(child.pid)] if end != "child" else group)
    child.wait()
    child.stdout.close()
    if end == "child":
        os.close(ours)


def test_children_outlive_their_jobs_and_are_used_again(digits):
    with Local(1) as engine:
        pids = []
        for seed in range(3):
            list(engine.run([Order(job(seed=seed), digits)], lambda order: 100))
            pids.append([p.pid for p in psutil.Process().children()])
    assert pids[0] == pids[1] == pids[2]
    assert len(pids[0]) == 1
    stopped = Children()
    stopped.stop()
    outcome = stopped.attempt(Order(job(), digits), 9)
    assert outcome.record.status == "interrupted"


def test_a_dead_child_is_stopped_once_however_often_it_is_asked_for():
    child = _Child()
    child.kill()
    child.process.wait()
    child.stop()
    freed = os.pipe()  # takes the lowest free numbers, the lifeline's among them
    spare = [os.dup(freed[0]) for _ in range(8)]
    child.stop()
    for each in (*freed, *spare):
        os.close(each)  # would raise if it had been closed


def test_a_childs_own_exit_code_is_told(tmp_path, monkeypatch):
    """A package that breaks on import ends the process; its exit takes a while."""
    (tmp_path / "msgspec.py").write_text(
        "import atexit, time\natexit.register(time.sleep, 0.5)\nraise ImportError('broken')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with Local(1) as engine:
        (outcome,) = engine.run([Order(job(), tmp_path / "absent.npz")], lambda order: 100)
    assert outcome.record.provenance.error == "the process ended with code 1"
    assert b"ImportError: broken" in outcome.log


def test_a_child_that_leaves_after_a_fault_on_a_gpu_gets_no_other_job(digits, tmp_path):
    with Local(1) as engine:
        orders = [
            Order(job(device="cuda"), tmp_path / "absent.npz"),
            *(Order(job(seed=seed), digits) for seed in (1, 2)),
        ]
        found = {o.record.job.seed: o.record for o in engine.run(orders, lambda order: 100)}
    assert [found[seed].status for seed in range(3)] == ["error", "ok", "ok"]
    assert {each.provenance.attempts for each in found.values()} == {1}


def test_descriptors_above_1023_do(digits):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < 2048:
        pytest.skip(f"this process may open {hard} files at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1030)]
    try:
        with Local(1) as engine:
            (outcome,) = engine.run([Order(job(), digits)], lambda order: 100)
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (outcome.record.status, outcome.record.provenance.attempts) == ("ok", 1)


FAULTS = """
import resource, torch
for counted in (False, True):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12 * 2**20)  # 48 MB, let go at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="these are settings of glibc")
def test_a_child_clears_the_pages_of_a_large_tensor_once():
    def faults(settings):
        inherited = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        said = subprocess.run([sys.executable, "-c", FAULTS], env={**inherited, **settings},
                              capture_output=True, check=True)  # fmt: skip
        return int(said.stdout)

    assert faults(SETTINGS) < faults({}) / 4
    child = _Child()
    try:
        assert SETTINGS.items() <= psutil.Process(child.process.pid).environ().items()
    finally:
        child.stop()
    assert not SETTINGS.items() <= os.environ.items(), "this process keeps its own"


@pytest.mark.parametrize("workers", [1, 3])
def test_a_system_that_gives_no_process_is_a_sentence(digits, workers):
    """No descriptor is left for a child's output: the pool's thread has it, the caller reads it."""
    held, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Local(workers) as engine:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(UserError) as told:
                list(engine.run([Order(job(), digits)], lambda order: 60.0))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (held, hard))
    assert "no process can be started for " in str(told.value)
    assert "Too many open files" in str(told.value)
    assert "give a smaller --workers" in str(told.value)
