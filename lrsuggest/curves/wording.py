"""A suggestion in three lines: what, how sure, why."""

import math
from typing import TYPE_CHECKING

from lrsuggest.curves.consensus import RULE
from lrsuggest.curves.doubts import LENGTHS
from lrsuggest.curves.heuristics import Reason

if TYPE_CHECKING:
    from lrsuggest.curves.suggestion import Suggestion

MEANT, HELD = 80, 72  # per cent; docs/consensus.md, "80 % interval", and a test beside it
USUAL = f"{10**RULE.prior_adam:.1g} for Adam, {10**RULE.prior_sgd:.1g} for SGD"


def rate(value: float) -> str:
    """Write a rate with two digits."""
    return f"{value:.2g}"


def what(found: "Suggestion") -> str:
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


def sure(found: "Suggestion") -> str:
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
        if found.train_steps is not None and not short <= found.train_steps <= long:
            worth += f"; their runs had {short} to {long} steps, yours has {found.train_steps}"
    else:
        worth = (
            "How often such an interval (half a decade each way, the steepest slope and a tenth "
            "of the minimum) holds the best rate was not measured"
        )
        if found.schedule == "constant":
            worth += (
                "; of this package's readings only the consensus takes the schedule into account, "
                "so this is no lower than its maximum for a one-cycle"
            )
    if found.reliable:
        return f"Reliable: nothing {_about(found)} speaks against it. {worth}."
    return f"Not reliable, for the reasons below. {worth}."


def _about(found: "Suggestion") -> str:
    """Say what was looked at."""
    return "about the curve" if found.cost.steps == 0 else "about the curve or the training"


def _held(found: "Suggestion") -> str:
    """Say how many weight layers do not train, where there are such."""
    seen = found.seen
    if not seen.held:
        return ""
    return f" ({seen.held} of {seen.layers} weight layers {'is' if seen.held == 1 else 'are'} held)"


def why(found: "Suggestion") -> str:
    """Say what it rests on: doubts first, then the reading followed and how others stand to it."""
    doubts = " ".join(found.reasons)
    if found.lr is None:
        return f"Why: {doubts} {_otherwise(found)}{_asked(found)}"
    read = f"read by {found.heuristic}{_repeats(found)}{_others(found)}.{_asked(found)}"
    return f"Why: {doubts} {read[0].upper()}{read[1:]}" if doubts else f"Why: {read}"


def _asked(found: "Suggestion") -> str:
    """Say what was seen of a body held, and what asking cost against the training it is for."""
    partly = found.seen.held and found.stage != "frozen" and not found.seen.holds_much
    said = f" Not all of it trains{_held(found)}." if partly else ""
    steps, training = found.cost.steps, found.train_steps
    if not steps or training is None:
        return said
    share = steps / training
    if share > 1:
        much = f"{share:.1f} times"
    else:
        much = f"{100 * share:.0f} % of" if share >= 0.01 else "under 1 % of"
    made = "1 step" if steps == 1 else f"{steps} steps"
    return f"{said} Asking took {made}, {much} the {training} of the training."


def _otherwise(found: "Suggestion") -> str:
    """Say what an abstention leaves to do."""
    if found.fallback is not None:
        return f"float() gives your fallback, {rate(found.fallback)}."
    said = "float() raises an error unless you give fallback=... to go on with a rate of your own"
    if Reason.RISING.value in found.reasons:  # then what is usual may well be too high
        return f"{said}."
    return f"{said}; usual without a curve: {USUAL}."


def _repeats(found: "Suggestion") -> str:
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


def _others(found: "Suggestion") -> str:
    """Say how many of the other readings lie in the interval, and name the nearest and farthest."""
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
    said = f"; {len(inside)} of {len(by_distance)} other readings lie in the interval"
    if inside:
        said += f", nearest {inside[0][1]} at {rate(inside[0][2])}"
    if outside:
        said += f"; the farthest off is {outside[-1][1]} at {rate(outside[-1][2])}"
    return said
