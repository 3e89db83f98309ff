"""Methods of training that no recorded task had: MixUp, CutMix, stochastic depth, LayerDrop."""

import inspect
from collections import UserDict
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from lrsuggest.training.inspection.bytecode import code_of, names_in
from lrsuggest.training.inspection.history import positive
from lrsuggest.training.restore.attributes import own
from lrsuggest.training.restore.object_graph import walk

# Within a name, in small letters and without underscores.
_DROPS = ("droppath", "stochasticdepth", "stochdepth")
_DROPPING = {"stochastic_depth", "drop_path"}  # functions that do the same
_SHARES = ("drop_prob", "p", "drop_path", "drop_path_rate", "drop_rate", "stochastic_depth_prob")
_KEEPS = ("surviv", "keep")  # shares of what is kept
_MIXES = {"mixup": "MixUp", "cutmix": "CutMix", "mixhandler": "mixed examples"}


def beside(model: nn.Module, *roots: object, data: Iterable[object] = (), **how: Any) -> list[str]:
    """Return the methods of training, by name, that no recorded task had: MixUp, drop path.

    Args:
        model: the model.
        roots: what else takes part, such as the loss.
        data: loaders, whose collation may mix examples.
        how: of the walk through them (see `walk`).
    """
    found: set[str] = set()
    modules = list(model.modules())
    if any(map(_drops_layers, modules)) or any(map(_drops_in_code, (*modules, *roots))):
        found.add("stochastic depth")
    if any(map(_leaves_layers_out, modules)):
        found.add("LayerDrop")
    for each, _ in walk(model, *roots, data=data, **how):
        found |= mixes(each)
    return sorted(found)


def _name(module: nn.Module) -> str:
    """Return the name of a module's class, before it was scripted if it was."""
    scripted = isinstance(module, torch.jit.ScriptModule)
    return _small(str(module.original_name) if scripted else type(module).__name__)


def _small(name: str) -> str:
    return name.lower().replace("_", "")


def _drops_layers(module: nn.Module) -> bool:
    """Whether a module of such a name drops anything: by its share, else by any number it has."""
    if not any(kind in _name(module) for kind in _DROPS):
        return False
    held = dict(_numbers(module))
    shares = [held[name] for name in _SHARES if name in held]
    keeps = [each for name, each in held.items() if any(part in name.lower() for part in _KEEPS)]
    if shares or keeps:
        return any(map(positive, shares)) or any(map(_below_one, keeps))
    return any(map(positive, held.values()))


def _numbers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield a module's own numbers by name, lists and tensors of them too."""
    if isinstance(module, torch.jit.ScriptModule):
        held = {name: getattr(module, name, None) for name in (*_SHARES, "survival_prob")}
    else:
        held = {**own(module).get("_buffers", {}), **own(module)}
    for name, each in held.items():
        number = isinstance(each, int | float | Tensor | list | tuple)
        if number and not isinstance(each, bool) and not name.startswith("_"):
            yield name, each


def _below_one(kept: Any) -> bool:
    if isinstance(kept, list | tuple):
        return any(map(_below_one, kept))
    return (
        bool((torch.as_tensor(kept) < 1).any()) if isinstance(kept, int | float | Tensor) else False
    )


def _drops_in_code(thing: object) -> bool:
    """Whether a module's forward, or a function, calls stochastic depth by its name.

    A module of that name tells by itself, and so does a share that is zero.
    """
    module = isinstance(thing, nn.Module)
    held = own(thing) if module else {}
    code = code_of(inspect.getattr_static(type(thing), "forward", None) if module else thing)
    if code is None or any(kind in _small(type(thing).__name__) for kind in _DROPS):
        return False
    named = _DROPPING & set(names_in(code))
    if not named - held.get("_modules", {}).keys() - held.keys():
        return any(positive(held.get(name)) for name in named)
    shares = [held[name] for name in _SHARES if isinstance(held.get(name), int | float)]
    return not shares or any(map(positive, shares))


def _leaves_layers_out(module: nn.Module) -> bool:
    """Whether a module, or its configuration, leaves out whole layers at random."""
    held = own(module)
    return any(
        isinstance(name, str) and "layerdrop" in _small(name) and positive(value)
        for each in (held, held.get("_buffers", {}), *_settings(held.get("config")))
        for name, value in (dict.items(each) if isinstance(each, dict) else ())
    )


def _settings(config: Any) -> list[Any]:
    """Return what a configuration holds by name: its items, its attributes."""
    items = own(config).get("data") if isinstance(config, UserDict) else config
    return [items, own(config)]


def passed_over(callbacks: Iterable[object], hooks: Iterable[str], library: str) -> list[str]:
    """Return the callbacks that take part in a step of training and that a range test leaves out.

    Args:
        callbacks: a framework's.
        hooks: the methods that it calls within a step.
        library: the framework's package, whose own callbacks are known.
    """
    found = set[str]()
    for each in callbacks:
        own_kinds = [
            kind
            for kind in type(each).__mro__[:-1]
            if kind.__module__.partition(".")[0] not in (library, "lightning_fabric")
        ]
        if any(hook in vars(kind) for kind in own_kinds for hook in hooks):
            found.add(f"the callback {type(each).__name__}, which a sweep leaves out")
    return sorted(found)


def mixes(thing: object) -> set[str]:
    """Return what mixes examples: the name of a function or class such as MixUp, in a set."""
    called = (
        [thing.__name__]
        if isinstance(thing, FunctionType)
        else [kind.__name__ for kind in type(thing).__mro__]
    )
    for name in called:
        for key, said in _MIXES.items():
            if key in _small(name):
                return {said}
    return set()
