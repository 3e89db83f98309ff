"""Which framework an object is from, told without loading any."""

from importlib import import_module
from types import ModuleType

_ADAPTERS = {
    "fastai": "fastai",
    "lightning": "lightning",
    "pytorch_lightning": "lightning",
    "transformers": "transformers",
}


def adapter(x: object) -> ModuleType | None:
    """Return the module that adapts a framework's object, or a tuple of them; None for any other.

    An object's classes name the packages they come from, so a framework is asked only where it is
    loaded already. Every adapter has `owns(x)`, `borrowed(x, *, batches, valid)`, a context manager
    that yields a `Learner` and hands everything back as it was, and `set_lr(x, lr)`.
    """
    parts = x if isinstance(x, tuple) else (x,)
    packages = {kind.__module__.partition(".")[0] for part in parts for kind in type(part).__mro__}
    for name in sorted({_ADAPTERS[package] for package in packages & set(_ADAPTERS)}):
        found = import_module(f"lrsuggest.adapters.{name}.adapter")
        if found.owns(x):
            return found
    return None
