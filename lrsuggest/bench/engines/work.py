"""Does one job after another in the main thread of a process of its own."""

import contextlib
import copy
import io
import math
import platform
import time
import traceback
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from filelock import FileLock
from torch import nn

from lrsuggest.bench.jobs.job import GAINS, Job, Order, Status, data_file
from lrsuggest.bench.jobs.record import Provenance, Record, RecordedCurve, Result, finite
from lrsuggest.errors import UserError
from lrsuggest.files import intact, sealed
from lrsuggest.resources import revision
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import Dataset, dataset
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.data.resident import cached as load
from lrsuggest.tasks.task import build_learner, to_evaluate, untrained
from lrsuggest.training.learner import Learner
from lrsuggest.training.one_cycle import Fit, fit_constant, fit_one_cycle
from lrsuggest.training.sweep import lr_find, seed_everything

_CALIBRATION = 50  # batches that batch norms see before a checkpoint is evaluated
_SHOWN = 3  # validation examples kept with what was predicted


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "timm", "lrsuggest"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "source tree"
    if source := revision():
        found["source"] = source
    return found


@lru_cache(maxsize=2)
def _resident(path: Path) -> Resident:
    def missing() -> Resident:
        raise FileNotFoundError(f"{path} was not prepared, or changed since; run the suite again")

    return load(path, missing)


@lru_cache(maxsize=2)
def _untrained(which: Dataset, prepared: Path) -> nn.Module:
    return untrained(which, _resident(prepared))


def _learner(job: Job, prepared: Path) -> Learner:
    which = msgspec.structs.replace(dataset(job.dataset), model=job.model, optimizer=job.optimizer)
    return build_learner(
        which, _resident(prepared), stage=job.stage, batch_size=job.batch,
        model=copy.deepcopy(_untrained(which, prepared)),  # every job begins with the same weights
        precision=job.precision, weight_decay=job.weight_decay, device=job.device,
    )  # fmt: skip


def begin(job: Job, prepared: Path) -> Learner:
    """Build the learner that a job begins with: new, or with the weights of the stages before."""
    learner = _learner(job, prepared)
    if job.last is not None:
        learner.model.load_state_dict(_weights(job.last, prepared.parent))
    return learner


def _checkpoint(job: Job, cache: Path) -> Path:
    """Where the weights that a run ends with lie; how often it was looked at is all one."""
    return cache / "checkpoints" / f"{msgspec.structs.replace(job, looks=1).key}.pt"


@lru_cache(maxsize=1)
def _weights(job: Job, cache: Path) -> dict[str, torch.Tensor]:
    """The weights that a run ends with: those kept, or trained once by whoever needs them first."""
    path = _checkpoint(job, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        weights = _read_weights(path) if intact(path) else None
        if weights is None:
            learner = begin(job, cache / data_file(job.dataset, job.fingerprint, job.size))
            learner.valid = None
            if fit(job, learner).diverged:
                raise UserError(
                    f"{job.label} diverged, so nothing goes on from it; give its stage a lower "
                    "hand-picked rate"
                )
            weights = _keep(job, cache, learner)
    return weights


def _read_weights(path: Path) -> dict[str, torch.Tensor] | None:
    """Read a checkpoint; None for one that cannot be read."""
    try:
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever its many readers do
        traceback.print_exc()
        return None
    return weights


def _keep(job: Job, cache: Path, learner: Learner) -> dict[str, torch.Tensor]:
    weights = {k: v.cpu() for k, v in learner.model.state_dict().items()}
    with sealed(_checkpoint(job, cache)) as file:
        torch.save(weights, file)
    return weights


def fit(job: Job, learner: Learner) -> Fit:
    """Train as a run's job says."""
    train = fit_constant if job.schedule == "constant" else fit_one_cycle
    top: float | slice = slice(*job.rates) if len(job.rates) > 1 else job.rates[0]
    return train(
        learner, top, steps=job.steps, evaluations=min(job.looks, job.steps), seed=job.seed
    )


def halves(learner: Learner, job: Job, prepared: Path) -> dict[str, float]:
    """Evaluate on either half of the validation examples; losses of both and means of all.

    One half may then choose a rate and the other say what it was worth.
    """
    parts, sizes = [], []
    for half in (0, 1):
        learner.valid = to_evaluate(_resident(prepared), job.batch, half=half, device=job.device)
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


def show(learner: Learner, job: Job, prepared: Path) -> bytes | None:
    """Predict a few validation images, spread evenly; a compressed .npz, or None without images."""
    if _resident(prepared).inputs.ndim != 4:
        return None
    valid = Batches(_resident(prepared), train=False, batch_size=1, device=job.device)
    wanted = {round(x) for x in np.linspace(0, len(valid) - 1, _SHOWN)}
    learner.model.eval()
    shown: dict[str, list[torch.Tensor]] = {"inputs": [], "targets": [], "outputs": []}
    with torch.no_grad():
        for inputs, target in (pair for i, pair in enumerate(valid) if i in wanted):
            output = learner.model(inputs).float()
            if not target.is_floating_point():
                output = output.argmax(1)
            shown["inputs"].append(((inputs + 1) * 127.5).round().to(torch.uint8))
            shown["targets"].append(target if target.is_floating_point() else target.short())
            shown["outputs"].append(output if output.is_floating_point() else output.short())
    buffer = io.BytesIO()
    arrays = {k: torch.cat(v).cpu().numpy() for k, v in shown.items()}
    np.savez_compressed(
        buffer, inputs=arrays["inputs"], targets=arrays["targets"], outputs=arrays["outputs"]
    )
    return buffer.getvalue()


def run(order: Order) -> Record:
    """Do a job on the data prepared for it; a divergence is a result, errors propagate."""
    job, prepared = order.job, order.prepared
    began = time.perf_counter()
    on_gpu = job.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    learner = begin(job, prepared)
    clock = _Clock(learner)
    if job.kind == "test":
        result = _ended(learner.evaluate())
    elif job.kind == "sweep":
        seen = job.protocol == GAINS
        curve = lr_find(
            learner, start_lr=job.rates[0], end_lr=job.rates[1], num_iter=job.steps, seed=job.seed,
            furthest=job.rates[2] if len(job.rates) > 2 else None, gain=seen,
        )  # fmt: skip
        start = _start(job, prepared) if job.seed == 0 and not seen else None
        result = Result("ok", start=start, curve=RecordedCurve.of(curve))
    else:
        if job.looks == 1:
            learner.valid = None  # `halves` looks at the end
        done = fit(job, learner)
        result = msgspec.structs.replace(
            _ended({} if done.diverged else halves(learner, job, prepared)),
            trace=[(int(m["step"]), m["loss"]) for m in done.metrics[:-1]],
            losses=finite(np.asarray(done.loss).tolist()),
        )
        if order.keep and result.status == "ok":
            _keep(job, prepared.parent, learner)
            result = msgspec.structs.replace(result, shown=show(learner, job, prepared))
    seconds = time.perf_counter() - began
    how = Provenance(
        round(seconds, 2),
        in_steps=None if on_gpu else round(clock.seconds / seconds, 3),
        peak_mb=round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None,
        **_here(),
    )
    return Record(job, result, how)


def _ended(end: dict[str, float]) -> Result:
    """Take what was measured at the end; a number that is not finite, or none, is a divergence."""
    usable = bool(end) and all(map(math.isfinite, end.values()))
    return Result("ok" if usable else "diverged", end=end if usable else {})


class _Clock:
    """Adds up the time inside a learner's steps."""

    def __init__(self, learner: Learner) -> None:
        self.seconds = 0.0
        self._step = learner.step
        learner.step = self._timed  # type: ignore[method-assign]

    def _timed(self, batches: Iterator[Any]) -> torch.Tensor:
        began = time.perf_counter()
        try:
            return self._step(batches)
        finally:
            self.seconds += time.perf_counter() - began


def failed(job: Job, error: Exception) -> Record:
    """Return the record of a job that raised."""
    # On a CPU: torch's allocator, and oneDNN that finds no room for the code it writes.
    told = str(error).strip()
    short = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in told or told == "could not create a primitive")
    )
    status: Status = "oom" if short else "error"
    line = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
    return Record(job, Result(status), Provenance(error=line, **_here()))


def one_thread() -> None:
    """Compute with one thread, so that a job's numbers do not depend on what runs beside it."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)


def _here() -> dict[str, Any]:
    """Where this is, for a record's provenance."""
    return {
        "versions": versions(), "host": platform.node(), "cpu": _cpu(),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


@cache
def _cpu() -> str:
    """The processor's name as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
