"""What a report is about beside its tables, and what must be known before believing any number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lrsuggest.evidence.consensus_fit import read_folds
from lrsuggest.evidence.lessons import LessonEvidence
from lrsuggest.evidence.regret import rankable
from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.report.text import listed, several

FEWEST_FAMILIES = 6
_LOST = {
    "error": "failed", "oom": "out of memory", "timeout": "timed out",
    "interrupted": "interrupted", "missing": "never ran",
}  # fmt: skip
_VERSIONS = ("python", "torch", "torchvision", "timm", "lrsuggest", "source")


class Lost(NamedTuple):
    """A planned run without a result: which, how it ended, or "missing", and what went wrong."""

    label: str
    status: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.label}: {', '.join(filter(None, [self.said, self.error]))}"

    @property
    def said(self) -> str:
        """How it ended, in words."""
        return _LOST.get(self.status, self.status)


@dataclass(frozen=True)
class Story:
    """What a report is about, beside its tables.

    Attributes:
        title: the suite's title.
        command: what was run.
        planned: how many runs were planned, or None where only tables of what was measured exist.
        failed: each run without a result.
        absent: a line for each lesson whose data were not at hand.
        unreached: how many runs wait for one of the failed.
        suite: the suite's name, or the folder of the tables.
        recorded: how many runs the tables hold, where no plan tells.
        stray: how many records belong to no planned run.
        kept: where the records or tables lie.
    """

    title: str
    command: str
    planned: int | None
    failed: tuple[Lost, ...] = ()
    absent: tuple[str, ...] = ()
    unreached: int = 0
    suite: str = ""
    recorded: int = 0
    stray: int = 0
    kept: str = ""

    @property
    def measured(self) -> int:
        """How many planned runs have a result."""
        if self.planned is None:
            return self.recorded
        return self.planned - len(self.failed) - self.unreached

    @property
    def coverage(self) -> str:
        """How many of the planned runs there are, in words."""
        if self.planned is None:
            return f"{self.recorded:,} recorded runs"
        return f"{self.measured:,} of {self.planned:,} planned runs"


@dataclass(frozen=True)
class Alert:
    """One thing to know: a word for it, a sentence, and what it concerns one by one."""

    what: str
    said: str
    each: tuple[str, ...] = field(default=())


def alerts(
    tasks: Sequence[TaskEvidence], story: Story, lessons: Sequence[LessonEvidence] = ()
) -> list[Alert]:
    """Return what a reader must know before believing any number."""
    return [*_missing(story), *_mixed(tasks), *_about_data(tasks), *_not_run(tasks, lessons)]


def _missing(story: Story) -> Iterator[Alert]:
    for said in dict.fromkeys([*_LOST.values(), *(each.said for each in story.failed)]):
        mine = tuple(str(each) for each in story.failed if each.said == said)
        if mine:
            of = f"{len(mine):,} of {story.planned:,}"
            yield Alert(said, f"{of} planned runs have no result.", mine)
    if story.unreached:
        have = "waits" if story.unreached == 1 else "wait"
        yield Alert("not reached", f"{several(story.unreached, 'run')} {have} for one of these.")
    if story.stray:
        belong = "record belongs" if story.stray == 1 else "records belong"
        yield Alert(
            "stale",
            f"{story.stray:,} {belong} to no planned run: an older plan, other data or an older "
            "protocol. They count nowhere.",
        )


def _values(tasks: Sequence[TaskEvidence], name: str) -> dict[str, list[str]]:
    """Labels by each device, precision or version; a mixture within a task counts as its parts."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        told = {**task.versions, "device": task.device, "precision": task.precision}
        for value in told.get(name, ()):
            found.setdefault(value, []).append(task.label)
    return found


def _mixed(tasks: Sequence[TaskEvidence]) -> Iterator[Alert]:
    for name, what in (("device", "mixed devices"), *((v, "mixed versions") for v in _VERSIONS)):
        values = _values(tasks, name)
        if len(values) > 1:
            said = (f"{value} ({several(len(labels), 'task')})" for value, labels in values.items())
            yield Alert(what, f"{name}: {listed(said)}. Their numbers may differ for that alone.")
    dirty = [value for value in _values(tasks, "source") if value.endswith("+changes")]
    if dirty:
        yield Alert(
            "dirty source",
            f"The source was changed after {listed(value.partition('+')[0] for value in dirty)}, "
            "so no revision gives these numbers back.",
        )


def _about_data(tasks: Sequence[TaskEvidence]) -> Iterator[Alert]:
    drawn = [task.label for task in tasks if task.synthetic]
    real = rankable(tasks)
    families = {task.family for task in real}
    if drawn:
        yield Alert(
            "synthetic data",
            f"{listed(drawn)}. They show that the machinery runs; they are in no ranking, regret "
            "or verdict.",
        )
    if len(families) < FEWEST_FAMILIES:
        yield Alert(
            "few families",
            f"Only {several(len(families), 'family', 'families')} of real data: a look at the "
            "curves, too few to say which pick is best.",
        )
    if any(task.family in read_folds() for task in real):
        yield Alert(
            "seen before",
            'The consensus was fitted on families among these. "consensus, out of fold" is the '
            "rule made without each, and the one that is judged; its starting values were still "
            "chosen after a look at every family, so new data may be less kind.",
        )
    if any(task.hand_picked for task in real):
        yield Alert(
            "other networks",
            "The hand-picked rates were chosen elsewhere, mostly for other networks, sizes and "
            "lengths than those here; each task names where.",
        )


def _not_run(tasks: Sequence[TaskEvidence], lessons: Sequence[LessonEvidence]) -> Iterator[Alert]:
    formats = {each for lesson in lessons for each in lesson.stages.precision}
    formats |= {each for lesson in lessons for each in lesson.chains.precision}
    formats |= set(_values(tasks, "precision"))
    if "fp16" not in formats:
        yield Alert("fp16 not run", "Nothing here was trained in half precision.")


def facts(tasks: Sequence[TaskEvidence]) -> Mapping[str, str]:
    """Return the devices, formats and versions that all the tasks ran with, by name."""
    found = {}
    for name in ("device", "precision", *_VERSIONS):
        if values := _values(tasks, name):
            found[name] = ", ".join(sorted(values))
    return found
