"""A Hugging Face Trainer as a Learner: its own loaders, loss, optimizer and precision.

The loop is made here, not by `train()`, which counts, logs, evaluates and saves. What is trained
is the Trainer's: `get_train_dataloader`, `get_batch_samples` (so many batches for one step, their
labels counted together), `training_step` (`compute_loss`, autocast, backward), `max_grad_norm`,
the optimizer of `create_optimizer`. Read from transformers 5.24 (trainer.py) and accelerate 1.15.
"""

import contextlib
import copy
import functools
import math
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import torch

from lrsuggest.adapters.schedulers import planned, set_rates
from lrsuggest.adapters.transformers.learner import Batches, TrainersLearner
from lrsuggest.adapters.transformers.private import TRANSFORMERS
from lrsuggest.curves.arguments import shown
from lrsuggest.errors import UserError
from lrsuggest.training.inspection.checks import batches as checked_batches
from lrsuggest.training.inspection.checks import initialized
from lrsuggest.training.inspection.history import with_gradients
from lrsuggest.training.inspection.misfits import scalar
from lrsuggest.training.learner import Learner
from lrsuggest.training.one_cycle import group_rates
from lrsuggest.training.restore.kept import Kept
from lrsuggest.training.snapshot import Snapshot

# They step within the backward pass, or project gradients on axes that a test of a hundred steps
# would never see renewed.
_REFUSED = ("galore", "apollo", "lomo", "layerwise")


def owns(x: object) -> bool:
    """Say whether x is a `transformers.Trainer`."""
    module = sys.modules.get("transformers.trainer")
    return module is not None and isinstance(x, module.Trainer)


@contextlib.contextmanager
def borrowed(
    x: Any, *, batches: Iterable[Any] | None = None, valid: Iterable[Any] | None = None
) -> Iterator[Learner]:
    """Lend a Trainer as a Learner; all of it is as it was afterwards, also on an error.

    Where the Trainer has no optimizer yet, `create_optimizer` makes one that is gone afterwards.
    Callbacks, loggers among them, hear nothing meanwhile. In a callback within `train()` the
    Learner goes on from the present weights, in the order of the next epoch.

    Args:
        x: a `transformers.Trainer`, before, between or in the middle of its trainings.
        batches: re-iterable of what to train on instead of `get_train_dataloader()`.
        valid: re-iterable of what to evaluate on instead of `get_eval_dataloader()`, which is
            asked only if there is one evaluation set.

    Raises:
        UserError: it trains in a way that a sweep cannot follow (several devices, ...).
    """
    trainer = x
    TRANSFORMERS.check(trainer)
    _refuse(trainer)
    if trainer.args.max_steps <= 0 and trainer.args.num_train_epochs <= 0:
        raise UserError(
            f"the Trainer plans no training step, num_train_epochs={trainer.args.num_train_epochs}:"
            " plan at least one epoch, or give max_steps"
        )
    initialized(trainer.model)
    if batches is not None:
        checked_batches("batches", batches)
    callback = import_module("transformers").TrainerCallback
    sets = (trainer.train_dataset, trainer.eval_dataset)
    left_out = tuple(trainer.callback_handler.callbacks)
    graded = with_gradients(trainer.model)
    with Kept(trainer, model=trainer.model, closed=(callback,), data=sets):
        _silence(trainer)
        trainer.compute_loss = _looked_at(trainer.compute_loss)
        given = () if batches is None else batches
        learner = TrainersLearner(trainer, _optimizer(trainer), given, valid)
        learner.callbacks, learner.graded = left_out, graded
        with Snapshot(learner):
            _prepare(trainer)
            if learner.scaler.is_enabled():
                trainer.accelerator.scaler = learner.scaler
            loader = _loader(trainer) if batches is None else batches
            learner.batches = Batches(trainer, loader)
            if valid is None and sets[1] is not None and not isinstance(sets[1], dict):
                learner.valid = trainer.get_eval_dataloader()
            learner.total_steps = _steps_to_come(trainer, loader)
            args, size = trainer.args, getattr(batches, "batch_size", None)
            if batches is None:
                size = args.train_batch_size
            learner.batch_size = size and size * args.gradient_accumulation_steps
            yield learner


def set_lr(x: Any, lr: float | slice) -> None:
    """Set the rate that a Trainer trains with.

    That is `args.learning_rate` and, where they exist, the groups of the optimizer and the rates
    that its scheduler starts from: within `train()` the schedule goes on, scaled.

    Args:
        x: a `transformers.Trainer`.
        lr: a rate for the largest group, the others keep their ratios to it; or slice(lo, hi),
            spread over the layers, where the optimizer's groups are layers.

    Raises:
        UserError: the rate is not positive, or a slice meets groups that are not layers.
    """
    trainer, optimizer = x, _plain(x.optimizer)
    if optimizer is not None:
        now, to_be = planned(lr, trainer.model, optimizer)
        set_rates(optimizer, trainer.lr_scheduler, now, to_be)
        trainer.args.learning_rate = max(to_be)
        return
    if isinstance(lr, slice):
        raise UserError(
            f"{lr} spreads rates over layers, but the Trainer will make groups by weight decay; "
            "give one rate, or Trainer(optimizers=(an optimizer with a group per layer, None))"
        )
    (trainer.args.learning_rate,) = group_rates(lr, [1.0])
    if trainer.optimizer_cls_and_kwargs is not None:
        kind, settings = trainer.optimizer_cls_and_kwargs
        trainer.optimizer_cls_and_kwargs = (kind, {**settings, "lr": float(lr)})


def _refuse(trainer: Any) -> None:
    """Raise UserError for what cannot be swept."""
    args, model = trainer.args, trainer.model
    one = "which a range test cannot follow; ask in one process, with one device"
    parameter = next(model.parameters(), None)
    for holds, sentence in (
        (args.n_gpu > 1, f"n_gpu={args.n_gpu} means DataParallel, {one}"),
        (args.world_size > 1, f"world_size={args.world_size} means several processes, {one}"),
        (trainer.is_model_parallel, f"the model is spread over several devices, {one}"),
        (trainer.is_deepspeed_enabled, f"deepspeed is set, {one} and without deepspeed"),
        (trainer.is_fsdp_enabled or args.fsdp, f"fsdp is set, {one} and without fsdp"),
        (
            args.torch_compile or isinstance(model, torch._dynamo.OptimizedModule),
            "a range test cannot follow torch.compile; ask before compiling, torch_compile=False",
        ),
        (
            args.neftune_noise_alpha is not None and not trainer.is_in_train,
            "neftune_noise_alpha takes effect only within train(); ask from on_train_begin",
        ),
        (
            parameter is not None and parameter.device.type != args.device.type,
            f"train() would move the model to {args.device}, which a range test does not; do it "
            "first: model.to(trainer.args.device)",
        ),
    ):
        if holds:
            raise UserError(sentence)
    made = _plain(trainer.optimizer)
    name = getattr(args.optim, "value", args.optim) if made is None else _full_name(made)
    if any(part in name.lower() for part in _REFUSED):
        raise UserError(f"a range test cannot follow {name}; ask with adamw_torch, say")


def _full_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__name__}"


def _plain(optimizer: Any) -> torch.optim.Optimizer | None:
    """Return the optimizer within what accelerate made of it."""
    accelerated = import_module("accelerate.optimizer").AcceleratedOptimizer
    while isinstance(optimizer, accelerated):
        optimizer = optimizer.optimizer
    return optimizer  # type: ignore[no-any-return]


def _optimizer(trainer: Any) -> torch.optim.Optimizer:
    """Return the Trainer's optimizer, which it makes if there is none.

    Raises:
        UserError: it is not one that is given a rate.
    """
    if trainer.optimizer is None:
        trainer.create_optimizer()
    optimizer = _plain(trainer.optimizer)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"{shown(optimizer)} is no torch optimizer; ask with one that is")
    return optimizer


def _looked_at(compute_loss: Any) -> Any:
    """Return a Trainer's `compute_loss` that refuses what is no loss before it is trained on."""

    @functools.wraps(compute_loss)
    def computes(*args: Any, **settings: Any) -> Any:
        made = compute_loss(*args, **settings)
        scalar(made[0] if isinstance(made, tuple) and len(made) == 2 else made)
        return made

    return computes


def _silence(trainer: Any) -> None:
    """Let no callback hear what a person's own `compute_loss` logs."""
    handler = copy.copy(trainer.callback_handler)
    handler.callbacks = []
    trainer.callback_handler = handler


def _prepare(trainer: Any) -> None:
    """Do to the model what `train()` does to it before the first step, unless it has been done."""
    library = import_module("transformers")
    args, model, words = trainer.args, trainer.model, trainer.processing_class
    if not trainer.is_in_train:
        _recompute(args, model)
        tokens = (library.PreTrainedTokenizerBase, library.ProcessorMixin)
        if isinstance(words, tokens) and hasattr(model, "config"):
            if hasattr(trainer, "_align_special_tokens"):  # its name in the first releases of 5
                trainer._align_special_tokens()
            else:
                library.trainer_utils.align_special_tokens(model, words)
        if not getattr(model, "_is_accelerate_prepared", False):
            trainer.accelerator.prepare_model(model, evaluation_mode=True)  # autocast, no more
    model.train()
    model.zero_grad()


def _recompute(args: Any, model: Any) -> None:
    """Let the model recompute activations if `train()` would; older releases say "gradient"."""
    names = [f"{which}_checkpointing" for which in ("activation", "gradient")]
    asked = next((name for name in names if getattr(args, name, False)), None)
    if asked:
        given = dict(getattr(args, f"{asked}_kwargs") or {})
        own = {name: given.pop(name) for name in ("every_n_layers", "offload") if name in given}
        enables = (getattr(model, f"{name}_enable", None) for name in names)
        next(enable for enable in enables if enable)(given or None, **own)


def _loader(trainer: Any) -> Any:
    """Return the Trainer's training batches.

    Raises:
        UserError: it has nothing to train on.
    """
    if hasattr(trainer.train_dataset, "__len__") and len(trainer.train_dataset) == 0:
        raise UserError("the Trainer's train_dataset is empty; give it at least one example")
    try:
        return trainer.get_train_dataloader()
    except ValueError as error:
        if trainer.train_dataset is not None:
            raise
        raise UserError("the Trainer has no train_dataset; give it one, or batches=") from error


def _steps_to_come(trainer: Any, loader: Any) -> int | None:
    """Return how many optimizer steps `train()` will make, or has still to make."""
    args = trainer.args
    if args.max_steps > 0:
        steps = int(args.max_steps)
    else:
        try:
            an_epoch = max(1, math.ceil(len(loader) / args.gradient_accumulation_steps))
        except TypeError:
            return None
        steps = math.ceil(args.num_train_epochs * an_epoch)
    return max(1, steps - trainer.state.global_step) if trainer.is_in_train else steps
