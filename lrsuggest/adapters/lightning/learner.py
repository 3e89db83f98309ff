"""Lightning's batches, and the step of its automatic optimization, as a Learner's."""

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lrsuggest.errors import UserError
from lrsuggest.training.inspection import schedules
from lrsuggest.training.inspection.methods import mixes, passed_over
from lrsuggest.training.inspection.misfits import scalar
from lrsuggest.training.inspection.schedules import Scheduled
from lrsuggest.training.learner import Learner
from lrsuggest.vocabulary import Precision

PRECISIONS: dict[str, Precision] = {
    "32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"
}  # fmt: skip
_HOOKS = (  # of a callback, within a step
    "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step",
)  # fmt: skip
_CALLBACKS = {  # Lightning's own, that change what is trained
    "StochasticWeightAveraging", "WeightAveraging", "EMAWeightAveraging",
    "GradientAccumulationScheduler",
}  # fmt: skip
_PATIENCE = 100  # batches in a row for which training_step may return None


class Batch:
    """A batch on the device and its place in the pass; no container, so that nothing unpacks it."""

    def __init__(self, content: Any, index: int) -> None:
        self.content, self.index = content, index

    def __iter__(self) -> Iterator[Any]:
        """Yield what tells how many examples there are."""
        content = self.content
        yield list(content.values()) if isinstance(content, Mapping) else content


class Batches:
    """Passes over Lightning's loaders, each batch handed over as its loops do it.

    Attributes:
        loaders: what the batches are drawn from.
    """

    def __init__(self, trainer: Any, module: Any, combined: Any, limit: float) -> None:
        """Take a CombinedLoader and the trainer's limit, a number of batches or a share."""
        self._trainer, self._module = trainer, module
        # A copy: the iterator of an epoch under way stays where it is.
        self._combined = copy.copy(combined)
        self._combined.limits = [_limit(loader, limit) for loader in combined.flattened]
        self.loaders = tuple(combined.flattened)

    def __iter__(self) -> Iterator[Batch]:
        trainer = self._trainer
        for content, index, which in copy.copy(self._combined):
            content = trainer.precision_plugin.convert_input(content)
            content = self._module._on_before_batch_transfer(content, dataloader_idx=which)
            yield Batch(trainer.strategy.batch_to_device(content, dataloader_idx=which), index)

    def __len__(self) -> int:
        if not math.isfinite(self.length):
            raise TypeError("these loaders tell no length")
        return int(self.length)

    @property
    def length(self) -> float:
        """Batches in a pass, infinity where the loaders do not tell."""
        among: dict[str, Callable[[list[float]], float]] = {"min_size": min, "sequential": sum}
        return float(among.get(self._combined._mode, max)(self._combined.limits))

    @property
    def batch_size(self) -> int | None:
        """Examples in a batch, where there is one loader that says so."""
        size = getattr(self.loaders[0], "batch_size", None) if len(self.loaders) == 1 else None
        return size if isinstance(size, int) else None


def _limit(loader: Any, limit: float) -> float:
    """Return how many batches of a loader the trainer uses: a whole number is one, else a share."""
    try:
        length: float = len(loader)
    except (TypeError, NotImplementedError):
        length = math.inf
    if isinstance(limit, int):
        return min(length, limit)
    return length if limit == 1 or math.isinf(length) else int(length * limit)


class LightningLearner(Learner):
    """A Learner whose loss and step are those of a LightningModule under automatic optimization.

    The module's own hooks of a training step run. The callbacks' and an overridden
    `optimizer_step` are left out, and named in `beside`.
    """

    edits_gradients = True  # clipping and hooks of the module's own

    def __init__(
        self,
        trainer: Any,
        module: Any,
        batches: Batches,
        valid: Batches | None,
        total_steps: int | None,
        live: bool,
    ) -> None:
        (optimizer,) = trainer.optimizers
        every, size = trainer.accumulate_grad_batches, batches.batch_size
        super().__init__(
            module, None, batches, optimizer, valid=valid, forward=self._forward,
            precision=PRECISIONS[trainer.precision], device=trainer.strategy.root_device,
            accumulate_steps=every, total_steps=total_steps,
            batch_size=size and size * every,
        )  # fmt: skip
        self._trainer = trainer
        self._live = live
        self.callbacks: tuple[Any, ...] = ()  # those of a training, which a sweep leaves out
        self._says_index = _takes_two(module.training_step)

    @property
    def beside(self) -> list[str]:
        """As `Learner.beside`; what Lightning does in a step and a sweep does not is named too."""
        module: Any = type(self.model)
        library = _library(module)
        found = {*super().beside, *(name for each in self.callbacks for name in mixes(each))}
        found |= {*passed_over(self.callbacks, _HOOKS, library.__module__.partition(".")[0])}
        found |= {type(each).__name__ for each in self.callbacks} & _CALLBACKS
        if _overridden(module, "optimizer_step"):
            found.add("an optimizer_step of the module's own, which a sweep leaves out")
        return sorted(found)

    @property
    def went_on(self) -> bool:  # type: ignore[override]
        """Whether the trainer has made steps."""
        return bool(self._trainer.global_step > 0)

    @property
    def under_way(self) -> bool:  # type: ignore[override]
        """Whether it is in the middle of them, with the optimizer that made them."""
        return self.went_on and self._live

    @property
    def scheduled(self) -> Scheduled | None:
        """The schedule that configure_optimizers returned; without one the rate stays."""
        module: Any = type(self.model)
        if _overridden(module, "optimizer_step") or _overridden(module, "lr_scheduler_step"):
            return None  # which may set the rate itself
        configs = self._trainer.lr_scheduler_configs
        if not configs:
            return Scheduled("constant", "constant")
        if len(configs) > 1:
            return Scheduled(None, "several schedulers")
        (config,) = configs
        found = schedules.of(config.scheduler)
        if config.frequency != 1:
            found = replace(found, steps=None)
        each = config.interval
        if found.name == "one_cycle" and each == "epoch" and self._shorter_than(found.steps):
            return Scheduled(None, "OneCycleLR, a step of it an epoch")
        return replace(found, each=each)

    def _shorter_than(self, steps: int | None) -> bool:
        """Whether a training of this trainer's has fewer epochs than a schedule has steps."""
        epochs = self._trainer.max_epochs
        return steps is not None and (epochs is None or 0 <= epochs < steps)

    def _autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._trainer.precision_plugin.forward_context()
        return context

    @contextmanager
    def training(self) -> Iterator[None]:
        """Train within, each module in the mode it is in, as Lightning does since 2.2."""
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _forward(self, model: nn.Module, batch: Batch) -> Any:
        return self._training_step(batch)[0]

    def _training_step(self, batch: Batch) -> tuple[Tensor | None, dict[str, Any]]:
        """Return the module's loss of a batch, None to pass it over, and what else it returns."""
        module: Any = self.model
        arguments = (batch.content, batch.index) if self._says_index else (batch.content,)
        output = module.training_step(*arguments)
        if isinstance(output, Mapping):
            if "loss" not in output:
                raise UserError(
                    f"training_step returned a dict of {', '.join(map(str, output))}; add 'loss'"
                )
            return output["loss"], {k: v for k, v in output.items() if k != "loss"}
        return output, {}

    def step(self, batches: Iterator[Batch]) -> Tensor:
        """Take one optimizer step on the next batches, hooks in Lightning's order.

        Returns:
            The mean loss before the step, a detached scalar on the device; nothing waits for it.
        """
        module: Any = self.model
        trainer, optimizer = self._trainer, self.optimizer
        total: Tensor | None = None
        for turn in range(1, self.accumulate_steps + 1):
            batch, loss, more = self._next(batches)
            loss = loss / self.accumulate_steps
            if turn == 1:
                module.on_before_zero_grad(optimizer)
                module.optimizer_zero_grad(trainer.current_epoch, batch.index, optimizer)
            scaled = self.scaler.scale(loss)
            module.on_before_backward(scaled)
            if self.replay:
                self.replay.saw(loss)
            module.backward(scaled)
            if self.replay and turn == self.accumulate_steps:
                self.replay.stand()
            module.on_after_backward()
            total = loss.detach() if total is None else total + loss.detach()
            if turn == self.accumulate_steps:
                scale = self.scaler.get_scale() if self.replay else 1.0
                self.scaler.unscale_(optimizer)
                module.on_before_optimizer_step(optimizer)
                module.configure_gradient_clipping(
                    optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                )
                self.scaler.step(optimizer)
                self.scaler.update()
                if self.replay:
                    self.replay.stepped(scale)
            output = {"loss": loss.detach(), **more}
            module.on_train_batch_end(output, batch.content, batch.index)
        assert total is not None
        return total

    def again(self, batch: Batch) -> Tensor:
        """As `Learner.again`."""
        with self._autocast():
            loss, _ = self._training_step(batch)
        return scalar(loss) / self.accumulate_steps

    def _next(self, batches: Iterator[Batch]) -> tuple[Batch, Tensor, dict[str, Any]]:
        """Return the next batch that has a loss, the loss, and what else training_step returned."""
        module: Any = self.model
        for _ in range(_PATIENCE):
            batch = next(batches)
            module.on_train_batch_start(batch.content, batch.index)
            if self.replay:
                self.replay.ahead(batch)
            with self._autocast():
                loss, more = self._training_step(batch)
            if loss is not None:
                return batch, scalar(loss), more
        raise UserError(
            f"training_step returned None for {_PATIENCE} batches; let it return a loss"
        )


def planned_steps(trainer: Any, epochs: int | None, batches: float, done: int) -> int | None:
    """Return the optimizer steps that the trainer still plans, None where it has no plan.

    Args:
        trainer: Lightning's Trainer.
        epochs: planned, None or -1 for no such plan.
        batches: in an epoch, infinity where not known.
        done: optimizer steps made already.
    """
    steps = trainer.max_steps if trainer.max_steps > 0 else math.inf
    if epochs is not None and epochs > 0 and math.isfinite(batches):
        steps = min(steps, epochs * math.ceil(batches / trainer.accumulate_grad_batches))
    return max(1, int(steps) - done) if math.isfinite(steps) else None


def _library(module: Any) -> Any:
    """Return Lightning's own class below a module's."""
    return next(k for k in reversed(module.__mro__) if k.__name__ == "LightningModule")


def _overridden(module: Any, method: str) -> bool:
    """Whether a module's class has a method of its own in place of Lightning's."""
    return getattr(module, method) is not getattr(_library(module), method)


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function takes two positional arguments."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True
