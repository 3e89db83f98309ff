"""What cannot be trained, told in one sentence with the mend before the first step."""

import functools
import inspect
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import Dataset, IterableDataset

from lrsuggest.curves.given import a, shown
from lrsuggest.errors import UserError

_OURS_AND_TORCHS = tuple(str(Path(home).parent) for home in (torch.__file__, __file__))
# What a person's model, loss or batches raise that do not fit together; all else is passed on.
_OF_A_MISFIT = (
    RuntimeError, TypeError, IndexError, ValueError, KeyError, AttributeError, AssertionError,
)  # fmt: skip
FROZEN = "everything is frozen, so unfreeze what is to train"
_OF_MEMORY = ("out of memory", "allocate memory", "could not create a primitive")


def parts(model: object, loss_fn: object, forward: object, optimizer: object) -> None:
    """Refuse what is no model, loss or optimizer.

    Raises:
        UserError: one of them is not.
    """
    if not isinstance(model, nn.Module):
        mend = (
            f": make one, {model.__name__}(...)" if isinstance(model, type)
            else ": put them into one, and say in forward= how the loss is made"
            if isinstance(model, list | tuple) else ""
        )  # fmt: skip
        raise UserError(f"model must be a torch module; got {shown(model)}{mend}")
    initialized(model)
    for name, function in (("loss_fn", loss_fn), ("forward", forward)):
        if isinstance(function, type):
            made = f"make one, {function.__name__}()"
            raise UserError(f"{name} is the class {function.__name__}, not a loss: {made}")
        if function is not None and not callable(function):
            raise UserError(
                f"{name} must be a function, such as torch.nn.functional.cross_entropy; got "
                f"{shown(function)}"
            )
    _optimizer(optimizer)


def _optimizer(optimizer: Any) -> None:
    """Refuse what is no torch optimizer, or one that cannot be stepped by itself."""
    if isinstance(optimizer, type) or not isinstance(
        getattr(optimizer, "param_groups", None), list
    ):
        mend = "make one, such as torch.optim.AdamW(model.parameters())"
        if isinstance(optimizer, list | tuple | dict):
            mend = (
                "a range test sweeps one; make one with a parameter group for each, or freeze the "
                "weights of all but one and ask for that one's rate"
            )
        elif hasattr(optimizer, "optimizer") and hasattr(optimizer, "get_last_lr"):
            mend = "that is a scheduler; give the optimizer it was made over, scheduler.optimizer"
        raise UserError(f"optimizer must be a torch optimizer; got {shown(optimizer)}: {mend}")
    if _needs_closure(optimizer):
        raise UserError(
            f"{type(optimizer).__name__} needs a closure for its step, which a range test does "
            "not have: ask with an optimizer that steps on gradients there are, such as SGD or "
            "AdamW (for a wrapper around one, ask with the one inside)"
        )


def _needs_closure(optimizer: Any) -> bool:
    """Whether a step cannot be made without arguments, or is two steps (as sharpness-aware ones).

    The class is asked, since frameworks put steps of their own in the object's; fastai's
    optimizers are stepped by fastai.
    """
    step = getattr(type(optimizer), "step", None)
    if step is None:
        return False
    if hasattr(optimizer, "first_step") and hasattr(optimizer, "second_step"):
        return True
    try:
        inspect.signature(step).bind(optimizer)
    except TypeError:
        return True
    except ValueError:  # no signature is told
        return False
    return False


def initialized(model: nn.Module) -> None:
    """Refuse a model whose weights the first batch is to make.

    Raises:
        UserError: it has such weights.
    """
    lazy = [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]
    if lazy:
        raise UserError(
            f"{len(lazy)} weights ({lazy[0]}, ...) have no shape before the first batch, so there "
            "is nothing yet to put back: run one through first, with torch.no_grad(): model(x), "
            "then make the optimizer and ask"
        )


def batches(name: str, data: object) -> None:
    """Refuse what gives no batches, or gives them once.

    Raises:
        UserError: it does not.
    """
    loader = "DataLoader(dataset, batch_size=32, shuffle=True)"
    if isinstance(data, IterableDataset):
        raise UserError(
            f"{name} is {a(data)}, a dataset: give DataLoader(dataset, batch_size=32), or with "
            "batch_size=None if it gives whole batches"
        )
    if isinstance(data, Dataset):
        raise UserError(f"{name} is {a(data)}, which gives single examples: give {loader}")
    if isinstance(data, Tensor | np.ndarray | str | bytes | Path | Mapping):
        raise UserError(
            f"{name} must give batches of (input, target); got {shown(data)}: give {loader}"
        )
    if isinstance(data, Iterator):
        raise UserError(
            f"{name} is a one-shot {type(data).__name__}; give something that can be "
            "iterated again, such as a DataLoader or a list"
        )
    if isinstance(data, type) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise UserError(f"{name} must give batches; got {shown(data)}: give {loader}")


def place() -> None:
    """Refuse to train where torch keeps no gradients whatever is done, or in a worker process.

    Raises:
        UserError: this is such a place.
    """
    if torch.is_inference_mode_enabled():
        raise UserError("nothing trains within torch.inference_mode(): call this outside of it")
    if torch.utils.data.get_worker_info() is not None:
        raise UserError(
            "this is a DataLoader's worker process, where nothing trains: ask in the main one"
        )


def ready(learner: Any) -> None:
    """Refuse a learner that as it stands cannot train.

    Args:
        learner: a `Learner`.

    Raises:
        UserError: gradients are off, all is frozen, or the optimizer is another model's.
    """
    place()
    if not torch.is_grad_enabled() and not learner.enables_grad:
        raise UserError("nothing trains within torch.no_grad(): call this outside of it")
    model, optimizer = learner.model, learner.optimizer
    initialized(model)
    weights = [p for group in optimizer.param_groups for p in group.get("params", ())]
    kind = type(optimizer).__name__
    # fastai's own optimizers are made over the model, and show no weights in their groups.
    if not any(p.requires_grad for p in weights or model.parameters()):
        free = any(p.requires_grad for p in model.parameters())
        raise UserError(
            f"no weight in the {kind} trains (requires_grad is False): "
            + (f"make it over those of the model that do, {kind}(model.parameters())" if free
               else FROZEN)
        )  # fmt: skip
    if weights and not _take_part(weights, learner):
        raise UserError(
            f"none of the weights in the {kind} is the model's, as if it had been made over "
            f"another copy of it: make it over this one, {kind}(model.parameters())"
        )


def _take_part(weights: list[Tensor], learner: Any) -> bool:
    """Whether any of the weights is the model's, or of what the loss is made with."""
    wanted = {id(p) for p in weights}
    roots = (learner.model, learner.loss_fn, learner.forward)
    return any(id(p) in wanted for root in roots for p in _reached(root))


def _reached(root: object) -> Iterator[Tensor]:
    """Yield the weights of every module that a function can reach by name or holds."""
    seen: set[int] = set()
    todo: list[Any] = [root]
    while todo:
        part = todo.pop()
        if id(part) in seen or part is None or isinstance(part, ModuleType | type | str | int):
            continue
        if hasattr(part, "param_groups"):  # an optimizer, which proves nothing of its weights
            continue
        seen.add(id(part))
        if isinstance(part, nn.Parameter):
            yield part
        elif isinstance(part, nn.Module):
            yield from part.parameters()
        elif isinstance(part, functools.partial):
            todo += [part.func, *part.args, *part.keywords.values()]
        elif isinstance(part, MethodType):
            todo += [part.__self__, part.__func__]
        elif isinstance(part, FunctionType):
            try:
                known = inspect.getclosurevars(part)
            except ValueError:  # a name that is not bound yet
                continue
            todo += [*known.nonlocals.values(), *known.globals.values()]
            todo += [*(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).values()]
        elif isinstance(part, Mapping):
            todo += part.values()
        elif isinstance(part, list | tuple):
            todo += part
        else:
            todo += getattr(part, "__dict__", {}).values()


def first_step(learner: Any, drawn: Iterator[Any]) -> Tensor:
    """Take the first step, and say in a sentence what makes it fail.

    What the model, the loss or the optimizer raises stands as the cause below the sentence, which
    is raised as an error of the same kind.

    Args:
        learner: a `Learner`.
        drawn: its batches.

    Raises:
        UserError: the step fails for want of what fits together.
    """
    try:
        loss: Tensor = learner.step(drawn)
    except UserError:
        raise
    except Exception as error:
        memory = any(said in str(error) for said in _OF_MEMORY)
        if type(error) not in _OF_A_MISFIT or memory:
            raise
        raise _both(type(error))(_misfit(learner, error)) from error
    return loss


def _both(kind: type[Exception]) -> type[UserError]:
    """Return a UserError that is of another kind too, for those who wait for that one."""
    return type("UserError", (UserError, kind), {"__str__": Exception.__str__})


def _misfit(learner: Any, error: Exception) -> str:
    """Say what the first step shows to be wrong."""
    text = " ".join(str(error).split())[:200].rstrip(".")
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
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OURS_AND_TORCHS)
    ]  # fmt: skip
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return (
        f"the first training step failed{where} with {type(error).__name__}: {text}; do model, "
        "loss_fn and batches fit together?"
    )


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
