"""What several tests of the bench build on."""

import os
import subprocess
import sys

import psutil

from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.jobs.record import Provenance, Record, Result

GOOD = """
title = "t"
[[entry]]
dataset = "digits"
stage = "scratch"
sizes = [[8, 8]]
batch = 64
steps = 5
rates = [1e-3, 1e-2]
"""


def job(**changes):
    settings = {
        "kind": "run", "dataset": "digits", "fingerprint": "packaged", "model": "small_cnn",
        "optimizer": "sgd", "stage": "scratch", "size": (8, 8), "batch": 64, "steps": 5,
        "seed": 0, "rates": (1e-3,),
    }  # fmt: skip
    return Job(**{**settings, **changes})


OLD = Record(job(), Result("diverged", end={}), Provenance(0.5))
NEW = Record(job(), Result("ok", end={"loss": 1.0}), Provenance(1.5))


def gone(processes, within=5.0):
    """Whether processes end in time; a zombie has ended."""
    psutil.wait_procs(processes, timeout=within)
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def bench(*words, **settings):
    command = [sys.executable, "-m", "lrsuggest.bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)


def fails(fault):
    """A call that fails as the system's would."""

    def fail(*args, **settings):
        raise OSError(fault, os.strerror(fault))

    return fail
