"""The response: validation loss against the maximum rate, measured by one-cycle runs."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lrsuggest.curves.curve import Curve, Floats
from lrsuggest.curves.heuristics import Context


@dataclass(frozen=True, eq=False)
class Response:
    """One task's measured response.

    Attributes:
        rates: shape (m,), maximum rates, rising.
        loss: shape (seeds, m), validation loss after the run; infinity where it diverged, NaN
            where the run failed or is missing.
        start: validation loss of the checkpoint every run began from.
    """

    rates: Floats
    loss: Floats
    start: float

    @classmethod
    def from_runs(cls, runs: pd.DataFrame, start: float) -> "Response":
        """Build from a table with the columns lr, seed and valid_loss, a run a row."""
        table = runs.pivot_table(
            index="seed", columns="lr", values="valid_loss", aggfunc="first", dropna=False
        )
        return cls(table.columns.to_numpy(float), table.to_numpy(float), start)

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
        facts: what a reader may want to know, by name.
        steps: optimizer steps of each run.
        batch: examples per step.
    """

    label: str
    title: str
    family: str
    stage: str
    optimizer: str
    synthetic: bool
    curves: tuple[Curve, ...]
    response: Response | None
    hand_picked: tuple[tuple[float, str], ...] = ()
    metric: str = ""
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: dict[str, str] = field(default_factory=dict)
    steps: int | None = None
    batch: int | None = None

    @property
    def context(self) -> Context:
        """What a heuristic is told beside the curve."""
        return Context(self.optimizer, self.stage, self.steps, self.batch)
