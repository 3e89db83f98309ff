"""The response: validation loss against the maximum rate, measured by training runs.

Regret is R(pick) = (V(pick) - V(best)) / (V(start) - V(best)), V the validation loss. The argmin
of a noisy grid is a lucky outlier, so the best rate is chosen on one half of the seeds and
everything is valued on the other, both ways, and negative values are kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.heuristics.shapes import lowest
from lrsuggest.vocabulary import Optimizer, RecordedSchedule, Stage

DIVERGED = 1.5  # V(start) plus half the span
FINE = 0.05  # the regret up to which a rate is called fine
NEAR = 0.2  # the regret up to which rates tell the noise, and their order counts


@dataclass(frozen=True, eq=False)
class Half:
    """What the valuing seeds say of each rate, the best one having been chosen on the others.

    Attributes:
        rates: shape (m,), rising.
        mean: shape (m,), mean loss, a divergence counted as the start plus half the span.
        best: the chosen rate.
        at_best: its mean loss.
        span: what training gains: loss of the start less that of the best.
        seeds: rows of the valuing seeds in the response's losses.
    """

    rates: Floats
    mean: Floats
    best: float
    at_best: float
    span: float
    seeds: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        rates: Floats,
        choose: Floats,
        value: Floats,
        start: float,
        seeds: Sequence[int] = (),
    ) -> "Half | None":
        """Choose and value; None where nothing was learnt. Losses are (seeds, m)."""
        if not len(rates):
            return None
        floor = float(np.min(np.where(np.isnan(choose), np.inf, choose)))
        if not floor < start:
            return None
        seen = (~np.isnan(choose)).sum(axis=0)
        means = _mean(choose, start, floor)
        best = lowest(np.where(seen * 2 >= seen.max(), means, means.max()))
        at_best = _value_of_best(value[:, best], start)
        span = start - at_best
        if not span > 1e-12 * abs(start):
            return None
        means = _mean(value, start, at_best)
        return cls(rates, means, float(rates[best]), at_best, span, tuple(map(int, seeds)))

    def regret(self, pick: float) -> float:
        """Regret of a rate, linear in log10 rate between measured ones, the edge's beyond."""
        at_pick = float(np.interp(np.log10(pick), np.log10(self.rates), self.mean))
        return (at_pick - self.at_best) / self.span


def _mean(losses: Floats, start: float, best: float) -> Floats:
    """Mean over seeds, (seeds, m) to (m,); a divergence, or worse, counts as start + half span."""
    ceiling = start + (DIVERGED - 1) * (start - best)
    return np.asarray(np.nanmean(np.minimum(losses, ceiling), axis=0))


def _value_of_best(losses: Floats, start: float) -> float:
    """Mean over seeds at the best rate, (seeds,), where a failed run counts as above.

    The failures' value depends on this mean V itself: with d failures among n runs,
    V = (sum of the others + d * (1.5 start - 0.5 V)) / n.
    """
    seen = losses[~np.isnan(losses)]
    failed = ~np.isfinite(seen)
    while True:
        d, n = int(failed.sum()), len(seen)
        value = float((seen[~failed].sum() + DIVERGED * d * start) / (n + (DIVERGED - 1) * d))
        more = failed | (seen > start + (DIVERGED - 1) * (start - value))
        if (more == failed).all() or value >= start:
            return value
        failed = more


@dataclass(frozen=True, eq=False)
class Response:
    """One task's measured response.

    Attributes:
        rates: shape (m,), maximum rates, rising.
        loss: shape (seeds, m), validation loss after the run; infinity where it diverged, NaN
            where the run failed or is missing.
        start: validation loss of the checkpoint every run began from.
        seeds: of each row of `loss`; 0, 1, ... where they are not told.
    """

    rates: Floats
    loss: Floats
    start: float
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Number the rows where nobody told their seeds."""
        object.__setattr__(self, "seeds", self.seeds or tuple(range(len(self.loss))))

    @classmethod
    def from_runs(cls, runs: pd.DataFrame, start: float) -> "Response":
        """Build from a table with the columns lr, seed and valid_loss, a run a row."""
        table = runs.pivot_table(
            index="seed", columns="lr", values="valid_loss", aggfunc="first", dropna=False
        )
        rates, seeds = table.columns.to_numpy(float), tuple(int(each) for each in table.index)
        return cls(rates, table.to_numpy(float), start, seeds)

    @cached_property
    def halves(self) -> tuple["Half", ...]:
        """Both ways of choosing the best rate on one half of the seeds and valuing on the other.

        Seeds alternate between the halves. The best is sought among the rates that have at least
        half as many choosing seeds as the one that has most: a rate seen once is easily lucky. A
        half on which the other's best rate trained no better than the start says nothing and is
        left out.
        """
        rows = np.flatnonzero((~np.isnan(self.loss)).any(axis=1))
        found = []
        for first in (0, 1):
            choose, value = self.loss[rows[first::2]], self.loss[rows[1 - first :: 2]]
            seen = (~np.isnan(choose)).sum(axis=0)
            both = (seen > 0) & (~np.isnan(value)).any(axis=0)
            half = Half.of(
                self.rates[both],
                choose[:, both],
                value[:, both],
                self.start,
                rows[1 - first :: 2].tolist(),
            )
            found += [half] if half else []
        return tuple(found)

    def regret_of(self, losses: Floats) -> float:
        """Regret of runs beside the grid, such as a slice's; NaN where nothing can be said.

        Args:
            losses: shape (seeds,), a run for each row of `loss`; as there, infinity is a divergence
                and NaN a run that is missing.
        """
        found = [
            (float(_mean(losses[list(h.seeds), None], self.start, h.at_best)[0]) - h.at_best)
            / h.span
            for h in self.halves
            if not np.isnan(losses[list(h.seeds)]).all()
        ]
        return float(np.mean(found)) if found else math.nan

    @property
    def error(self) -> float:
        """Standard error of a difference between two rates near the best, in regret units.

        From what seeds and rates leave unexplained at the five rates nearest to the best one,
        those left out that cost more than .2 (but for the two best): a cliff is no noise.
        Infinity where nothing was learnt.
        """
        if not self.halves:
            return math.inf
        span = float(np.mean([half.span for half in self.halves]))
        counts = (~np.isnan(self.loss)).sum(axis=0)
        cost = np.mean([[half.regret(rate) for rate in self.rates] for half in self.halves], axis=0)
        near = np.flatnonzero(
            (counts >= counts.max() / 2) & (cost <= max(NEAR, *np.sort(cost)[:2]))
        )
        best = self.halves[0].best
        near = near[np.argsort(np.abs(np.log10(self.rates[near] / best)))][:5]
        part = self.loss[:, near]
        part = part[np.isfinite(part).all(axis=1)]
        if min(part.shape) < 2:
            return math.inf
        left = part - part.mean(axis=0) - part.mean(axis=1, keepdims=True) + part.mean()
        freedom = (part.shape[0] - 1) * (part.shape[1] - 1)
        return float(np.sqrt(2 * (left**2).sum() / freedom / part.shape[0]) / span)

    @property
    def ready(self) -> bool:
        """Whether two seeds and two rates were measured, the least that regret needs."""
        return min(self.loss.shape) >= 2 and bool(
            np.isfinite(self.start) and (~np.isnan(self.loss)).any(axis=1).sum() >= 2
        )


@dataclass(frozen=True, eq=False)
class TaskEvidence:
    """All that was measured on one dataset at one stage and size.

    Attributes:
        label: short name, unique in a report.
        title: the dataset's.
        family: the dataset's family.
        stage: training stage.
        optimizer: its name.
        synthetic: whether the data were drawn; then it is no evidence.
        curves: one per sweep seed.
        response: the measured response, None if nothing ran.
        hand_picked: (maximum rate, where it was published), best match first.
        metric: name of the metric beside the loss.
        metrics: table with the columns lr, seed and value.
        steps: optimizer steps of each run.
        batch: examples per step.
        schedule: "one_cycle" or "constant".
        model: as datasets.toml names it.
        kind: of the dataset.
        held_out: whether its family was kept from the first consensus.
        naive: validation loss of the best constant prediction, NaN if not known.
        variants: every range test: (start, end, steps, seed, curve), those of `curves` first.
        gains: range tests that go on until the loss blows up and see each step's gain: (steps,
            seed, curve).
        runs: every training run: columns part ("grid", "fine", "short", "slice"), lr, low, seed,
            steps, loss, loss_probe, loss_score, metric and looks.
        starts: V(start) on either half of the validation examples, probe and score.
        keys: job keys, separated by blanks, by what they measured.
        size: height and width of an example's image, or its length; empty where it has none.
        data: digests of the data's files; of these and the next three more than one is a mixture.
        device: classes of device.
        precision: number formats.
        versions: of python, torch and others, by name.
        seconds: wall time of all its runs together, NaN if not known.
    """

    label: str
    title: str
    family: str
    stage: Stage
    optimizer: Optimizer
    synthetic: bool
    curves: tuple[Curve, ...]
    response: Response | None
    hand_picked: tuple[tuple[float, str], ...] = ()
    metric: str = ""
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    steps: int | None = None
    batch: int | None = None
    schedule: RecordedSchedule = "one_cycle"
    model: str = ""
    kind: str = ""
    held_out: bool = False
    naive: float = math.nan
    variants: tuple[tuple[float, float, int, int, Curve], ...] = ()
    gains: tuple[tuple[int, int, Curve], ...] = ()
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    starts: tuple[float, float] = (math.nan, math.nan)
    keys: tuple[tuple[str, str], ...] = ()
    size: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = math.nan

    @cached_property
    def strict(self) -> Response | None:
        """The response against the lesser of the start and the best constant prediction.

        A fresh head on raw targets starts far above what the mean alone would give, and against
        such a start every rate looks well. Where no run got below the constant prediction, the
        start stands.
        """
        if self.response is None or not self.naive < self.response.start:
            return self.response
        found = replace(self.response, start=self.naive)
        return found if found.halves else self.response

    @property
    def context(self) -> Context:
        """What a heuristic is told beside the curve."""
        return Context(self.optimizer, self.stage, self.steps, self.batch, self.schedule)
