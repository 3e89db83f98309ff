"""A step seen from both sides: what its slope promised, and what its own batch's loss became."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrsuggest.curves.columns import Floats, Measured
from lrsuggest.training.batch import tensors
from lrsuggest.training.inspection.gradients import WIDE, dot, norms, sizes
from lrsuggest.training.restore.forward import PassNote, PassState, Randomness
from lrsuggest.training.restore.object_graph import is_a
from lrsuggest.training.restore.randomness import Generator, SeedSequence

_GENERATORS = get_args(Generator)
_TRIED = 3  # steps whose batch is run again before the step too: that must give the same loss
_ALIKE, _HALF = 1e-4, 2e-2  # of the loss: rounding, and that of half precision
_SCALED = 1e-3  # by how much two norms may disagree on what a gradient was multiplied by


@dataclass
class _Pass:
    """One batch of a step: where generators stood, and the loss that was trained on."""

    batch: Any
    random: Randomness
    versions: list[tuple[Tensor, int]]
    loss: Tensor | None = None


@dataclass
class _Rows:
    """What was seen of each step, a tensor a step, on the learner's device."""

    change: list[Tensor] = field(default_factory=list)  # of the loss
    slope: list[Tensor] = field(default_factory=list)
    step: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)


class Replay:
    """Looks on while a learner steps, and runs each step's batch once more after it.

    A learner says `ahead` before each batch of a step, `saw` with the loss that goes backward,
    `stand` when all gradients stand as the loss made them, `stepped` when the weights have moved
    and the gradients are still there. What cannot be seen is NaN; once a batch cannot be run
    again, for lack of memory too, nothing more is seen and the sweep goes on.

    One copy of the weights that train is held, and nothing waits for a device. In the first three
    steps each batch is run again before the step too, to see that this gives the same loss.

    Args:
        groups: the weights of each parameter group.
        again: gives the loss that goes backward of a batch anew.
        parts: all that takes part in a forward pass.
        kept: tensors that no pass writes to: an optimizer's state.
        untouched: whether nothing changes gradients between the backward pass and the step, nor
            the optimizer in it.
        grad: whether gradients stay on in a pass that is run again, as compiled code wants it.
        half: whether passes are made in half precision.
    """

    def __init__(
        self,
        groups: Sequence[Iterable[Tensor]],
        again: Callable[[Any], Tensor],
        parts: Sequence[Any],
        *,
        kept: Iterable[Tensor] = (),
        untouched: bool = False,
        grad: bool = False,
        half: bool = False,
    ) -> None:
        listed = [(p, k) for k, group in enumerate(groups) for p in group if p.requires_grad]
        self._weights = [p for p, _ in listed]
        self._group = np.array([k for _, k in listed], int)
        self._groups = len(groups)
        self._again = again
        grads = [each.grad for each in parts if is_a(each, nn.Parameter) and each.grad is not None]
        self._state = PassState(parts, [*grads, *kept])
        self._generators = [each for each in parts if is_a(each, (SeedSequence, *_GENERATORS))]
        self._untouched = untouched
        self._grad = grad
        self._half = half
        self._passes: list[_Pass] = []
        self._before: PassNote | None = None
        self._held: list[Tensor] | None = None
        self._norms: list[tuple[Tensor, Tensor] | None] = []
        self._rows = _Rows()
        self._seen = 0
        self._tries: list[Tensor] = []  # how the loss differed before the step, and the loss
        self._torchs = True  # whether passes draw from torch's random states alone
        # On a CPU a convolution's pass takes half as long in the other layout.
        self._quick = not grad and all(p.device.type == "cpu" for p in self._weights)
        self._known = True  # whether what the passes of this step changed can be put back
        self.on = bool(self._weights) and self._state.repeats
        self.running = False

    def ahead(self, batch: Any) -> None:
        """Say that a batch, on its device, is about to be run."""
        if not self.on or self.running:
            return
        with self._or_off():
            if self._passes and self._passes[-1].loss is None:
                self._passes.pop()  # it had no loss, and was passed over
            if not self._passes:
                self._before = self._state.note()
            held = [(each, each._version) for each in tensors(batch) if not each.is_inference()]
            self._passes.append(_Pass(_own(batch), self._random(), held))

    def saw(self, loss: Tensor) -> None:
        """Say what goes backward of that batch, before any scaler."""
        if self.on and not self.running and self._passes:
            each = self._passes[-1]
            each.loss = loss.detach().clone()
            if any(tensor._version != version for tensor, version in each.versions):
                self.stop()  # the pass writes to its batch

    def stand(self) -> None:
        """Say that the gradients stand."""
        if not self.on or self.running or not self._passes:
            return
        with self._or_off(), torch.no_grad():
            self._known = self._before is not None and self._state.settle(self._before)
            if self._known and len(self._tries) < _TRIED:
                self._tries.append(self._tried())
                self._torchs &= not any(each.random.others_moved() for each in self._passes)
            if self._held is None:
                self._held = [torch.empty_like(p) for p in self._weights]
            torch._foreach_copy_(self._held, [p.detach() for p in self._weights])
            self._norms = [] if self._untouched else [norms(p.grad) for p in self._weights]

    def stepped(self, scale: float = 1.0) -> None:
        """Say that the weights have moved.

        Args:
            scale: what a gradient scaler had multiplied the loss by.
        """
        if not self.on or self.running or not self._passes or self._held is None:
            return
        with self._or_off(), torch.no_grad():
            weights, held = [p.detach() for p in self._weights], self._held
            size = sizes(held)
            torch._foreach_sub_(held, weights)
            zero = size.new_zeros(())
            slopes = torch.stack(
                [
                    zero if p.grad is None else -dot(p.grad, step).to(size.dtype)
                    for p, step in zip(self._weights, held, strict=True)
                ]
            )
            if self._norms:
                slopes = slopes * self._unscaled(scale, slopes)
            change = self._rerun() if self._known else zero.new_tensor(torch.nan)
            row = (change, slopes, sizes(held), size)
            for to, value in zip(vars(self._rows).values(), row, strict=True):
                to.append(value)
            self._seen += 1
            self._passes.clear()

    def measured(self, loss: Floats, skipped: NDArray[np.bool_]) -> Measured | None:
        """Return what was seen of the steps with these losses, NaN of the rest; None if nothing.

        Args:
            loss: shape (n,), of the first n steps.
            skipped: shape (n,), which steps were not made.
        """
        n = len(loss)
        if not self._seen or not n or not self._repeats():
            return None
        change, slope, step, weight = (
            _padded(torch.stack(rows[:n]), n) for rows in vars(self._rows).values()
        )
        after, slope = loss + change, self._of_groups(slope)
        after[skipped] = slope[skipped] = np.nan
        return Measured(
            after, slope, np.sqrt(self._of_groups(step**2)), np.sqrt(self._of_groups(weight**2))
        )

    def _of_groups(self, values: Floats) -> Floats:
        """Sum over the weights of each group: (n, weights) to (n, groups)."""
        return np.stack(
            [values[:, self._group == k].sum(axis=1) for k in range(self._groups)], axis=1
        )

    def _unscaled(self, scale: float, slopes: Tensor) -> Tensor:
        """Return by what slopes are to be multiplied, a gradient having been multiplied since.

        A gradient that was changed in another way gives NaN: two norms then disagree.
        """
        found = []
        for p, then in zip(self._weights, self._norms, strict=True):
            now = norms(p.grad)
            if now is None or then is None:
                found.append(slopes.new_tensor(1.0 if p.grad is None else torch.nan))
                continue
            one, other = (a / b for a, b in zip(then, now, strict=True))
            near = _SCALED if p.dtype in WIDE else _HALF
            ratio = torch.where((one - other).abs() <= near * one, one / scale, torch.nan)
            none = (now[0] == 0) & (then[0] == 0)
            found.append(torch.where(none, 1.0, ratio).to(slopes.dtype))
        return torch.stack(found)

    def _random(self) -> Randomness:
        """Note where generators stand."""
        settled = len(self._tries) == _TRIED
        return Randomness(self._generators, torchs=settled and self._torchs)

    def _tried(self) -> Tensor:
        """Return how the loss differs when the batches are run again, and the loss."""
        loss = torch.stack([each.loss for each in self._passes if each.loss is not None]).sum()
        if self._quick:
            with contextlib.suppress(Exception):  # a layer may not take another layout
                tried = torch.stack([self._rerun(), loss])
                if self._alike(tried):
                    return tried
            self._quick = False
        return torch.stack([self._rerun(), loss])

    def _alike(self, tries: Tensor) -> bool:
        """Say whether losses do not differ by more than rounding; of a difference and a loss."""
        near = _ALIKE if tries.dtype in WIDE and not self._half else _HALF
        change, loss = tries.double().abs().cpu().numpy().T
        return not bool(np.any(change > near * np.maximum(loss, 1e-6)))

    def _repeats(self) -> bool:
        """Say whether the batches gave the same loss again while the weights were the same."""
        return bool(self._tries) and self._alike(torch.stack(self._tries))

    def _rerun(self) -> Tensor:
        """Return by how much the batches' loss differs when they are run again as they were."""
        assert self._before is not None
        after, random = self._state.note(), self._random()
        self.running = True
        total: Tensor | None = None
        try:
            self._before.restore()
            for each in self._passes:
                if each.loss is None:
                    continue
                each.random.restore()
                with torch.set_grad_enabled(self._grad):
                    batch = _channels_last(each.batch) if self._quick else _own(each.batch)
                    change = self._again(batch).detach() - each.loss
                total = change if total is None else total + change
        finally:
            self.running = False
            after.restore()
            random.restore()
        assert total is not None
        return total

    @contextlib.contextmanager
    def _or_off(self) -> Iterator[None]:
        """Let nothing that goes wrong within concern the sweep."""
        try:
            yield
        except Exception:  # whatever a person's forward pass raises when it is run again
            self.stop()

    def stop(self) -> None:
        """See nothing more, and let go of what is held; what was seen stays."""
        self.on = False
        self._passes, self._before, self._held, self._norms = [], None, None, []


def _padded(rows: Tensor, n: int) -> Floats:
    """Return rows on the host, with rows of NaN after them so that there are n."""
    seen = rows.double().cpu().numpy()
    return np.concatenate([seen, np.full((n - len(seen), *seen.shape[1:]), np.nan)])


def _own(batch: Any) -> Any:
    """Return a batch, a list or dict as a copy: a pass may take items out of it."""
    return batch.copy() if type(batch) in (dict, list) else batch


def _channels_last(batch: Any) -> Any:
    """Return a batch whose pictures lie channels last in memory, in containers of their own."""
    if isinstance(batch, Tensor):
        pictures = batch.ndim == 4 and batch.is_floating_point()
        return batch.contiguous(memory_format=torch.channels_last) if pictures else batch
    if type(batch) in (list, tuple):
        return type(batch)(map(_channels_last, batch))
    return _own(batch)
