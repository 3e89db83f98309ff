"""What a run of a suite set out to do, as plan.json beside the records keeps it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from lrsuggest.bench.jobs.job import Job, JobKind
from lrsuggest.bench.jobs.store import writing
from lrsuggest.bench.plan.suite import Refine, Sweep
from lrsuggest.decoding import decode, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.files import atomic
from lrsuggest.tasks.data.catalog import Dataset
from lrsuggest.tasks.lesson import LessonStage
from lrsuggest.vocabulary import Precision, RecordedSchedule, Stage

Pilot = Literal["hand-picked", "suggested"]


class NamedRates(msgspec.Struct, frozen=True):
    """Whose rate it is, and the rate: (maximum,) or (lowest, maximum) of a slice."""

    name: str
    rates: tuple[float, ...]
    where: str = ""


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset at one stage and size, with the jobs planned for it.

    `jobs` are the sweeps and the grids; `extra` are runs that follow from their results: at picks
    outside the grid, and around its best rate. A lesson's stage bears the lesson's name, and
    `named` are the contestants' rates, or slices, that have runs of their own there.
    """

    label: str
    dataset: Dataset
    stage: Stage
    size: tuple[int, ...]
    batch: int
    steps: int
    jobs: tuple[Job, ...]
    prepared: str
    sweep: Sweep
    schedule: RecordedSchedule = "one_cycle"
    held_out: bool = False
    refine: Refine | None = None
    slices: tuple[float, ...] = ()
    chase: bool = True
    extra: tuple[Job, ...] = ()
    lesson: str = ""
    named: tuple[NamedRates, ...] = ()

    @property
    def grid(self) -> list[Job]:
        """The runs of the first grid, at full length, with what was added at its ends."""
        return [job for job in self.jobs if job.kind == "run" and job.steps == self.steps]

    def main(self, job: Job) -> bool:
        """Say whether a job is the range test that heuristics are judged on, or a plain run."""
        if job.kind == "sweep":
            return (job.steps, job.rates) == (self.sweep.steps, (self.sweep.start, self.sweep.end))
        return job.steps == self.steps and len(job.rates) == 1

    @property
    def all_jobs(self) -> tuple[Job, ...]:
        """Every job, sweeps first."""
        return self.jobs + self.extra


class Chain(msgspec.Struct, frozen=True):
    """A lesson trained from its first stage to its last, by whose rates."""

    pilot: Pilot
    seed: int
    precision: Precision = "fp32"


class PlannedLesson(msgspec.Struct, frozen=True, kw_only=True):
    """A lesson's stages and the chains to train.

    Attributes:
        name: unique in the suite; the stages' tasks bear it.
        dataset: with the lesson's model and optimizer.
        fingerprint: digest of the data's files.
        stages: as the suite has them.
        steps: optimizer steps of each stage.
        hand_picked: what a person chose for each stage.
        chains: all that are trained.
        sweep: the range test before each suggested rate.
        schedule: of the rate in every stage.
        device: class of device.
        margin: how much worse, in the metric's units, still counts as not worse.
        test: name of the prepared file with the test split, or "".
        skipped: number formats that were asked for and are not worth running here, in words.
    """

    name: str
    dataset: Dataset
    fingerprint: str
    stages: tuple[LessonStage, ...]
    steps: tuple[int, ...]
    hand_picked: tuple[NamedRates, ...]
    chains: tuple[Chain, ...]
    sweep: Sweep
    schedule: RecordedSchedule
    device: str
    margin: float
    test: str = ""
    skipped: tuple[str, ...] = ()

    @property
    def planned(self) -> int:
        """How many jobs its chains have; which rates they run at shows only on the way."""
        return sum(map(self.length, self.chains))

    def length(self, chain: Chain) -> int:
        """How many jobs a chain has: its runs, range tests before suggested ones, the test look."""
        each = 1 if chain.pilot == "hand-picked" else 2
        return each * len(self.stages) + bool(self.test)


class Plan(msgspec.Struct, frozen=True):
    """What a run of a suite set out to do; kept as plan.json beside the records.

    `absent` names the lessons whose data were not at hand, each with the mend.
    """

    suite: str
    title: str
    command: str
    limit_s: float
    tasks: tuple[PlannedTask, ...]
    lessons: tuple[PlannedLesson, ...] = ()
    absent: tuple[str, ...] = ()
    limits_s: dict[JobKind, float] = {}

    def limit_of(self, kind: JobKind) -> float:
        """Return the seconds after which a job of a kind is stopped."""
        return self.limits_s.get(kind, self.limit_s)

    @property
    def jobs(self) -> list[Job]:
        """Every job of the tasks once; the lessons' chains come on top."""
        return list(dict.fromkeys(job for task in self.tasks for job in task.all_jobs))


def carried(plan: Plan, before: Sequence[PlannedTask]) -> Plan:
    """Return a plan with the runs that were added before to the tasks it shares.

    A task is shared where it has its label and all its jobs, which bear the data's fingerprint.
    """
    told = {task.label: task for task in before}

    def carry(task: PlannedTask) -> PlannedTask:
        old = told.get(task.label)
        if old is None or not set(task.jobs) <= set(old.jobs):
            return task
        return msgspec.structs.replace(task, jobs=old.jobs, extra=old.extra)

    return msgspec.structs.replace(plan, tasks=tuple(map(carry, plan.tasks)))


def save_plan(plan: Plan, out: Path) -> None:
    """Write plan.json.

    Raises:
        UserError: it cannot be written.
    """
    path = out / "plan.json"
    with writing(path), atomic(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(plan), indent=1))


def load_plan(out: Path) -> Plan:
    """Read plan.json.

    Raises:
        UserError: nothing was run into this folder.
    """
    path = out / "plan.json"
    try:
        return msgspec.json.decode(decode(read_bytes(path), path, "run the suite again"), type=Plan)
    except OSError:
        raise UserError(
            f"{out} holds no plan.json; run a suite into it first, or give --out another folder"
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); run the suite again") from None
