"""Methods of training that no recorded task had: MixUp, CutMix, stochastic depth, LayerDrop."""

import inspect
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from torch import nn

from lrsuggest.training.inspection.bytecode import names_in
from lrsuggest.training.inspection.detection import positive
from lrsuggest.training.restore.object_graph import walk

# By the beginning of a name, in small letters.
_DROPS = {"droppath": "stochastic depth", "stochasticdepth": "stochastic depth"}
_DROPPING = {"stochastic_depth", "drop_path"}  # functions that do the same
_SHARES = ("drop_prob", "p", "drop_path", "drop_path_rate", "drop_rate", "stochastic_depth_prob")
_MIXES = {"mixup": "MixUp", "cutmix": "CutMix", "mixhandler": "mixed examples"}


def beside(model: nn.Module, *roots: object, data: Iterable[object] = (), **how: Any) -> list[str]:
    """Return the methods of training, by name, that no recorded task had: MixUp, drop path.

    Args:
        model: the model.
        roots: what else takes part, such as the loss.
        data: loaders, whose collation may mix examples.
        how: of the walk through them (see `walk`).
    """
    found = {
        _DROPS[kind]
        for module in model.modules()
        for kind in _DROPS
        if kind in type(module).__name__.lower()
        and any(positive(getattr(module, name, None)) for name in ("drop_prob", "p"))
    }
    if any(map(_drops_in_code, (*model.modules(), *roots))):
        found.add("stochastic depth")
    if any(map(_leaves_layers_out, model.modules())):
        found.add("LayerDrop")
    for each, _ in walk(model, *roots, data=data, **how):
        found |= mixes(each)
    return sorted(found)


def _drops_in_code(thing: object) -> bool:
    """Whether a module's forward, or a function, calls stochastic depth by its name.

    A module of that name tells by itself, and so does a share that is zero.
    """
    own = vars(thing) if isinstance(thing, nn.Module) else {}
    function = type(thing).forward if isinstance(thing, nn.Module) else thing
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is None or any(kind in type(thing).__name__.lower() for kind in _DROPS):
        return False
    named = _DROPPING & set(names_in(code))
    if not named - own.get("_modules", {}).keys() - own.keys():
        return any(positive(own.get(name)) for name in named)
    shares = [own[name] for name in _SHARES if isinstance(own.get(name), int | float)]
    return not shares or any(map(positive, shares))


def _leaves_layers_out(module: nn.Module) -> bool:
    """Whether a module, or its configuration, leaves out whole layers at random."""
    held = (vars(module), getattr(vars(module).get("config"), "__dict__", {}))
    return any(
        "layerdrop" in name.lower().replace("_", "") and positive(value)
        for each in held
        for name, value in each.items()
    )


def mixes(thing: object) -> set[str]:
    """Return what mixes examples: the name of a function or class such as MixUp, in a set."""
    called = (
        [thing.__name__]
        if isinstance(thing, FunctionType)
        else [kind.__name__ for kind in type(thing).__mro__]
    )
    for name in called:
        for key, said in _MIXES.items():
            if name.lower().replace("_", "").startswith(key):
                return {said}
    return set()
