"""Does one job after another in the main thread of a process of its own."""

import math
import platform
import time
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import torch

from lrsuggest.bench.jobs import Job, Record, RecordedCurve, finite
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.data.resident import cached as load
from lrsuggest.tasks.task import build_learner
from lrsuggest.training.learner import Learner
from lrsuggest.training.one_cycle import fit_constant, fit_one_cycle
from lrsuggest.training.sweep import lr_find, seed_everything

_FROZEN_SEED = 999  # else what follows with its seed would meet the same batches in the same order
_CALIBRATION = 50  # batches that batch norms see before a checkpoint is evaluated


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


def _learner(job: Job, prepared: Path, stage: str) -> Learner:
    which = msgspec.structs.replace(dataset(job.dataset), model=job.model, optimizer=job.optimizer)
    return build_learner(
        which, _resident(prepared), stage=stage, batch_size=job.batch, device=job.device
    )


@lru_cache(maxsize=1)
def _after_frozen(job: Job, prepared: Path) -> dict[str, torch.Tensor]:
    """The weights that an unfrozen stage goes on from; `job` names the frozen run."""
    learner = _learner(job, prepared, "frozen")
    fit_one_cycle(learner, job.rates[0], steps=job.steps, seed=job.seed)
    return learner.model.state_dict()


def begin(job: Job, prepared: Path) -> Learner:
    """Build the learner that a job begins with."""
    learner = _learner(job, prepared, job.stage)
    if job.before is not None:
        steps, rate = job.before
        frozen = Job(
            "run", job.dataset, job.fingerprint, job.model, job.optimizer, "frozen", job.size,
            job.batch, steps, _FROZEN_SEED, (rate,), device=job.device,
        )  # fmt: skip
        learner.model.load_state_dict(_after_frozen(frozen, prepared))
    return learner


def halves(learner: Learner, job: Job, prepared: Path) -> dict[str, float]:
    """Evaluate on either half of the validation examples; losses of both and means of all.

    One half may then choose a rate and the other say what it was worth.
    """
    parts, sizes = [], []
    for half in (0, 1):
        learner.valid = Batches(
            _resident(prepared), train=False, batch_size=2 * job.batch, half=half, device=job.device
        )
        parts.append(learner.evaluate())
        sizes.append(learner.valid.examples)
    means = {k: float(np.average([part[k] for part in parts], weights=sizes)) for k in parts[0]}
    return {**means, "loss_probe": parts[0]["loss"], "loss_score": parts[1]["loss"]}


def _start(job: Job, prepared: Path) -> dict[str, float]:
    """Evaluate the checkpoint once its batch norms have seen data."""
    learner = begin(job, prepared)
    seed_everything(learner, job.seed)  # the batches' order, and dropout before a batch norm
    with torch.no_grad(), learner.training():
        for inputs, _ in islice(learner.endless(), _CALIBRATION):
            learner.model(inputs)
    return halves(learner, job, prepared)


def run(job: Job, prepared: Path) -> Record:
    """Do a job on data prepared at `prepared`; a divergence is a result, errors propagate."""
    began = time.perf_counter()
    learner = begin(job, prepared)
    if job.kind == "sweep":
        curve = lr_find(
            learner, start=job.rates[0], end=job.rates[1], steps=job.steps, seed=job.seed
        )
        start = _start(job, prepared) if job.seed == 0 else None
        record = Record(job, "ok", start=start, curve=RecordedCurve.of(curve))
    else:
        if job.looks == 1:
            learner.valid = None  # `halves` looks at the end
        fit = fit_constant if job.schedule == "constant" else fit_one_cycle
        top: float | slice = slice(*job.rates) if len(job.rates) > 1 else job.rates[0]
        done = fit(learner, top, steps=job.steps, evaluations=job.looks, seed=job.seed)
        end = {} if done.diverged else halves(learner, job, prepared)
        usable = not done.diverged and all(map(math.isfinite, end.values()))
        record = Record(
            job,
            "ok" if usable else "diverged",
            end=end if usable else {},
            trace=[(int(m["step"]), m["loss"]) for m in done.metrics[:-1]],
            losses=finite(np.asarray(done.loss).tolist()),
        )
    return msgspec.structs.replace(
        record, seconds=round(time.perf_counter() - began, 2), versions=versions()
    )


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
