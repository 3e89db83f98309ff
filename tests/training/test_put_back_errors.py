"""Everything is put back after an error too, and what cannot be is told."""

import random

import numpy as np
import pytest
from helpers import make_learner
from putting_back import bits, in_a_closure, train, with_loss
from torch.nn import functional as F

from lrsuggest import lr_find


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_one_part_that_fails_does_not_keep_the_rest_from_being_put_back(error):
    learner = make_learner()
    train(learner)
    before = bits(learner.model.state_dict())
    rate, random_state = learner.lr, random.getstate()
    locked = np.zeros(3)
    learner.model.locked = locked

    def loss(output, target):
        random.random()
        locked.flags.writeable = True
        locked[0] += 1
        locked.flags.writeable = False
        if error and locked[0] == 5:
            raise error("in the middle")
        return F.cross_entropy(output, target)

    learner.loss_fn = loss
    with pytest.raises(error or RuntimeError) as caught:
        lr_find(learner, num_iter=25)
    said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert "1 of the parts that a sweep may move could not be put back" in said
    assert "read-only" in said
    assert bits(learner.model.state_dict()) == before
    assert learner.lr == rate
    assert random.getstate() == random_state


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["forward", "loss", "loader", "hook", "optimizer"])
def test_also_after_an_exception_anywhere(where, error):
    learner, state = with_loss(in_a_closure)
    train(learner)
    before, weights = bits(state()), bits(learner.model.state_dict())
    left = [5]

    def trip(*_, **__):
        left[0] -= 1
        if not left[0]:
            raise error("in the middle")

    if where == "forward":
        learner.model.register_forward_hook(trip)
    elif where == "loss":
        margin = learner.loss_fn
        learner.loss_fn = lambda output, target: (trip(), margin(output, target))[1]
    elif where == "loader":
        collate = learner.batches.collate_fn
        learner.batches.collate_fn = lambda items: (trip(), collate(items))[1]
    elif where == "hook":
        learner.model[0].weight.register_hook(trip)
    else:
        learner.optimizer.register_step_pre_hook(trip)
    with pytest.raises(error, match="in the middle"):
        lr_find(learner, num_iter=25)
    assert bits(state()) == before
    assert bits(learner.model.state_dict()) == weights
    assert left == [5]


def test_an_interrupt_while_all_is_put_back_is_heard_when_it_has_been():
    from lrsuggest.training.snapshot import Snapshot

    learner = make_learner()
    before = bits(learner.model.state_dict())
    snapshot = Snapshot(learner)
    calls = iter([True])

    def interrupt():
        if next(calls, False):
            raise KeyboardInterrupt

    snapshot._kept._structure.insert(3, ("signal", interrupt))
    train(learner)
    with pytest.raises(KeyboardInterrupt):
        snapshot.restore()
    assert bits(learner.model.state_dict()) == before
    assert not learner.optimizer.state
