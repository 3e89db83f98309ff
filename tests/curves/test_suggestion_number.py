"""A suggestion stands where a number does; an abstention raises its sentence there."""

import copy
import decimal
import fractions
import functools
import json
import math
import pickle
import statistics
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from helpers import make_learner, sweep_like
from torch import nn

from lrsuggest import Curve, NoSuggestion, Suggestion, fit_one_cycle, suggest_lr
from lrsuggest.curves.heuristics.registry import Context

pytestmark = pytest.mark.usefixtures("one_thread")
FLAT = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))
FOUND = suggest_lr(Curve(*sweep_like()))
FALLEN = suggest_lr(FLAT, fallback=3e-3)
NONE = suggest_lr(FLAT)


def optimizer(lr, kind=torch.optim.SGD, **settings):
    model = nn.Linear(3, 2)
    made = kind(model.parameters(), lr=lr, **settings)
    model(torch.ones(1, 3)).sum().backward()
    made.step()
    return [p.detach().clone() for p in model.parameters()], made


USES = {
    "plus": lambda x: x + 1, "minus": lambda x: 1 - x, "times": lambda x: 2 * x,
    "over": lambda x: x / 10, "under": lambda x: 1 / x, "floor division": lambda x: x // 1e-4,
    "rest": lambda x: x % 1e-4, "power": lambda x: x**2, "exponent": lambda x: 10**x,
    "divmod": lambda x: divmod(x, 1e-4), "negative": lambda x: -x, "absolute": abs,
    "below": lambda x: x < 1, "above": lambda x: x > 1e-9, "at least": lambda x: x >= 1e-9,
    "at most": lambda x: x <= 1, "largest": lambda x: max(1e-9, x) + 0,
    "sum": lambda x: sum([x, x]), "round": lambda x: round(x, 4), "integer": int,
    "complex": complex, "ceil": math.ceil, "log": math.log10, "root": math.sqrt,
    "finite": math.isfinite, "format": lambda x: f"{x:.1e}", "width": lambda x: f"{x:>12.3g}",
    "percent": lambda x: "%.2e" % x,  # noqa: UP031
    "numpy": np.log10, "numpy's times": lambda x: np.float64(2) * x,
    "array": lambda x: np.array([x, 1.0]).tolist(),
    "space": lambda x: np.geomspace(x, 1, 3).tolist(),
    "tensor's times": lambda x: (torch.ones(2) * x).tolist(),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("found", [FOUND, FALLEN])
def test_it_does_what_its_rate_does(use, found):
    given = USES[use](found)
    assert given == USES[use](float(found))
    assert type(given) is type(USES[use](float(found)))


@pytest.mark.parametrize("use", USES)
def test_an_abstention_raises_its_sentence(use):
    with pytest.raises(NoSuggestion, match=r"The loss is flat.* Give fallback=\.\.\. to go on"):
        USES[use](NONE)


def test_equality_truth_and_hash():
    assert float(FOUND) == FOUND.lr == FOUND
    assert {FOUND: "a"}[FOUND.lr] == "a"
    assert replace(FOUND, reliable=False) == FOUND  # as numbers are
    assert NONE not in (suggest_lr(FLAT), 1.0, math.nan, None)
    assert NONE in {NONE}
    assert bool(FOUND)
    assert bool(FALLEN)
    assert (NONE or 1e-3) == 1e-3
    assert (FALLEN.lr, float(FALLEN)) == (None, 3e-3)


def test_without_a_specification_it_is_written_as_its_three_lines():
    for each in (FOUND, FALLEN, NONE):
        assert f"{each}" == format(each) == str(each)
        assert str(each).count("\n") == 2
        assert repr(each).startswith("Suggestion(lr=")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.SGD, {}),
        (torch.optim.SGD, {"momentum": 0.9, "foreach": True}),
        (torch.optim.SGD, {"fused": True}),
        (torch.optim.AdamW, {}),
        (torch.optim.AdamW, {"foreach": True}),
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.AdamW, {"capturable": False, "amsgrad": True}),
        (torch.optim.Adagrad, {}),
        (torch.optim.RMSprop, {}),
    ],
)
def test_optimizers_take_it_and_keep_a_plain_float(kind, settings):
    torch.manual_seed(0)
    weights, made = optimizer(FOUND, kind, **settings)
    torch.manual_seed(0)
    as_float, _ = optimizer(float(FOUND), kind, **settings)
    assert all(map(torch.equal, weights, as_float))
    assert type(made.param_groups[0]["lr"]) is float
    assert type(made.defaults["lr"]) is float
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        optimizer(NONE, kind, **settings)


@pytest.mark.slow
def test_saved_states_load_with_weights_only_where_nobody_has_lrsuggest(tmp_path):
    model = nn.Linear(3, 2)
    fresh = torch.optim.SGD([{"params": model.weight, "lr": FOUND}, {"params": model.bias}], FOUND)
    decay = torch.optim.lr_scheduler.LambdaLR(fresh, lambda step: 0.9**step)
    _, cycled = optimizer(1e-3)
    torch.optim.lr_scheduler.OneCycleLR(cycled, FOUND, total_steps=10)
    _, written = optimizer(1e-3, torch.optim.AdamW)
    written.param_groups[0]["lr"] = FALLEN
    states = [fresh.state_dict(), decay.state_dict(), cycled.state_dict(), written.state_dict()]
    torch.save(states, tmp_path / "state.pt")
    code = (
        "import sys, torch\n"
        f"states = torch.load({str(tmp_path / 'state.pt')!r}, weights_only=True)\n"
        "assert not any(name.startswith('lrsuggest') for name in sys.modules)\n"
        "print(*(group['lr'] for state in states for group in state.get('param_groups', ())))\n"
        "print(*states[1]['base_lrs'], states[2]['param_groups'][0]['max_lr'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lr = float(FOUND)
    lines = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert lines == [[lr, lr, pytest.approx(lr / 25), 3e-3], [lr, lr, lr]]
    again = torch.optim.SGD(model.parameters(), lr=1.0)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)[3])
    assert again.param_groups[0]["lr"] == 3e-3


@pytest.mark.slow
def test_a_rate_read_before_torch_is_loaded_is_kept_plain_too():
    code = (
        "import sys, numpy as np\n"
        "from lrsuggest import Curve, suggest_lr\n"
        "from lrsuggest.testing import simulated\n"
        "found = suggest_lr(Curve(*simulated(100, 0.1, 2.0, 0.0, 0)))\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "made = torch.optim.AdamW(torch.nn.Linear(2, 2).parameters(), found)\n"
        "assert type(made.state_dict()['param_groups'][0]['lr']) is float\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("each", [FOUND, FALLEN, NONE])
def test_copies_and_pickles_are_whole(each):
    for again in (
        copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each)), replace(each),
    ):  # fmt: skip
        assert isinstance(again, Suggestion)
        assert str(again) == str(each)
        assert again.to_dict() == each.to_dict()
        np.testing.assert_array_equal(again.curve.loss, each.curve.loss)


def test_replace_makes_a_number_of_an_abstention_and_back():
    back = replace(FOUND, lr=None, low=None, high=None, reasons=("Nothing held.",))
    with pytest.raises(NoSuggestion, match="Nothing held"):
        back + 1
    assert replace(back, lr=0.5) + 1 == 1.5
    assert replace(back, fallback=0.25) + 1 == 1.25


def test_json_takes_its_rate_and_never_writes_nan_for_none():
    assert json.loads(json.dumps({"lr": FOUND}))["lr"] == FOUND.lr
    assert json.dumps(FALLEN) == "0.003"
    with pytest.raises(TypeError, match="Suggestion is not JSON serializable"):
        json.dumps({"lr": NONE})


def test_to_dict_holds_what_json_has_words_for():
    probed = replace(
        FOUND, probes=((1e-3, math.inf), (1e-2, math.nan), (np.float32(1e-1), 0.5)),
        replicates=(None, np.float64(0.5)), context=Context(total_steps=np.int64(7)),
    )  # fmt: skip
    for each in (FOUND, FALLEN, NONE, probed):
        told = json.loads(json.dumps(each.to_dict(), allow_nan=False))
        assert told == each.to_dict()
        assert (told["lr"], told["reliable"]) == (each.lr, each.reliable)
        assert told["cost"]["sweep_steps"] == 0
    assert told["probes"][:2] == [[1e-3, None], [1e-2, None]]
    assert (told["replicates"], told["train_steps"]) == ([None, 0.5], 7)
    assert NONE.to_dict()["reasons"] == list(NONE.reasons)


def test_a_one_cycle_takes_it():
    fits = [fit_one_cycle(make_learner(), lr, steps=8, seed=0) for lr in (FOUND, float(FOUND))]
    np.testing.assert_array_equal(fits[0].lr, fits[1].lr)
    np.testing.assert_array_equal(fits[0].loss, fits[1].loss)
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        fit_one_cycle(make_learner(), NONE, steps=8)


STATISTICS = {
    "mean": lambda x: statistics.mean([x, x]), "of fewer": lambda x: statistics.mean([x]),
    "deviation": lambda x: statistics.stdev([x, 2 * x, x]),
    "variance": lambda x: statistics.variance([x, 0.5]),
    "median": lambda x: statistics.median([x, x]), "fmean": lambda x: statistics.fmean([x]),
    "exact sum": lambda x: math.fsum([x, x]), "numpy's mean": lambda x: np.mean([x, x]),
    "real": lambda x: x.real, "imaginary": lambda x: x.imag, "hex": lambda x: x.hex(),
    "whole": lambda x: x.is_integer(), "ratio": lambda x: x.as_integer_ratio(),
    "conjugate": lambda x: x.conjugate(), "reduce": lambda x: functools.reduce(max, [x, 1e-9]) * 1,
    "filled": lambda x: torch.ones(2).fill_(x).tolist(),
    "full": lambda x: torch.full((2,), x).tolist(),
    "space": lambda x: torch.linspace(0, x, 2).tolist(),
    "alpha": lambda x: torch.ones(2).add_(1, alpha=x).tolist(),
    "clamp": lambda x: torch.ones(2).clamp(max=x).tolist(),
    "YAML": lambda x: yaml.safe_dump({"lr": x}), "YAML's other": lambda x: yaml.dump([x]),
}  # fmt: skip


@pytest.mark.parametrize("use", STATISTICS.values(), ids=STATISTICS)
def test_what_asks_for_a_float_s_own_ways(use):
    for found in (FOUND, FALLEN):
        assert use(found) == use(float(found))
        assert type(use(found)) is type(use(float(found)))
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        use(NONE)


def test_its_class_called_with_a_number_gives_the_float():
    for given in (0.5, np.float64(0.5), fractions.Fraction(1, 2), FOUND / FOUND.lr / 2):
        for kind in (type(FOUND), FOUND.__class__, type(NONE)):
            assert kind(given) == 0.5
            assert type(kind(given)) is float
    assert type(decimal.Decimal(FOUND)) is decimal.Decimal
    assert fractions.Fraction(FOUND) == fractions.Fraction(FOUND.lr)
    with pytest.raises(TypeError):
        Suggestion("0.5")


def test_yaml_reads_back_what_it_wrote():
    for dump in (yaml.dump, yaml.safe_dump):
        assert yaml.safe_load(dump({"lr": FOUND})) == {"lr": FOUND.lr}


SCHEDULES = torch.optim.lr_scheduler
SCHEDULED = {
    "cosine": lambda o, x: SCHEDULES.CosineAnnealingLR(o, 9, eta_min=x),
    "restarts": lambda o, x: SCHEDULES.CosineAnnealingWarmRestarts(o, 5, eta_min=x),
    "cyclic": lambda o, x: SCHEDULES.CyclicLR(o, x / 10, x),
    "plateau": lambda o, x: SCHEDULES.ReduceLROnPlateau(o, min_lr=x),
    "plateau, a list": lambda o, x: SCHEDULES.ReduceLROnPlateau(o, min_lr=[x]),
    "one cycle": lambda o, x: SCHEDULES.OneCycleLR(o, x, total_steps=9),
    "in turn": lambda o, x: SCHEDULES.SequentialLR(
        o, [SCHEDULES.CosineAnnealingLR(o, 9, eta_min=x), SCHEDULES.ConstantLR(o)], [3]
    ),
    "chained": lambda o, x: SCHEDULES.ChainedScheduler(
        [SCHEDULES.CosineAnnealingLR(o, 9, eta_min=x)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", SCHEDULED.values(), ids=SCHEDULED)
def test_a_scheduler_s_state_loads_with_weights_only(make, tmp_path):
    made, plain = (make(optimizer(x, momentum=0.9)[1], x) for x in (FOUND, FOUND.lr))
    torch.save(made.state_dict(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert loaded.keys() == plain.state_dict().keys()
    plain.load_state_dict(loaded)
