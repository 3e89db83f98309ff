"""Rules that may follow the consensus: each a function of curve and context with few constants.

All are votes of landmarks, as the consensus is, fitted by family out of fold on range tests as
`suggest_lr` makes them. What a form has beside the landmarks: a vote where the gain is a half, at
a distance by what trains; the weights' size over a step's; a heavier usual rate; a slope of length
by optimizer; and none of the corrections by stage. docs/candidates.md says what came of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.consensus import Table, known
from lrsuggest.curves.heuristics.gains import gains
from lrsuggest.curves.heuristics.landmarks import landmarks
from lrsuggest.curves.heuristics.registry import Abstention, Context
from lrsuggest.evidence.consensus_fit import Examples, examples
from lrsuggest.evidence.regret import Reader
from lrsuggest.evidence.response import TaskEvidence

Constants = Mapping[str, float]
Picks = NDArray[np.float64]

LENGTH = 100  # steps of the range tests that are read
PENALTY = 0.03  # for leaving the start values, in scales; fixed before anything was fitted
_BARE, _ALONE = 0.25, 0.25  # shares of the loss without context, and without the columns
_REACH = 2.0  # where the correction by reach is nought
_START = {
    "descended": 0.0, "rising": -1.0, "blow_up": -1.4, "clarity": 0.5, "trust_rising": 1.0,
    "trust_blow_up": 1.0, "prior_adam": -2.0, "prior_sgd": -1.0, "trust_prior": 0.2, "caution": 0.0,
    "steps_adam": -0.25, "steps_sgd": -0.25, "frozen": 0.0, "pretrained": 0.0,
    "gain_scratch": -1.1, "gain_frozen": -0.75, "gain_pretrained": 0.0,
    "trust_gain_scratch": 0.5, "trust_gain_frozen": 1.0, "trust_gain_pretrained": 2.0,
    "reach": 0.0,
}  # fmt: skip
_AT_HALF = {"gain_scratch": -0.5, "gain_frozen": -0.4, "gain_pretrained": 0.3}
_SCALE = {
    "steps_adam": 0.3, "steps_sgd": 0.3, "frozen": 0.3, "pretrained": 0.3, "reach": 0.3,
    "trust_gain_frozen": 1.0, "trust_gain_pretrained": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A rule whose constants are open.

    Attributes:
        name: what tables call it.
        said: what it is, in a sentence.
        free: names of the constants that are fitted; all others stand as they start.
        start: start values other than the common ones.
        share: the gain that has a vote, "half" or "quarter".
    """

    name: str
    said: str
    free: tuple[str, ...]
    start: Constants
    share: str = "quarter"

    def constants(self, moved: Picks) -> dict[str, float]:
        """Return the constants, those that are free having moved by so many scales."""
        found = {**_START, **(_AT_HALF if self.share == "half" else {}), **self.start}
        for name, by in zip(self.free, moved, strict=True):
            found[name] += float(by) * _SCALE.get(name, 0.5)
        return found


_VOTES = (
    "descended", "rising", "blow_up", "clarity", "trust_rising", "trust_blow_up", "prior_adam",
    "prior_sgd", "trust_prior", "caution",
)  # fmt: skip
_STEPS = ("steps_adam", "steps_sgd")
_KINDS = ("scratch", "frozen", "pretrained")
_GAIN = tuple(f"{each}_{kind}" for each in ("gain", "trust_gain") for kind in _KINDS)
_NO_GAIN = {f"trust_gain_{kind}": 0.0 for kind in _KINDS}

FORMS = (
    Form("with corrections", "the consensus's own form, fitted on these range tests",
         (*_VOTES, *_STEPS, "frozen", "pretrained"), {**_NO_GAIN, "frozen": -0.3,
                                                      "pretrained": -0.3}),
    Form("without corrections", "no correction by stage, a slope of length by optimizer",
         (*_VOTES, *_STEPS), _NO_GAIN),
    Form("heavy", "the same, the usual rate weighing as much as a landmark",
         (*_VOTES, *_STEPS), {**_NO_GAIN, "trust_prior": 1.0}),
    Form(
        "gain",
        "a vote where the gain is a quarter, at a distance by what trains; none of the corrections",
        (*_VOTES, *_STEPS, *_GAIN),
        {},
    ),
    Form(
        "gain at a half",
        "the same where the gain is a half",
        (*_VOTES, *_STEPS, *_GAIN),
        {},
        "half",
    ),
    Form(
        "gain and reach",
        "gain, moved by the weights' size over a step's",
        (*_VOTES, *_STEPS, *_GAIN, "reach"),
        {},
    ),
    Form(
        "gain, heavy",
        "gain, the usual rate weighing as much as a landmark",
        (*_VOTES, *_STEPS, *_GAIN),
        {"trust_prior": 1.0},
    ),
    Form(
        "gain, few",
        "gain, the landmarks' distances and trusts standing as they start",
        ("prior_adam", "prior_sgd", *_STEPS, *_GAIN),
        {},
    ),
    Form("no sweep", "the usual rate by optimizer, stage and length: no curve is read",
         ("prior_adam", "prior_sgd", *_STEPS, "frozen", "pretrained"),
         {**_NO_GAIN, "trust_prior": 1e9}),
)  # fmt: skip


def tell(curve: Curve, context: Context) -> dict[str, float] | Abstention:
    """Return what a form is told of one curve; NaN for what is not known."""
    found = landmarks(curve)
    if isinstance(found, Abstention):
        return found
    seen = gains(curve)
    return {
        **known(found, context),
        "half": np.nan if seen is None else seen.half,
        "quarter": np.nan if seen is None else seen.quarter,
        "reach": np.nan if seen is None else seen.reach,
    }


def place(form: Form, constants: Constants, table: Table) -> Picks:
    """Return the log10 rate of each curve, shape (n,)."""
    gain = table[form.share]
    c = constants
    sgd = np.where(np.isnan(table["sgd"]), 0.5, table["sgd"])
    frozen, pretrained = table["frozen"], table["pretrained"]
    kinds = {"scratch": 1 - frozen - pretrained, "frozen": frozen, "pretrained": pretrained}
    seen = np.array([table[name] + c[name] for name in ("descended", "rising", "blow_up")])
    middle = seen.mean(axis=0)
    usual = c["prior_adam"] + (c["prior_sgd"] - c["prior_adam"]) * sgd
    if c["trust_prior"] < 1e6:  # whoever reads no curve has no middle
        usual = np.clip(usual, middle - 1, middle + 1)
    clear = 1 / (1 + 10 ** (2 * (c["clarity"] - table["clarity"])))
    one = np.ones_like(clear)
    prior = c["trust_prior"] * np.where(np.isnan(table["sgd"]), 0.25, 1.0)
    gained = ~np.isnan(gain)
    distance = sum(c[f"gain_{kind}"] * share for kind, share in kinds.items())
    trust = sum(c[f"trust_gain_{kind}"] * share for kind, share in kinds.items())
    rates = np.vstack([seen, usual, np.where(gained, gain, middle) + distance])
    weights = np.maximum(
        [clear, clear * c["trust_rising"], one * c["trust_blow_up"], one * prior, gained * trust],
        0.0,
    )
    total = np.maximum(weights.sum(axis=0), 1e-9)
    mean = (rates * weights).sum(axis=0) / total
    spread = np.sqrt(((rates - mean) ** 2 * weights).sum(axis=0) / total)
    reach = np.where(np.isnan(table["reach"]), _REACH, table["reach"]) - _REACH
    slope = c["steps_adam"] + (c["steps_sgd"] - c["steps_adam"]) * sgd
    moved = mean - c["caution"] * spread + slope * table["steps"] + c["reach"] * reach
    return np.asarray(moved + c["frozen"] * frozen + c["pretrained"] * pretrained)


def swept(tasks: Sequence[TaskEvidence], steps: int = LENGTH) -> list[TaskEvidence]:
    """Return tasks with the range tests of so many steps, as `suggest_lr` makes them, to read."""
    return [
        replace(task, curves=tuple(curve for n, _, curve in task.gains if n == steps))
        for task in tasks
    ]


def alone(tasks: Sequence[TaskEvidence]) -> list[TaskEvidence]:
    """Return tasks whose curves have no columns beside the loss."""

    def bare(curve: Curve) -> Curve:
        return Curve(curve.lr, curve.loss, skipped=curve.skipped, ended=curve.ended)

    return [replace(task, curves=tuple(map(bare, task.curves))) for task in tasks]


def shown(tasks: Sequence[TaskEvidence]) -> Examples:
    """Return the curves of tasks whose rates can be told apart, with what forms are told."""
    return examples(tasks, tell)


def fit(form: Form, seen: Examples) -> dict[str, float]:
    """Return a form's constants of least penalised loss on some examples."""
    from scipy.optimize import minimize

    nothing = np.full_like(seen.told["sgd"], np.nan)
    nought = np.zeros_like(nothing)
    bare = {**seen.told, "steps": nought, "sgd": nothing, "frozen": nought, "pretrained": nought}
    without = {**seen.told, **dict.fromkeys(("half", "quarter", "reach"), nothing)}
    shares = ((1 - _BARE - _ALONE, seen.told), (_BARE, bare), (_ALONE, without))

    def loss(moved: Picks) -> float:
        constants = form.constants(moved)
        costs = (share * seen.loss(place(form, constants, told)) for share, told in shares)
        return sum(costs) + PENALTY * float((moved**2).sum())

    found = minimize(
        loss, np.zeros(len(form.free)), method="Powell",
        options={"maxiter": 8, "xtol": 1e-2, "ftol": 1e-3},
    )  # fmt: skip
    return form.constants(np.asarray(found.x))


def out_of_fold(form: Form, seen: Examples) -> dict[str, dict[str, float]]:
    """Return for each family the constants fitted without it."""
    return {str(name): fit(form, seen.take(seen.family != name)) for name in np.unique(seen.family)}


def reader(form: Form, folds: Mapping[str, Constants], elsewhere: Constants) -> Reader:
    """Return a contestant that reads each task by the constants fitted without its family.

    Args:
        form: what the constants are of.
        folds: those, by family.
        elsewhere: for a family that nothing was fitted on, and so none without.
    """

    def read(task: TaskEvidence, curve: Curve) -> float | Abstention:
        told = tell(curve, task.context)
        if isinstance(told, Abstention):
            return told
        table = {name: np.array([value]) for name, value in told.items()}
        return float(10 ** place(form, folds.get(task.family, elsewhere), table)[0])

    return read
