"""What can go wrong by a person's hand, said in one sentence."""


class UserError(ValueError):
    """A mistake its maker can mend: the message names the value and the mend in one sentence.

    File names may hold bytes that are no text; they are spelt out, for a message must be printable.
    """

    def __init__(self, *words: object) -> None:
        super().__init__(*(
            word.encode("utf-8", "backslashreplace").decode() if isinstance(word, str) else word
            for word in words
        ))  # fmt: skip


class NoSuggestion(UserError):
    """Raised by `float(suggestion)` when the curve does not support any rate."""


class LrsuggestWarning(UserWarning):
    """Something was put right on the user's behalf, and they should know."""
