"""Mistakes that show only beyond the first look: at the rate, at `valid`, in a later step."""

import functools
from decimal import Decimal
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from helpers import make_learner
from refusals import CURVE, refused
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import (
    Curve,
    Learner,
    Probes,
    RangeTest,
    UserError,
    fit_one_cycle,
    lr_find,
    suggest_lr,
)
from lrsuggest.curves.arguments import number, whole
from lrsuggest.training.one_cycle import fit_constant

pytestmark = pytest.mark.usefixtures("one_thread")
CROSS = nn.functional.cross_entropy
FIT = functools.partial(fit_one_cycle, lr=1e-2, steps=10)
STAYS = functools.partial(fit_constant, lr=1e-2, steps=10)
PROBED = functools.partial(suggest_lr, probes=2, sweep=RangeTest(num_iter=30))


def untouched(learner, says, call, **settings):
    """Check that a call is refused and that weights, rates and random states are as before."""
    steps = SimpleQueue()
    learner.optimizer.register_step_post_hook(lambda *_: steps.put(1))
    weights = {name: each.clone() for name, each in learner.model.state_dict().items()}
    rates, state = [float(g["lr"]) for g in learner.optimizer.param_groups], torch.get_rng_state()
    said = refused(says, call, learner, **settings)
    for name, each in learner.model.state_dict().items():
        assert torch.equal(each, weights[name]), name
    assert [float(g["lr"]) for g in learner.optimizer.param_groups] == rates
    assert not learner.optimizer.state
    assert torch.equal(state, torch.get_rng_state())
    assert all(each.grad is None for each in learner.model.parameters())
    return said, steps.qsize()


class Warmup(torch.optim.Adam):
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = 3e-4
        above = torch.optim.Adam.step
        # Once an Adam was made, torch calls the hooks in the class above too.
        return (above.__wrapped__ if hasattr(above, "hooked") else above)(self, closure)


class Noam:
    """As published: a wrapper that works the rate out at every step."""

    def __init__(self, optimizer):
        self.optimizer, self.made = optimizer, 0
        self.param_groups, self.state = optimizer.param_groups, optimizer.state

    def step(self, closure=None):
        self.made += 1
        for group in self.param_groups:
            group["lr"] = 0.01 * min(self.made**-0.5, self.made * 40**-1.5)
        self.optimizer.step()

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)

    def __getattr__(self, name):
        return getattr(self.__dict__["optimizer"], name)


def hooked(model):
    made = torch.optim.AdamW(model.parameters(), lr=1e-3)
    made.register_step_pre_hook(lambda o, *_: o.param_groups[0].update(lr=1e-3))
    return made


def scheduled(model):
    made = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda k: 1 / (1 + k))
    made.register_step_post_hook(lambda *_: schedule.step())
    return made


def on_a_tensor(model):
    made = torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3), foreach=False)

    def fills(optimizer, *_):
        optimizer.param_groups[0]["lr"].fill_(1e-3)

    made.register_step_pre_hook(fills)
    return made


SETTING = {
    "step": lambda m: Warmup(m.parameters()), "hook": hooked, "schedule": scheduled,
    "wrapper": lambda m: Noam(torch.optim.Adam(m.parameters())), "tensor": on_a_tensor,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("call", [lr_find, functools.partial(suggest_lr, seed=1), FIT, STAYS])
@pytest.mark.parametrize("make", SETTING.values(), ids=SETTING)
def test_an_optimizer_that_sets_its_rate_itself(make, call):
    said, steps = untouched(
        make_learner(optimizer=make), r"the rate was set to .* and is .* after the step", call
    )
    assert "leave that out while you ask" in said
    assert steps == 1


def test_one_that_sets_it_later_is_found_then():
    def late(model):
        made, steps = torch.optim.AdamW(model.parameters(), lr=1e-3), SimpleQueue()

        def every_tenth(optimizer, *_):
            steps.put(1)
            if steps.qsize() == 10:
                optimizer.param_groups[0]["lr"] = 5e-3

        made.register_step_post_hook(every_tenth)
        return made

    assert untouched(make_learner(optimizer=late), "is 0.005 after the step", lr_find)[1] == 10


X, Y = torch.randn(64, 8), torch.randint(2, (64,))


class Broken:
    def update(self, output, target):
        raise TypeError("metrics of another task")

    def compute(self):
        """Return nothing."""

    def reset(self):
        """Forget nothing."""


def missing(output, target):
    return output.no_such


VALID = {
    "targets": ({"valid": [(X, Y.float())]}, r"the first batch of valid failed.*RuntimeError"),
    "inputs": ({"valid": [(X[:, :3], Y)]}, r"the first batch of valid failed.*RuntimeError"),
    "triple": ({"valid": [(X, Y, Y)]}, r"a batch must be \(input, target\)"),
    "empty": ({"valid": []}, "valid is empty"),
}
METRIC = {
    "metric": ({"metrics": {"a": missing}}, r"test_mistakes_later\.py, line \d+ with Attribute"),
    "object": ({"metrics": {"a": Broken()}}, "with TypeError: metrics of another task; do"),
}


def with_valid(valid=((X, Y),), metrics=None):
    learner = make_learner(metrics=metrics)
    learner.valid = valid
    return learner


@pytest.mark.parametrize("call", [FIT, STAYS])
@pytest.mark.parametrize(("settings", "says"), [*VALID.values(), *METRIC.values()])
def test_what_cannot_be_evaluated_is_not_trained(settings, says, call):
    assert untouched(with_valid(**settings), says, call)[1] == 0


@pytest.mark.parametrize(("settings", "says"), VALID.values(), ids=VALID)
def test_nor_swept_for_probes(settings, says):
    assert untouched(with_valid(**settings), says, PROBED)[1] == 0


def test_a_metric_is_none_of_the_probes_business():
    assert suggest_lr(
        with_valid(metrics={"a": missing}), probes=Probes(2, 10), sweep=RangeTest(num_iter=30)
    ).probes


def test_the_rehearsal_leaves_no_trace():
    def trained(learner):
        return fit_one_cycle(learner, 1e-2, steps=12, seed=3), learner

    with_it, a = trained(make_learner())
    without = make_learner()
    without.valid = None
    fit, b = trained(without)
    np.testing.assert_array_equal(with_it.loss, fit.loss)
    assert all(map(torch.equal, a.model.state_dict().values(), b.model.state_dict().values()))


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ([missing], "metrics must be a dict of metrics by name; got a list of 1"),
        (missing, "metrics must be a dict of metrics by name; got a function"),
        ({"a": 3}, "the metric 'a' must be a function of output and target.*; got 3"),
        ({"a": Broken}, r"got the class Broken: make one, Broken\(\.\.\.\)"),
        ({"a": None}, "the metric 'a' must be a function"),
    ],
)
def test_metrics(metrics, says):
    refused(says, make_learner, metrics=metrics)


@pytest.mark.parametrize("call", [lr_find, suggest_lr, FIT, STAYS])
@pytest.mark.parametrize(
    ("seed", "says"),
    [("a", "seed must be a whole number; got 'a'"), (1.5, "got 1.5"), (True, "got True"),
     (2**64, r"seed must lie in -2\*\*63 to 2\*\*64 - 1; got 18446744073709551616"),
     (-(2**63) - 1, "seed must lie in")],
)  # fmt: skip
def test_seeds(call, seed, says):
    assert untouched(make_learner(), says, call, seed=seed)[1] == 0


def test_seeds_at_the_ends_and_of_repeats():
    for seed in (2**64 - 1, -(2**63), np.int64(3), torch.tensor(3)):
        assert len(lr_find(make_learner(), seed=seed, num_iter=10)) == 10
    refused("with the 2 after it", suggest_lr, make_learner(), seed=2**64 - 2,
            sweep=RangeTest(repeats=3))  # fmt: skip
    low = suggest_lr(make_learner(), seed=-5, probes=Probes(2, 10), sweep=RangeTest(num_iter=30))
    assert len(low.probes) == 2


@pytest.mark.parametrize(
    ("furthest", "says"),
    [("1e3", "furthest must be positive and finite; got '1e3': write it without quotes"),
     (float("nan"), "got nan"), (float("inf"), "got inf"), (1.0, "at least end_lr; got 1 and 10")],
)  # fmt: skip
def test_the_furthest_rate(furthest, says):
    assert untouched(make_learner(), says, lr_find, furthest=furthest)[1] == 0


def test_numbers_of_every_sort():
    assert number("end", Decimal("0.5")) == 0.5
    assert number("end", np.array(3)) == 3.0
    assert whole("steps", np.array(400), 1) == 400
    assert whole("steps", torch.tensor(400), 1) == 400
    for odd in (torch.tensor(400.0), np.array([400]), torch.tensor([400]), np.bool_(True),
                torch.tensor(True), np.array(True)):  # fmt: skip
        refused("must be a whole number of at least 1; got", whole, "steps", odd, 1)
    refused("got 400.0: write 400", whole, "steps", torch.tensor(400.0), 1)
    refused("must be positive", number, "end", Decimal("NaN"))
    refused("must be positive", number, "end", 10**400)


@pytest.mark.parametrize("call", [lr_find, suggest_lr, FIT])
def test_a_batch_of_one_example_under_batch_norm(call):
    learner = make_learner()
    learner.batches = DataLoader(TensorDataset(X[:33], Y[:33]), 16)
    says = "batch norm cannot train on a batch that holds 1 example, as that of step 3 does.*drop_l"
    if call is FIT:  # what trains has made the steps before
        refused(says, call, learner)
    else:
        assert untouched(learner, says, call)[1] == 2


def test_an_error_in_a_later_step_is_the_persons_own_and_undone():
    class Fails(list):
        def __iter__(self):
            yield from super().__iter__()
            raise OSError("the disk is gone")

    learner = make_learner()
    learner.batches = Fails([(X, Y), (X, Y)])
    before = [each.clone() for each in learner.model.parameters()]
    with pytest.raises(OSError, match="the disk is gone"):
        suggest_lr(learner)
    assert all(map(torch.equal, before, learner.model.parameters()))
    assert not learner.optimizer.state


def test_what_is_not_implemented_is_a_misfit():
    learner = make_learner()
    learner.loss_fn = lambda output, target: CROSS(target, output)
    untouched(learner, r"the first training step failed.*do model, loss_fn and batches", suggest_lr)


def test_a_model_without_values():
    with torch.device("meta"):
        model = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for device in (None, "cpu"):
        refused(
            r"2 weights \(weight, \.\.\.\) are on the device meta", Learner, model, CROSS,
            [(X, Y)], optimizer, device=device,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"evaluations": 11}, "evaluations=11 is more than the 10 steps"),
     ({"evaluations": "2"}, "got '2': write 2")],
)  # fmt: skip
def test_evaluations(settings, says):
    assert untouched(make_learner(), says, FIT, **settings)[1] == 0


def test_clipping():
    refused("max_grad_norm must be positive, or None; got True", make_learner, max_grad_norm=True)


def test_what_is_told_of_the_optimizer_against_what_is_seen():
    says = r"optimizer='sgd' was given, but the learner's is AdamW \('adamw'\): leave optimizer out"
    assert untouched(make_learner(), says, suggest_lr, optimizer="sgd")[1] == 0
    assert suggest_lr(make_learner(), optimizer="adam", seed=0).context.optimizer == "adam"
    made = make_learner(optimizer=lambda m: torch.optim.RMSprop(m.parameters(), 1e-3))
    found = suggest_lr(made, optimizer="adamw", seed=0)
    assert any("No recorded task trained with RMSprop" in each for each in found.reasons)


CURVES = {
    "flags": (lambda: Curve([1, 2], [3, 4], skipped="ab"), "skipped must say True or False"),
    "number": (lambda: Curve([1, 2], [3, 4], skipped=5), "skipped must say True or False"),
    "places": (lambda: Curve([1, 2], [3, 4], skipped=[0, 7]), "skipped must say True or False"),
    "smoothed": (lambda: Curve([1, 2], [3, 4], smoothed="no"), "smoothed must be True or False"),
    "none": (lambda: Curve.from_csv(None), "from_csv reads the file at a path; got None"),
    "bytes": (lambda: Curve.from_json(b"{}"), "from_json reads the text that to_json wrote"),
    "share": (
        lambda: Curve.from_torch_lr_finder({"lr": [1, 2], "loss": [1, 2]}, smooth_f="a"),
        "smooth_f must lie in 0 to 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "says"), CURVES.values(), ids=CURVES)
def test_curves(call, says):
    refused(says, call)


def test_losses_that_torch_keeps_for_gradients():
    losses = [torch.tensor(float(k), requires_grad=True) * 1 for k in (3, 2)]
    for given in (losses, torch.stack(losses), tuple(losses), [losses[0], 2.0],
                  torch.stack(losses).bfloat16()):  # fmt: skip
        assert Curve([0.1, 1], given).loss.tolist() == [3, 2]
    flags = torch.tensor([False, True])
    assert Curve([0.1, 1], [3, 2], skipped=flags).skipped.tolist() == [False, True]


def test_optuna_s_arguments_are_read_first():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found, study = suggest_lr(CURVE), optuna.create_study()
    refused(
        r"fallback must be \(lowest, highest\)", found.suggest_float, study.ask(), fallback=1e-3
    )
    refused("name must be the parameter's", found.enqueue, study, name=3)
    assert [(t.params, t.system_attrs) for t in study.trials] == [({}, {})]  # nothing was queued
    with pytest.raises(UserError, match="must satisfy"):
        found.suggest_float(study.ask(), fallback=(1, 0.1))
