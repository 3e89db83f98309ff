"""What a curve says: the record, and its three lines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.doubts import LENGTHS, Seen
from lrsuggest.curves.heuristics.consensus import RULE
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.deprecated import ANSWER, renamed_fields
from lrsuggest.errors import NoSuggestion
from lrsuggest.vocabulary import Schedule, Stage

DEFAULT_HEURISTIC = "consensus"  # docs/consensus.md
MEANT, HELD = 80, 72  # per cent; docs/consensus.md, "80 % interval", and a test beside it
USUAL = f"{10**RULE.prior_adam:.1g} for Adam, {10**RULE.prior_sgd:.1g} for SGD"


@dataclass(frozen=True)
class Cost:
    """What a suggestion cost, or may cost at most.

    Attributes:
        sweep_steps: optimizer steps of the range tests.
        probe_steps: optimizer steps of the probes.
        valid_passes: passes over the validation data.
        valid_batches: batches in those, None where the data tell no length.
    """

    sweep_steps: int = 0
    probe_steps: int = 0
    valid_passes: int = 0
    valid_batches: int | None = 0

    @property
    def steps(self) -> int:
        """All optimizer steps."""
        return self.sweep_steps + self.probe_steps

    def __str__(self) -> str:
        batches = "" if self.valid_batches is None else f" ({self.valid_batches} batches)"
        return (
            f"{self.sweep_steps} optimizer steps of range test, {self.probe_steps} of probes, "
            f"{self.valid_passes} validation passes{batches}"
        )


@renamed_fields(ANSWER)
@dataclass(frozen=True, eq=False)
class Answer:
    """A rate or an abstention, with what is known about it.

    Attributes:
        lr: the rate of the parameter group with the largest one; None is an abstention.
        low: lower end of the 80 % interval, None with `lr`; on recorded families it was not made
            on, it held the best rate of three tasks in four, of fewer where only a head trains
            (docs/consensus.md). It is widened to each replicate's pick. Other
            heuristics than the consensus have no such calibration: theirs spans half a decade each
            way, steepest_gaussian and min_10.
        high: upper end of the same.
        candidates: every heuristic but the constants by name; those that abstained are left out.
        reliable: whether nothing speaks against the rate, of what was measured and of what is known
            of the training.
        reasons: sentences on what does, or on why there is no rate; each one's `reason` is the
            member of `lrsuggest.Reason` that it is of.
        curve: what was read; of several sweeps, their pool.
        heuristic: the name of the heuristic that gave `lr`, or, with probes, their first rate.
        context: what was known beside the curve.
        seen: what the learner showed of itself.
        fallback: what `float` gives for an abstention, if the caller named one.
        replicates: the heuristic's pick from each of several sweeps alone, None where it abstained;
            empty for one sweep.
        probes: (rate, value) of each short run in the order made: the validation loss, or without
            validation data the last training losses; inf where it diverged, NaN where it was
            broken off as clearly worse.
        cost: what was spent.
        budget: what could have been spent at most, known before the first step.
    """

    lr: float | None
    low: float | None
    high: float | None
    candidates: Mapping[str, float]
    reliable: bool
    reasons: tuple[str, ...]
    curve: Curve
    heuristic: str = DEFAULT_HEURISTIC
    context: Context = field(default_factory=Context)
    seen: Seen = field(default_factory=Seen)
    fallback: float | None = None
    replicates: tuple[float | None, ...] = ()
    probes: tuple[tuple[float, float], ...] = ()
    cost: Cost = Cost()
    budget: Cost = Cost()

    @property
    def stage(self) -> Stage | None:
        """The training stage it is meant for, where known."""
        return self.context.stage

    @property
    def schedule(self) -> Schedule | None:
        """What the caller named, "one_cycle" or "constant"; None means one-cycle."""
        return self.context.schedule

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps of the planned training, where known."""
        return self.context.total_steps

    def __float__(self) -> float:
        """Return the rate.

        Raises:
            NoSuggestion: there is none and no fallback was given.
        """
        rate = self.fallback if self.lr is None else self.lr
        if rate is not None:
            return float(rate)
        raise NoSuggestion(
            f"no learning rate can be suggested: {' '.join(self.reasons)} "
            "Give fallback=... to go on with a rate of your own."
        )

    def __str__(self) -> str:
        """Say in three lines what, how sure, and why."""
        return "\n".join((what(self), sure(self), why(self)))

    @property
    def slice(self) -> slice:
        """The rate in the form of fastai's discriminative rates.

        slice(lr / 10, lr) for a pretrained body that trains, slice(lr) otherwise. People choose
        a hundredth in the median, but on the recorded tasks a tenth did better (docs/findings.md).
        """
        rate = float(self)
        pretrained = self.stage in ("unfrozen", "finetune")
        return slice(rate / 10, rate) if pretrained else slice(rate)


def rate(value: float) -> str:
    """Write a rate with two digits."""
    return f"{value:.2g}"


def what(found: Answer) -> str:
    """Say which rate, and which others are plausible."""
    if found.lr is None or found.low is None or found.high is None:
        return "No suggestion: this curve supports no learning rate."
    kind = "Constant" if found.schedule == "constant" else "Maximum"
    said = (
        f"{kind} learning rate {rate(found.lr)}, plausibly {rate(found.low)} to {rate(found.high)}"
    )
    groups = found.slice
    if groups.start is not None:
        said += f"; over layer groups {rate(groups.start)} to {rate(groups.stop)}"
    return said + "."


def sure(found: Answer) -> str:
    """Say whether to rely on it, and what the interval is worth."""
    if found.lr is None:
        return "Not reliable: without a rate there is no interval either."
    if found.heuristic == "consensus":
        worth = (
            f"Such an interval should hold the best rate in {MEANT} % of cases; on the recorded "
            f"tasks it did in {HELD} %"
        )
        if found.stage == "frozen":
            worth += f", and in far fewer where, as here, only a head trains{_held(found)}"
        short, long = LENGTHS
        if found.total_steps is not None and not short <= found.total_steps <= long:
            worth += f"; their runs had {short} to {long} steps, yours has {found.total_steps}"
    else:
        worth = (
            "How often such an interval (half a decade each way, the steepest slope and a tenth "
            "of the minimum) holds the best rate was not measured"
        )
        if found.schedule == "constant":
            worth += (
                "; of this package's heuristics only the consensus takes the schedule into "
                "account, so this is no lower than its maximum for a one-cycle"
            )
    if found.reliable:
        return f"Reliable: nothing {_about(found)} speaks against it. {worth}."
    return f"Not reliable, for the reasons below. {worth}."


def _about(found: Answer) -> str:
    """Say what was looked at."""
    return "about the curve" if found.cost.steps == 0 else "about the curve or the training"


def _held(found: Answer) -> str:
    """Say how many weight layers do not train, where there are such."""
    seen = found.seen
    if not seen.held:
        return ""
    return f" ({seen.held} of {seen.layers} weight layers {'is' if seen.held == 1 else 'are'} held)"


def why(found: Answer) -> str:
    """Say what it rests on: doubts first, then the heuristic followed and how others stand."""
    doubts = " ".join(found.reasons)
    if found.lr is None:
        return f"Why: {doubts} {_otherwise(found)}{_asked(found)}"
    read = f"read by {found.heuristic}{_repeats(found)}{_others(found)}.{_asked(found)}"
    return f"Why: {doubts} {read[0].upper()}{read[1:]}" if doubts else f"Why: {read}"


def _asked(found: Answer) -> str:
    """Say what was seen of a body held, and what asking cost against the training it is for."""
    partly = found.seen.held and found.stage != "frozen" and not found.seen.holds_much
    said = f" Not all of it trains{_held(found)}." if partly else ""
    steps, training = found.cost.steps, found.total_steps
    if not steps or training is None:
        return said
    share = steps / training
    if share > 1:
        much = f"{share:.1f} times"
    else:
        much = f"{100 * share:.0f} % of" if share >= 0.01 else "under 1 % of"
    made = "1 step" if steps == 1 else f"{steps} steps"
    return f"{said} Asking took {made}, {much} the {training} of the training."


def _otherwise(found: Answer) -> str:
    """Say what an abstention leaves to do."""
    if found.fallback is not None:
        return f"float() gives your fallback, {rate(found.fallback)}."
    said = "float() raises an error unless you give fallback=... to go on with a rate of your own"
    if Reason.RISING in found.reasons:  # then what is usual may well be too high
        return f"{said}."
    return f"{said}; usual without a curve: {USUAL}."


def _repeats(found: Answer) -> str:
    """Say what several sweeps and the probes gave."""
    said = ""
    if found.replicates:
        picks = [pick for pick in found.replicates if pick is not None]
        spread = f" ({rate(min(picks))} to {rate(max(picks))} alone)" if picks else ""
        said += f" on {len(found.replicates)} sweeps{spread}"
    if found.probes:
        best = min(value for _, value in found.probes if math.isfinite(value))
        said += f", then {len(found.probes)} probes, best loss {best:.3g}"
    return said


def _others(found: Answer) -> str:
    """Say how many other heuristics lie in the interval, and name the nearest and farthest."""
    if found.lr is None or found.low is None or found.high is None:
        return ""
    by_distance = sorted(
        (abs(math.log10(pick / found.lr)), name, pick)
        for name, pick in found.candidates.items()
        if name != found.heuristic
    )
    if not by_distance:
        return ", which alone gives a rate"
    inside = [each for each in by_distance if found.low <= each[2] <= found.high]
    outside = [each for each in by_distance if each not in inside]
    said = f"; {len(inside)} of {len(by_distance)} other heuristics lie in the interval"
    if inside:
        said += f", nearest {inside[0][1]} at {rate(inside[0][2])}"
    if outside:
        said += f"; the farthest off is {outside[-1][1]} at {rate(outside[-1][2])}"
    return said
