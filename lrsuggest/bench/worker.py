"""Does one job after another in the main thread of a process of its own."""

import math
import platform
import time
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from lrsuggest.bench.jobs import Job, Record, RecordedCurve, finite
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.data.resident import cached as load
from lrsuggest.tasks.task import build_learner
from lrsuggest.training.one_cycle import fit_one_cycle
from lrsuggest.training.sweep import lr_find


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "timm", "lrsuggest"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "source tree"
    return found


@lru_cache(maxsize=2)
def _resident(path: Path) -> Resident:
    def missing() -> Resident:
        raise FileNotFoundError(f"{path} was not prepared")

    return load(path, missing)


def run(job: Job, prepared: Path) -> Record:
    """Do a job on data prepared at `prepared`; a divergence is a result, errors propagate."""
    began = time.perf_counter()
    learner = build_learner(
        dataset(job.dataset), _resident(prepared), stage=job.stage, batch_size=job.batch,
        device=job.device,
    )  # fmt: skip
    if job.kind == "sweep":
        start = learner.evaluate()
        curve = lr_find(
            learner, start=job.rates[0], end=job.rates[1], steps=job.steps, seed=job.seed
        )
        record = Record(job, "ok", start=start, curve=RecordedCurve.of(curve))
    else:
        fit = fit_one_cycle(learner, job.rates[0], steps=job.steps, seed=job.seed)
        end = {k: v for k, v in fit.metrics[-1].items() if k != "step"} if fit.metrics else {}
        usable = not fit.diverged and all(map(math.isfinite, end.values()))
        record = Record(
            job,
            "ok" if usable else "diverged",
            end=end if usable else {},
            losses=finite(np.asarray(fit.loss).tolist()),
        )
    seconds = round(time.perf_counter() - began, 2)
    return Record(
        **{**{name: getattr(record, name) for name in record.__struct_fields__},
           "seconds": seconds, "versions": versions()}
    )  # fmt: skip


def serve(connection: Connection, threads: int) -> None:
    """Answer each (job, prepared) with a record, until the process is stopped."""
    torch.set_num_threads(threads)
    while True:
        job, prepared = connection.recv()
        try:
            record = run(job, prepared)
        except (torch.OutOfMemoryError, MemoryError) as error:
            record = Record(job, "oom", error=_line(error), versions=versions())
        except Exception as error:
            record = Record(job, "error", error=_line(error), versions=versions())
        connection.send(record)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
