"""What speaks against a rate: sentences, each with its paragraph in docs/unsure.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.landmarks import blows_up
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
) -> list[str]:
    """Say what speaks against a rate: of the curve, of the sweeps, of what is trained.

    Args:
        curve: what was read.
        context: what is known beside it.
        seen: what the learner shows.
        everything: each reading's answer, by name.
        picks: the followed reading's, of each of several sweeps alone, None where it abstains.
    """
    return [
        *_of_the_curve(curve, everything),
        *_of_the_sweeps(picks),
        *_of_the_training(context, seen),
    ]


def without_rate(curve: Curve, said: Abstention) -> tuple[str, ...]:
    """Say why there is no rate, and where the loss stopped being finite, if it did."""
    reasons = [said.reason.value]
    if curve.ended == Ended.NON_FINITE and not np.isfinite(curve.loss).all():
        step = int(np.argmin(np.isfinite(curve.loss)))
        blame = "that rate or that batch" if curve.lr[step] > _HARMLESS else "that batch"
        reasons.append(
            f"Step {step + 1}, at a rate of {curve.lr[step]:.1e}, has a loss that is not "
            f"finite: look at {blame}."
        )
    return tuple(reasons)


def _of_the_curve(curve: Curve, everything: Mapping[str, float | Abstention]) -> list[str]:
    reasons: list[str] = []
    if curve.ended == Ended.COMPLETED and not np.isfinite(curve.loss).all():
        at = curve.lr[int(np.argmin(np.isfinite(curve.loss)))]
        reasons.append(f"The loss at {at:.1e} is not finite: only what comes before it was read.")
    if curve.ended == Ended.DATA_RAN_OUT:
        reasons.append(curve.ended.sentence)
    if not blows_up(curve):
        reasons.append(
            f"The loss had not blown up by {curve.lr[-1]:.1e}, the end of the range: the best rate "
            "may lie higher."
        )
    doubt = everything["min_10"]
    if isinstance(doubt, Abstention):  # the consensus gives a rate still, from what else it sees
        reasons.append(doubt.reason.value)
    both = [
        pick
        for name in WITNESSES
        if not isinstance(pick := everything.get(name), Abstention | None)
    ]
    if both and np.log10(max(both) / min(both)) > _AGREEMENT_DECADES:
        reasons.append(f"Steepest slope and minimum disagree: {min(both):.1e} to {max(both):.1e}.")
    return reasons


def _of_the_sweeps(picks: Sequence[float | None]) -> list[str]:
    reasons: list[str] = []
    found = [each for each in picks if each is not None]
    if found and np.log10(max(found) / min(found)) > _AGREEMENT_DECADES:
        reasons.append(f"The sweeps disagree: {min(found):.1e} to {max(found):.1e}.")
    if 2 * len(found) < len(picks):
        reasons.append(f"Alone, {len(picks) - len(found)} of the {len(picks)} sweeps give no rate.")
    return reasons


def _of_the_training(context: Context, seen: Seen) -> list[str]:
    reasons: list[str] = []
    for named in (*filter(None, [seen.optimizer]), *seen.beside):
        reasons.append(
            f"No recorded task trained with {named}, so how well a curve tells its rate "
            "is not known."
        )
    steps, (short, long) = context.total_steps, LENGTHS
    if steps is not None and not short <= _FAR * steps <= _FAR**2 * long:
        reasons.append(
            f"A training of {_steps(steps)} is far from the recorded ones, of {short} to {long}."
        )
    if seen.holds_much and context.stage != "frozen":
        reasons.append(
            f"{seen.held} of {seen.layers} weight layers {_are(seen.held)} held, though the stage "
            "is not frozen: no recorded task trained so."
        )
    if context.stage in ("frozen", "unfrozen", "finetune"):
        reasons.append(
            "The body is pretrained: of nine rates called reliable on held-out stages of its kind, "
            "three cost at most a tenth of what the training gains."
        )
    if seen.loaded and context.stage is None:
        reasons.append(
            f"The model is called {seen.loaded}, as one that was loaded with pretrained weights: "
            "give stage='finetune', or 'scratch' if its weights are new."
        )
    if seen.idle:
        reasons.append(
            f"{len(seen.idle)} of {seen.trainable} weights that are to train got no gradient "
            f"({seen.idle[0]} first): let the loss depend on them, or hold them with "
            "requires_grad_(False)."
        )
    if seen.continued:
        reasons.append(
            "This training went on before: how well a curve tells the rate to go on with was not "
            "measured."
        )
    if context.schedule == "constant":
        reasons.append(
            "The rate is for a constant schedule: its step down was tried only on the few tasks "
            "that it was found on."
        )
    if seen.outside:
        reasons.append(
            f"Trainable weights are in no group of the optimizer ({len(seen.outside)}, "
            f"{seen.outside[0]} first): add them, or hold them with requires_grad_(False)."
        )
    return reasons


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"
