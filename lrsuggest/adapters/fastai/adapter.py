"""A fastai Learner lent as one of ours: trained as `learn.fit` would, handed back as it was."""

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from lrsuggest.adapters.fastai.learner import FastaiLearner
from lrsuggest.adapters.fastai.optimizer import kinds
from lrsuggest.adapters.fastai.private import FASTAI
from lrsuggest.curves.arguments import shown
from lrsuggest.errors import UserError
from lrsuggest.training.inspection.checks import FROZEN, initialized
from lrsuggest.training.inspection.history import with_gradients
from lrsuggest.training.learner import Learner
from lrsuggest.training.one_cycle import group_rates
from lrsuggest.training.restore.kept import Kept
from lrsuggest.training.snapshot import Snapshot

_REFUSED = {
    "DataParallel": "train on one device",
    "DistributedDataParallel": "train on one device",
    "OptimizedModule": "give the model as it was before torch.compile",
    "ParallelTrainer": "leave it out with learn.detach_parallel()",
    "DistributedTrainer": "leave it out with learn.detach_distributed()",
    "ModelToHalf": "use learn.to_fp16()",
    "NonNativeMixedPrecision": "use learn.to_fp16()",
    "GANTrainer": (
        "it reads one loss, and a GAN has two; ask for each network alone with lrsuggest's "
        "Learner(network, None, batches, its optimizer, forward=lambda network, batch: its loss)"
    ),
}


def owns(x: object) -> bool:
    """Say whether x is a fastai Learner."""
    module = sys.modules.get("fastai.learner")
    return module is not None and isinstance(x, module.Learner)


@contextlib.contextmanager
def borrowed(
    x: Any, *, batches: Iterable[Any] | None = None, valid: Iterable[Any] | None = None
) -> Iterator[Learner]:
    """Lend a fastai Learner as one of ours; all of it is as it was afterwards, also on an error.

    Args:
        x: a fastai Learner: before, between or in the middle of its fits.
        batches: what to train on instead of `x.dls.train`.
        valid: what to validate on instead of `x.dls.valid`.

    Raises:
        UserError: it trains in a way that a range test cannot follow.
    """
    if "lr_finder" in vars(x):
        raise UserError(
            "this fastai Learner is in the middle of a range test; a callback that asks for a "
            "rate returns first thing if hasattr(self.learn, 'lr_finder')"
        )
    FASTAI.check(x)
    for part in (x.model, *x.cbs):
        for name in kinds(part) & _REFUSED.keys():
            raise UserError(f"a range test cannot follow fastai's {name}: {_REFUSED[name]}")
    initialized(x.model)
    if x.opt is None and not any(p.requires_grad for p in x.model.parameters()):
        raise UserError(f"fastai can make no optimizer: {FROZEN}")
    _refuse_maker(x)
    roots = [x.model]
    if "OptimWrapper" in kinds(x.opt_func):  # an instance: the optimizer that a first fit takes
        roots += [vars(x.opt_func), vars(x.opt_func.opt)]
    graded = with_gradients(x.model)
    with Kept(*roots, model=x.model):
        learner = FastaiLearner(x, batches, valid)
        learner.graded = graded
        with Snapshot(learner):
            yield learner


def set_lr(x: Any, lr: float | slice) -> None:
    """Set the rate that `learn.fit` and `learn.fit_one_cycle` take where they are given none.

    A number goes to the fastest layer group and the groups keep their ratios: the optimizer's or,
    before there is one, those of `learn.lr`. A slice is spread over the groups by fastai. In the
    middle of a fit without a schedule the rate holds from the next batch on.

    Raises:
        UserError: a rate is not positive and finite, or a schedule is at work.
    """
    group_rates(lr, [1.0])
    if any("ParamScheduler" in kinds(each) and "lr" in each.scheds for each in x.cbs):
        raise UserError(
            f"fastai's ParamScheduler sets the rate anew before each batch, so {lr} would not "
            "last; give it to the next fit"
        )
    if x.opt is None and "lr" in getattr(x.opt_func, "keywords", {}):
        x.create_opt()  # done later, it would put the rate of opt_func in this one's place
    if isinstance(lr, slice):
        x.lr = lr
    elif x.opt is not None:
        rates = [float(hyper["lr"]) for hyper in x.opt.hypers]
        top = max(rates)
        x.lr = [lr * rate / top for rate in rates] if min(rates) < top else lr
    elif isinstance(x.lr, slice):
        x.lr = slice(x.lr.start and x.lr.start * lr / x.lr.stop, lr)
    elif isinstance(x.lr, Iterable):
        x.lr = [lr * rate / max(x.lr) for rate in x.lr]
    else:
        x.lr = lr
    if x.opt is not None:
        x.opt.set_hypers(lr=x.lr)


def _refuse_maker(x: Any) -> None:
    """Raise UserError for an opt_func or a loss that fastai cannot use."""
    made = x.opt_func
    while isinstance(made, functools.partial):
        made = made.func
    torchs = isinstance(made, torch.optim.Optimizer) or (
        isinstance(made, type) and issubclass(made, torch.optim.Optimizer)
    )
    usable = callable(made) or "OptimWrapper" in kinds(made)
    if x.opt is None and (torchs or not usable):
        raise UserError(
            f"opt_func must make an optimizer of fastai's; got {shown(made)}: give "
            "partial(OptimWrapper, opt=torch.optim.AdamW)"
        )
    if isinstance(x.loss_func, type):
        raise UserError(
            f"loss_func is {shown(x.loss_func)}, not a loss: make one, {x.loss_func.__name__}()"
        )
