"""What a heuristic is: a function of a curve that names a rate, or says why it cannot.

`HEURISTICS` holds every one by name, with its source; `heuristic` registers a newcomer. Ours are
in shapes.py, other libraries' in peers.py; import them all from all.py.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from lrsuggest.curves.arguments import number, one_of, shown, truth, whole
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.number import NoNumber
from lrsuggest.deprecated import CONTEXT, current, renamed_fields
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.vocabulary import OPTIMIZERS, SCHEDULES, STAGES, Optimizer, Schedule, Stage


@dataclass(frozen=True)
class Abstention:
    """A heuristic's answer where the curve supports no rate."""

    reason: Reason


@renamed_fields(CONTEXT)
@dataclass(frozen=True)
class Context:
    """What is known beside the curve; each may be None.

    Attributes:
        optimizer: "adamw", "adam" or "sgd".
        stage: "frozen" (head only), "unfrozen" (after a frozen stage), "finetune" (pretrained,
            all trainable from the start) or "scratch".
        total_steps: optimizer steps planned for the training run.
        batch_size: examples per optimizer step.
        schedule: "one_cycle", "linear", "cosine" (both read as one-cycle, with a doubt) or
            "constant".
        continued: whether this training went on before.
        previous: rate of the stage before; a suggestion is taken by its rate, or its fallback, and
            says that this training went on before even where it has neither.

    Raises:
        UserError: a name is unknown, a count or a rate is not positive, or what is said of the
            training before contradicts itself.
    """

    optimizer: Optimizer | None = None
    stage: Stage | None = None
    total_steps: int | None = None
    batch_size: int | None = None
    schedule: Schedule | None = None
    continued: bool | None = None
    previous: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("stage", self.stage, STAGES),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value is not None:
                one_of(name, value, known)
        for name, count in (("total_steps", self.total_steps), ("batch_size", self.batch_size)):
            if count is not None:
                whole(name, count, 1, or_none=True)
        if self.continued is not None:
            truth("continued", self.continued)
            object.__setattr__(self, "continued", bool(self.continued))
        if self.previous is not None:
            self._take_previous(self.previous)

    def _take_previous(self, given: Any) -> None:
        """Keep the rate of what was given for the stage before."""
        none = isinstance(given, NoNumber)
        wanted = "a suggestion or a positive rate, or None"
        rate = None if none else number("previous", given, wanted)
        if self.continued is False:
            raise UserError(
                "previous= tells of the stage before, and continued=False that there was none: "
                "leave one of them out"
            )
        object.__setattr__(self, "previous", rate)
        object.__setattr__(self, "continued", True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a copy's or a pickle's, by the names of earlier versions too."""
        vars(self).update(current(state, CONTEXT))


Read = Callable[[Curve, Context], float | Abstention]
Origin = Literal["shape", "consensus", "peer", "constant"]
# Contestants in tables that are no function of a curve; a heuristic of that name would be theirs.
RESERVED = (
    "constant, out of fold", "consensus, out of fold", "constant, leave one author out",
    "constant per stage, leave one author out", "hand-picked", "suggested", "another person",
    "no sweep", "oracle", "split-half oracle",
)  # fmt: skip


@dataclass(frozen=True)
class Heuristic:
    """A heuristic with its name and source.

    Attributes:
        name: how tables call it.
        read: the function.
        source: the paper, page or release it comes from.
        origin: "shape" (ours, from the curve alone), "consensus" (ours, told the context too),
            "peer" (another library's, with that library's faults kept) or "constant".
    """

    name: str
    read: Read
    source: str
    origin: Origin

    def __call__(self, curve: Curve, context: Context | None = None) -> float | Abstention:
        """Read the curve; ours are clamped into the swept range, with a warning.

        Raises:
            UserError: the function answers with neither a rate nor an abstention.
        """
        pick = self._answer(self.read(curve, context or Context()))
        if self.origin in ("peer", "constant") or isinstance(pick, Abstention):
            return pick
        low, high = float(curve.lr[0]), float(curve.lr[-1])
        if not low <= pick <= high:
            said = Reason.OUTSIDE.said(name=self.name, pick=pick, low=low, high=high)
            warnings.warn(
                said.removesuffix("."),
                LrsuggestWarning,
                stacklevel=2,
            )
        return min(max(pick, low), high)

    def _answer(self, given: Any) -> float | Abstention:
        """Return what the function gave, a rate as a float; a peer's number may be no rate."""
        said = f"what the heuristic {self.name} returns"
        if isinstance(given, Abstention):
            if isinstance(given.reason, Reason):
                return given
            raise UserError(f"{said} abstains for no Reason; got {shown(given.reason)}")
        if self.origin == "peer" and isinstance(given, float) and not is_rate(given):
            return Abstention(Reason.UNDEFINED)
        return number(said, given, "a rate, positive and finite, or an Abstention")


HEURISTICS: dict[str, Heuristic] = {}


def heuristic(name: str, source: str, origin: Origin = "shape") -> Callable[[Read], Read]:
    """Register the decorated function in `HEURISTICS` under a name.

    A function defined anew, as when a notebook's cell runs again, takes its own former place.

    Args:
        name: how tables call it.
        source: the paper, page or release it comes from, or whose it is.
        origin: as in `Heuristic`.

    Raises:
        UserError: another has that name, or it is none that a table can print.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UserError(f"a heuristic's name must be a line of text; got {shown(name)}")
    if name.strip().casefold() in RESERVED:
        raise UserError(f"{name!r} is a contestant of its own in every table; choose another name")
    known = get_args(Origin)
    one_of("origin", origin, known, f"origin {shown(origin)} is none of {', '.join(known)}")

    def register(read: Read) -> Read:
        there = HEURISTICS.get(name)
        if there is not None and not _anew(there.read, read):
            raise UserError(f"there is a heuristic {name!r} already; choose another name")
        HEURISTICS[name] = Heuristic(name, read, source, origin)
        return read

    return register


def _anew(old: Read, new: Read) -> bool:
    """Say whether one and the same definition was run twice; a lambda has no name to tell by."""
    first, second = (
        (getattr(each, "__module__", ""), getattr(each, "__qualname__", "<lambda>"))
        for each in (old, new)
    )
    return first == second and "<lambda>" not in first[1]


def is_rate(pick: float | Abstention) -> bool:
    """Say whether a heuristic gave a usable rate."""
    return not isinstance(pick, Abstention) and math.isfinite(pick) and pick > 0
