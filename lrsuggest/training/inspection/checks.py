"""What cannot be trained, told in one sentence with the mend before the first step."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import Dataset, IterableDataset

from lrsuggest.curves.arguments import a, shown
from lrsuggest.errors import UserError
from lrsuggest.training.restore.attributes import attribute, own
from lrsuggest.training.restore.object_graph import walk

FROZEN = "everything is frozen, so unfreeze what is to train"


def learner(x: object, kind: type, call: str) -> None:
    """Refuse what is no Learner where one is wanted.

    Raises:
        UserError: it is none; the sentence shows the call.
    """
    if not isinstance(x, kind):
        raise UserError(
            f"{call} takes a Learner first; got {a(x)}: wrap what is to train, "
            "Learner(model, loss_fn, batches, optimizer)"
        )


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
            by_name = ": without a loss_fn give the rest by name, batches=..., optimizer=..."
            raise UserError(
                f"{name} must be a function, such as torch.nn.functional.cross_entropy; got "
                f"{shown(function)}{by_name if function is loss_fn and forward is not None else ''}"
            )
    _optimizer(optimizer)


def _optimizer(optimizer: Any) -> None:
    """Refuse what is no torch optimizer, or one that cannot be stepped by itself."""
    try:  # a wrapper may answer by its `__getattr__`, which may raise anything
        groups = optimizer.param_groups
    except Exception:
        groups = None
    if isinstance(optimizer, type) or not isinstance(groups, list):
        mend = "make one, such as torch.optim.AdamW(model.parameters())"
        if isinstance(optimizer, list | tuple | dict):
            mend = (
                "a range test sweeps one; make one with a parameter group for each, or freeze the "
                "weights of all but one and ask for that one's rate"
            )
        elif "optimizer" in own(optimizer) and attribute(optimizer, "get_last_lr"):
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
    for each in (optimizer, *own(optimizer).values()):
        if None not in (attribute(each, "first_step"), attribute(each, "second_step")):
            return True
    try:
        inspect.signature(step).bind(optimizer)
    except TypeError:
        return True
    except ValueError:  # no signature is told
        return False
    return False


def rates(optimizer: Any) -> None:
    """Refuse an optimizer that has no rates to set.

    Raises:
        UserError: it has no groups, or makes its rate itself.
    """
    if not optimizer.param_groups:
        raise UserError(
            "the optimizer has no groups, so it trains nothing: make it anew over the model's "
            f"weights, {type(optimizer).__name__}(model.parameters())"
        )
    for group in optimizer.param_groups:
        if group.get("lr") is None or group.get("relative_step"):
            raise UserError(
                f"{type(optimizer).__name__} with lr=None or relative_step=True makes its rate "
                "itself; to be given one it needs relative_step=False, scale_parameter=False and lr"
            )


def initialized(model: nn.Module) -> None:
    """Refuse a model whose weights the first batch is to make.

    Raises:
        UserError: it has such weights.
    """
    meta = [name for name, p in model.named_parameters() if p.device.type == "meta"]
    if meta:
        raise UserError(
            f"{len(meta)} weights ({meta[0]}, ...) are on the device meta, which holds no values: "
            "make the model on a real one, or load its weights there, then make the optimizer"
        )
    lazy = [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]
    if lazy:
        raise UserError(
            f"{len(lazy)} weights ({lazy[0]}, ...) have no shape before the first batch, so there "
            "is nothing yet to put back: run one through first, with torch.no_grad(): model(x), "
            "then make the optimizer and ask"
        )


def metrics(given: Any, forward: object) -> None:
    """Refuse what are no metrics by name, or need what `forward` does not give.

    Raises:
        UserError: they are not.
    """
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise UserError(
            f"metrics must be a dict of metrics by name; got {a(given)}: give "
            "{'accuracy': accuracy}"
        )
    for name, each in given.items():
        whole = hasattr(each, "update") and hasattr(each, "compute")
        if isinstance(each, type) or not (whole or callable(each)):
            mend = f": make one, {each.__name__}(...)" if isinstance(each, type) else ""
            raise UserError(
                f"the metric {shown(name)} must be a function of output and target, or one of "
                f"torchmetrics'; got {shown(each)}{mend}"
            )
    if forward is not None and given:
        raise UserError(
            f"metrics ({', '.join(given)}) need an output and a target, which forward does "
            "not give; leave one of the two out"
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
    rates(optimizer)
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
    if any(id(p) in wanted for p in learner.model.parameters()):
        return True
    # An optimizer that is reached proves nothing of its weights.
    roots = (learner.model, learner.loss_fn, learner.forward)
    found = walk(*roots, closed=(torch.optim.Optimizer,))
    return any(id(each) in wanted for each, _ in found)


def device(given: torch.device | str) -> torch.device:
    """Return a device by its name.

    Raises:
        UserError: there is none of that name, or not here.
    """
    try:
        named = torch.device(given)
        torch.empty(0, device=named)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise UserError(
            f"device {shown(given)} cannot be used here: give 'cpu', 'cuda', 'cuda:1' or 'mps' as "
            "there is, or leave it out"
        ) from error
    return named
