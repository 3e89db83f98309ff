"""What a sweep may change and nobody can put back: said, by name."""

import warnings
import zlib
from typing import Any

import numpy as np
from torch import Tensor

from lrsuggest.errors import LrsuggestWarning

_WHOLE = 2**26  # bytes of an array up to which all of it is looked at
_SAMPLE = 2**12  # values of a larger one


class Watch:
    """Tensors and arrays that are not copied, and whether anybody has written to them since."""

    def __init__(self) -> None:
        self._marks: list[tuple[Any, int]] = []
        self._told: set[str] = set()

    def add(self, value: Any) -> None:
        """Watch a tensor or an array from now on."""
        self._marks.append((value, _mark(value)))

    def written(self) -> list[Any]:
        """Return those that have been written to."""
        return [value for value, mark in self._marks if _mark(value) != mark]

    def tell(self, names: list[str]) -> None:
        """Warn of those that have been written to, once each."""
        for name in names:
            if name not in self._told:
                self._told.add(name)
                warnings.warn(
                    f"{name} is changed in place by the training, too large to be copied and not "
                    "put back: make it anew before you go on",
                    LrsuggestWarning,
                    stacklevel=2,
                )

    def tell_thread(self, name: str) -> None:
        """Warn, once, of a thread that was started and goes on."""
        if name not in self._told:
            self._told.add(name)
            warnings.warn(
                f"the training started the thread {name!r}, which goes on, so that what stands "
                "beside it is not put back: make its object anew before you go on",
                LrsuggestWarning,
                stacklevel=2,
            )


def _mark(value: Any) -> int:
    """Return a number that another content of a tensor or an array changes."""
    if isinstance(value, Tensor):
        return 0 if value.is_inference() else value._version
    if not isinstance(value, np.ndarray):
        value = np.frombuffer(value, np.uint8)
    if value.dtype == object:
        return 0
    if value.nbytes > _WHOLE or isinstance(value, np.memmap):
        value = value.flat[:: max(1, value.size // _SAMPLE)]
    return zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
