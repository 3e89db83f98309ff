"""Our Learner over a fastai one.

Steps are made by fastai's own `one_batch`, on a stand-in: a copy of the fastai Learner that shares
its model and optimizer, with callbacks and loaders of its own. Callbacks with something to do
before a batch, or within it up to the optimizer's step, run there as copies (MixUp,
MixedPrecision, GradientAccumulation, GradientClip, a person's own). Those that only watch
(Recorder, SaveModel, EarlyStopping, CSVLogger, progress bars), schedules, and whoever is asking for
the rate do not run, nor does any event that ends an epoch or a fit. The stand-in has an attribute
`lr_finder`, by which callbacks that log know a range test in fastai.
"""

import contextlib
import copy
import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from lrsuggest.adapters.fastai.callbacks import Watch, acts, being_called
from lrsuggest.adapters.fastai.copies import twins
from lrsuggest.adapters.fastai.optimizer import FastaiOptimizer, kind_of, kinds, pace_kept
from lrsuggest.errors import UserError
from lrsuggest.training.inspection import history, schedules
from lrsuggest.training.inspection.methods import mixes
from lrsuggest.training.inspection.misfits import scalar
from lrsuggest.training.inspection.optimizers import Kind
from lrsuggest.training.inspection.schedules import Scheduled
from lrsuggest.training.learner import Learner
from lrsuggest.training.restore.object_graph import walk
from lrsuggest.vocabulary import Precision

_OF_THE_BATCH = ("xb", "yb", "pred", "loss", "loss_grad")
_RATE_SETTERS = {"ReduceLROnPlateau"}
_FRUITLESS = 1000  # batches without an optimizer step before something must be wrong


class FastaiLearner(Learner):
    """A Learner whose steps are those that `x.fit` would make.

    Args:
        x: a fastai Learner.
        batches: what to train on instead of `x.dls.train`.
        valid: what to validate on instead of `x.dls.valid`.

    Raises:
        UserError: a value cannot be used.
    """

    enables_grad = True
    edits_gradients = True  # callbacks may

    def __init__(
        self,
        x: Any,
        batches: Iterable[Any] | None = None,
        valid: Iterable[Any] | None = None,
    ) -> None:
        loaders = x.dls.loaders
        if valid is None and len(loaders) > 1 and len(loaders[1]):
            valid = loaders[1]
        train = loaders[0] if batches is None else batches
        asking = being_called(x.cbs)
        self._x = x
        self._in_fit = bool(asking)
        # Plain SGD has no state by which to tell.
        self.went_on = self.under_way = bool(asking) and getattr(x, "train_iter", 0) > 0
        self._acting = [each for each in x.cbs if id(each) not in asking and acts(each)]
        self._fit: Any = None
        self._watch = Watch()
        self._opt = x.opt
        if self._opt is None:
            maker = copy.copy(x)  # what is made is written on the learner
            maker.create_opt()
            self._opt = maker.opt
        wrapped = "OptimWrapper" in kinds(self._opt)
        optimizer = self._opt.opt if wrapped else FastaiOptimizer(self._opt)
        amp = self._named("MixedPrecision")
        precision: Precision = amp.amp_mode.value if amp else "fp32"
        size = getattr(train, "bs", None) or getattr(train, "batch_size", None)
        accumulation = self._named("GradientAccumulation")
        accumulate = math.ceil(accumulation.n_acc / size) if accumulation and size else 1
        super().__init__(
            x.model,
            None,
            train,
            cast("torch.optim.Optimizer", optimizer),
            valid=valid,
            precision=precision,
            device=getattr(x.dls, "device", sys.modules["fastai.torch_core"].default_device()),
            accumulate_steps=accumulate,
            batch_size=size and size * accumulate,
            total_steps=_steps_to_come(x, accumulate),
        )
        # fastai makes a new one for every fit, and its kind works on CUDA alone.
        enabled = precision == "fp16" and torch.cuda.is_available()
        settings = amp.kwargs if amp else {}
        self.scaler = torch.amp.GradScaler("cuda", **{**settings, "enabled": enabled})
        trained = {id(p) for group in self._opt.param_lists for p in group}
        found = walk(x.loss_func, *(vars(each) for each in self._acting), skip=(x, x.model, x.dls))
        modules = [each for each, _ in found if isinstance(each, torch.nn.Module)]
        # Such as a loss whose weights a splitter gives to the optimizer: trained where it is.
        self._beside = [m for m in modules if any(id(p) in trained for p in m.parameters())]
        # The copies of all others begin as these stand, seeded, and share what closures hold.
        self.also = (self._opt, *self._beside, x.loss_func, *self._acting)
        self.closed = (sys.modules["fastai.learner"].Learner,)
        memo = self._shared()
        twins((each for each in (train, valid) if _is_fastai(each)), memo)
        self.batches = memo[id(train)]
        self.valid = memo[id(valid)]

    def _named(self, name: str) -> Any:
        """Return the acting callback of that class, None if there is none."""
        return next((each for each in self._acting if name in kinds(each)), None)

    @property
    def optimizer_kind(self) -> Kind:
        """What the optimizer is: torch's within an OptimWrapper, or one of fastai's own."""
        wrapped = isinstance(self.optimizer, torch.optim.Optimizer)
        return super().optimizer_kind if wrapped else kind_of(self._opt)

    @property
    def beside(self) -> list[str]:
        """As `Learner.beside`; callbacks that mix examples too."""
        mixing = (name for each in self._acting for name in mixes(each))
        return sorted({*super().beside, *mixing})

    def reach(self) -> float:
        """As `Learner.reach`; fastai's own Adam is told its rates by the fit under way."""
        if isinstance(self.optimizer, torch.optim.Optimizer):
            return super().reach()
        if not self._in_fit or self.optimizer_name == "sgd":
            return math.inf
        rates = [float(hypers["lr"]) for hypers in self._opt.hypers]
        for each in self._x.cbs:
            if "ParamScheduler" in kinds(each) and "lr" in each.scheds:
                rates.append(schedules.highest(each.scheds["lr"]))
        return history.reach(self.optimizer, rates)

    @property
    def scheduled(self) -> Scheduled | None:
        """The schedule of the fit under way; None between fits, for a fit is told its own."""
        of_rates = [
            each.scheds["lr"]
            for each in self._x.cbs
            if "ParamScheduler" in kinds(each) and "lr" in each.scheds
        ]
        others = {name for each in self._x.cbs for name in kinds(each)} & _RATE_SETTERS
        if others or len(of_rates) > 1:
            return Scheduled(None, " and ".join(sorted(others)) or "ParamScheduler")
        if of_rates:
            name = schedules.by_shape(of_rates[0])
            return Scheduled(name, name or "ParamScheduler")
        return Scheduled("constant", "constant") if self._in_fit else None

    def grouped(self) -> list[list[Tensor]]:
        """Return the weights of each layer group."""
        return [list(group) for group in self._opt.param_lists]

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Train within, on a stand-in of its own; the modules' modes are put back.

        As in `x.fit` all modules are in train mode, but for those that a callback sets to eval.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        batches, valid = self.batches, self.valid
        try:
            # In a callback of validation gradients are off.
            with torch.enable_grad(), _autocast_kept(), pace_kept(self._opt):
                self._begin()
                yield
        finally:
            self._fit, self.batches, self.valid = None, batches, valid
            self._watch.replay = None
            for module, mode in modes:
                module.training = mode

    def _begin(self) -> None:
        """Begin a fit on a new stand-in."""
        x = self._x
        memo = self._shared() | {id(each): each for each in x.dls.loaders}
        loaders = [self.batches] if self.valid is None else [self.batches, self.valid]
        twins([x, x.dls, *loaders, *self._acting], memo)
        loaders = [memo[id(each)] for each in loaders]
        self.batches, self.valid = loaders[0], loaders[1] if len(loaders) > 1 else None
        fit, dls = memo[id(x)], memo[id(x.dls)]
        dls.loaders = loaders
        if hasattr(x.dls, "n_inp"):
            dls.n_inp = x.dls.n_inp
        self._watch.learn = self._fit = fit
        fit.cbs = type(x.cbs)([*(memo[id(each)] for each in self._acting), self._watch])
        fit.opt, fit.lr_finder, fit.create_mbar, fit.logger = self._opt, True, False, _silent
        # In the middle of a fit MixUp's loss function has taken the learner's own place.
        while hasattr(getattr(fit.loss_func, "__self__", None), "old_lf"):
            fit.loss_func = fit.loss_func.__self__.old_lf
        if x.wd is not None:
            self._opt.set_hypers(wd=x.wd)
        fit("before_fit")
        fit.scaler = self.scaler  # the one that snapshots know
        fit("before_epoch")
        fit.dl, fit.n_iter = self.batches, _length(self.batches)
        fit("before_train")

    def _shared(self) -> dict[int, Any]:
        """Return, by id, what copies share with their originals: weights, data, optimizer."""
        x = self._x
        loaders = [*x.dls.loaders, self.batches, self.valid]
        data = [each.dataset for each in loaders if hasattr(each, "dataset")]
        parts = [part for each in data if hasattr(each, "__dict__") for part in vars(each).values()]
        shared = [
            *self.model.modules(), *self.model.parameters(), *self.model.buffers(),
            self._opt, *self._beside, *self._parameters_of_others(), x.opt_func, *data, *parts,
            *(each for each in loaders if not _is_fastai(each)),
            *(each for each in x.cbs if each not in self._acting),
            *(vars(x)[name] for name in _OF_THE_BATCH if name in vars(x)),
        ]  # fmt: skip
        return {id(each): each for each in shared}

    def _parameters_of_others(self) -> Iterator[Tensor]:
        """Yield weights and buffers of the modules beside the model that the optimizer trains."""
        for each in self._beside:
            yield from (*each.parameters(), *each.buffers())

    def step(self, batches: Iterator[Any]) -> Tensor:
        """Take one optimizer step on as many batches as fastai takes for it.

        Returns:
            The mean loss before the step, a detached scalar on the device; nothing waits for it.

        Raises:
            UserError: the callbacks never let the optimizer step.
        """
        if self._fit is None:
            with self.training():
                return self.step(batches)
        fit, watch = self._fit, self._watch
        core = sys.modules["fastai.callback.core"]
        ends = (core.CancelTrainException, core.CancelEpochException, core.CancelFitException)
        watch.losses, watch.stepped, watch.replay = [], False, self.replay
        for _ in range(_FRUITLESS + 2 * self.accumulate_steps):
            batch = next(batches)
            fit.loss_grad = untouched = object()
            if self.replay:
                self.replay.ahead(batch)
            try:
                with contextlib.suppress(*ends):
                    fit.one_batch(fit.train_iter % fit.n_iter, batch)
            except Exception:
                if fit.loss_grad is not untouched:  # refuses what is no loss, such as None
                    scalar(fit.loss_grad)
                raise
            if watch.stepped:
                break
        else:
            raise UserError(
                f"{_FRUITLESS} batches brought no optimizer step, so there is nothing to measure; "
                "is there a callback that cancels every batch?"
            )
        losses = watch.losses
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def again(self, batch: Any) -> Tensor:
        """As `Learner.again`: a batch as in training, but for the backward pass and the step."""
        fit = self._fit
        spaces = [vars(each) for each in (fit, *fit.cbs) if each is not self._watch]
        held = [dict(space) for space in spaces]
        try:
            fit._do_grad_opt = _silent
            self._watch.trained = None
            fit.one_batch(fit.iter, batch)
        finally:
            for space, kept in zip(spaces, held, strict=True):
                space.clear()
                space.update(kept)
        assert self._watch.trained is not None  # else a callback has passed the batch over
        return self._watch.trained

    def _outcome(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """Return (loss, output, targets) of a batch as in validation: nothing goes backward."""
        fit, training = self._fit, self._fit.training
        fit.training = False
        try:  # fastai's batches are tuples
            fit.one_batch(0, tuple(batch) if isinstance(batch, list) else batch)
        finally:
            fit.training = training
        return fit.loss_grad, fit.pred, fit.yb

    def evaluate(self, most: int | None = None) -> dict[str, float]:
        """Return the mean validation loss as "loss", the callbacks told as fastai tells them.

        Raises:
            UserError: there is no `valid`, or it is empty.
        """
        if self._fit is None:
            with self.training():
                return self.evaluate(most)
        fit = self._fit
        fit("after_train")
        fit.dl = self.valid
        fit("before_validate")
        try:
            return super().evaluate(most)
        finally:
            fit.dl = self.batches
            fit("before_train")


def _is_fastai(loader: object) -> bool:
    """Say whether a loader is fastai's own, which draws its order from a `rng` that it replaces."""
    return "fake_l" in getattr(loader, "__dict__", {})


def _steps_to_come(x: Any, accumulate: int) -> int | None:
    """Return how many optimizer steps the fit under way has still to make, None between fits."""
    if vars(x).get("dl") is None:  # fastai forgets it at the end of a fit
        return None
    batches = getattr(x, "n_epoch", 0) * _length(x.dls.train) - x.train_iter
    return batches // accumulate if accumulate <= batches < sys.maxsize // 2 else None


def _silent(*_: object) -> None:
    """Log nothing."""


def _length(batches: Iterable[Any]) -> int:
    """Return how many batches a pass has; where nobody knows, a pass has no end."""
    try:
        return len(batches)  # type: ignore[arg-type]
    except TypeError:
        return sys.maxsize


@contextlib.contextmanager
def _autocast_kept() -> Iterator[None]:
    """Keep autocast's state: fastai leaves it on after an error between a batch and its loss."""

    def depth() -> int:
        torch.autocast_increment_nesting()
        return torch.autocast_decrement_nesting()

    on, dtype, before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"), depth()
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", on)
        torch.set_autocast_dtype("cuda", dtype)
        while depth() > before:
            torch.autocast_decrement_nesting()
        if not before:
            torch.clear_autocast_cache()
