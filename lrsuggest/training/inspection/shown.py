"""What a learner shows of itself, asked of its model, its optimizer and what stands around them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lrsuggest.training.inspection import history, methods, optimizers, schedules, stages
from lrsuggest.training.inspection.layers import Layers, adapters, layers
from lrsuggest.training.inspection.marks import look
from lrsuggest.vocabulary import Optimizer, Stage


class Shown:
    """The part of a learner that tells what is seen of it; a framework's own may know more."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_fn: Callable[[Any, Any], Tensor] | None
    forward: Callable[[nn.Module, Any], Tensor] | None
    batches: Iterable[Any]

    went_on = False  # whether a framework has counted steps of this training
    under_way = False  # whether it is in the middle of it, after its first step

    # The ids of the weights that had gradients before a framework's objects were lent.
    graded: frozenset[int] | None = None

    # What a `Snapshot` is to know of a framework's objects behind a subclass: what else takes
    # part, where examples lie, and whose classes it does not enter.
    also: tuple[object, ...] = ()
    data: tuple[object, ...] = ()
    closed: tuple[type, ...] = ()

    @property
    def optimizer_kind(self) -> optimizers.Kind:
        """What the optimizer is."""
        return optimizers.kind_of(self.optimizer)

    @property
    def optimizer_name(self) -> Optimizer | None:
        """One of "adamw", "adam", "sgd", or None for any other."""
        return self.optimizer_kind.name

    @property
    def layers(self) -> Layers:
        """Which weight layers train; those of a group whose rate is zero are held."""
        pairs = zip(self.grouped(), self.group_ratios(), strict=True)
        return layers(self.model, (p for group, r in pairs if r > 0 for p in group))

    def standing(self, told: bool | None = None) -> stages.Standing:
        """Return what is seen of the stage, and of whether the training went on before.

        Args:
            told: whether it did, as somebody who knows says; None for nobody.
        """
        graded = history.with_gradients(self.model) if self.graded is None else self.graded
        marks = look(self.model, (p for group in self.grouped() for p in group))
        return stages.standing(
            self.model, self.optimizer, self.layers, marks, told,
            went_on=self.went_on, under_way=self.under_way, graded=graded, reach=self.reach(),
        )  # fmt: skip

    def reach(self) -> float:
        """Return how far the steps made can have taken two equal weights apart; inf: not known."""
        return history.reach(self.optimizer)

    @property
    def detected_stage(self) -> Stage | None:
        """Return what is seen of the stage.

        "frozen" where all but the last weight layers are held; "scratch" where every norm is as it
        was made; where nearly all train (no adapters beside held ones) that were trained before,
        "finetune", or "unfrozen" if the last layers were trained before too; else None.
        """
        return self.standing().stage

    @property
    def continued(self) -> bool | None:
        """Return True where this training went on before, None where nothing tells."""
        return self.standing().continued

    @property
    def scheduled(self) -> schedules.Scheduled | None:
        """The schedule of the rate that is set, None where none shows."""
        return schedules.attached(self.optimizer)

    @property
    def beside(self) -> list[str]:
        """Methods of training that no recorded task had: MixUp, stochastic depth, LoRA."""
        roots = (self.loss_fn, self.forward, *self.also)
        data = (self.batches, *self.data)
        found = methods.beside(self.model, *roots, data=data, closed=self.closed)
        return sorted({*found, *filter(None, [adapters(self.model)])})

    def grouped(self) -> list[list[Tensor]]:
        """Return the weights of each of the optimizer's groups."""
        return [list(group["params"]) for group in self.optimizer.param_groups]

    def group_ratios(self) -> list[float]:
        """Return each group's rate over the largest, in the optimizer's order.

        Where a schedule begins at zero, the rates it warms up to tell.
        """
        groups = self.optimizer.param_groups
        rates = [float(group["lr"]) for group in groups]
        if not any(rates):
            rates = [float(group.get("initial_lr", 0.0)) for group in groups]
        top = max(rates)
        return [rate / top for rate in rates] if top > 0 else [1.0] * len(rates)
