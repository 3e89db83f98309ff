"""A job is what determines a run and nothing else."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from lrsuggest.tasks.lesson import WEIGHT_DECAY, Leg
from lrsuggest.vocabulary import Precision, RecordedSchedule, Stage

# Raised whenever the same job would give other numbers: old records are then measured anew.
PROTOCOL = 3
# Of range tests that go on until the loss blows up and see each step's gain.
GAINS = 4

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
        rates: (start, end) or (start, end, furthest) of a sweep, (maximum,) of a run, or (lowest,
            maximum) of a slice.
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
    schedule: RecordedSchedule = "one_cycle"
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
            protocol=PROTOCOL if self.protocol == GAINS else self.protocol,
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
