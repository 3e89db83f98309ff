"""A job is what determines a run and nothing else; a record is what came of it."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.tasks.lesson import WEIGHT_DECAY, Leg, Precision, Schedule, Stage

# Raised whenever the same job would give other numbers: old records are then measured anew.
PROTOCOL = 3

# Fields added since: left out of the key at these values, so that older records keep theirs.
_ADDED = {"weight_decay": WEIGHT_DECAY}

JobKind = Literal["sweep", "run", "test"]
Status = Literal["ok", "diverged", "oom", "timeout", "error", "interrupted"]
MEASURED: tuple[Status, ...] = ("ok", "diverged")


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One range test ("sweep"), one training run ("run"), or one look at test data ("test").

    Attributes:
        kind: which.
        dataset: name in datasets.toml.
        fingerprint: digest of the data's files.
        model: as datasets.toml has it.
        optimizer: likewise.
        stage: training stage.
        before: the stages that this one goes on from, None for the first.
        size: height and width in pixels, or tokens, or ().
        batch: examples per step.
        steps: optimizer steps.
        seed: seed of data order and dropout; the initial weights are the same for every seed.
        rates: (start, end) of a sweep, (maximum,) of a run, or (lowest, maximum) of a slice.
        schedule: of a run's rate.
        looks: how often a run is evaluated, the last time at its end.
        precision: number format.
        device: class of device.
        protocol: version of what a job does.
        weight_decay: of AdamW.
    """

    kind: JobKind
    dataset: str
    fingerprint: str
    model: str
    optimizer: str
    stage: Stage
    size: tuple[int, ...]
    batch: int
    steps: int
    seed: int
    rates: tuple[float, ...]
    before: tuple[Leg, ...] | None = None
    schedule: Schedule = "one_cycle"
    looks: int = 1
    precision: Precision = "fp32"
    device: str = "cpu"
    protocol: int = PROTOCOL
    weight_decay: float = WEIGHT_DECAY

    @property
    def key(self) -> str:
        """A digest of everything above, 16 hexadecimal digits: the record's file name."""
        told = msgspec.to_builtins(self)
        told = {k: v for k, v in told.items() if k not in _ADDED or v != _ADDED[k]}
        canonical = msgspec.json.encode(told, order="sorted")
        return hashlib.blake2b(canonical, digest_size=8).hexdigest()

    @property
    def leg(self) -> Leg:
        """This run as a stage that others go on from."""
        return Leg(
            self.stage, self.size, self.batch, self.steps, self.seed, self.rates, self.schedule,
            self.weight_decay, self.precision,
        )  # fmt: skip

    @property
    def last(self) -> "Job | None":
        """The run that trained the weights that this job begins with."""
        if not self.before:
            return None
        *earlier, leg = self.before
        return msgspec.structs.replace(
            self, kind="run", before=tuple(earlier) or None, looks=1,
            **{name: getattr(leg, name) for name in Leg.__struct_fields__},
        )  # fmt: skip

    @property
    def label(self) -> str:
        """What a progress bar says."""
        rate = f" {self.rates[-1]:.1e}" if self.kind == "run" else ""
        what = {"run": self.schedule.replace("_", "-"), "sweep": "range test", "test": "test split"}
        size = ["x".join(map(str, self.size))] if self.size else []
        stage = [f"{self.stage} (stage {len(self.before) + 1})"] if self.before else []
        format_ = [self.precision] if self.precision != "fp32" else []
        where = " ".join([self.dataset, *size, *stage, *format_])
        return f"{where} {what[self.kind]}{rate} seed {self.seed}"


class RecordedCurve(msgspec.Struct, frozen=True):
    """A curve as it stands in a record; a non-finite loss is null."""

    lr: list[float]
    loss: list[float | None]
    skipped: list[int]
    ended: str

    def __post_init__(self) -> None:
        self.curve()  # what is read from a file must be one

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
        passed = set(self.skipped)
        skipped = [index in passed for index in range(len(self.lr))]
        loss = [float("nan") if x is None else x for x in self.loss]
        return Curve(self.lr, loss, skipped=skipped, ended=Ended(self.ended))


class Result(msgspec.Struct, frozen=True):
    """What a record is compared by.

    The same job on the same type of CPU and the same versions gives it again, bit for bit.

    Attributes:
        status: "ok"; "diverged", a result too; or what kept the job from ending.
        start: validation loss and metrics before the first step (sweeps of seed 0): after fifty
            batches in train mode, none followed by a step, so that the batch norms of new layers
            have seen data.
        end: the same after the last step (runs only); empty for a diverged run. Both hold
            "loss_probe" and "loss_score" too, the loss on either half of the validation examples.
        trace: (step, validation loss) of every look but the last.
        curve: a sweep's curve.
        losses: a run's training loss before each step.
        shown: of a chain's run, a few validation examples with what was predicted: a compressed
            .npz with inputs, targets and outputs.
    """

    status: Status
    start: dict[str, float] | None = None
    end: dict[str, float] | None = None
    trace: list[tuple[int, float]] = []
    curve: RecordedCurve | None = None
    losses: list[float | None] | None = None
    shown: bytes | None = None


class Provenance(msgspec.Struct, frozen=True):
    """How a result came about: told, never compared.

    Attributes:
        seconds: wall time of the last attempt.
        in_steps: the share of it inside training steps; None on a GPU, which works on by itself.
        peak_mb: the most memory that its tensors took on a GPU, in 2**20 bytes.
        error: one line on what went wrong.
        log: the file beside records/ with all that the job printed, tracebacks too.
        attempts: how often it was begun.
        versions: of python, torch, timm and this package.
        host: name of the machine.
        cpu: its processor.
        threads: how many the job had.
    """

    seconds: float = 0.0
    in_steps: float | None = None
    peak_mb: float | None = None
    error: str | None = None
    log: str | None = None
    attempts: int = 1
    versions: dict[str, str] = {}
    host: str = ""
    cpu: str = ""
    threads: int | None = None


class Record(msgspec.Struct, frozen=True):
    """What came of a job, and how."""

    job: Job
    result: Result
    provenance: Provenance = Provenance()

    @property
    def status(self) -> Status:
        """How the job ended."""
        return self.result.status


def data_file(dataset: str, fingerprint: str, size: tuple[int, ...], split: str = "") -> str:
    """Return the name of the file that holds a dataset prepared at a size."""
    by = "x".join(map(str, size))
    return "-".join([dataset, fingerprint, by, *([split] if split else [])]) + ".npz"


class Order(NamedTuple):
    """A job, where the data prepared for it lie, and whether to keep what it trained."""

    job: Job
    prepared: Path
    keep: bool = False

    def encode(self) -> bytes:
        """Write it for a process that does it."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def decode(cls, content: bytes) -> "Order":
        """Read what `encode` wrote."""
        return msgspec.json.decode(content, type=cls, dec_hook=lambda kind, told: kind(told))


def finite(values: list[float]) -> list[float | None]:
    """Make a list fit for JSON: what is not finite becomes None."""
    return [x if abs(x) < float("inf") else None for x in values]
