"""What can go wrong by a person's hand, said in one sentence."""

import sys


def printable(text: str) -> str:
    """Return text that any file or terminal takes: a file name's bytes that are none spelt out."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


class UserError(ValueError):
    """A mistake its maker can mend: the message names the value and the mend in one sentence."""

    def __init__(self, *words: object) -> None:
        super().__init__(*(printable(word) if isinstance(word, str) else word for word in words))


class NoSuggestion(UserError):
    """Raised by `float(suggestion)` when the curve does not support any rate."""


class LrsuggestWarning(UserWarning):
    """Something was put right on the user's behalf, and they should know."""


def callers_line() -> int:
    """Return `warnings.warn`'s stacklevel for the nearest line that is not this package's own."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _within(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _within(module: str) -> bool:
    return module.partition(".")[0] in ("lrsuggest", "contextlib")
