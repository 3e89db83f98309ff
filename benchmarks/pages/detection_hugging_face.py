"""Cases of Hugging Face's Trainer for the page of detection."""

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from detection_cases import Case, Looks
from detection_models import FIRST, SECOND, Network, body_of, examples, hold, made
from torch.optim import lr_scheduler as schedulers
from transformers import Trainer, TrainerCallback, TrainingArguments, get_scheduler

BERT, WRITER = FIRST[7], FIRST[8]
ELECTRA, OPT = SECOND[6], SECOND[7]
Run = Callable[[Looks], None]
ADAMW, WENT_ON = {"optimizer": "adamw"}, {"continued": True}


class Tells(TrainerCallback):
    """Looks at the Trainer after a step."""

    def __init__(self, do: Callable[[], None], at: int) -> None:
        self.do, self.at = do, at

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look, at its step."""
        if state.global_step == self.at:
            self.do()


def hugging_face(
    look: Looks, *, network: Network = BERT, trained: bool = False, held: bool = False,
    when: str = "before", given: Callable[[Any], Any] | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Look before a training, in its middle, after it, or once unfrozen, in a Trainer anew."""
    model = made(network, trained)
    hold(body_of(model, network.head), held)
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            **{
                "output_dir": folder, "use_cpu": True, "report_to": [], "save_strategy": "no",
                "logging_strategy": "no", "disable_tqdm": True, "max_steps": 40,
                "per_device_train_batch_size": 16, "dataloader_pin_memory": False,
                "learning_rate": 1e-3, **settings,
            }
        )  # fmt: skip
        given_both = (None, None)
        if given is not None:
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
            given_both = (optimizer, given(optimizer))
        rows = examples(network)
        trainer = Trainer(model, args, train_dataset=rows, eval_dataset=rows[:32],
                          optimizers=given_both)  # fmt: skip
        if when == "middle":
            trainer.add_callback(Tells(lambda: look(trainer), 5))
        if when != "before":
            with contextlib.redirect_stdout(io.StringIO()):
                trainer.train()
        if when in ("unfrozen", "anew"):
            hold(model.parameters(), False)
        if when == "anew":
            trainer = Trainer(model, args, train_dataset=examples(network))
        if when != "middle":
            look(trainer)


def of_hugging_face() -> list[Case]:
    """Return Hugging Face's cases."""
    on = functools.partial(functools.partial, hugging_face)
    line = {"schedule": "linear", "total_steps": 40}
    new, tuned = {"stage": "scratch"}, {"stage": "finetune"}
    frozen, unfrozen = {"stage": "frozen"}, {"stage": "unfrozen"}
    types = {
        "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant",
        "polynomial": "linear", "cosine_with_restarts": "cosine_with_restarts",
        "inverse_sqrt": "inverse_sqrt", "reduce_lr_on_plateau": "reduce_lr_on_plateau",
    }  # fmt: skip
    middle = {**WENT_ON, "schedule": "linear", "total_steps": 35}
    found: list[tuple[str, dict[str, Any], Run]] = [
        ("new", {**new, **line}, on()),
        *(
            (f"new, {kind}", {**new, "schedule": truth, "total_steps": 40},
             on(lr_scheduler_type=kind, eval_strategy="epoch"))
            for kind, truth in types.items()
        ),
        ("new, a warm-up and a line", {**new, **line}, on(warmup_steps=5)),
        ("new, sgd", {"optimizer": "sgd", **new, **line}, on(optim="sgd")),
        ("new, rmsprop", {"optimizer": "RMSprop", **new, **line}, on(optim="rmsprop")),
        ("new, adafactor", {"optimizer": "Adafactor", **new, **line}, on(optim="adafactor")),
        ("new, two epochs", {**new, "schedule": "linear", "total_steps": 32},
         on(max_steps=-1, num_train_epochs=2)),
        ("new, two batches a step", {**new, "schedule": "linear", "total_steps": 16},
         on(max_steps=-1, num_train_epochs=2, gradient_accumulation_steps=2)),
        ("new, given a one-cycle", {**new, "schedule": "one_cycle", "total_steps": 40},
         on(given=lambda o: schedulers.OneCycleLR(o, 1e-2, total_steps=40))),
        ("new, given transformers' cosine", {**new, "schedule": "cosine", "total_steps": 40},
         on(given=lambda o: get_scheduler("cosine", o, 5, 40))),
        ("new, given steps down", {**new, "schedule": "StepLR", "total_steps": 40},
         on(given=lambda o: schedulers.StepLR(o, 10))),
        ("trained body", {**tuned, **line}, on(trained=True)),
        ("trained body held", {**frozen, **line}, on(trained=True, held=True)),
        ("trained, its head", {**tuned, **line}, on(network=WRITER, trained=True)),
        ("in its middle", {**new, **middle}, on(when="middle")),
        ("trained body, in its middle", {**tuned, **middle}, on(trained=True, when="middle")),
        ("trained body held, in its middle", {**frozen, **middle},
         on(trained=True, held=True, when="middle")),
        ("trained from scratch", {**new, **WENT_ON, **line}, on(when="after")),
        ("trained body held, trained, unfrozen, under the head's optimizer",
         {**frozen, **WENT_ON, **line}, on(trained=True, held=True, when="unfrozen")),
        ("trained body held, trained, unfrozen in a new Trainer", {**unfrozen, **WENT_ON, **line},
         on(trained=True, held=True, when="anew")),
    ]  # fmt: skip
    second: list[tuple[str, dict[str, Any], Run]] = [
        ("ELECTRA, new, cosine_with_min_lr",
         {**new, "schedule": "cosine_with_min_lr", "total_steps": 40},
         on(network=ELECTRA, lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr": 1e-5})),
        ("ELECTRA, trained body, cosine", {**tuned, "schedule": "cosine", "total_steps": 40},
         on(network=ELECTRA, trained=True, lr_scheduler_type="cosine")),
        ("ELECTRA, trained body held", {**frozen, **line},
         on(network=ELECTRA, trained=True, held=True)),
        ("OPT, trained, in its middle", {**tuned, **middle},
         on(network=OPT, trained=True, when="middle")),
    ]  # fmt: skip
    return [
        Case(name, "Hugging Face", {**ADAMW, **truth}, run, late)
        for late, many in ((False, found), (True, second))
        for name, truth, run in many
    ]
