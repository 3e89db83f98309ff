"""The batches and losses that a sweep with a Trainer takes, and what it refuses."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes
from hf_watched import EXAMPLES, MARKS, RECOMPUTE, Watched, all_of, hf, make, unchanged
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.optimization import Adafactor

from lrsuggest import Probes, RangeTest, UserError, suggest_lr
from lrsuggest.adapters.transformers.adapter import borrowed

pytestmark = MARKS


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
