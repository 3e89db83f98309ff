"""A Hugging Face Trainer: lent, swept as its train() would train it, handed back as it was."""

import dataclasses
import gc
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from torch.utils.data import DataLoader

pytest.importorskip(
    "transformers", reason="transformers is missing: pip install 'lrsuggest[peers]'"
)
pytest.importorskip("accelerate", reason="accelerate is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.optimization import Adafactor

from lrsuggest import Curve, Probes, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.adapters.transformers.adapter import borrowed
from lrsuggest.errors import NoSuggestion

pytestmark = [pytest.mark.usefixtures("one_thread")]

EXAMPLES, LINES = hf.examples(), hf.examples(labelled=False)
NAMES = {field.name for field in dataclasses.fields(TrainingArguments)}


def make(folder, **settings):
    return hf.make(
        folder, **{"train_dataset": EXAMPLES, "per_device_train_batch_size": 4, **settings}
    )


def all_of(*objects):
    """What can be reached, but for Python's loggers, which note what they are asked, and texts."""
    return everything(*objects, ignore=("logger", "input_ids", "attention_mask"))


# Its name changed within transformers 5.
RECOMPUTE = max(("activation_checkpointing", "gradient_checkpointing"), key=NAMES.__contains__)
SETUPS = {
    "plain": dict,
    "sgd": lambda: {"optim": "sgd", "optim_args": "momentum=0.9"},
    "accumulate": lambda: {"gradient_accumulation_steps": 2},
    "writer": lambda: {
        "model": hf.writer(),
        "train_dataset": LINES,
        "gradient_accumulation_steps": 2,
    },
    "clip": lambda: {"max_grad_norm": 0.1},
    "bf16": lambda: {"bf16": True},
    "recompute": lambda: {RECOMPUTE: True, "label_smoothing_factor": 0.1},
}
setups = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)


class Watched(Trainer):
    """Notes each optimizer step's rates and the losses before it."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.losses, self.rates, self.plan = [], [], None
        self.add_callback(self.Notes(self))

    class Notes(TrainerCallback):
        def __init__(self, trainer):
            self.trainer = trainer

        def on_step_begin(self, args, state, control, optimizer, **_):
            if self.trainer.plan is not None:
                for group in optimizer.param_groups:
                    group["lr"] = float(
                        self.trainer.plan[min(state.global_step, len(self.trainer.plan) - 1)]
                    )
            self.trainer.losses.append(0.0)

        def on_pre_optimizer_step(self, args, state, control, optimizer, **_):
            self.trainer.rates.append([group["lr"] for group in optimizer.param_groups])

    def training_step(self, *arguments, **settings):
        loss = super().training_step(*arguments, **settings)
        self.losses and self.losses.append(self.losses.pop() + loss)
        return loss


@pytest.fixture(autouse=True, scope="module")
def little_garbage():
    """At each train() accelerate collects garbage, and would walk through all modules loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_it_finds_a_rate_that_trains_well(tmp_path):
    settings = {"per_device_train_batch_size": 16, "max_steps": 50, "eval_dataset": EXAMPLES}
    found = suggest_lr(make(tmp_path, **settings))
    assert found.reliable
    reached = {}
    for factor in (0.01, 1, 100):
        trainer = make(tmp_path, learning_rate=found.lr * factor, **settings)
        trainer.train()
        reached[factor] = trainer.evaluate()["eval_loss"]
    assert reached[1] < 0.75 * min(reached[0.01], reached[100])


@setups
def test_the_sweep_makes_the_steps_that_train_would_make(tmp_path, setup):
    """The same rates given to the Trainer's own loop bring the same losses, bit for bit."""
    curve = suggest_lr(make(tmp_path, **setup()), sweep=RangeTest(num_iter=12, end_lr=10)).curve
    trainer = make(tmp_path, kind=Watched, **setup())
    trainer.plan = curve.lr
    trainer.train()
    assert len(curve) == 12
    assert np.array_equal(curve.loss, torch.stack(trainer.losses).numpy())


def unchanged(trainer, *more, **settings):
    """Ask, and see that nothing has changed."""
    before = all_of(trainer, *more)
    found = suggest_lr(trainer, **settings)
    assert changes(before, all_of(trainer, *more)) == []
    return found


def state(trainer):
    """What training comes to, but for addresses."""
    found = everything(
        trainer.model.state_dict(),
        trainer.optimizer.state_dict(),
        trainer.lr_scheduler.state_dict(),
        trainer.state.log_history[-1]["train_loss"],
    )
    return {
        path: value[1:] if isinstance(value, tuple) and len(value) == 6 else value
        for path, value in found.items()
    }


@setups
def test_nothing_has_changed_and_training_goes_on_as_if_nobody_had_asked(tmp_path, setup):
    outcomes = []
    for ask in (False, True):
        trainer = make(tmp_path, eval_dataset=EXAMPLES[:20], **setup())
        for _ in range(2):
            if ask:
                found = unchanged(
                    trainer, sweep=RangeTest(num_iter=12), probes=Probes(1, 10), fallback=1e-3
                )
                assert len(found.curve) > 8
            trainer.train()
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []


EVENTS = (
    "on_train_begin", "on_epoch_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
    "on_optimizer_step", "on_step_end", "on_evaluate", "on_log", "on_epoch_end", "on_train_end",
)  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_in_the_middle_of_training(tmp_path, event):
    def ask():
        return unchanged(trainer, sweep=RangeTest(num_iter=10))

    outcomes = []
    for do in (lambda: True, ask):
        asks = hf.Asks(event, do, at=0 if "begin" in event else 2)
        trainer = make(
            tmp_path, callbacks=[asks], gradient_accumulation_steps=2, lr_scheduler_type="cosine",
            eval_strategy="steps", eval_steps=4, logging_strategy="steps", logging_steps=3,
            eval_dataset=EXAMPLES[:40], max_steps=9,
        )  # fmt: skip
        trainer.train()
        assert asks.answer is not None
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []
    assert len(asks.answer.curve) > 5


class Fails(Trainer):
    """Raises in the twelfth batch, before or after its backward pass."""

    where, error, left = "", None, 12

    def training_step(self, *arguments, **settings):
        self.left -= 1
        if not self.left and self.where == "before":
            raise self.error
        loss = super().training_step(*arguments, **settings)
        if not self.left:
            raise self.error
        return loss


@pytest.mark.parametrize(
    ("where", "error"),
    [("before", KeyboardInterrupt("theirs")), ("after", ValueError("theirs"))],
)
def test_nothing_has_changed_after_an_exception(tmp_path, where, error):
    trainer = make(tmp_path, kind=Fails, gradient_accumulation_steps=2, bf16=True)
    trainer.where, trainer.error = where, error
    for _ in range(2):
        before = all_of(trainer)
        with pytest.raises(type(error), match="theirs"):
            suggest_lr(trainer, sweep=RangeTest(num_iter=12))
        assert trainer.left == 12
        assert changes(before, all_of(trainer)) == []
        trainer.left = 10**9
        trainer.train()
        trainer.left = 12


def test_after_an_exception_in_the_middle_of_training_it_goes_on_as_if_nobody_had_asked(tmp_path):
    def fail(trainer):
        trainer.where, trainer.error, trainer.left = "after", ValueError("theirs"), 12
        before = all_of(trainer)
        with pytest.raises(ValueError, match="theirs"):
            suggest_lr(trainer, sweep=RangeTest(num_iter=12))
        assert changes(before, all_of(trainer)) == []
        trainer.left = 10**9
        return True

    outcomes = []
    for do in (lambda trainer: True, fail):
        asks = hf.Asks("on_step_end", lambda: do(trainer), at=3)  # noqa: B023
        trainer = make(
            tmp_path, kind=Fails, callbacks=[asks], gradient_accumulation_steps=2,
            lr_scheduler_type="cosine",
        )  # fmt: skip
        trainer.left = 10**9
        trainer.train()
        assert asks.answer
        outcomes.append(state(trainer))
    assert changes(*outcomes) == []


def test_nothing_has_changed_when_the_data_fail(tmp_path):
    trainer = hf.make(tmp_path, train_dataset=[*EXAMPLES, {"input_ids": [1, 2]}])
    before = all_of(trainer)
    with pytest.raises(KeyError, match="attention_mask"):
        suggest_lr(trainer, sweep=RangeTest(num_iter=20, start_lr=1e-9, end_lr=1e-8))
    assert changes(before, all_of(trainer)) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "adamw"), ({"optim": "sgd"}, "sgd"), ({"optim": "rmsprop"}, None),
     ({"optimizer_cls_and_kwargs": (torch.optim.Adam, {"lr": 1e-3})}, "adam")],
)  # fmt: skip
def test_it_tells_the_optimizer(tmp_path, settings, name):
    trainer = make(tmp_path, **settings)
    for _ in range(2):
        with borrowed(trainer) as learner:
            assert learner.optimizer_name == name
        trainer.train()


def test_it_tells_the_stage(tmp_path):
    trainer = make(tmp_path)
    assert suggest_lr(trainer, sweep=RangeTest(num_iter=12)).stage is None
    for parameter in trainer.model.bert.parameters():
        parameter.requires_grad_(False)
    assert suggest_lr(trainer, sweep=RangeTest(num_iter=12)).stage == "frozen"
    trainer.model.peft_config = {}  # adapters are no head, and a head beside them is not alone
    with borrowed(trainer) as learner:
        assert learner.detected_stage is None


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_it_tells_that_the_training_went_on_before(tmp_path, optim):
    trainer = make(tmp_path, optim=optim, max_steps=4)
    with borrowed(trainer) as learner:
        assert learner.continued is None
    asks = hf.Asks("on_step_end", lambda: suggest_lr(trainer, sweep=RangeTest(num_iter=12)), at=2)
    trainer.add_callback(asks)
    trainer.train()
    with borrowed(trainer) as learner:
        assert learner.continued is True
    assert any(each.startswith("This training went on before") for each in asks.answer.reasons)
    assert not asks.answer.reliable


def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path):
    for optim, named in (("adagrad", "Adagrad"), ("rmsprop", "RMSprop"), ("adamw_torch", None)):
        trainer = make(tmp_path, optim=optim)
        for _ in range(2):  # also as accelerate has wrapped it
            with borrowed(trainer) as learner:
                assert learner.optimizer_kind.unrecorded == named
            trainer.train()


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_steps": -1, "num_train_epochs": 2}, 2 * math.ceil(len(EXAMPLES) / 16)),
        ({"max_steps": -1, "num_train_epochs": 0.5}, math.ceil(0.5 * len(EXAMPLES) / 16)),
        ({"max_steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 4}, 6),
    ],
)
def test_it_tells_what_is_planned_and_the_batch_size(tmp_path, settings, steps):
    trainer = make(tmp_path, per_device_train_batch_size=16, **settings)
    with borrowed(trainer) as learner:
        assert learner.total_steps == steps
        assert learner.batch_size == 16 * settings.get("gradient_accumulation_steps", 1)
    trainer.train()
    assert trainer.state.global_step == steps


def test_in_the_middle_of_training_it_tells_what_is_left(tmp_path):
    def told():
        with borrowed(trainer) as learner:
            return learner.total_steps

    asks = hf.Asks("on_step_end", told, at=4)
    trainer = make(tmp_path, callbacks=[asks], max_steps=12)
    trainer.train()
    assert asks.answer == 8


def layers(model, **settings):
    groups = [
        {"params": model.bert.parameters(), "lr": 5e-4},
        {"params": model.classifier.parameters()},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, **settings)


def warm_up(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))


def layered(folder, schedule=None, **settings):
    model = hf.classifier()
    optimizer = layers(model)
    pair = (optimizer, schedule and schedule(optimizer))
    return make(folder, kind=Watched, model=model, optimizers=pair, **settings)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("settings", [{}, {"optim": "sgd"}, {"lr_scheduler_type": "linear"},
    {"optimizer_cls_and_kwargs": (torch.optim.Adam, {"lr": 1e-3})}])  # fmt: skip
def test_train_takes_the_rate_applied(tmp_path, trained, settings):
    trainer = make(tmp_path, kind=Watched, **settings)
    if trained:
        trainer.train()
    set_lr(trainer, 0.02)
    trainer.rates.clear()
    trainer.train()
    assert max(trainer.rates) == pytest.approx([0.02] * len(trainer.rates[0]))
    assert trainer.args.learning_rate == 0.02 or "optimizer_cls_and_kwargs" in settings


@pytest.mark.parametrize("schedule", [None, warm_up])
@pytest.mark.parametrize(
    ("rate", "groups"), [(0.04, [0.02, 0.04]), (slice(1e-3, 1e-2), [1e-3, 1e-2])]
)
def test_groups_keep_their_ratios(tmp_path, schedule, rate, groups):
    trainer = layered(tmp_path, schedule)
    found = suggest_lr(trainer, sweep=RangeTest(num_iter=12, end_lr=1e-3))
    assert found.curve.lr[-1] == pytest.approx(1e-3)
    set_lr(trainer, rate)
    trainer.train()
    assert trainer.rates[-1] == pytest.approx(groups)
    assert max(trainer.rates) == pytest.approx(groups)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_in_the_middle_of_training_the_schedule_goes_on_from_the_rate_applied(
    tmp_path, kind, accumulate
):
    def rates(do):
        trainer = make(
            tmp_path, kind=Watched, callbacks=[hf.Asks("on_step_end", lambda: do(trainer), at=5)],
            lr_scheduler_type=kind, warmup_steps=3, gradient_accumulation_steps=accumulate,
        )  # fmt: skip
        trainer.train()
        return np.array(trainer.rates)

    plain, scaled = rates(lambda _: True), rates(lambda trainer: set_lr(trainer, 0.02) or True)
    assert np.array_equal(plain[:5], scaled[:5])
    assert scaled[5:] == pytest.approx(plain[5:] * 20)


def test_an_abstention_changes_nothing(tmp_path):
    trainer = make(tmp_path)
    before = all_of(trainer)
    with pytest.raises(NoSuggestion):
        set_lr(trainer, suggest_lr(Curve([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0])))
    assert changes(before, all_of(trainer)) == []


def test_other_batches_and_other_validation(tmp_path):
    def collate(rows):
        padded = hf.tokenizer().pad(
            {"input_ids": [row["input_ids"] for row in rows]}, return_tensors="pt"
        )
        return {**padded, "labels": torch.tensor([row["labels"] for row in rows])}

    def given(rows):
        return DataLoader(
            rows, 4, collate_fn=collate, generator=torch.Generator().manual_seed(1), shuffle=True
        )

    trainer = make(tmp_path)
    train, valid = given(EXAMPLES), given(EXAMPLES[:20])
    found = unchanged(
        trainer,
        train,
        valid,
        batches=train,
        valid=valid,
        probes=Probes(2, 10),
        sweep=RangeTest(num_iter=40),
    )
    again = suggest_lr(make(tmp_path), batches=given(EXAMPLES), sweep=RangeTest(num_iter=40))
    assert np.array_equal(found.curve.loss, again.curve.loss)
    assert found.cost.valid_batches == 10
    with pytest.raises(UserError, match="batches is a one-shot"):
        suggest_lr(trainer, batches=iter(train))


def test_probes_are_judged_by_what_evaluate_says(tmp_path):
    trainer = make(tmp_path, eval_dataset=EXAMPLES[:41])
    with borrowed(trainer) as learner:
        ours = learner.evaluate()["loss"]
    assert ours == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-5)
    found = suggest_lr(trainer, probes=Probes(2, 10), sweep=RangeTest(num_iter=40))
    assert found.cost.valid_passes == 2


def test_replicates_see_other_orders(tmp_path):
    def surely(repeats=1, seed=None):
        model = hf.classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        sweep = RangeTest(num_iter=40, repeats=repeats)
        return suggest_lr(make(tmp_path, model=model), sweep=sweep, fallback=1.0, seed=seed)

    found = surely(repeats=2, seed=7)
    assert len(set(found.replicates)) == 2
    assert found.replicates == tuple(surely(seed=seed).lr for seed in (7, 8))
    assert surely().lr not in found.replicates


def test_an_epoch_shorter_than_a_step(tmp_path):
    few = partial(make, tmp_path, train_dataset=EXAMPLES[:8], gradient_accumulation_steps=4)
    curve = suggest_lr(few(), sweep=RangeTest(num_iter=12, end_lr=10)).curve
    trainer = few(kind=Watched)
    trainer.plan = curve.lr
    trainer.train()
    assert np.array_equal(curve.loss, torch.stack(trainer.losses).numpy())


def test_activations_are_recomputed_where_train_would(tmp_path):
    for settings, wanted in (({}, False), ({RECOMPUTE: True}, True)):
        with borrowed(make(tmp_path, **settings)) as learner:
            now = [m.gradient_checkpointing for m in learner.model.modules()
                   if hasattr(m, "gradient_checkpointing")]  # fmt: skip
        assert now
        assert all(each is wanted for each in now)


class Stream(torch.utils.data.IterableDataset):
    """Another order each epoch, of which it takes note."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        random.Random(self.epoch).shuffle(order := EXAMPLES[:20])
        return iter(order)


def test_a_stream_that_is_told_the_epoch(tmp_path):
    trainer = make(tmp_path, train_dataset=Stream(), max_steps=12)
    found = unchanged(trainer, sweep=RangeTest(num_iter=12, end_lr=10))
    assert trainer.train_dataset.epoch == 0
    watched = make(tmp_path, train_dataset=Stream(), max_steps=12, kind=Watched)
    watched.plan = found.curve.lr
    watched.train()
    assert watched.train_dataset.epoch == 2
    assert np.array_equal(found.curve.loss, torch.stack(watched.losses).numpy())
    stream = DataLoader(Stream(), 4, collate_fn=trainer.data_collator)
    endless = make(tmp_path, train_dataset=None, max_steps=-1)
    with borrowed(endless, batches=stream) as learner:
        assert learner.total_steps is None
        assert learner.batch_size == 4
    with borrowed(endless, batches=[next(iter(stream))]) as learner:
        assert learner.batch_size is None


class Weighted(Trainer):
    """A loss of one's own, which logs."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        self.log({"mine": outputs.loss.item()})
        return (2 * outputs.loss, outputs) if return_outputs else 2 * outputs.loss


def test_a_loss_of_ones_own_and_its_logs(tmp_path, capsys):
    trainer = make(tmp_path, kind=Weighted)
    before = all_of(trainer)
    capsys.readouterr()
    twice = suggest_lr(trainer, sweep=RangeTest(num_iter=10, end_lr=1e-6)).curve.loss
    assert capsys.readouterr().out == ""
    assert changes(before, all_of(trainer)) == []
    assert (
        twice[0]
        == 2 * suggest_lr(make(tmp_path), sweep=RangeTest(num_iter=10, end_lr=1e-6)).curve.loss[0]
    )


def timeless():
    model = hf.classifier()
    return {"model": model, "optimizers": (Adafactor(model.parameters()), None)}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (timeless(), "relative_step=True makes its rate itself"),
        ({"neftune_noise_alpha": 5.0}, "neftune_noise_alpha takes effect only within train"),
        ({"optim": "galore_adamw"}, "cannot follow galore_adamw; ask with adamw_torch"),
        ({"torch_compile": True}, "cannot follow torch.compile"),
        ({"train_dataset": None}, "has no train_dataset; give it one, or batches="),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_sentence(tmp_path, settings, says):
    trainer = make(tmp_path, **settings)
    before = all_of(trainer)
    with pytest.raises(UserError, match=says):
        suggest_lr(trainer)
    assert changes(before, all_of(trainer)) == []


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, slice(1e-3, 1e-2)])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    trainer = make(tmp_path)
    before = all_of(trainer)
    with pytest.raises(UserError, match=r"must be positive and finite|spreads rates over layers"):
        set_lr(trainer, rate)
    assert changes(before, all_of(trainer)) == []
