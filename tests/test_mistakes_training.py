"""What cannot train is told in one sentence before it does, and nothing of it is changed."""

import functools
import pathlib
from queue import SimpleQueue

import pytest
import torch
from helpers import make_learner
from refusals import refused
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from untrainable import CROSS, DATA, LOADER, X, Y, make, net, unmoved

from lrsuggest import Learner, RangeTest, UserError, fit_one_cycle, lr_find, suggest_lr

pytestmark = pytest.mark.usefixtures("one_thread")


class SharpnessAware(torch.optim.Optimizer):
    """Two steps, as the published wrapper takes them."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def first_step(self):
        """Climb."""

    def second_step(self):
        """Descend."""

    def step(self, closure=None):
        assert closure is not None, "it requires closure, but it was not provided"


class AsksLate(torch.optim.SGD):
    """Its signature does not tell that it needs a closure."""

    def step(self, closure=None):
        assert closure is not None, "give a closure"


class Named(torch.optim.SGD):
    def step(self, evaluate, *, twice=False):
        evaluate()


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (torch.optim.LBFGS, "LBFGS needs a closure for its step, which a range test does not"),
        (lambda p: SharpnessAware(p, 0.1), "SharpnessAware needs a closure"),
        (lambda p: Named(p, 0.1), "Named needs a closure"),
        (lambda p: [torch.optim.SGD([each], 0.1) for each in p], "got a list of 4: a range test "
         "sweeps one; make one with a parameter group for each"),
        (lambda p: {"a": torch.optim.SGD(p, 0.1)}, "got a dict of 1: a range test sweeps one"),
        (lambda p: None, "optimizer must be a torch optimizer; got None: make one, such as"),
        (lambda p: torch.optim.AdamW, "got the class AdamW: make one, such as"),
        (lambda p: "adamw", "got 'adamw': make one, such as"),
        (lambda p: functools.partial(torch.optim.AdamW, lr=1e-3), "got a partial: make one"),
        (lambda p: list(p), "got a list of 4: a range test sweeps one"),
        (lambda p: torch.optim.lr_scheduler.StepLR(torch.optim.SGD(p, 0.1), 3),
         r"got a StepLR: that is a scheduler; .* scheduler\.optimizer"),
    ],
)  # fmt: skip
def test_an_optimizer_that_cannot_step_by_itself(optimizer, says):
    refused(says, make, optimizer=optimizer)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Rprop", "ASGD",
                                  "NAdam", "RAdam", "Adamax", "Adadelta"])  # fmt: skip
def test_every_other_optimizer_of_torchs_is_swept(kind):
    learner = make(optimizer=functools.partial(getattr(torch.optim, kind), lr=1e-3))
    assert len(suggest_lr(learner, sweep=RangeTest(num_iter=12)).curve) > 0


def test_one_that_tells_only_when_it_steps():
    said = unmoved(make(optimizer=lambda p: AsksLate(p, 0.1)), "AsksLate fails to step without a")
    assert "give a closure" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": nn.Linear}, r"got the class Linear: make one, Linear\(\.\.\.\)"),
        ({"model": [net(), net()]}, "got a list of 2: put them into one"),
        ({"model": "resnet"}, "model must be a torch module; got 'resnet'"),
        ({"model": lambda x: x}, "model must be a torch module; got a function"),
        ({"model": nn.ReLU()}, "the model has no parameters"),
        ({"model": nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())}, r"6 weights|0.weight, "),
        ({"loss_fn": nn.CrossEntropyLoss}, r"loss_fn is the class CrossEntropyLoss.* make one"),
        ({"loss_fn": "mse"}, "loss_fn must be a function, .*; got 'mse'"),
        ({"forward": 3}, "forward must be a function"),
        ({"batches": None}, "batches must give batches; got None"),
        ({"batches": DATA}, "batches is a TensorDataset, which gives single examples: give Data"),
        ({"valid": DATA}, "valid is a TensorDataset, which gives single examples"),
        ({"batches": X}, "batches must give batches of .*; got a Tensor of shape"),
        ({"batches": X.numpy()}, "got an? ndarray of shape"),
        ({"batches": "data/train"}, "got 'data/train'"),
        ({"batches": pathlib.Path("data")}, "got data: give DataLoader"),
        ({"batches": {"train": LOADER}}, "got .*: give DataLoader"),
        ({"batches": DataLoader}, "got the class DataLoader"),
        ({"batches": 3}, "batches must give batches; got 3"),
        ({"batches": zip(X, Y, strict=True)}, "batches is a one-shot zip"),
        ({"batches": iter(LOADER)}, "batches is a one-shot _SingleProcessDataLoaderIter"),
        ({"valid": (b for b in LOADER)}, "valid is a one-shot generator"),
        ({"total_steps": 1e5}, "got 100000.0: write 100000"),
        ({"total_steps": 0}, "total_steps must be a whole number of at least 1, or None; got 0"),
        ({"batch_size": "32"}, "got '32': write 32"),
        ({"accumulate_steps": 2.0}, "got 2.0: write 2"),
        ({"max_grad_norm": "1"}, "max_grad_norm must be positive, or None; got '1'"),
        ({"precision": torch.bfloat16}, "precision must be fp32, bf16 or fp16"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here: give 'cpu'"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_learner(settings, says):
    given = {"model": net(), "loss_fn": CROSS, "batches": LOADER} | settings
    optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
    refused(says, Learner, optimizer=optimizer, **given)


class Streamed(IterableDataset):
    def __iter__(self):
        yield from LOADER


def test_an_iterable_dataset_is_told_its_loader():
    refused(
        "a dataset: .* with batch_size=None if it gives whole batches", make, batches=Streamed()
    )
    assert len(
        suggest_lr(
            make(batches=DataLoader(Streamed(), batch_size=None)), sweep=RangeTest(num_iter=12)
        ).curve
    )


def freeze(learner):
    for p in learner.model.parameters():
        p.requires_grad_(False)
    return learner


@pytest.mark.parametrize("call", [suggest_lr, functools.partial(fit_one_cycle, lr=1e-3, steps=4)])
def test_where_nothing_can_train(call):
    unmoved(freeze(make()), "everything is frozen, so unfreeze what is to train", call)
    half = freeze(make())
    half.model[2].weight.requires_grad_(True)
    half.optimizer = torch.optim.SGD(half.model[0].parameters(), lr=0.1)
    unmoved(half, "no weight in the SGD trains .* make it over those of the model that do", call)
    with torch.no_grad():
        unmoved(make(), r"within torch.no_grad\(\): call this outside", call)
    learner = make()
    with torch.inference_mode():
        unmoved(learner, r"within torch.inference_mode\(\): call this outside", call)
    suggest_lr(learner, sweep=RangeTest(num_iter=12))


class AsksInWorker(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        try:
            suggest_lr(make(), sweep=RangeTest(num_iter=12))
        except UserError as error:
            return str(error)


def test_in_a_loaders_worker():
    (told,) = next(iter(DataLoader(AsksInWorker(), batch_size=1, num_workers=1)))
    assert "a DataLoader's worker process, where nothing trains" in told


def test_an_optimizer_of_another_copy():
    learner = make()
    learner.optimizer = torch.optim.AdamW(net().parameters(), lr=1e-3)
    unmoved(learner, "none of the weights in the AdamW is the model's, .* another copy")


class WithCentres(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(2, 2))

    def forward(self, output, target):
        return CROSS(output @ self.centres, target)


def test_an_optimizer_of_what_the_loss_is_made_with_is_none():
    """Only the loss trains: a fixed body under learnt centres, or a head within forward."""
    loss, head = WithCentres(), nn.Linear(2, 2)
    heads = {"a": [head]}
    for settings, part in (
        ({"loss_fn": loss}, loss),
        ({"loss_fn": lambda o, t: loss(o, t)}, loss),
        ({"loss_fn": functools.partial(lambda inner, o, t: inner(o, t), loss)}, loss),
        ({"forward": lambda m, b: CROSS(head(m(b[0])), b[1])}, head),
        ({"forward": lambda m, b: CROSS(heads["a"][0](m(b[0])), b[1])}, head),
    ):
        learner = freeze(make(**settings))
        learner.optimizer = torch.optim.SGD(part.parameters(), lr=0.1)
        assert len(suggest_lr(learner, sweep=RangeTest(num_iter=12)).curve) > 0


def broken(output, target):
    raise RuntimeError("my own bug")


def test_a_bug_of_ones_own_keeps_its_place_and_kind():
    with pytest.raises(RuntimeError, match="my own bug") as told:
        suggest_lr(make(loss_fn=broken))
    assert isinstance(told.value, UserError)
    assert "test_mistakes_training.py, line" in str(told.value)
    assert type(told.value.__cause__) is RuntimeError
    assert told.value.__cause__.__traceback__ is not None

    def stops(output, target):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suggest_lr(make(loss_fn=stops))

    def full(output, target):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        suggest_lr(make(loss_fn=full))


def test_what_trains_takes_a_learner_then_a_rate():
    found, learner = suggest_lr(make_learner(), sweep=RangeTest(num_iter=60), seed=0), make()
    for rate in ("1e-3", None, True, [1e-3], -1, slice(None), slice("a", 1)):
        unmoved(learner, "must be positive and finite", fit_one_cycle, lr=rate)
    refused(r"fit_one_cycle\(learner, lr\) takes a Learner first", fit_one_cycle, found, learner)
    refused(r"takes a Learner first; got a Sequential: wrap", fit_one_cycle, learner.model, 1e-3)
    refused(r"lr_find\(learner\) takes a Learner first; got a Sequential", lr_find, learner.model)
    assert fit_one_cycle(learner, found, steps=4).lr.max() <= found


def test_a_group_added_in_the_middle_is_told_and_taken_back():
    learner = make()
    learner.model[0].weight.requires_grad_(False)
    learner.optimizer = torch.optim.SGD(learner.model[2].parameters(), lr=0.1)
    made = SimpleQueue()

    def unfreezes(optimizer, *_):
        made.put(1)
        if made.qsize() == 5:
            learner.model[0].weight.requires_grad_(True)
            optimizer.add_param_group({"params": [learner.model[0].weight]})

    learner.optimizer.register_step_post_hook(unfreezes)
    refused("has 2 parameter groups, and had 1 when this began", lr_find, learner)
    assert len(learner.optimizer.param_groups) == 1
    assert not learner.model[0].weight.requires_grad
