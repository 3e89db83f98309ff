"""A lesson: a task trained stage by stage, on a ladder of sizes, weights carried along."""

import msgspec

from lrsuggest.vocabulary import Optimizer, Precision, RecordedSchedule, Stage

__all__ = ["WEIGHT_DECAY", "Leg", "Lesson", "LessonStage", "Precision", "RecordedSchedule", "Stage"]

WEIGHT_DECAY = 0.01  # fastai's


class Leg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stage already trained, whose weights the next one begins with.

    The optimizer begins anew in every stage, as the course's does.

    Attributes:
        stage: which parameters were trained.
        size: height and width in pixels, or tokens, or ().
        batch: examples per step.
        steps: optimizer steps.
        seed: seed of data order and dropout.
        rates: (maximum,) or (lowest, maximum) of a slice.
        schedule: of the rate.
        weight_decay: of AdamW.
        precision: number format.
    """

    stage: Stage
    size: tuple[int, ...]
    batch: int
    steps: int
    seed: int
    rates: tuple[float, ...]
    schedule: RecordedSchedule = "one_cycle"
    weight_decay: float = WEIGHT_DECAY
    precision: Precision = "fp32"


class LessonStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage as a suite runs it.

    Attributes:
        stage: which parameters train.
        batch: examples per step, at this stage's size.
        epochs: passes over the training examples.
        size: height and width in pixels, or tokens, or ().
        course: which of the dataset's published stages (1 is the first) the hand-picked rates
            come from; the first of them is the one to compare with.
        rates: grid of maximum rates; the lesson's if there is none.
        weight_decay: of AdamW.
        precision: number format of this stage wherever the lesson's is fp32.
    """

    stage: Stage
    batch: int
    epochs: int
    course: int
    size: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    weight_decay: float = WEIGHT_DECAY
    precision: Precision = "fp32"


class Lesson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task and its stages.

    Attributes:
        dataset: name in datasets.toml.
        name: unique in the suite; the dataset's unless given.
        stage: the stages in the order in which they are trained.
        model: the dataset's unless given.
        optimizer: likewise.
        schedule: of the rate in every stage.
        rates: grid of maximum rates of each stage's response.
        seeds: of each response; 0 measures none, only the chains.
        chain_seeds: of each whole chain; under three nothing is said of which is better.
        precisions: number formats of the chains with suggested rates; fp32 is that of the rest.
        margin: how much worse, in the metric's units, still counts as not worse; of accuracy .005
            unless given, of any other metric it must be given.
        test: whether the chains' ends are also judged on the test split, once.
    """

    dataset: str
    stage: tuple[LessonStage, ...]
    name: str = ""
    model: str | None = None
    optimizer: Optimizer | None = None
    schedule: RecordedSchedule = "one_cycle"
    rates: tuple[float, ...] = ()
    seeds: int = 3
    chain_seeds: int = 3
    precisions: tuple[Precision, ...] = ("fp32",)
    margin: float | None = None
    test: bool = False

    @property
    def label(self) -> str:
        """Its name, or the dataset's."""
        return self.name or self.dataset
