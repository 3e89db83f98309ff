"""What can go wrong by a person's hand, said in one sentence."""


class UserError(ValueError):
    """A mistake its maker can mend: the message names the value and the mend in one sentence."""


class NoSuggestion(UserError):
    """Raised by `float(suggestion)` when the curve does not support any rate."""


class LrsuggestWarning(UserWarning):
    """Something was put right on the user's behalf, and they should know."""
