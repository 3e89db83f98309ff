"""A Hugging Face Trainer's batches, gathered by optimizer step, and its step, as a Learner's."""

import contextlib
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lrsuggest.training.batch import to_device
from lrsuggest.training.inspection import schedules
from lrsuggest.training.inspection.methods import mixes, passed_over
from lrsuggest.training.learner import Learner
from lrsuggest.training.restore.object_graph import walk


@dataclass(frozen=True, eq=False)
class Gathered:
    """The batches of one optimizer step, and how many labels they hold together (or None)."""

    batches: list[Any]
    items: Tensor | int | None


# Of a callback, within a step.
_HOOKS = ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step")


class Batches:
    """Passes over a loader, gathered for optimizer steps as the Trainer's own loop gathers them.

    An epoch's last step is left out where fewer batches remain for it: the loss of models that do
    not divide by the count of labels would fall there at any rate.

    Attributes:
        dataset: the loader below accelerate's.
    """

    def __init__(self, trainer: Any, loader: Any) -> None:
        self._trainer, self._loader = trainer, loader
        self._accumulate = trainer.args.gradient_accumulation_steps
        self.dataset = getattr(loader, "base_dataloader", loader)
        # accelerate's own shuffling hangs on a seed and the epoch, not on the random state.
        held = walk(data=(self.dataset,), skip=(trainer.train_dataset,))
        self._shuffled = [
            (each, each.initial_seed)
            for each, _ in held
            if isinstance(getattr(each, "__dict__", {}).get("initial_seed"), int)
        ]
        self._seed = torch.initial_seed()
        self.rewind()

    def rewind(self) -> None:
        """Go to the first epoch that training has not begun."""
        self._epoch = math.ceil(self._trainer.state.epoch or 0)

    def __iter__(self) -> Iterator[Gathered]:
        seed = torch.initial_seed()
        for sampler, own in self._shuffled:
            sampler.initial_seed = own if seed == self._seed else seed
        if hasattr(self._loader, "set_epoch"):
            self._loader.set_epoch(self._epoch)
        self._epoch += 1
        batches, device, first = iter(self._loader), self._trainer.args.device, True
        while True:
            gathered = Gathered(*self._trainer.get_batch_samples(batches, self._accumulate, device))
            if len(gathered.batches) < (1 if first else self._accumulate):
                return
            first = False
            yield gathered


class TrainersLearner(Learner):
    """A Learner whose step is the Trainer's: `training_step` for each batch, clipping, step.

    Attributes:
        trainer: the Trainer.
    """

    def __init__(
        self, trainer: Any, optimizer: torch.optim.Optimizer, batches: Any, valid: Any
    ) -> None:
        accelerator = trainer.accelerator
        scaled = accelerator.scaler is not None
        super().__init__(
            trainer.model, None, batches, optimizer, valid=valid, forward=self._loss,
            precision="fp16" if scaled else "bf16" if accelerator.native_amp else "fp32",
            max_grad_norm=trainer.args.max_grad_norm or None,
        )  # fmt: skip
        self.trainer = trainer
        self._made = torch.ones(())  # the last loss, before the Trainer scales it
        self._share: Tensor | float = 1.0  # what it scales it by
        self._items: Tensor | int | None = None
        trainer.compute_loss = self._noting(trainer.compute_loss)
        self.callbacks: tuple[Any, ...] = ()  # those of a training, which a sweep leaves out
        self.also = (trainer,)  # a loss with weights of its own, a collator's generator
        self.data = (trainer.train_dataset, trainer.eval_dataset)
        self.closed = (import_module("transformers").TrainerCallback,)
        if scaled:
            self.scaler.load_state_dict(accelerator.scaler.state_dict())

    @property
    def beside(self) -> list[str]:
        """As `Learner.beside`; callbacks that take part in a step are named too."""
        mixing = (name for each in self.callbacks for name in mixes(each))
        left_out = passed_over(self.callbacks, _HOOKS, "transformers")
        return sorted({*super().beside, *mixing, *left_out})

    @property
    def went_on(self) -> bool:  # type: ignore[override]
        """Whether the Trainer has made steps."""
        return bool(self.trainer.state.global_step > 0)

    @property
    def under_way(self) -> bool:  # type: ignore[override]
        """Whether it is in the middle of them."""
        return self.went_on and bool(self.trainer.is_in_train)

    @property
    def scheduled(self) -> schedules.Scheduled | None:
        """The schedule of a scheduler that the Trainer was given, else of its arguments."""
        trainer = self.trainer
        theirs = import_module("transformers").Trainer
        made = type(trainer).create_scheduler is theirs.create_scheduler
        if trainer.lr_scheduler is not None and not (made and trainer._created_lr_scheduler):
            return schedules.of(trainer.lr_scheduler)
        if not made:
            return None
        kind, given = trainer.args.lr_scheduler_type, trainer.args.lr_scheduler_kwargs
        settings = given if isinstance(given, dict) else {}
        return schedules.by_name(str(getattr(kind, "value", kind)), settings)

    def endless(self) -> Iterator[Any]:
        """As `Learner.endless`, from the same epoch at every call."""
        self.batches.rewind()  # type: ignore[attr-defined]
        return super().endless()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()  # accelerate has put it round the model's forward

    def _loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch, as in the Trainer's evaluation."""
        if isinstance(batch, Gathered):
            batch = to_device(batch.batches[0], self.device)
        (batch,), items = self.trainer.get_batch_samples(iter([batch]), 1, self.device)
        with self.trainer.compute_loss_context_manager():
            loss: Tensor = self.trainer.compute_loss(model, batch, num_items_in_batch=items)
        return loss

    @property
    def _plain(self) -> bool:
        """Whether what goes backward is one call of `compute_loss`, scaled."""
        kind = import_module("transformers").Trainer
        return type(self.trainer).training_step is kind.training_step

    def _noting(self, compute_loss: Any) -> Any:
        """Return a `compute_loss` whose last loss is noted."""

        @functools.wraps(compute_loss)
        def computes(*args: Any, **settings: Any) -> Any:
            made = compute_loss(*args, **settings)
            self._made = made[0].detach() if isinstance(made, tuple) else made.detach()
            return made

        return computes

    def again(self, batch: Any) -> Tensor:
        """As `Learner.again`: scaled as the Trainer scales it."""
        trainer = self.trainer
        inputs = trainer._prepare_inputs(batch)
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(self.model, inputs, num_items_in_batch=self._items)
        again: Tensor = loss * self._share
        return again

    def step(self, batches: Iterator[Gathered]) -> Tensor:
        """Take one optimizer step on the next gathered batches.

        Returns:
            The loss that the Trainer would log for it, a detached scalar.
        """
        trainer, gathered = self.trainer, next(batches)
        # What the Trainer divides the losses by that nothing has divided yet.
        trainer.current_gradient_accumulation_steps = len(gathered.batches)
        total: Tensor | None = None
        replay = self.replay if self._plain else None
        self._items = gathered.items
        for batch in gathered.batches:
            if replay:
                replay.ahead(batch)
            loss = trainer.training_step(self.model, batch, gathered.items)
            if replay:
                replay.saw(loss)
                self._share = loss / self._made
            total = loss if total is None else total + loss
        assert total is not None
        self.descend()
        self.model.zero_grad()
        return total
