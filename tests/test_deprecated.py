"""Earlier names still work, each with a warning that names the new one."""

import copy
import dataclasses
import importlib
import pickle
import warnings

import numpy as np
import optuna
import pytest
import torch
from helpers import make_learner, sweep_like

import lrsuggest
from lrsuggest import (
    Context,
    Curve,
    Learner,
    NoSuggestion,
    Probes,
    RangeTest,
    Suggestion,
    UserError,
    lr_find,
    suggest_lr,
)
from lrsuggest.curves.answer import Cost
from lrsuggest.curves.heuristics import registry
from lrsuggest.curves.heuristics.all import HEURISTICS

pytestmark = pytest.mark.usefixtures("one_thread")
FOUND = suggest_lr(Curve(*sweep_like()))
FLAT = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7)))


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


def test_apply_is_set_lr_the_other_way_round():
    learner = make_learner()
    with pytest.warns(DeprecationWarning, match=r"set_lr\(x, rate\)") as told:
        lrsuggest.apply(FOUND, learner)
    assert learner.lr == FOUND.lr
    assert told[0].filename == __file__
    with (
        pytest.warns(DeprecationWarning, match="set_lr"),
        pytest.raises(UserError, match=r"takes the rate first: apply\(suggestion, x\)"),
    ):
        lrsuggest.apply(learner, FOUND)


def test_to_optuna_is_a_suggestions_own(study):
    new = r"suggestion.enqueue\(study\) and suggestion.suggest_float\(trial\)"
    with pytest.warns(DeprecationWarning, match=new) as told:
        assert lrsuggest.to_optuna(FOUND, study, "max_lr") == FOUND.lr
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=new):
        assert lrsuggest.to_optuna(FOUND, study.ask(), "max_lr") == FOUND.lr
    with (
        pytest.warns(DeprecationWarning, match=new),
        pytest.raises(NoSuggestion, match="no interval"),
    ):
        lrsuggest.to_optuna(FLAT, study.ask())
    with pytest.warns(DeprecationWarning, match=new):
        assert 1e-4 <= lrsuggest.to_optuna(FLAT, study.ask(), fallback=(1e-4, 1e-2)) <= 1e-2
    with (
        pytest.warns(DeprecationWarning, match=new),
        pytest.raises(UserError, match="the suggestion first"),
    ):
        lrsuggest.to_optuna(study, FOUND)


@pytest.mark.parametrize("name", ["heuristic", "Abstention", "Context", "Reason", "HEURISTICS"])
def test_heuristics_are_found_where_they_were(name):
    old = importlib.import_module("lrsuggest.curves.heuristics")
    with pytest.warns(DeprecationWarning, match=f"from lrsuggest import {name}$"):
        found = getattr(old, name)
    assert found is getattr(lrsuggest, name)
    assert found is getattr(registry, name)


def test_a_module_of_another_time_is_still_a_newcomers():
    with pytest.warns(DeprecationWarning, match="from lrsuggest import"):
        exec(
            "from lrsuggest.curves.heuristics import Abstention, Context, Reason, heuristic\n"
            "@heuristic('of another time', 'nobody')\n"
            "def of_another_time(curve, context):\n"
            "    return float(curve.lr[len(curve.lr) // 2])\n",
            {"__name__": "of_another_time"},
        )
    assert HEURISTICS.pop("of another time")(FOUND.curve) == FOUND.curve.lr[len(FOUND.curve) // 2]
    with pytest.raises(AttributeError, match="no attribute 'heuristics'"):
        importlib.import_module("lrsuggest.curves.heuristics").heuristics  # noqa: B018


def told(call, *new):
    """What a call gives, with a warning of this file's line for each new spelling."""
    with pytest.warns(DeprecationWarning, match=" is now ") as warned:
        found = call()
    assert [str(each.message).partition(" is now ")[2] for each in warned] == list(new)
    assert {each.filename for each in warned} == {__file__}
    return found


def refused(call):
    """The sentence with which a call by earlier names is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(UserError) as said:
            call()
    assert "\n" not in str(said.value)
    return str(said.value)


SAID = {  # by the earlier name, in any order
    "train_steps": "total_steps=…",
    "start": "sweep=RangeTest(start_lr=…)",
    "end": "sweep=RangeTest(end_lr=…)",
    "steps": "sweep=RangeTest(num_iter=…)",
    "replicates": "sweep=RangeTest(repeats=…)",
    "probe_steps": "probes=Probes(number, steps=…)",
}
ASKED = [
    ({"train_steps": 60}, {"total_steps": 60}),
    ({"start": 1e-5}, {"sweep": RangeTest(start_lr=1e-5)}),
    ({"end": 1.0}, {"sweep": RangeTest(end_lr=1.0)}),
    ({"steps": 40}, {"sweep": RangeTest(num_iter=40)}),
    ({"replicates": 2}, {"sweep": RangeTest(repeats=2)}),
    ({"replicates": 1, "start": None, "end": None, "steps": None, "train_steps": None}, {}),
    ({"start": 1e-6, "end": 1.0, "steps": 30, "replicates": 2},
     {"sweep": RangeTest(1e-6, 1.0, 30, 2)}),
    ({"probes": 2, "probe_steps": 12, "steps": 30},
     {"probes": Probes(2, 12), "sweep": RangeTest(num_iter=30)}),
    ({"probes": 2, "probe_steps": None, "train_steps": 40}, {"probes": 2, "total_steps": 40}),
    ({"probes": Probes(2, 12), "steps": 30},
     {"probes": Probes(2, 12), "sweep": RangeTest(num_iter=30)}),
]  # fmt: skip


@pytest.mark.parametrize(("earlier", "now"), ASKED)
def test_suggest_lr_takes_its_earlier_keywords(earlier, now):
    learner = make_learner()
    new = [f"suggest_lr({SAID[name]})" for name in earlier if name in SAID]
    found = told(lambda: suggest_lr(learner, seed=3, **earlier), *new)
    same = suggest_lr(learner, seed=3, **now)
    assert found.curve.to_json() == same.curve.to_json()
    assert found.to_dict() == same.to_dict()
    assert found.budget == same.budget


def test_a_curve_is_read_by_earlier_keywords():
    found = told(lambda: suggest_lr(FOUND.curve, train_steps=300), "suggest_lr(total_steps=…)")
    assert found.to_dict() == suggest_lr(FOUND.curve, total_steps=300).to_dict()
    told(lambda: suggest_lr(FOUND.curve, replicates=1), "suggest_lr(sweep=RangeTest(repeats=…))")
    said = refused(lambda: suggest_lr(FOUND.curve, end=2.0))
    assert said.startswith("sweep=RangeTest(end_lr=2.0) needs a Learner to train; a Curve can only")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: suggest_lr(FOUND.curve, train_steps=0), "total_steps must be a whole number of"),
        (lambda: suggest_lr(make_learner(), end="10"), "end_lr must be positive and finite; got"),
        (lambda: suggest_lr(make_learner(), start=1, end=0.1), "satisfy 0 < start_lr < end_lr"),
        (lambda: suggest_lr(make_learner(), steps=1), "num_iter must be a whole number of"),
        (lambda: suggest_lr(make_learner(), replicates=0), "repeats must be a whole number of at"),
        (lambda: suggest_lr(make_learner(), probes=2, probe_steps=9), "the steps of a probe must"),
        (lambda: suggest_lr(make_learner(), probe_steps=50),
         "50 says how long probes are, not how many: give probes=Probes(number, 50)"),
        (lambda: lr_find(make_learner(), steps=20.5), "num_iter must be a whole number of"),
        (lambda: make_learner(accumulate=0), "accumulate_steps must be a whole number of at least"),
        (lambda: make_learner(clip_norm=-1.0), "max_grad_norm must be positive, or None; got -1.0"),
        (lambda: Context(train_steps=0.5), "total_steps must be a whole number of at least 1, or"),
    ],
)  # fmt: skip
def test_a_wrong_value_by_an_earlier_name_is_what_is_said(call, says):
    assert says in refused(call)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: suggest_lr(FOUND.curve, train_steps=9, total_steps=9),
         "train_steps is the earlier name of total_steps: give total_steps alone, not both"),
        (lambda: suggest_lr(make_learner(), steps=30, sweep=RangeTest(end_lr=1.0)),
         "earlier names of what sweep=RangeTest(end_lr=1.0) says: give sweep alone, not both"),
        (lambda: suggest_lr(make_learner(), probes=Probes(2, 10), probe_steps=12),
         "what probes=Probes(number=2, steps=10) says: give probes alone, not both"),
        (lambda: lr_find(make_learner(), start=1e-6, start_lr=1e-6), "give start_lr alone"),
        (lambda: make_learner(accumulate=2, accumulate_steps=2), "give accumulate_steps alone"),
        (lambda: make_learner(clip_norm=None, max_grad_norm=1.0), "give max_grad_norm alone"),
        (lambda: Context(train_steps=9, total_steps=9), "give total_steps alone, not both"),
        (lambda: Context("sgd", None, 9, train_steps=9), "give total_steps alone, not both"),
    ],
)  # fmt: skip
def test_both_names_at_once_are_refused(call, says):
    assert says in refused(call)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: suggest_lr(FOUND.curve, trainsteps=9), "'trainsteps'; did you mean total_steps=…"),
        (lambda: suggest_lr(FOUND.curve, totalsteps=9), "did you mean total_steps"),
        (lambda: suggest_lr(FOUND.curve, schedul="constant"), "did you mean schedule"),
        (lambda: suggest_lr(FOUND.curve, replicate=3),
         r"did you mean sweep=RangeTest\(repeats=…\)\?"),
        (lambda: suggest_lr(FOUND.curve, zzz=1), "unexpected keyword argument 'zzz'$"),
        (lambda: lr_find(make_learner(), num_it=9), r"lr_find\(\) .*; did you mean num_iter"),
        (lambda: make_learner(max_norm=1.0), r"Learner\(\) .*did you mean max_grad_norm"),
        (lambda: Context(stages="frozen"), r"Context\(\) .*did you mean stage"),
    ],
)  # fmt: skip
def test_a_keyword_that_never_was_is_named_with_the_nearest(call, says):
    with pytest.raises(TypeError, match=says):
        call()


def test_lr_find_takes_its_earlier_keywords():
    learner = make_learner()
    found = told(
        lambda: lr_find(learner, start=1e-5, end=1.0, steps=25, seed=2),
        "lr_find(start_lr=…)", "lr_find(end_lr=…)", "lr_find(num_iter=…)",
    )  # fmt: skip
    same = lr_find(learner, start_lr=1e-5, end_lr=1.0, num_iter=25, seed=2)
    assert found.to_json() == same.to_json()


def test_a_learner_takes_its_earlier_keywords_and_attributes():
    model, loss = torch.nn.Linear(3, 2), torch.nn.functional.cross_entropy
    batches = [(torch.randn(8, 3), torch.randint(2, (8,)))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learner = told(
        lambda: Learner(
            model, loss, batches, optimizer, accumulate=2, clip_norm=0.5, train_steps=90
        ),
        "Learner(accumulate_steps=…)", "Learner(max_grad_norm=…)", "Learner(total_steps=…)",
    )  # fmt: skip
    new = (learner.accumulate_steps, learner.max_grad_norm, learner.total_steps)
    assert new == (2, 0.5, 90)
    assert told(lambda: learner.accumulate, "Learner.accumulate_steps") == 2
    assert told(lambda: learner.clip_norm, "Learner.max_grad_norm") == 0.5
    assert told(lambda: learner.train_steps, "Learner.total_steps") == 90
    told(lambda: setattr(learner, "clip_norm", 2.0), "Learner.max_grad_norm")
    assert learner.max_grad_norm == 2.0


def test_a_context_takes_its_earlier_keyword_and_attribute():
    context = told(lambda: Context("adamw", train_steps=300), "Context(total_steps=…)")
    assert context == Context("adamw", total_steps=300)
    assert told(lambda: context.train_steps, "Context.total_steps") == 300
    with pytest.raises(AttributeError):
        context.train_steps = 5


def test_a_context_that_an_earlier_version_pickled_is_read_without_a_word():
    context = Context("adamw", None, 300, 8)
    kept = pickle.dumps(context).replace(b"\x0btotal_steps", b"\x0btrain_steps")
    assert kept != pickle.dumps(context)
    assert pickle.loads(kept) == copy.deepcopy(context) == context


def test_a_heuristic_of_earlier_times_reads_the_steps():
    @lrsuggest.heuristic("of earlier steps", "nobody")
    def of_earlier_steps(curve, context):
        return 1 / context.train_steps

    try:
        found = told(
            lambda: suggest_lr(FOUND.curve, total_steps=400, heuristic="of earlier steps"),
            *["Context.total_steps"] * 2,  # as the pick and among the candidates
        )
    finally:
        HEURISTICS.pop("of earlier steps")
    assert found.lr == 1 / 400
    assert "Context" not in str(found)


def test_a_suggestion_has_its_earlier_attributes():
    found = suggest_lr(FOUND.curve, total_steps=300)
    assert told(lambda: found.train_steps, "Suggestion.total_steps") == 300
    assert told(lambda: found.planned, "Suggestion.budget") == found.budget
    made = dataclasses.asdict(found.budget)
    fields = {each.name: getattr(found, each.name) for each in dataclasses.fields(found)}
    del fields["budget"]
    again = told(lambda: Suggestion(**fields, planned=Cost(7)), "Suggestion(budget=…)")
    assert again.budget == Cost(7)
    assert float(again) == found.lr
    kept = found.to_dict()
    assert (kept["planned"], kept["train_steps"]) == (made, 300)
    assert not {"budget", "total_steps"} & set(kept)
