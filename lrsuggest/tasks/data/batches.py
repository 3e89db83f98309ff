"""Batches straight from resident arrays: one gather, one flip, no work per sample."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from lrsuggest.tasks.data.resident import Resident


def to_unit(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Turn pixel coordinates (…, 2) into [-1, 1] between the image's edges.

    A pixel's centre lies at a whole number, so -1 stands half a pixel before 0.
    """
    scale = points.new_tensor([size[1], size[0]])
    return (points + 0.5) * (2 / scale) - 1


def flip(
    images: Tensor, targets: Tensor, chosen: Tensor, mirror: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Flip the chosen images left to right, their masks and points with them.

    Args:
        images: (n, channels, height, width).
        targets: masks (n, height, width), points (n, k, 2) in pixels, or classes (n,).
        chosen: (n,), bool.
        mirror: (k,), the place each point takes after a flip; None without points.
    """
    images, targets = images.clone(), targets.clone()
    images[chosen] = v2.horizontal_flip(images[chosen])
    if mirror is not None:
        points = tv_tensors.KeyPoints(targets[chosen], canvas_size=images.shape[-2:])
        targets[chosen] = v2.horizontal_flip(points).as_subclass(Tensor)[:, mirror]
    elif targets.ndim == 3:
        targets[chosen] = v2.horizontal_flip(targets[chosen][:, None])[:, 0]
    return images, targets


class Batches:
    """Re-iterable batches of (input, target) from one split of resident data.

    Images come as float32 in [-1, 1], what the offline weights want, channels last in memory, as
    `build_learner` lays its networks' weights; tables as they are; masks,
    classes and tokens as int64, points in [-1, 1], values as float32. The training split is
    shuffled and flipped anew at every pass by `generator`, and its last short batch is dropped.
    `half` takes every other example from the first (0) or the second (1).
    """

    def __init__(
        self,
        data: Resident,
        *,
        train: bool,
        batch_size: int,
        flips: bool = True,
        half: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        chosen = np.flatnonzero(data.valid != train)
        if half is not None:
            chosen = chosen[half::2]
        if torch.device(device).type == "cpu":  # no copy: other processes may share these data
            self._inputs, self._targets = map(torch.from_numpy, (data.inputs, data.targets))
            self._rows = torch.from_numpy(chosen)
        else:  # no more than this split
            self._inputs = torch.from_numpy(data.inputs[chosen]).to(device)
            self._targets = torch.from_numpy(data.targets[chosen]).to(device)
            self._rows = torch.arange(len(chosen), device=device)
        self._mirror = torch.tensor(data.mirror, device=device) if data.mirror else None
        self._size = data.size if data.mirror else (0, 0)
        self._train = train
        self._flips = flips and train
        self.batch_size = min(batch_size, len(self._rows))
        self.generator = torch.Generator().manual_seed(0)

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self._rows)

    def __len__(self) -> int:
        n = len(self._rows)
        return n // self.batch_size if self._train else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self._rows)
        order = torch.randperm(n, generator=self.generator) if self._train else torch.arange(n)
        flipped = torch.rand(n, generator=self.generator) < 0.5 if self._flips else None
        for index in range(len(self)):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            places = self._rows[rows.to(self._rows.device)]
            inputs, targets = self._inputs[places], self._targets[places]
            if flipped is not None:
                chosen = flipped[rows].to(places.device)
                inputs, targets = flip(inputs, targets, chosen, self._mirror)
            if inputs.dtype == torch.uint8:
                inputs = inputs.to(torch.float32, memory_format=torch.channels_last)
                inputs.div_(127.5).sub_(1)
            yield inputs, self._target(targets)

    def _target(self, targets: Tensor) -> Tensor:
        if self._mirror is not None:
            return to_unit(targets, self._size)
        return targets if targets.is_floating_point() else targets.long()
