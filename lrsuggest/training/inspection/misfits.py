"""What the first batch shows not to fit together: model, loss, batches, optimizer."""

import inspect
import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrsuggest.curves.arguments import a
from lrsuggest.errors import UserError

_OURS_AND_TORCHS = (str(Path(__file__).parents[2]), str(Path(torch.__file__).parent))
# What a person's model, loss or batches raise that do not fit together; all else is passed on.
_OF_A_MISFIT = (
    RuntimeError, TypeError, IndexError, ValueError, KeyError, AttributeError, AssertionError,
    NotImplementedError,
)  # fmt: skip
_OF_MEMORY = ("out of memory", "allocate memory", "could not create a primitive")


def scalar(loss: Any) -> Tensor:
    """Return a loss that can be trained on.

    Raises:
        UserError: it is not one number.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise UserError(
            "the loss must be one number (reduction='mean'), a tensor as it was computed (no "
            f".item()); got {a(loss)}"
        )
    return loss if loss.ndim == 0 else loss.reshape(())


def step(learner: Any, drawn: Iterator[Any], rates: Sequence[float], index: int) -> Tensor:
    """Take a step, and say in a sentence what makes it fail.

    What the model, the loss or the optimizer raises stands as the cause below the sentence, which
    is raised as an error of the same kind and, where the step is not the first, names it.

    Args:
        learner: a `Learner`.
        drawn: its batches.
        rates: of each group, to step at.
        index: of the step, from 0.

    Raises:
        UserError: the step fails for want of what fits together, or another rate than was given
            acts in it.
    """
    learner.set_lr(rates)
    try:
        loss: Tensor = learner.step(drawn)
    except UserError:
        raise
    except Exception as error:
        if not is_misfit(error):
            raise
        said = _too_small(error, index) or _misfit(learner, error, index)
        raise both(type(error))(said) from error
    for group, rate in zip(learner.optimizer.param_groups, rates, strict=False):
        # To look at a tensor may wait for a device, so once.
        if (index and isinstance(group["lr"], Tensor)) or math.isclose(
            group["lr"], as_kept(group["lr"], rate), rel_tol=1e-5
        ):
            continue
        raise UserError(
            f"the rate was set to {rate:.3g} and is {float(group['lr']):.3g} after the step, so "
            f"something in it sets the rate itself ({type(learner.optimizer).__name__}.step, a "
            "hook or a schedule), and no other would act: leave that out while you ask, and start "
            "its schedule anew from the rate found"
        )
    return loss


def as_kept(place: Any, rate: float) -> float:
    """Return a rate as a tensor that is to hold it rounds it; anything else keeps all of it."""
    return float(place.new_tensor(rate)) if isinstance(place, Tensor) else rate


def is_misfit(error: Exception) -> bool:
    """Whether an error may come of what does not fit together; a want of memory does not."""
    return type(error) in _OF_A_MISFIT and not any(said in str(error) for said in _OF_MEMORY)


def lacks_memory(error: Exception) -> bool:
    """Say whether an error tells of a want of memory."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(said in text for said in _OF_MEMORY)
    )


def both(kind: type[Exception]) -> type[UserError]:
    """Return a UserError that is of another kind too, for those who wait for that one."""
    return type("UserError", (UserError, kind), {"__str__": Exception.__str__})


def _misfit(learner: Any, error: Exception, index: int) -> str:
    """Say what a step shows to be wrong."""
    text = _text(error)
    if index:
        return (
            f"it failed in step {index + 1}{_where(error)} with {type(error).__name__}: {text}; "
            "look at the batch of that step, and at what its rate makes of the weights"
        )
    if "does not require grad" in text:
        return (
            "the loss hangs on no weight that trains, so there is no gradient: it was detached, "
            "made a number by .item(), or made under no_grad; return it as it was computed"
        )
    if "closure" in text:
        return (
            f"{type(learner.optimizer).__name__} fails to step without a closure ({text}), which "
            "a range test does not have: ask with SGD, AdamW or another that needs none"
        )
    return (
        f"the first training step failed{_where(error)} with {type(error).__name__}: {text}; do "
        "model, loss_fn and batches fit together?"
    )


def of_validation(error: Exception) -> str:
    """Say what the first batch of `valid` shows to be wrong."""
    return (
        f"the first batch of valid failed{_where(error)} with {type(error).__name__}: "
        f"{_text(error)}; do model, loss_fn, metrics and valid fit together?"
    )


def _too_small(error: Exception, index: int) -> str | None:
    """Say that batch norm cannot train on one example; None where that is not what is wrong."""
    if "more than 1 value per channel when training" not in str(error):
        return None
    return (
        f"batch norm cannot train on a batch that holds 1 example, as that of step {index + 1} "
        "does: let the DataLoader leave a short last batch out, drop_last=True"
    )


def _text(error: Exception) -> str:
    """Return what an error says on one line; of one from a DataLoader's worker, its last line."""
    if "DataLoader worker process" in str(error):
        return str(error).strip().splitlines()[-1][:200].rstrip(".")
    return " ".join(str(error).split())[:200].rstrip(".")


def _where(error: Exception) -> str:
    """Say where in a person's own code an error came up."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OURS_AND_TORCHS)
    ]  # fmt: skip
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def batch_of_two(batch: object) -> str:
    """Say what a batch is that is no (input, target)."""
    inside = ""
    if isinstance(batch, list | tuple) and batch:
        inside = f" ({', '.join(map(a, batch[:4]))}{', ...' * (len(batch) > 4)})"
    return (
        f"a batch must be (input, target) or a dict; got {a(batch)}{inside}: give "
        "forward=lambda model, batch: loss for any other"
    )


def keys(model: nn.Module, batch: Mapping[str, Any]) -> str | None:
    """Say that a model does not take a batch's keys; None where that is not what is wrong."""
    try:
        inspect.signature(model.forward).bind(**batch)
    except (TypeError, ValueError) as unbound:
        return (
            f"{type(model).__name__} does not take a batch of {', '.join(map(str, batch))} "
            f"({unbound}): give forward=lambda model, batch: loss"
        )
    return None


def output(found: object, error: Exception) -> str | None:
    """Say that a loss takes no such output; None where the output is a tensor."""
    if isinstance(found, Tensor):
        return None
    text = " ".join(str(error).split())[:120]
    return (
        f"the model returns {a(found)}, which loss_fn does not take ({type(error).__name__}: "
        f"{text}): give forward=lambda model, batch: loss"
    )
