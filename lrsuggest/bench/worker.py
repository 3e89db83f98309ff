"""Does one job after another in the main thread of a process of its own."""

import io
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
from filelock import FileLock

from lrsuggest.bench.jobs import Job, Order, Record, RecordedCurve, data_file, finite
from lrsuggest.errors import UserError
from lrsuggest.resources import revision
from lrsuggest.tasks.data.batches import Batches
from lrsuggest.tasks.data.catalog import dataset
from lrsuggest.tasks.data.resident import Resident, atomic
from lrsuggest.tasks.data.resident import cached as load
from lrsuggest.tasks.task import build_learner
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
        raise FileNotFoundError(f"{path} was not prepared")

    return load(path, missing)


def _learner(job: Job, prepared: Path) -> Learner:
    which = msgspec.structs.replace(dataset(job.dataset), model=job.model, optimizer=job.optimizer)
    return build_learner(
        which, _resident(prepared), stage=job.stage, batch_size=job.batch,
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
        if not path.exists():
            learner = begin(job, cache / data_file(job.dataset, job.fingerprint, job.size))
            learner.valid = None
            if fit(job, learner).diverged:
                raise UserError(
                    f"{job.label} diverged, so nothing goes on from it; give its stage a lower "
                    "hand-picked rate"
                )
            _keep(job, cache, learner)
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _keep(job: Job, cache: Path, learner: Learner) -> None:
    with atomic(_checkpoint(job, cache)) as file:
        torch.save({k: v.cpu() for k, v in learner.model.state_dict().items()}, file)


def fit(job: Job, learner: Learner) -> Fit:
    """Train as a run's job says."""
    train = fit_constant if job.schedule == "constant" else fit_one_cycle
    top: float | slice = slice(*job.rates) if len(job.rates) > 1 else job.rates[0]
    return train(learner, top, steps=job.steps, evaluations=job.looks, seed=job.seed)


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
    if job.kind == "test":
        end = learner.evaluate()
        usable = all(map(math.isfinite, end.values()))
        record = Record(job, "ok" if usable else "diverged", end=end if usable else {})
    elif job.kind == "sweep":
        curve = lr_find(
            learner, start=job.rates[0], end=job.rates[1], steps=job.steps, seed=job.seed
        )
        start = _start(job, prepared) if job.seed == 0 else None
        record = Record(job, "ok", start=start, curve=RecordedCurve.of(curve))
    else:
        if job.looks == 1:
            learner.valid = None  # `halves` looks at the end
        done = fit(job, learner)
        end = {} if done.diverged else halves(learner, job, prepared)
        usable = not done.diverged and all(map(math.isfinite, end.values()))
        record = Record(
            job,
            "ok" if usable else "diverged",
            end=end if usable else {},
            trace=[(int(m["step"]), m["loss"]) for m in done.metrics[:-1]],
            losses=finite(np.asarray(done.loss).tolist()),
        )
        if order.keep and usable:
            _keep(job, prepared.parent, learner)
            record = msgspec.structs.replace(record, shown=show(learner, job, prepared))
    return msgspec.structs.replace(
        record,
        seconds=round(time.perf_counter() - began, 2),
        versions=versions(),
        peak_mb=round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None,
    )


def serve(connection: Connection, threads: int) -> None:
    """Answer each order with a record, until the process is stopped."""
    torch.set_num_threads(threads)
    while True:
        order: Order = connection.recv()
        job = order.job
        try:
            record = run(order)
        except (torch.OutOfMemoryError, MemoryError) as error:
            record = Record(job, "oom", error=_line(error), versions=versions())
        except Exception as error:
            record = Record(job, "error", error=_line(error), versions=versions())
        connection.send(record)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
