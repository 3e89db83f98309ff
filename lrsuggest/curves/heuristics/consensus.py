"""The consensus: one rate from several landmarks of a curve and what is known beside it.

Three landmarks each vote for a rate, a fixed distance from where they stand: where nine tenths of
the fall are done, where half of it is lost again, and where the loss blows up. A fourth vote is
what does well for the optimizer whatever the curve. The votes are averaged, those that need a
visible fall counting less where noise hides it, and the mean is moved for the planned length,
the stage and the schedule. The constants stand in `RULE`; docs/consensus.md says how they were
obtained.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.landmarks import Landmarks, landmarks
from lrsuggest.curves.heuristics.registry import Abstention, Context, heuristic

Table = dict[str, NDArray[np.float64]]  # by name, a value per curve; NaN for what is not known

STEPS = 100  # planned length at which no correction for it is made
COLUMNS = (
    "descended", "rising", "blow_up", "clarity", "steps", "sgd", "frozen", "pretrained", "constant",
)  # fmt: skip

# How far the rates that cost little under a constant schedule lie from those under one-cycle, in
# decades: the mean over seven families (evidence/studies/schedules.py), 95 % interval -0.36 to
# -0.26.
CONSTANT = -0.31


@dataclass(frozen=True)
class Rule:
    """The constants of the consensus; distances and priors in decades.

    Attributes:
        descended: from where nine tenths of the fall are done to the rate.
        rising: from where half of the fall is lost again.
        blow_up: from the blow-up.
        trust_rising: weight of that vote; that of `descended` is 1.
        trust_blow_up: likewise.
        clarity: at which the first two votes count half.
        prior_adam: log10 rate that Adam and AdamW do well with.
        prior_sgd: the same for SGD with momentum.
        trust_prior: weight of that vote, which counts as at most a decade from the others' mean.
        caution: taken off for every decade of standard deviation between the votes.
        steps: for every tenfold planned length.
        frozen: added where only a head trains.
        pretrained: added where a pretrained body trains.
        constant: added where the rate is not scheduled but stays (measured, not fitted).
        below: from the rate down to the 80 % interval's lower end, were all votes one.
        above: up to its upper end.
        doubt: what a decade of standard deviation between the votes adds on either side.
    """

    descended: float = 0.0
    rising: float = -1.0
    blow_up: float = -1.4
    trust_rising: float = 1.0
    trust_blow_up: float = 1.0
    clarity: float = 0.5
    prior_adam: float = -2.0
    prior_sgd: float = -1.0
    trust_prior: float = 0.2
    steps: float = -0.25
    caution: float = 0.0
    frozen: float = -0.3
    pretrained: float = -0.3
    constant: float = CONSTANT
    below: float = 0.4
    above: float = 0.4
    doubt: float = 0.5


def known(found: Landmarks, context: Context) -> dict[str, float]:
    """Return what the rule is told of one curve: COLUMNS, NaN for what is not known."""
    return {
        "descended": found.descended,
        "rising": found.rising,
        "blow_up": found.blow_up,
        "clarity": found.clarity,
        "steps": math.log10((context.total_steps or STEPS) / STEPS),
        "sgd": math.nan if context.optimizer is None else float(context.optimizer == "sgd"),
        "frozen": float(context.stage == "frozen"),
        "pretrained": float(context.stage in ("unfrozen", "finetune")),
        "constant": float(context.schedule == "constant"),
    }


def vote(rule: Rule, table: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each vote's log10 rate and its weight, both (4, n), before any correction."""
    clear = 1 / (1 + 10 ** (2 * (rule.clarity - table["clarity"])))
    sgd = np.where(np.isnan(table["sgd"]), 0.5, table["sgd"])
    seen = np.array(
        [
            table["descended"] + rule.descended,
            table["rising"] + rule.rising,
            table["blow_up"] + rule.blow_up,
        ]
    )
    middle = seen.mean(axis=0)
    # Someone whose targets are unscaled may need a rate that is right for nobody else.
    usual = rule.prior_adam + (rule.prior_sgd - rule.prior_adam) * sgd
    rates = np.vstack([seen, np.clip(usual, middle - 1, middle + 1)])
    # Without the optimizer's name the prior says next to nothing.
    prior = rule.trust_prior * np.where(np.isnan(table["sgd"]), 0.25, 1.0)
    one = np.ones_like(clear)
    weights = np.array([clear, clear * rule.trust_rising, one * rule.trust_blow_up, one * prior])
    return rates, np.maximum(weights, 0.0)


def place(rule: Rule, table: Table) -> NDArray[np.float64]:
    """Return the consensus's log10 rate of each curve, shape (n,)."""
    return np.asarray(interval(rule, table)[1])


def interval(rule: Rule, table: Table) -> NDArray[np.float64]:
    """Return the 80 % interval's lower end, the rate and the upper end, log10, shape (3, n)."""
    rates, weights = vote(rule, table)
    total = np.maximum(weights.sum(axis=0), 1e-9)
    mean = (rates * weights).sum(axis=0) / total
    spread = np.sqrt(((rates - mean) ** 2 * weights).sum(axis=0) / total)
    moved = (
        mean
        - rule.caution * spread
        + rule.steps * table["steps"]
        + rule.frozen * table["frozen"]
        + rule.pretrained * table["pretrained"]
        + rule.constant * table["constant"]
    )
    doubt = max(rule.doubt, 0.0) * spread
    low, high = moved - max(rule.below, 0.0) - doubt, moved + max(rule.above, 0.0) + doubt
    return np.array([low, moved, high])


# benchmarks/pages/tune.py's result; docs/consensus.md has the values before the fit beside them.
RULE = Rule(
    descended=-0.038, rising=-1.039, blow_up=-1.458, trust_rising=0.996, trust_blow_up=1.002,
    clarity=0.485, prior_adam=-2.009, prior_sgd=-0.996, trust_prior=0.213, steps=-0.239,
    caution=0.073, frozen=-0.324, pretrained=-0.297, below=0.465, above=0.408, doubt=0.254,
)  # fmt: skip


def told(curve: Curve, context: Context) -> Table | Abstention:
    """Return what the rule is told of one curve, as a table of one row."""
    found = landmarks(curve)
    if isinstance(found, Abstention):
        return found
    return {name: np.array([value]) for name, value in known(found, context).items()}


@heuristic("consensus", "this package: landmarks and context, docs/consensus.md", "consensus")
def consensus(curve: Curve, context: Context) -> float | Abstention:
    """Return the weighted vote of the landmarks and the context."""
    table = told(curve, context)
    if isinstance(table, Abstention):
        return table
    return float(10 ** place(RULE, table)[0])


def eighty(curve: Curve, context: Context) -> tuple[float, float] | None:
    """Return the 80 % interval of the consensus, None where it abstains."""
    table = told(curve, context)
    if isinstance(table, Abstention):
        return None
    low, _, high = 10 ** interval(RULE, table)[:, 0]
    return float(low), float(high)
