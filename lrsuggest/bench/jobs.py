"""A job is what determines a run and nothing else; a record is what came of it."""

import hashlib
from typing import Literal

import msgspec

from lrsuggest.curves.curve import Curve, Ended

# Raised whenever the same job would give other numbers: old records are then measured anew.
PROTOCOL = 2

Status = Literal["ok", "diverged", "oom", "timeout", "error", "interrupted"]
MEASURED: tuple[Status, ...] = ("ok", "diverged")


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One range test ("sweep") or one training run ("run").

    Attributes:
        kind: which.
        dataset: name in datasets.toml.
        fingerprint: digest of the data's files.
        model: as datasets.toml has it.
        optimizer: likewise.
        stage: training stage.
        before: steps and rate of the frozen one-cycle run that an "unfrozen" stage goes on from.
        size: height and width in pixels, or tokens, or ().
        batch: examples per step.
        steps: optimizer steps.
        seed: seed of data order and dropout; the initial weights are the same for every seed.
        rates: (start, end) of a sweep, (maximum,) of a run, or (lowest, maximum) of a slice.
        schedule: of a run.
        looks: how often a run is evaluated, the last time at its end.
        precision: number format.
        device: class of device.
        protocol: version of what a job does.
    """

    kind: Literal["sweep", "run"]
    dataset: str
    fingerprint: str
    model: str
    optimizer: str
    stage: str
    size: tuple[int, ...]
    batch: int
    steps: int
    seed: int
    rates: tuple[float, ...]
    before: tuple[int, float] | None = None
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    looks: int = 1
    precision: str = "fp32"
    device: str = "cpu"
    protocol: int = PROTOCOL

    @property
    def key(self) -> str:
        """A digest of everything above, 16 hexadecimal digits: the record's file name."""
        canonical = msgspec.json.encode(self, order="sorted")
        return hashlib.blake2b(canonical, digest_size=8).hexdigest()

    @property
    def label(self) -> str:
        """What a progress bar says."""
        rate = f" {self.rates[-1]:.1e}" if self.kind == "run" else ""
        what = self.schedule.replace("_", "-") if self.kind == "run" else "range test"
        where = " ".join([self.dataset, *(["x".join(map(str, self.size))] if self.size else [])])
        return f"{where} {what}{rate} seed {self.seed}"


class RecordedCurve(msgspec.Struct, frozen=True):
    """A curve as it stands in a record; a non-finite loss is null."""

    lr: list[float]
    loss: list[float | None]
    skipped: list[int]
    ended: str

    @classmethod
    def of(cls, curve: Curve) -> "RecordedCurve":
        """Take a curve's numbers."""
        import numpy as np

        return cls(
            curve.lr.tolist(),
            finite(curve.loss.tolist()),
            np.flatnonzero(curve.skipped).tolist(),
            str(curve.ended),
        )

    def curve(self) -> Curve:
        """Give the curve back."""
        skipped = [index in set(self.skipped) for index in range(len(self.lr))]
        loss = [float("nan") if x is None else x for x in self.loss]
        return Curve(self.lr, loss, skipped=skipped, ended=Ended(self.ended))


class Record(msgspec.Struct, frozen=True):
    """What came of a job.

    Attributes:
        job: the job.
        status: "ok"; "diverged", a result too; or what kept it from ending.
        seconds: wall time.
        start: validation loss and metrics before the first step (sweeps of seed 0): after fifty
            batches in train mode, none followed by a step, so that the batch norms of new layers
            have seen data.
        end: the same after the last step (runs only); empty for a diverged run. Both hold
            "loss_probe" and "loss_score" too, the loss on either half of the validation examples.
        trace: (step, validation loss) of every look but the last.
        curve: a sweep's curve.
        losses: a run's training loss before each step.
        error: one line on what went wrong.
        versions: of python, torch, timm and this package.
    """

    job: Job
    status: Status
    seconds: float = 0.0
    start: dict[str, float] | None = None
    end: dict[str, float] | None = None
    trace: list[tuple[int, float]] = []
    curve: RecordedCurve | None = None
    losses: list[float | None] | None = None
    error: str | None = None
    versions: dict[str, str] = {}


def finite(values: list[float]) -> list[float | None]:
    """Make a list fit for JSON: what is not finite becomes None."""
    return [x if abs(x) < float("inf") else None for x in values]
