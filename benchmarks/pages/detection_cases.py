"""The cases of the page of detection: real objects whose truth is known by how they were made.

A case hands what it has made to a function that looks, so that whatever holds a scheduler is still
at work meanwhile. Its truth names all that is asked; what is not in it is nothing: there silence is
right, and any answer wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from detection_models import (
    BRIEFLY,
    FIRST,
    REAL,
    SECOND,
    WITHOUT_NORMS,
    Network,
    body_of,
    fit,
    hold,
    loaded,
    loss_of,
)
from torch import nn

from lrsuggest import Learner

ADAMW = partial(torch.optim.AdamW, lr=1e-3)
Looks = Callable[..., None]


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        name: what was made.
        framework: whose object it is.
        truth: what is true of it, by question.
        run: makes it and hands it to a function that looks at it, with what the caller would say.
        second: whether it is of the list that nothing was worked out on.
    """

    name: str
    framework: str
    truth: dict[str, Any]
    run: Callable[[Looks], None]
    second: bool = False


def learner(network: Network, model: nn.Module, optimizer: Any, **settings: Any) -> Learner:
    """Wrap a network as a Learner."""
    return Learner(
        model, batches=network.batches(), optimizer=optimizer, forward=loss_of, **settings
    )


def fresh(network: Network, look: Looks) -> None:
    """A new network."""
    torch.manual_seed(0)
    model = network.make().train()
    look(learner(network, model, ADAMW(model.parameters())))


def new_head(network: Network, look: Looks) -> None:
    """A trained body under a new head, all trainable."""
    model = loaded(network)
    look(learner(network, model, ADAMW(model.parameters())))


def held_body(network: Network, look: Looks) -> None:
    """A trained body that is held, under a new head."""
    model = loaded(network)
    hold(body_of(model, network.head))
    look(learner(network, model, ADAMW(model.parameters())))


def half_held(network: Network, look: Looks) -> None:
    """A trained body of whose weights six in ten are held."""
    model = loaded(network)
    body = body_of(model, network.head)
    hold(body[: len(body) * 6 // 10])
    look(learner(network, model, ADAMW(model.parameters())))


def unfrozen(
    network: Network, look: Looks, *, keeps: bool = False, clears: bool = False, **told: Any
) -> None:
    """Train a head, then let all train: with the same optimizer or a new one."""
    model = loaded(network)
    hold(body_of(model, network.head))
    optimizer = ADAMW(model.parameters())
    fit(model, network.batches(), optimizer, 20, clears=clears)
    hold(body_of(model, network.head), False)
    look(learner(network, model, optimizer if keeps else ADAMW(model.parameters())), **told)


def scratch_going_on(
    network: Network, look: Looks, *, keeps: bool = False, clears: bool = False
) -> None:
    """A new network after 20 steps, with the same optimizer or a new one."""
    torch.manual_seed(0)
    model = network.make().train()
    optimizer = ADAMW(model.parameters())
    fit(model, network.batches(), optimizer, 20, clears=clears)
    look(learner(network, model, optimizer if keeps else ADAMW(model.parameters())))


def finetune_going_on(
    network: Network, look: Looks, *, keeps: bool = False, clears: bool = False
) -> None:
    """A trained body and a new head after 20 steps of both."""
    model = loaded(network)
    optimizer = ADAMW(model.parameters())
    fit(model, network.batches(), optimizer, 20, clears=clears)
    look(learner(network, model, optimizer if keeps else ADAMW(model.parameters())))


STATES: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "new": (fresh, {"stage": "scratch"}),
    "trained body, new head": (new_head, {"stage": "finetune"}),
    "trained body held, new head": (held_body, {"stage": "frozen"}),
    "trained body half held": (half_held, {}),
    "unfrozen, same optimizer": (
        partial(unfrozen, keeps=True), {"stage": "unfrozen", "continued": True},
    ),
    "unfrozen, new optimizer": (unfrozen, {"stage": "unfrozen", "continued": True}),
    "unfrozen, new optimizer, gradients cleared": (
        partial(unfrozen, clears=True), {"stage": "unfrozen", "continued": True},
    ),
    "unfrozen, new optimizer, gradients cleared, told previous=1e-3": (
        partial(unfrozen, clears=True, previous=1e-3), {"stage": "unfrozen", "continued": True},
    ),
    "from scratch, in its middle": (
        partial(scratch_going_on, keeps=True), {"stage": "scratch", "continued": True},
    ),
    "from scratch, going on with a new optimizer": (
        scratch_going_on, {"stage": "scratch", "continued": True},
    ),
    "finetuned, in its middle": (
        partial(finetune_going_on, keeps=True), {"stage": "finetune", "continued": True},
    ),
    "finetuned, going on with a new optimizer": (
        finetune_going_on, {"stage": "finetune", "continued": True},
    ),
    "from scratch, going on with a new optimizer, gradients cleared": (
        partial(scratch_going_on, clears=True), {"stage": "scratch", "continued": True},
    ),
    "finetuned, going on with a new optimizer, gradients cleared": (
        partial(finetune_going_on, clears=True), {"stage": "finetune", "continued": True},
    ),
}  # fmt: skip
_MOST = tuple(STATES)[:12]
_BRIEF = tuple(STATES)[:4]
_HEADLESS = ("new", "trained body, new head", "from scratch, in its middle",
             "finetuned, in its middle")  # fmt: skip


def of_network(network: Network, states: Sequence[str], second: bool = False) -> list[Case]:
    """Return a network's cases in the states; one that keeps its head has few."""
    wanted = states if network.head else [each for each in states if each in _HEADLESS]
    return [
        Case(
            f"{network.name}: {state if network.head else state.replace('new head', 'its head')}",
            "lrsuggest",
            {"optimizer": "adamw", **STATES[state][1]},
            partial(STATES[state][0], network),
            second,
        )
        for state in wanted
    ]


def networks() -> list[Case]:
    """Return the cases of all networks as our Learner."""
    more = (
        *_BRIEF, "unfrozen, same optimizer", "from scratch, in its middle",
        "unfrozen, new optimizer", "from scratch, going on with a new optimizer",
        "finetuned, going on with a new optimizer",
    )  # fmt: skip
    return [
        *(case for each in FIRST for case in of_network(each, _MOST)),
        *(case for each in REAL for case in of_network(each, tuple(STATES))),
        *(case for each in BRIEFLY for case in of_network(each, _BRIEF)),
        *(case for each in WITHOUT_NORMS for case in of_network(each, _BRIEF)),
        *(case for each in SECOND for case in of_network(each, more, True)),
    ]
