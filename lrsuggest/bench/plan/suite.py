"""A suite: which datasets, stages, sizes, rates and seeds to measure."""

import math
from typing import Literal

import msgspec

from lrsuggest.bench.jobs.job import JobKind
from lrsuggest.errors import UserError
from lrsuggest.resources import shipped
from lrsuggest.tasks.data.catalog import Dataset, dataset, home, read_toml
from lrsuggest.tasks.lesson import Lesson
from lrsuggest.tasks.models.registry import pretrained
from lrsuggest.vocabulary import Optimizer, RecordedSchedule, Stage


class Sweep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The range test before each response: rates, optimizer steps, and how often."""

    start: float = 1e-7
    end: float = 10.0
    steps: int = 100
    seeds: int = 2


class Refine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs around the best rate of the first grid: so many rates, `step` decades apart."""

    seeds: int = 8
    rates: int = 5
    step: float = 1 / 6


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same grid once more with runs of a fraction of the length."""

    shorter: int = 4
    seeds: int = 3


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dataset at one stage: every size x rate x seed is a training run.

    Sizes are (height, width) in pixels, (tokens,) of texts, () of tables; `batch` is in examples,
    `steps` in optimizer steps. Without rates the suite's for the optimizer are used; model and
    optimizer are the dataset's unless given. An "unfrozen" stage goes on from a frozen one-cycle
    run of `before` = [steps, rate]; `slices` are ratios of its highest to its lowest rate to try
    as well, at and around the best rate; `refine_seeds` takes the place of the suite's; `vary =
    false` leaves its other range tests out.
    """

    dataset: str
    stage: Stage
    batch: int
    steps: int
    sizes: tuple[tuple[int, ...], ...] = ((),)
    rates: tuple[float, ...] = ()
    seeds: int = 2
    model: str | None = None
    optimizer: Optimizer | None = None
    schedule: RecordedSchedule = "one_cycle"
    before: tuple[int, float] | None = None
    slices: tuple[float, ...] = ()
    refine_seeds: int | None = None
    vary: bool = True
    precision: Literal["fp32"] = "fp32"
    only: Literal["with data", "without data"] | None = None

    @property
    def which(self) -> Dataset:
        """The dataset with this entry's model and optimizer."""
        base = dataset(self.dataset)
        return msgspec.structs.replace(
            base, model=self.model or base.model, optimizer=self.optimizer or base.optimizer
        )


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TOML file in benchmarks/suites/, or one of the user's own.

    Attributes:
        title: what a report says.
        entry: what to measure.
        lesson: what to train stage by stage.
        sweep: the range test of every entry.
        limit_s: seconds after which a job is stopped.
        limits_s: the same for a kind of job ("sweep", "run" or "test") of its own.
        rates: by optimizer, the grid of entries that have none of their own.
        variants: other range tests, to see how much a pick depends on them.
        refine: a finer grid around the best rate.
        probe: a grid of shorter runs.
        held_out: families nothing may be tuned on.
        chase: run every contestant's pick that falls outside the grid.
    """

    title: str
    entry: tuple[Entry, ...] = ()
    lesson: tuple[Lesson, ...] = ()
    sweep: Sweep = Sweep()
    limit_s: float = 600.0
    limits_s: dict[JobKind, float] = {}
    rates: dict[str, tuple[float, ...]] = {}
    variants: tuple[Sweep, ...] = ()
    refine: Refine | None = None
    probe: Probe | None = None
    held_out: tuple[str, ...] = ()
    chase: bool = True

    def rates_of(self, entry: Entry) -> list[float]:
        """Return the rates of an entry's grid, rising."""
        return sorted(set(entry.rates or self.rates.get(entry.which.optimizer, ())))


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(path.stem for path in shipped("benchmarks/suites").glob("*.toml"))


def load(name: str) -> Suite:
    """Load a shipped suite by name, or a file that ends in .toml.

    Raises:
        UserError: there is none, or it holds an unknown key, dataset or value.
    """
    own = home(name) if name.lower().endswith(".toml") else None
    path = own or shipped("benchmarks/suites") / f"{name}.toml"
    if not own and name not in suite_names():
        raise UserError(
            f"there is no suite {name!r}; choose {', '.join(suite_names())}, or give a .toml file"
        )
    suite = read_toml(path, Suite)
    for index, entry in enumerate(suite.entry):
        try:
            dataset(entry.dataset).need_reader()
        except UserError as error:
            raise UserError(f"{path}: {error} - at `$.entry[{index}].dataset`") from None
        _check(entry, suite.rates_of(entry), f"{path}: ", f" - at `$.entry[{index}]`")
    for index, lesson in enumerate(suite.lesson):
        try:
            _check_lesson(lesson, suite)
        except UserError as error:
            raise UserError(f"{path}: {error} - at `$.lesson[{index}]`") from None
    names = [lesson.label for lesson in suite.lesson]
    if len(set(names)) < len(names):
        raise UserError(f"{path}: two lessons have one name; give name = ... - at `$.lesson`")
    if not all(
        0 < s.start < s.end < math.inf and s.steps >= 2 and s.seeds >= 1
        for s in (suite.sweep, *suite.variants)
    ):
        raise UserError(
            f"{path}: a sweep needs 0 < start < end, two or more steps and a seed - at `$.sweep`"
        )
    if not all(limit > 0 for limit in (suite.limit_s, *suite.limits_s.values())):
        raise UserError(f"{path}: limits must be above 0 seconds - at `$.limits_s`")
    return suite


def _check_lesson(lesson: Lesson, suite: Suite) -> None:
    """Refuse a lesson whose runs could only fail.

    Raises:
        UserError: a value is out of range, or what it names is not there.
    """
    which = dataset(lesson.dataset)
    which.need_reader()
    model, optimizer = lesson.model or which.model, lesson.optimizer or which.optimizer
    if not lesson.stage or lesson.seeds in (1, 2) or min(lesson.seeds, lesson.chain_seeds - 1) < 0:
        raise UserError(
            "a lesson needs a stage, a seed of its chains, and three seeds or more of its "
            "responses (seeds = 0 measures none)"
        )
    if lesson.margin is None and which.kind in ("points", "regression"):
        raise UserError(f"{which.name} is not judged by accuracy, so its margin must be given")
    if "fp32" not in lesson.precisions:
        raise UserError("precisions must hold fp32, with which the others are compared")
    for number, stage in enumerate(lesson.stage, 1):
        if min(stage.batch, stage.epochs, *stage.size, 1) < 1:
            raise UserError(f"stage {number}: size, batch and epochs must be at least 1")
        if pretrained(model) is (stage.stage == "scratch"):
            raise UserError(f"stage {number}: {stage.stage} does not go with the model {model}")
        if stage.stage == "unfrozen" and (
            number == 1 or lesson.stage[number - 2].stage != "frozen"
        ):
            raise UserError(f"stage {number}: unfrozen goes on from a frozen stage before it")
        rates = set(stage.rates or lesson.rates or suite.rates.get(optimizer, ()))
        if len(rates) < 2 or not all(0 < rate < math.inf for rate in rates):
            raise UserError(f"stage {number} needs two or more different positive rates")
        if not 1 <= stage.course <= len(which.stages):
            raise UserError(
                f"stage {number}: {which.name} has {len(which.stages)} published stages, "
                f"course = {stage.course} is none of them"
            )
        if not which.stages[stage.course - 1].hand_picked:
            raise UserError(f"stage {number}: nobody published a rate for course stage "
                            f"{stage.course} of {which.name}")  # fmt: skip


def _check(entry: Entry, rates: list[float], before: str, after: str) -> None:
    """Refuse an entry whose runs could only fail.

    Raises:
        UserError: a value is out of range, or stage and model do not go together.
    """
    counts = (entry.batch, entry.steps, *(x for size in entry.sizes for x in size))
    if min(counts) < 1 or not entry.sizes:
        raise UserError(f"{before}sizes, batch and steps must be at least 1{after}")
    if entry.seeds < 2:
        raise UserError(f"{before}seeds must be at least 2, for regret needs two halves{after}")
    if len(rates) < 2 or not all(0 < rate < math.inf for rate in rates):
        raise UserError(f"{before}rates needs two or more different positive rates{after}")
    has_body = pretrained(entry.which.model)
    if has_body is (entry.stage == "scratch"):
        fitting = "frozen, unfrozen or finetune" if has_body else "scratch"
        raise UserError(f"{before}the model {entry.which.model} wants stage {fitting}{after}")
    if (entry.stage == "unfrozen") is (entry.before is None):
        raise UserError(
            f"{before}stage unfrozen, and no other, needs before = [steps, rate] of the frozen run"
            f"{after}"
        )
