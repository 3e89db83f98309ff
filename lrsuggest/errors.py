"""What can go wrong by a person's hand, said in one sentence."""


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
