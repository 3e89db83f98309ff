"""Why there is no rate, or what speaks against one: each reason with its paragraph in unsure.md."""

import re
from enum import StrEnum
from typing import Any

from lrsuggest.curves.columns import Ended

FEWEST_POINTS = 10
_FIGURE = re.compile(r"\{.*?\}")


class Reason(StrEnum):
    """A reason; the value is the sentence, with a place for each figure that belongs in it.

    Those without a figure, up to UNDEFINED, are what a heuristic abstains for.
    """

    TOO_SHORT = f"The curve has fewer than {FEWEST_POINTS} usable points."
    NON_FINITE = "No loss on the curve is finite."
    FLAT = "The loss is flat: no rate on the curve changed it."
    NOISE = "What fall there is drowns in the noise of the loss: use larger batches or more steps."
    RISING = "The loss only rose: every rate on the curve was too high, or the loss is negated."
    NO_BLOW_UP = "The loss never blew up, so there is no blow-up point: sweep to higher rates."
    EDGE = "The minimum sits at the end of the swept range: sweep to higher rates."
    UNDEFINED = "The published formula has no answer on this curve."

    # Of the curve.
    OUTSIDE = (
        "{name} points at {pick:.2g}, outside the swept {low:.2g} to {high:.2g}; the edge is given "
        "instead: sweep a wider range."
    )
    STEP_NON_FINITE = (
        "Step {step}, at a rate of {rate:.1e}, has a loss that is not finite: look at {where}."
    )
    TAIL_NON_FINITE = "The loss at {rate:.1e} is not finite: only what comes before it was read."
    DATA_RAN_OUT = Ended.DATA_RAN_OUT.sentence
    STILL_FALLING = (
        "The loss had not blown up by {rate:.1e}, the end of the range: the best rate may lie "
        "higher."
    )
    DISAGREE = "Steepest slope and minimum disagree: {low:.1e} to {high:.1e}."

    # Of several sweeps.
    SWEEPS_DISAGREE = "The sweeps disagree: {low:.1e} to {high:.1e}."
    SWEEPS_ABSTAIN = "Alone, {lost} of the {n} sweeps give no rate."

    # Of what is trained.
    UNSEEN = (
        "No recorded task trained with {what}, so how well a curve tells its rate is not known."
    )
    LENGTH = "A training of {steps} is far from the recorded ones, of {shortest} to {longest}."
    PARTLY_HELD = (
        "{held} of {layers} weight layers {are} held, though the stage is not frozen: no recorded "
        "task trained so."
    )
    PRETRAINED = (
        "The body is pretrained: of nine rates called reliable on held-out stages of its kind, "
        "three cost at most a tenth of what the training gains."
    )
    LOADED = (
        "The model is called {name}, as one that was loaded with pretrained weights: give "
        "stage='finetune', or 'scratch' if its weights are new."
    )
    WITHOUT_GRADIENT = (
        "{n} of {trainable} weights that are to train got no gradient ({first} first): let the "
        "loss depend on them, or hold them with requires_grad_(False)."
    )
    CONTINUED = (
        "This training went on before: how well a curve tells the rate to go on with was not "
        "measured."
    )
    CONSTANT = (
        "The rate is for a constant schedule: its step down was tried only on the few tasks that "
        "it was found on."
    )
    FALLING = (
        "No recorded task had a {schedule} schedule: the rate is the maximum of a one-cycle, which "
        "is the nearest that was measured."
    )
    OTHER_SCHEDULE = (
        "The rate is for the schedule that was named, {told}, but the one that is set is {seen}."
    )
    IN_NO_GROUP = (
        "Trainable weights are in no group of the optimizer ({n}, {first} first): add them, or "
        "hold them with requires_grad_(False)."
    )

    # Of the probes.
    PROBES_DIVERGED = "Every probe, {low:.1e} to {high:.1e}, diverged: try lower rates."
    PROBES_AT_THE_END = (
        "The best probe, {best:.1e}, is at the interval's end: the best may lie beyond."
    )

    def said(self, **figures: Any) -> "Said":
        """Return the sentence with its figures."""
        return Said(self.value.format(**figures), self)

    @property
    def pattern(self) -> str:
        """The sentence with "…" for every figure, as the page of reasons has it."""
        return _FIGURE.sub("…", self.value.replace("{are}", "are"))


class Said(str):
    """A reason as it is said of one rate: a sentence, and of which member it is.

    Attributes:
        reason: the member.
    """

    reason: Reason

    def __new__(cls, sentence: str, reason: Reason | None = None) -> "Said":
        """Make the sentence; what copies it gives it its reason afterwards."""
        made = super().__new__(cls, sentence)
        if reason is not None:
            made.reason = reason
        return made
