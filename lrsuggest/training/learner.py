"""What one training step needs, in one place, and one method that does it."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from lrsuggest.curves.arguments import a, number, whole
from lrsuggest.deprecated import LEARNER, renamed_fields
from lrsuggest.errors import LrsuggestWarning, UserError, callers_line
from lrsuggest.training import evaluation
from lrsuggest.training.batch import same_device, state_to, to_device
from lrsuggest.training.evaluation import Metric
from lrsuggest.training.inspection import checks, misfits
from lrsuggest.training.inspection.shown import Shown
from lrsuggest.training.replay import Replay
from lrsuggest.vocabulary import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@renamed_fields(LEARNER)
class Learner(Shown):
    """A model, its loss, its data and its optimizer.

    Args:
        model: any module; trained where it is.
        loss_fn: `loss_fn(output, target)` gives a scalar tensor. None, or left out, where `forward`
            or the model makes the loss: Learner(model, batches=..., optimizer=..., forward=...).
        batches: re-iterable of (input, target), or of dicts if `forward` is given or the model's
            output has a `.loss`. Iterated anew when it runs out.
        optimizer: a torch optimizer over the model's parameters. With several groups their rates
            keep their ratios; "the rate" is the largest group's.
        valid: re-iterable of the same kind for `evaluate`.
        forward: `forward(model, batch)` gives the scalar loss; replaces `loss_fn`.
        metrics: by name, torchmetrics metrics or functions `f(output, target)` of a scalar that
            are averaged over examples.
        precision: "fp32"; "bf16" or "fp16" run the forward pass under autocast, fp16 with a
            gradient scaler.
        device: where the model lives; by default where its first parameter is.
        accumulate_steps: batches per optimizer step.
        max_grad_norm: largest gradient norm, None for no clipping.
        total_steps: planned optimizer steps, where a plan stands already; None where it does not.
        batch_size: examples per optimizer step, None where not known.

    Raises:
        UserError: a value cannot be used; the sentence says how to mend it.
    """

    enables_grad = False  # whether `training()` turns gradients on by itself
    replay: Replay | None = None  # looks on while a sweep steps
    # Whether something may change gradients between the backward pass and the step.
    edits_gradients = False

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor] | None = None,
        batches: Iterable[Any] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        valid: Iterable[Any] | None = None,
        forward: Callable[[nn.Module, Any], Tensor] | None = None,
        metrics: Mapping[str, Metric | Callable[[Any, Any], Tensor]] | None = None,
        precision: Precision = "fp32",
        device: torch.device | str | None = None,
        accumulate_steps: int = 1,
        max_grad_norm: float | None = None,
        total_steps: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            raise UserError(f"precision must be fp32, bf16 or fp16; got {precision!r}")
        whole("accumulate_steps", accumulate_steps, 1)
        if max_grad_norm is not None:
            max_grad_norm = number("max_grad_norm", max_grad_norm, "positive, or None")
        for name, planned in (("total_steps", total_steps), ("batch_size", batch_size)):
            if planned is not None:
                whole(name, planned, 1, or_none=True)
        checks.parts(model, loss_fn, forward, optimizer)
        checks.batches("batches", batches)
        assert batches is not None  # else refused by now
        assert optimizer is not None
        if valid is not None:
            checks.batches("valid", valid)
        checks.metrics(metrics, forward)
        self.model = model
        self.loss_fn = loss_fn
        self.batches = batches
        self.optimizer = optimizer
        self.valid = valid
        self.forward = forward
        self.metrics = dict(metrics or {})
        self.precision = precision
        first = next(model.parameters(), None)
        if first is None:
            raise UserError("the model has no parameters, so there is nothing to train")
        self.device = checks.device(device) if device is not None else first.device
        if not same_device(first.device, self.device):
            model.to(self.device)
            state_to(optimizer, self.device)
        self.accumulate_steps = accumulate_steps
        self.max_grad_norm = max_grad_norm
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")

    @property
    def lr(self) -> float:
        """The largest rate of any parameter group."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def set_lr(self, rates: Iterable[float]) -> None:
        """Set each group's rate, in the optimizer's order.

        Raises:
            UserError: there are more or fewer groups than rates.
        """
        groups, rates = self.optimizer.param_groups, list(rates)
        if len(groups) != len(rates):
            raise UserError(
                f"the optimizer has {len(groups)} parameter groups, and had {len(rates)} when this "
                "began: let nothing add or take groups meanwhile (a hook that unfreezes, say)"
            )
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def endless(self) -> Iterator[Any]:
        """Yield batches, starting over whenever they run out.

        Raises:
            UserError: there are none.
        """
        seen = False
        while True:
            empty = True
            for batch in self.batches:
                empty, seen = False, True
                yield batch
            if empty and seen:
                raise UserError(
                    f"batches ({a(self.batches)}) gives nothing when iterated again; give what "
                    "starts anew, such as a DataLoader or a list"
                )
            if empty:
                raise UserError(
                    "batches is empty; give at least one batch (a DataLoader with drop_last=True "
                    "over fewer examples than one batch yields none)"
                )

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=_DTYPES[self.precision])

    def _outcome(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """Return (scalar loss, output, target) of a batch already on the device."""
        with self._autocast():
            if self.forward is not None:
                return misfits.scalar(self.forward(self.model, batch)), None, None
            if isinstance(batch, Mapping):
                try:
                    output = self.model(**batch)
                except TypeError as error:
                    if said := misfits.keys(self.model, batch):
                        raise UserError(said) from error
                    raise
                loss = getattr(output, "loss", None)
                if loss is None:
                    raise UserError(
                        "batches yields dicts, but the model's output has no .loss; give "
                        "forward=lambda model, batch: loss"
                    )
                return misfits.scalar(loss), output, None
            if not isinstance(batch, list | tuple) or len(batch) != 2:
                raise UserError(misfits.batch_of_two(batch))
            if self.loss_fn is None:
                raise UserError("give loss_fn(output, target), or forward(model, batch)")
            inputs, target = batch
            output = self.model(inputs)
            try:
                loss = self.loss_fn(output, target)
            except Exception as error:
                if said := misfits.output(output, error):
                    raise UserError(said) from error
                raise
            return misfits.scalar(loss), output, target

    def step(self, batches: Iterator[Any]) -> Tensor:
        """Take one optimizer step on the next `accumulate_steps` batches.

        Returns:
            The mean loss before the step, a detached scalar on the device; nothing waits for it.
        """
        total: Tensor | None = None
        for _ in range(self.accumulate_steps):
            batch = to_device(next(batches), self.device)
            if self.replay:
                self.replay.ahead(batch)
            loss = self._outcome(batch)[0]
            if self.accumulate_steps > 1:
                loss = loss / self.accumulate_steps
            if self.replay:
                self.replay.saw(loss)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        self.descend()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def again(self, batch: Any) -> Tensor:
        """Return what went backward of a batch, computed anew."""
        return self._outcome(batch)[0] / self.accumulate_steps

    def descend(self) -> None:
        """Let the optimizer step along the gradients there are, clipped if asked."""
        scale = self.scaler.get_scale() if self.replay else 1.0
        if self.replay:
            self.replay.stand()
        if self.max_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.replay:
            self.replay.stepped(scale)

    def calibrate_scale(self, batches: Iterator[Any], *, tries: int = 32) -> float:
        """Halve the gradient scaler's scale until a backward pass is finite; returns the scale.

        If it had to be halved it is halved once more, for batches with larger gradients than this
        one's. No optimizer step is made, but a batch is drawn and buffers move: restore them after.
        """
        self.optimizer.zero_grad(set_to_none=True)
        batch = to_device(next(batches), self.device)
        for tried in range(tries):
            self.scaler.scale(self._outcome(batch)[0]).backward()  # type: ignore[no-untyped-call]
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            finite = all(bool(torch.isfinite(grad).all()) for grad in grads)
            self.optimizer.zero_grad(set_to_none=True)
            if tried or not finite:
                self.scaler.update(self.scaler.get_scale() / 2)
            if finite:
                break
        return float(self.scaler.get_scale())

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Train within: a root in eval mode is put in train mode, and every mode is put back.

        Submodules that a person set to eval inside a model in train mode (a frozen BatchNorm)
        stay as they are.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        if not self.model.training:
            warnings.warn(
                "the model is in eval mode; it is trained in train mode and handed back in eval: "
                "call model.train() first if that is what you want",
                LrsuggestWarning,
                stacklevel=callers_line(),
            )
            self.model.train()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    @torch.no_grad()
    def evaluate(self, most: int | None = None) -> dict[str, float]:
        """Return the mean validation loss as "loss", and each metric by its name.

        Losses are weighted by the examples in each batch. The model is in eval mode meanwhile.

        Args:
            most: batches to look at, None for all.

        Raises:
            UserError: there is no `valid`, or it is empty.
        """
        return evaluation.evaluate(self, most)
