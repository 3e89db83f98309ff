"""Which of a fastai Learner's callbacks take part in a range test, and one that watches it."""

import math
import sys
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from lrsuggest.adapters.fastai.optimizer import kinds
from lrsuggest.training.replay import Replay

_ACTS = {
    "before_train", "before_batch", "after_pred", "after_loss", "before_backward",
    "after_cancel_backward", "after_backward", "before_step", "after_cancel_step", "after_step",
    "after_cancel_batch",
}  # fmt: skip
_WATCHES = {"ParamScheduler", "ProgressCallback", "HookCallback", "GatherPredsCallback"}


class Watch:
    """Stands last among the callbacks; sees every loss, and every step, fp16's skipped ones too.

    Attributes:
        learn: the fastai Learner at work.
        losses: of the batches since they were last cleared.
        trained: what went backward of the last batch, as callbacks have scaled it.
        stepped: whether the optimizer has stepped.
        replay: who is told, or None.
    """

    order = math.inf

    def __init__(self) -> None:
        self.learn: Any = None
        self.losses: list[Tensor] = []
        self.trained: Tensor | None = None
        self.stepped = False
        self.replay: Replay | None = None
        self._scale = 1.0  # of a gradient scaler in the last backward pass

    def __call__(self, event: str) -> None:
        """Note what happens."""
        replay = self.replay
        if event == "after_loss":
            self.trained = self.learn.loss_grad.detach()
            if replay is None or not replay.running:
                self.losses.append(self.learn.loss.detach())
            if replay:
                replay.saw(self.trained)
        elif event == "after_backward" and replay:
            self._scale = self.learn.scaler.get_scale()
            replay.stand()
        elif event == "after_step":
            if replay and not self.stepped:
                replay.stepped(self._scale)
            self.stepped = True


def acts(callback: Any) -> bool:
    """Say whether a callback may change how a batch is trained, or only watches.

    `remove_on_fetch` is fastai's own mark of those that watch.
    """
    if kinds(callback) & _WATCHES or getattr(type(callback), "remove_on_fetch", False):
        return False
    # Not hasattr: a callback answers for its learner's attributes too, and that for the model's.
    own = {*vars(callback), *(name for kind in type(callback).__mro__ for name in vars(kind))}
    return not own.isdisjoint(_ACTS) or "ChannelsLast" in kinds(callback)


def being_called(callbacks: Iterable[Any]) -> set[int]:
    """Return the ids of the callbacks that are being called now: a copy would ask once more."""
    ids, found = {id(each) for each in callbacks}, set()
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        found.add(id(frame.f_locals.get("self")))
    return ids & found
