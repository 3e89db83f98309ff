"""What speaks against a rate: of the curve, of the sweeps, of what is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.landmarks import blows_up
from lrsuggest.curves.heuristics.reasons import Reason, Said
from lrsuggest.curves.heuristics.registry import Abstention, Context

WITNESSES = ("steepest_gaussian", "min_10")
LENGTHS = 40, 480  # optimizer steps of the shortest and longest recorded task; a test beside it
_FAR = 10  # times beyond those, nothing is known
_HARMLESS = 1e-5  # no step at such a rate makes a loss infinite
_AGREEMENT_DECADES = 1.5  # rates further apart than this disagree


@dataclass(frozen=True)
class Seen:
    """What a learner shows of itself; a curve alone shows none of it.

    Attributes:
        optimizer: what its optimizer is called where no recorded task had the like.
        held: how many of its weight layers (not norms or biases) do not train.
        layers: how many it has.
        continued: True where its training went on before; None where nothing tells.
        schedule: what the schedule that is set for the training is called, None where none shows.
        outside: names of trainable weights that are in no group of the optimizer.
        beside: methods of training that no recorded task had, such as MixUp.
        loaded: the name that a transformers model was loaded by, None for any other.
        idle: names of weights that are to train and got no gradient in the sweep.
        trainable: how many are to train, where the sweep was watched.
    """

    optimizer: str | None = None
    held: int = 0
    layers: int = 0
    continued: bool | None = None
    outside: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    loaded: str | None = None
    idle: tuple[str, ...] = ()
    trainable: int = 0
    schedule: str | None = None

    @property
    def holds_much(self) -> bool:
        """Whether a quarter of the layers is held: adapters (LoRA) on all add two to each."""
        return 0 < self.layers <= 4 * self.held


def doubts(
    curve: Curve,
    context: Context,
    seen: Seen,
    everything: Mapping[str, float | Abstention],
    picks: Sequence[float | None],
) -> list[Said]:
    """Say what speaks against a rate: of the curve, of the sweeps, of what is trained.

    Args:
        curve: what was read.
        context: what is known beside it.
        seen: what the learner shows.
        everything: each heuristic's answer, by name.
        picks: the followed heuristic's, of each of several sweeps alone, None where it abstains.
    """
    return [
        *_of_the_curve(curve, everything),
        *_of_the_sweeps(picks),
        *_of_the_training(context, seen),
    ]


def without_rate(curve: Curve, said: Abstention) -> tuple[Said, ...]:
    """Say why there is no rate, and where the loss stopped being finite, if it did."""
    reasons = [said.reason.said()]
    if curve.ended == Ended.NON_FINITE and not np.isfinite(curve.loss).all():
        step = int(np.argmin(np.isfinite(curve.loss)))
        blame = "that rate or that batch" if curve.lr[step] > _HARMLESS else "that batch"
        reasons.append(Reason.STEP_NON_FINITE.said(step=step + 1, rate=curve.lr[step], where=blame))
    return tuple(reasons)


def _of_the_curve(curve: Curve, everything: Mapping[str, float | Abstention]) -> list[Said]:
    reasons: list[Said] = []
    if curve.ended == Ended.COMPLETED and not np.isfinite(curve.loss).all():
        at = curve.lr[int(np.argmin(np.isfinite(curve.loss)))]
        reasons.append(Reason.TAIL_NON_FINITE.said(rate=at))
    if curve.ended == Ended.DATA_RAN_OUT:
        reasons.append(Reason.DATA_RAN_OUT.said())
    if not blows_up(curve):
        reasons.append(Reason.STILL_FALLING.said(rate=curve.lr[-1]))
    doubt = everything["min_10"]
    if isinstance(doubt, Abstention):  # the consensus gives a rate still, from what else it sees
        reasons.append(doubt.reason.said())
    both = [
        pick
        for name in WITNESSES
        if not isinstance(pick := everything.get(name), Abstention | None)
    ]
    if both and np.log10(max(both) / min(both)) > _AGREEMENT_DECADES:
        reasons.append(Reason.DISAGREE.said(low=min(both), high=max(both)))
    return reasons


def _of_the_sweeps(picks: Sequence[float | None]) -> list[Said]:
    reasons: list[Said] = []
    found = [each for each in picks if each is not None]
    if found and np.log10(max(found) / min(found)) > _AGREEMENT_DECADES:
        reasons.append(Reason.SWEEPS_DISAGREE.said(low=min(found), high=max(found)))
    if 2 * len(found) < len(picks):
        reasons.append(Reason.SWEEPS_ABSTAIN.said(lost=len(picks) - len(found), n=len(picks)))
    return reasons


def _of_the_training(context: Context, seen: Seen) -> list[Said]:
    reasons = [
        Reason.UNSEEN.said(what=named) for named in (*filter(None, [seen.optimizer]), *seen.beside)
    ]
    steps, (short, long) = context.total_steps, LENGTHS
    if steps is not None and not short <= _FAR * steps <= _FAR**2 * long:
        reasons.append(Reason.LENGTH.said(steps=_steps(steps), shortest=short, longest=long))
    if seen.holds_much and context.stage != "frozen":
        are = "is" if seen.held == 1 else "are"
        reasons.append(Reason.PARTLY_HELD.said(held=seen.held, layers=seen.layers, are=are))
    if context.stage in ("frozen", "unfrozen", "finetune"):
        reasons.append(Reason.PRETRAINED.said())
    if seen.loaded and context.stage is None:
        reasons.append(Reason.LOADED.said(name=seen.loaded))
    if seen.idle:
        reasons.append(
            Reason.WITHOUT_GRADIENT.said(
                n=len(seen.idle), trainable=seen.trainable, first=seen.idle[0]
            )
        )
    if seen.continued if context.continued is None else context.continued:
        reasons.append(Reason.CONTINUED.said())
    reasons += _of_the_schedule(context.schedule, seen.schedule)
    if seen.outside:
        reasons.append(Reason.IN_NO_GROUP.said(n=len(seen.outside), first=seen.outside[0]))
    return reasons


def _of_the_schedule(told: str | None, seen: str | None) -> list[Said]:
    """Say what speaks against the rate for a schedule, told or seen.

    Args:
        told: a name of the vocabulary, by the caller or as it was seen.
        seen: what the schedule that is set is called, whether recorded tasks had it or not.
    """
    reasons: list[Said] = []
    if told is None and seen:
        reasons.append(Reason.UNSEEN.said(what=f"the schedule {seen}"))
    if told == "constant":
        reasons.append(Reason.CONSTANT.said())
    if told in ("linear", "cosine"):
        reasons.append(Reason.FALLING.said(schedule=told))
    if told and seen and told != seen:
        reasons.append(Reason.OTHER_SCHEDULE.said(told=told, seen=seen))
    return reasons


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"
