"""What a learner shows that the recorded tasks had not, and what speaks of it beside its curve."""

import inspect
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

from torch import nn

from lrsuggest.curves.doubts import Seen
from lrsuggest.errors import LrsuggestWarning, UserError
from lrsuggest.training.detection import outside, positive
from lrsuggest.training.functions import names_in
from lrsuggest.training.object_graph import walk

if TYPE_CHECKING:
    from lrsuggest.training.learner import Learner

# By the beginning of a name, in small letters.
_DROPS = {"droppath": "stochastic depth", "stochasticdepth": "stochastic depth"}
_DROPPING = {"stochastic_depth", "drop_path"}  # functions that do the same
_SHARES = ("drop_prob", "p", "drop_path", "drop_path_rate", "drop_rate", "stochastic_depth_prob")
_MIXES = {"mixup": "MixUp", "cutmix": "CutMix", "mixhandler": "mixed examples"}


def seen(learner: "Learner", told: str | None) -> Seen:
    """Return what a learner shows of itself; warn of weights that its optimizer leaves out.

    Args:
        learner: what is to be swept.
        told: the optimizer's name as the caller gave it.

    Raises:
        UserError: the optimizer is seen to be another than told.
    """
    layers, kind = learner.layers, learner.optimizer_kind
    if told and kind.name and "sgd" in (told, kind.name) and told != kind.name:
        raise UserError(
            f"optimizer={told!r} was given, but the learner's is "
            f"{type(learner.optimizer).__name__} ({kind.name!r}): leave optimizer out"
        )
    left = outside(learner.model, (p for group in learner.grouped() for p in group))
    if left:
        warnings.warn(
            f"trainable weights are in no group of the optimizer ({len(left)}, {left[0]} first): "
            "add them, or hold them with requires_grad_(False)",
            LrsuggestWarning,
            stacklevel=3,
        )
    return Seen(
        kind.unrecorded, layers.held, layers.all, learner.continued, tuple(left),
        tuple(learner.beside), loaded_from(learner.model),
    )  # fmt: skip


def loaded_from(model: nn.Module) -> str | None:
    """Return the name that a transformers model, or one within, was loaded by; None for none.

    A model that was made anew from the configuration of another has its name too.
    """
    for module in model.modules():
        config = vars(module).get("config")
        for name in (vars(module).get("name_or_path"), getattr(config, "_name_or_path", None)):
            if isinstance(name, str) and name:
                return name
    return None


@contextmanager
def gradients(learner: "Learner") -> Iterator[dict[str, bool]]:
    """Tell, once all is over, which of the weights that are to train got a gradient within.

    Yields:
        By the name of each weight of a group whose rate is not zero whether it has got one; empty
        until all is over.
    """
    names = {id(p): name for name, p in learner.model.named_parameters()}
    pairs = zip(learner.grouped(), learner.group_ratios(), strict=True)
    watched = {
        names.get(id(p), f"weight {index} beside the model"): p
        for index, p in enumerate(p for group, ratio in pairs if ratio > 0 for p in group)
        if p.requires_grad and p.is_leaf
    }
    got: set[str] = set()  # empty, so that whoever puts back what a sweep changes leaves it be
    bare = [p for p in watched.values() if getattr(p, "_post_accumulate_grad_hooks", 0) is None]

    def noting(name: str) -> Any:
        return lambda _: got.add(name)

    handles: list[Any] = []
    for name, p in watched.items():
        hang: Any = p.register_post_accumulate_grad_hook
        handles.append(hang(noting(name)))
    found: dict[str, bool] = {}
    try:
        yield found
        found.update((name, name in got) for name in watched)
    finally:
        for handle in handles:
            handle.remove()
        for p in bare:
            p._post_accumulate_grad_hooks = None  # type: ignore[assignment]


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
