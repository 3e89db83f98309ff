"""All that can be reached from an object, as comparable values by path."""

import collections
import enum
import hashlib
import random
import types
import weakref

import numpy as np
import torch

_PLAIN = (type(None), bool, int, str, bytes, enum.Enum, torch.dtype, torch.device, range, slice)
_NAMED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, torch.Size)
_WEAK = (weakref.ref, *weakref.ProxyTypes)


def _key(key):
    if isinstance(key, torch.Tensor):
        return f"tensor at {key.data_ptr():x}"
    return repr(key) if isinstance(key, (*_PLAIN, float, tuple)) else f"{type(key)} {id(key)}"


def _digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _tensor(tensor):
    """Where a tensor lies, what is in it, and whether it trains."""
    held = tensor.detach().cpu().contiguous().reshape(-1)
    bits = held.view(torch.uint8) if held.numel() else held
    return (
        tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype), str(tensor.device),
        tensor.requires_grad, _digest(bits.numpy()),
    )  # fmt: skip


def random_states():
    """The random states of the process."""
    states = {
        "python": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],
        "torch": _tensor(torch.get_rng_state())[1:],
    }
    if torch.cuda.is_initialized():
        states["cuda"] = [_tensor(state)[1:] for state in torch.cuda.get_rng_state_all()]
    return states


def everything(*roots, ignore=()):
    """Every value reachable from the roots, by path, and the process's random states.

    Attributes (never properties), containers, tensors with their address and gradient, arrays and
    generators; an object met before stands as the path it was met at. `ignore`: attribute names
    or keys not to follow.
    """
    found = {("random", name): state for name, state in random_states().items()}
    met: dict[int, tuple] = {}
    todo = collections.deque(((type(root).__name__, str(i)), root) for i, root in enumerate(roots))
    alive = []  # else an address could be used twice
    while todo:
        path, value = todo.pop()
        if isinstance(value, _PLAIN):
            found[path] = value
            continue
        if isinstance(value, float | complex):
            found[path] = repr(value)
            continue
        if isinstance(value, _NAMED):
            found[path] = getattr(value, "__qualname__", None) or repr(value)
            continue
        if type(value) in _WEAK:
            found[path] = type(value).__name__
            continue
        if isinstance(value, types.MethodType):
            found[path] = value.__func__.__qualname__
            todo.append(((*path, "self"), value.__self__))
            continue
        if id(value) in met:
            found[path] = ("same as", met[id(value)])
            continue
        met[id(value)] = path
        alive.append(value)
        found[path] = type(value).__qualname__
        if isinstance(value, torch.Tensor):
            found[path] = _tensor(value)
            if value.is_leaf:
                todo.append(((*path, "grad"), value.grad))
            continue
        if isinstance(value, np.ndarray) and value.dtype != object:
            found[path] = (value.shape, str(value.dtype), _digest(value))
            continue
        if isinstance(value, torch.Generator):
            found[path] = _tensor(value.get_state())[1:]
            continue
        if isinstance(value, random.Random):
            found[path] = value.getstate()
            continue
        if isinstance(value, np.random.Generator):
            found[path] = str(value.bit_generator.state)
            continue
        parts = []
        if isinstance(value, dict | types.MappingProxyType):
            found[path] = (type(value).__qualname__, tuple(_key(key) for key in value))
            parts += [(_key(key), each) for key, each in value.items() if key not in ignore]
        elif isinstance(value, list | tuple | collections.deque):
            found[path] = (type(value).__qualname__, len(value))
            parts += list(enumerate(value))
        elif isinstance(value, set | frozenset):
            found[path] = sorted(_key(each) for each in value)
        held = dict(getattr(value, "__dict__", {}))
        for kind in type(value).__mro__:
            for name in kind.__dict__.get("__slots__", ()):
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    held[name] = getattr(value, name)
        parts += [(f".{name}", each) for name, each in held.items() if name not in ignore]
        todo.extend(((*path, str(name)), each) for name, each in parts)
    return found


def changes(before, after):
    """The paths at which two of them differ, each with both values."""
    return [
        f"{'/'.join(path)}: {before.get(path, 'absent')!r} -> {after.get(path, 'absent')!r}"
        for path in sorted({*before, *after})
        if before.get(path, "absent") != after.get(path, "absent")
    ]
