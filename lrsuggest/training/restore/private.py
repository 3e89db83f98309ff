"""Parts of other libraries that those do not promise to keep: each library's in one table.

They are looked for before anything of the library is touched, so that a release without one is told
in a sentence.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from lrsuggest.errors import UserError


@dataclass(frozen=True)
class Private:
    """What is used of a library that may move from a release to the next.

    Attributes:
        library: its name.
        tested: the releases that the parts were found in, in words.
        names: of modules' parts, as "module:Class.attribute".
        held: attributes of an object that is at work, as "loop._source".
    """

    library: str
    tested: str
    names: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def get(self, name: str, home: str = "") -> Any:
        """Return a part.

        Args:
            name: one of `names`.
            home: the package that the names are in, where they do not begin with it.

        Raises:
            KeyError: the table has no such name.
            UserError: this release has no such part.
        """
        if name not in self.names:
            raise KeyError(name)
        return _found(self, name, home)

    def check(self, *objects: object, home: str = "") -> None:
        """Look for every part.

        Args:
            objects: what must have the attributes `held`, one or the other of them.
            home: as in `get`.

        Raises:
            UserError: this release lacks one.
        """
        for name in self.names:
            _found(self, name, home)
        for path in self.held if objects else ():
            if not any(_has(each, path) for each in objects):
                raise self._lacks(path, home)

    def _lacks(self, name: str, home: str) -> UserError:
        module = import_module((home or self.library).partition(".")[0])
        release = getattr(module, "__version__", "here")
        return UserError(
            f"{self.library} {release} has no {name}, which is needed to leave a training as it "
            f"was: install a release that was tested, {self.tested}"
        )


@cache
def _found(table: Private, name: str, home: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found = import_module(f"{home}.{module}" if home else module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise table._lacks(name, home) from None
    return found


def _has(thing: object, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


TORCH = Private(
    "torch",
    "2.9 to 2.14",
    (
        "torch.autograd.grad_mode:_unsafe_preserve_version_counter",
        "torch.utils.data.dataloader:_BaseDataLoaderIter",
        "torch:Tensor._backward_hooks",
        "torch:Tensor._post_accumulate_grad_hooks",
        "torch:Tensor._version",
        "torch:Tensor._indices",
        "torch:Tensor._values",
        "torch._C:DisableTorchFunctionSubclass",
        "torch.nn.modules.module:_global_forward_hooks",
    ),
)
