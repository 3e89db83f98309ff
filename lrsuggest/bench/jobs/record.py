"""A record is what came of a job; as bytes: the present schema, and older ones read as it."""

import json
from typing import Any, Literal

import msgspec

from lrsuggest.bench.jobs.job import Job, Status
from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve


class RecordedCurve(msgspec.Struct, frozen=True, omit_defaults=True):
    """A curve as it stands in a record; what is not finite is null."""

    lr: list[float]
    loss: list[float | None]
    skipped: list[int]
    ended: str
    measured: dict[str, list[Any]] | None = None

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
            None if curve.measured is None else json.loads(curve.to_json())["measured"],
        )

    def curve(self) -> Curve:
        """Give the curve back."""
        passed = set(self.skipped)
        skipped = [index in passed for index in range(len(self.lr))]
        loss = [float("nan") if x is None else x for x in self.loss]
        made = Curve(self.lr, loss, skipped=skipped, ended=Ended(self.ended))
        if self.measured is None:
            return made
        return Curve.from_json(
            json.dumps({**json.loads(made.to_json()), "measured": self.measured})
        )


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


def finite(values: list[float]) -> list[float | None]:
    """Make a list fit for JSON: what is not finite becomes None."""
    return [x if abs(x) < float("inf") else None for x in values]


SCHEMA = 2


class DamagedError(ValueError):
    """These bytes are no record."""


class NewerError(ValueError):
    """This record was written by a newer version of the program."""


class _Version(msgspec.Struct):
    schema: int = 1  # the first schema did not name itself


class _Second(msgspec.Struct, forbid_unknown_fields=True):
    schema: Literal[2]
    job: Job
    result: Result
    provenance: Provenance


class _First(msgspec.Struct):
    """One flat record, as written until runs could be interrupted anywhere."""

    job: Job
    status: Status
    seconds: float = 0.0
    start: dict[str, float] | None = None
    end: dict[str, float] | None = None
    trace: list[tuple[int, float]] = []
    curve: RecordedCurve | None = None
    losses: list[float | None] | None = None
    shown: bytes | None = None
    peak_mb: float | None = None
    error: str | None = None
    versions: dict[str, str] = {}


def encode(record: Record) -> bytes:
    """Write a record in the present schema, one field a line."""
    told = _Second(2, record.job, record.result, record.provenance)
    return msgspec.json.format(msgspec.json.encode(told), indent=1)


def decode(content: bytes) -> Record:
    """Read a record of any schema so far.

    Raises:
        DamagedError: the bytes are no record; the message says where they go wrong.
        NewerError: they are one of a schema that is not known here.
    """
    try:
        schema = msgspec.json.decode(content, type=_Version).schema
        if schema == 1:
            old = msgspec.json.decode(content, type=_First)
            return Record(
                old.job,
                Result(old.status, old.start, old.end, old.trace, old.curve, old.losses, old.shown),
                Provenance(
                    old.seconds, peak_mb=old.peak_mb, error=old.error, versions=old.versions
                ),
            )
        if schema > SCHEMA:
            raise NewerError(f"schema {schema}; this version reads up to {SCHEMA}")
        read = msgspec.json.decode(content, type=_Second)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(str(error)) from None
    return Record(read.job, read.result, read.provenance)
