"""What lets a suggestion stand where a number does, and keeps one without a rate from doing so."""

import contextlib
import copy
import functools
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from operator import index
from typing import Any, SupportsIndex

_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow")
_REFUSED = (
    *_ARITHMETIC, *(f"r{name}" for name in _ARITHMETIC), "lt", "le", "gt", "ge", "neg", "pos",
    "abs", "int", "complex", "trunc", "floor", "ceil", "round", "array", "array_ufunc",
    "len", "getitem",  # asked by what takes several rates, or a tensor's values
)  # fmt: skip
_CONTAINERS: tuple[Any, ...] = (OrderedDict, dict, list, tuple, set, frozenset)
_A_FLOATS = ("hex", "is_integer", "as_integer_ratio", "conjugate")


class NoNumber:
    """Raises, wherever a number is wanted, what its own `__float__` raises; as a truth it is False.

    It is no float, so that nothing reads a NaN past Python's operators. Each equals only itself:
    `==` asks which object it is, and answers.
    """

    def __float__(self) -> float:
        raise NotImplementedError

    @property
    def real(self) -> float:
        """A float's real part."""
        return float(self)

    @property
    def imag(self) -> float:
        """A float's imaginary part."""
        return float(self)

    @classmethod
    def __torch_function__(
        cls, func: object, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Answer torch, which asks where it is given one for a number or a tensor."""
        given = [*args, *(kwargs or {}).values()]
        return float(next(each for each in given if isinstance(each, NoNumber)))

    def __bool__(self) -> bool:
        """Say that there is no rate, so that `suggestion or 1e-3` is a rate."""
        return False


def _raising(name: str) -> Callable[..., Any]:
    """Return a method of that name that asks for the number, which raises."""

    def raises(self: NoNumber, *_: object, **__: object) -> Any:
        return float(self)  # never returns

    raises.__name__ = raises.__qualname__ = name
    return raises


for _name in (*(f"__{name}__" for name in _REFUSED), *_A_FLOATS):
    setattr(NoNumber, _name, _raising(_name))


class Number(float):
    """A float by its operators: what they give is a plain float.

    Its comparisons see to it that torch's optimizers, which compare a rate with 0 before they
    keep it, keep a plain float (`let_optimizers_keep_floats`).
    """

    def __lt__(self, other: Any) -> bool:
        let_optimizers_keep_floats()
        return super().__lt__(other)

    def __le__(self, other: Any) -> bool:
        let_optimizers_keep_floats()
        return super().__le__(other)

    def __gt__(self, other: Any) -> bool:
        let_optimizers_keep_floats()
        return super().__gt__(other)

    def __ge__(self, other: Any) -> bool:
        let_optimizers_keep_floats()
        return super().__ge__(other)


def let_optimizers_keep_floats() -> None:
    """Let torch's optimizers put a plain float in a suggestion's place, once torch is loaded.

    `torch.load(weights_only=True)` reads floats of exactly that class, and nothing that pickle
    can write in another's place comes out as one. So `Optimizer.add_param_group` (which every
    optimizer calls when it is made), `Optimizer.state_dict`, the `state_dict` of torch's
    schedulers and `torch.save` (for hyperparameters in a checkpoint, and other libraries'
    schedulers) are wrapped, and nothing else of torch's. PyYAML, once loaded, writes a float too.
    """
    _let_yaml_write_floats()
    module = sys.modules.get("torch.optim.optimizer")
    kind: Any = getattr(module, "Optimizer", None)
    if kind is None or hasattr(kind.add_param_group, "keeps_floats"):
        return
    add_param_group, state_dict = kind.add_param_group, kind.state_dict

    @functools.wraps(add_param_group)
    def adds(self: Any, param_group: Any) -> None:
        _plain(self.defaults)
        add_param_group(self, param_group)
        _plain(self.param_groups[-1])

    @functools.wraps(state_dict)
    def states(self: Any) -> Any:
        for group in self.param_groups:
            _plain(group)
        return state_dict(self)

    adds.keeps_floats = True  # type: ignore[attr-defined]
    kind.add_param_group, kind.state_dict = adds, states
    torch: Any = sys.modules["torch"]
    torch.save = torch.serialization.save = _saving_floats(torch.save)
    schedulers: Any = sys.modules.get("torch.optim.lr_scheduler")
    base = getattr(schedulers, "LRScheduler", ())
    for each in [x for x in vars(schedulers).values() if isinstance(x, type)] if base else ():
        own = vars(each).get("state_dict")
        if issubclass(each, base) and own is not None and not hasattr(own, "gives_floats"):
            each.state_dict = _giving_floats(own)  # type: ignore[attr-defined]


def _giving_floats(state_dict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(state_dict)
    def gives(self: Any) -> Any:
        return _deeply_plain(state_dict(self))

    gives.gives_floats = True  # type: ignore[attr-defined]
    return gives


def _saving_floats(save: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(save)
    def saves(obj: Any, *args: Any, **settings: Any) -> None:
        with contextlib.suppress(Exception):  # what cannot be looked through is left to pickle
            obj = _deeply_plain(obj)
        save(obj, *args, **settings)

    return saves


def _deeply_plain(value: Any, known: dict[int, Any] | None = None) -> Any:
    """Return containers with plain floats for numbers of ours; all else as it is.

    What has no rate, and no fallback, is None there: a file is written for later, when nobody is
    there to be told.

    Args:
        value: anything; what holds no number of ours is returned itself.
        known: by id what has been looked at, since containers are shared and hold each other.
    """
    if isinstance(value, Number):
        return float(value)
    if isinstance(value, NoNumber):
        return None
    base = next((each for each in _CONTAINERS if issubclass(type(value), each)), None)
    if base is None:
        return value
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = value
    # By Python's own methods: those of a lazy list may load what it holds.
    held = list(base.items(value) if issubclass(base, dict) else base.__iter__(value))
    if issubclass(base, dict):  # a key equals its float, so it is the key that must be put anew
        new = [(_deeply_plain(key, known), _deeply_plain(each, known)) for key, each in held]
        same = all(a is c and b is d for (a, b), (c, d) in zip(held, new, strict=True))
    else:
        new = [_deeply_plain(each, known) for each in held]
        same = all(a is b for a, b in zip(held, new, strict=True))
    if not same:
        known[id(value)] = _with_items(value, base, new)
    return known[id(value)]


def _with_items(value: Any, base: Any, items: list[Any]) -> Any:
    """Return another container of that type, with the attributes it has and other items."""
    if base in (tuple, frozenset):
        made = base.__new__(type(value), items)
        if hasattr(value, "__dict__"):
            made.__dict__.update(value.__dict__)
        return made
    found = copy.copy(value)
    base.clear(found)
    if issubclass(base, dict):
        for key, each in items:
            base.__setitem__(found, key, each)
    elif base is list:
        base.extend(found, items)
    else:
        base.update(found, items)
    return found


def _let_yaml_write_floats() -> None:
    yaml: Any = sys.modules.get("yaml")
    for name in ("Dumper", "SafeDumper", "CDumper", "CSafeDumper"):
        dumper = getattr(yaml, name, None)
        if dumper is not None and Number not in dumper.yaml_multi_representers:
            for kind in (Number, NoNumber):
                dumper.add_multi_representer(kind, _as_yaml)


def _as_yaml(dumper: Any, value: Any) -> Any:
    return dumper.represent_float(float(value))


def _plain(settings: MutableMapping[str, Any]) -> None:
    """Put a plain float in the place of every number of ours."""
    for name, value in settings.items():
        if isinstance(value, Number):
            settings[name] = float(value)


def jsonable(value: Any) -> Any:
    """Return a value in the types that JSON has words for; a number that is not finite is None."""
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, SupportsIndex):
        return index(value)
    return float(value) if math.isfinite(value) else None
