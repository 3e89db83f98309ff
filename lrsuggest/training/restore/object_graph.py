"""What an object leads to: attributes, containers, closures and the globals that functions name.

Nobody knows the parts of what a person trains: a loss in a closure, an average in a hook, a
generator in the sampler of a dataset's subset. So everything that is reached from it is met, once.
"""

import dis
import functools
import sys
import threading
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from lrsuggest.training.restore.hooks import hooks_of
from lrsuggest.training.restore.private import TORCH

MOST_ITEMS = 10_000  # a longer container is met, but not what its items hold
_MOST_ITEMS_IN_ALL = 100_000  # of the containers in data and in what functions lead to

_LEAVES = frozenset({
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...),
    torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format,
    types.CodeType, types.GeneratorType, types.FrameType, types.TracebackType,
    weakref.ReferenceType, weakref.ProxyType, weakref.CallableProxyType,
})  # fmt: skip
_CLOSED = (
    TORCH.get("torch.utils.data.dataloader:_BaseDataLoaderIter"),
    types.ModuleType,
    np.generic,
    np.dtype,
)
_FUNCTIONS = (
    types.FunctionType, types.MethodType, types.BuiltinMethodType, functools.partial,
    functools._lru_cache_wrapper,
)  # fmt: skip
_OWN = (nn.Module, torch.optim.Optimizer)
_DATA = (Dataset, DataLoader)
STATE, LED, DATA = range(3)  # how something was reached
# Other objects of Python's own are closed.
_OPEN_STANDARD = {"argparse", "collections", "types"}
# What compiled code keeps for itself.
_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.fx", "torch.jit")
# What is a thread, a lock, a queue or a process is at work elsewhere too, and not for us to rewind;
# nor is a package's object that holds one (a logger, a study, a pool of connections).
_AT_WORK = {
    "threading", "_thread", "queue", "_queue", "socket", "_socket", "concurrent", "asyncio",
    "subprocess", "multiprocessing",
}  # fmt: skip
_CONTAINERS: tuple[Any, ...] = (OrderedDict, dict, list, tuple, set, frozenset, deque)
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)
_SHARED_VALUES = {"multiprocessing.sharedctypes", "multiprocessing.synchronize"}


def walk(
    *roots: object,
    data: Iterable[object] = (),
    closed: tuple[type, ...] = (),
    skip: Iterable[object] = (),
) -> Iterator[tuple[Any, int]]:
    """Yield everything reached from the roots once, and how it was reached.

    First comes what is state by itself (`STATE`), then what functions and samplers lead to
    (`LED`), then what datasets and loaders lead to, where a million examples may lie (`DATA`).
    Modules and optimizers are state wherever they lie, and so is what they hold.

    Args:
        roots: where to begin.
        data: roots too, examples from the beginning.
        closed: classes whose instances are neither met nor entered.
        skip: objects that are neither met nor entered.
    """
    closed = (*_CLOSED, *closed)
    # The objects too, so that no address is used twice.
    met: dict[int, object] = {id(each): each for each in skip}
    ahead: tuple[deque[Any], ...] = (deque(roots), deque(), deque(data))
    examples = {id(each) for each in ahead[DATA]}
    left = _MOST_ITEMS_IN_ALL
    while any(ahead):
        came = next(reach for reach, each in enumerate(ahead) if each)
        value = ahead[came].popleft() if came else ahead[came].pop()
        if type(value) in _LEAVES or id(value) in met or is_a(value, closed):
            continue
        reach = _reach(value, came, examples)
        if reach > came:  # its turn comes when all that is nearer has been met
            ahead[reach].append(value)
            continue
        met[id(value)] = value
        if is_a(value, (DataLoader, Sampler)):  # a plain list may be the dataset
            held = vars(value)
            examples |= {id(held[name]) for name in ("dataset", "data_source") if name in held}
        yield value, reach
        base = base_of(value)
        if base is not None:
            length = base.__len__(value)
            if reach != STATE:
                left -= length
            leads = items(value) if length <= MOST_ITEMS and left >= 0 else []
            leads += _attributes(value)
        else:
            leads = _held(value)
        ahead[reach].extend(leads)


def _reach(value: Any, came: int, examples: set[int]) -> int:
    """Return how something counts as reached, wherever it came from."""
    if is_a(value, _OWN):
        return STATE
    if is_a(value, Sampler):
        return LED
    if is_a(value, _DATA) or id(value) in examples:
        return DATA
    return max(came, LED) if is_a(value, _FUNCTIONS) else came


def is_a(value: Any, kinds: Any) -> bool:
    """Say whether an object is of some class, without asking the object, which may be lazy."""
    return issubclass(type(value), kinds)


def base_of(value: Any) -> Any:
    """Return Python's own class of a container, whose methods load, count and check nothing.

    None for what is no container.
    """
    return _base_of(type(value))  # type: ignore[arg-type]


@functools.lru_cache(4096)
def _base_of(kind: type) -> Any:
    return next((each for each in _CONTAINERS if issubclass(kind, each)), None)


def items(value: Any) -> list[Any]:
    """Return what a container holds, keys too."""
    base = base_of(value)
    if issubclass(base, dict):
        return [*base.keys(value), *base.values(value)]
    return list(base.__iter__(value))


def _held(value: Any) -> list[Any]:
    """Return what an object leads to that is no container."""
    if is_a(value, Tensor):
        return [value.grad if value.is_leaf else None, *hooks_of(value), *_attributes(value)]
    if is_a(value, np.ndarray):
        return list(value.flat) if value.dtype == object and value.size <= MOST_ITEMS else []
    if is_a(value, types.FunctionType):
        return _function(value)
    if is_a(value, types.MethodType):
        return [value.__self__, value.__func__]
    if is_a(value, types.BuiltinMethodType):  # such as a list's append
        return [value.__self__]
    if is_a(value, functools.partial):
        return [value.func, value.args, value.keywords, value.__dict__]
    if is_a(value, functools._lru_cache_wrapper):
        return [value.__wrapped__]
    if is_a(value, types.CellType):
        return [] if empty(value) else [value.cell_contents]
    if is_a(value, property):
        return [value.fget, value.fset]
    if is_a(value, (staticmethod, classmethod)):
        return [value.__func__]
    if is_a(value, types.MappingProxyType):
        return list(value.values())
    if is_a(value, type):
        if not is_own(value):
            return []
        methods = [each for each in vars(value).values() if isinstance(each, types.FunctionType)]
        return [*of_class(value).values(), *methods]  # those with two underscores too
    if type(value).__module__ == "multiprocessing.sharedctypes":
        return [getattr(value, "_obj", None)]
    return _attributes(value)


def _function(function: types.FunctionType) -> list[Any]:
    """Return what a function leads to: closure, defaults, and the globals that its code names."""
    if function.__globals__.get("__name__", "").startswith(_COMPILERS):
        return []
    held: list[Any] = [*(function.__closure__ or ()), function.__defaults__]
    held += [function.__kwdefaults__, function.__dict__]
    for space, names in namespaces(function):
        held += [space[name] for name in names if name in space]
    return held


def namespaces(function: types.FunctionType) -> list[tuple[dict[str, Any], set[str]]]:
    """Return the globals of a person's own function, and of modules of theirs that it names.

    Each with the names in its code. A package's functions are not followed there.
    """
    space = function.__globals__
    if _installed(space.get("__name__", "")):
        return []
    named, names = _names(function.__code__)
    found = [(space, set(named))]
    for name in named:
        module = space.get(name)
        if isinstance(module, types.ModuleType) and not _installed(module.__name__):
            found.append((vars(module), set(names)))
    return found


@functools.lru_cache(4096)
def _names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the globals that some code names, and all names in it, functions within included."""
    made = dis.get_instructions(code)
    named = {each.argval for each in made if each.opname.endswith(("_GLOBAL", "_NAME"))}
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            within = _names(constant)
            named |= within[0]
            names |= within[1]
    return frozenset(named), frozenset(names)


def empty(cell: types.CellType) -> bool:
    """Say whether a closure's variable has no value."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def is_own(kind: type) -> bool:
    """Say whether a class is a person's own, not Python's or a package's."""
    return not _installed(kind.__module__)


def of_class(kind: type) -> dict[str, Any]:
    """Return what a class of a person's own holds itself, names with two underscores left out."""
    return {name: each for name, each in vars(kind).items() if not name.startswith("__")}


@functools.lru_cache(4096)
def _installed(module: str) -> bool:
    """Say whether a module is Python's, a package's or ours."""
    if module.partition(".")[0] in {*sys.stdlib_module_names, "builtins", "lrsuggest"}:
        return True
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _attributes(value: Any) -> list[Any]:
    """Return an object's attributes, and its class where that is a person's own."""
    held: list[Any] = [attributes(value)]
    held += [slot.__get__(value) for slot in slots(value) if filled(value, slot)]
    held += [kind for kind in type(value).__mro__ if is_own(kind)]
    if is_a(value, torch.jit.ScriptModule):  # which keeps them in compiled code
        held += [*value.parameters(), *value.buffers()]
    return held


def attributes(value: Any) -> dict[str, Any] | None:
    """Return an object's own `__dict__`; None where it has none, or is not to be entered."""
    if not is_entered(type(value)):  # type: ignore[arg-type]
        return None
    place = _place_of_attributes(type(value))  # type: ignore[arg-type]
    if place is None or _at_work(type(value)):  # type: ignore[arg-type]
        return None
    held: dict[str, Any] = place.__get__(value)
    # What takes part in training stays, but for the thread alone; a person's own object too, as
    # long as its thread does not live.
    if is_a(value, (*_OWN, *_DATA, Sampler)):
        return held
    if is_own(type(value)):
        return None if any(lives(each) for each in held.values()) else held
    if any(_at_work(type(each)) for each in held.values()):  # type: ignore[arg-type]
        return None
    return held


def lives(value: Any) -> bool:
    """Say whether something is a thread that runs."""
    return is_a(value, threading.Thread) and value.is_alive()


@functools.lru_cache(4096)
def _place_of_attributes(kind: type) -> Any:
    """Return the descriptor of a class's `__dict__`; None where there is none, or its own."""
    found = (vars(each)["__dict__"] for each in kind.__mro__ if "__dict__" in vars(each))
    place = next(found, None)
    return place if isinstance(place, _DESCRIPTORS) else None


def slots(value: Any) -> list[types.MemberDescriptorType]:
    """Return the descriptors of an object's slots."""
    return _slots(type(value))  # type: ignore[arg-type]


@functools.lru_cache(4096)
def _slots(kind: type) -> list[types.MemberDescriptorType]:
    if not is_entered(kind):
        return []
    return [
        each
        for above in kind.__mro__
        if "__slots__" in vars(above)
        for each in vars(above).values()
        if isinstance(each, types.MemberDescriptorType)
    ]


def filled(value: Any, slot: types.MemberDescriptorType) -> bool:
    """Say whether an object has something in a slot."""
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


@functools.lru_cache(4096)
def is_entered(kind: type) -> bool:
    """Say whether objects of a class are entered by their attributes."""
    if issubclass(kind, type):
        return False
    home = kind.__module__.partition(".")[0]
    if home in sys.stdlib_module_names and home not in _OPEN_STANDARD:
        return False
    return issubclass(kind, nn.Module) or not kind.__module__.startswith(_COMPILERS)


@functools.lru_cache(4096)
def _at_work(kind: type) -> bool:
    """Say whether objects of a class are threads, queues, processes or their like."""
    return any(
        each.__module__.partition(".")[0] in _AT_WORK and each.__module__ not in _SHARED_VALUES
        for each in kind.__mro__
    )
