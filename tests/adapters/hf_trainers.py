"""Hugging Face Trainers over tiny networks and real text."""

import re

import torch
from sklearn import datasets as described
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

TEXTS = ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud")
WORDS = re.compile(r"[a-z]+")


def sentences():
    """Lines of the descriptions that scikit-learn ships, and which of them each is from."""
    found = []
    for label, name in enumerate(TEXTS):
        for line in getattr(described, f"load_{name}")().DESCR.splitlines():
            words = WORDS.findall(line.lower())
            if len(words) >= 4:
                found.append((" ".join(words[:24]), label))
    return found


LINES = sentences()
VOCABULARY = ["[PAD]", "[UNK]", *sorted({word for line, _ in LINES for word in line.split()})]


def tokenizer():
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def examples(labelled=True):
    """Token lists of many lengths; "idx" is a column that no model takes."""
    encode = tokenizer()
    out = []
    for index, (line, label) in enumerate(LINES):
        ids = encode(line)["input_ids"]
        example = {"input_ids": ids, "attention_mask": [1] * len(ids), "idx": index}
        out.append({**example, "labels": label} if labelled else example)
    return out


def classifier(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2,
                num_attention_heads=2, intermediate_size=64, max_position_embeddings=32,
                num_labels=len(TEXTS), **settings,
            )
        )  # fmt: skip


def writer(**settings):
    """A causal language model, which counts its labels over accumulated batches."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(VOCABULARY), n_embd=32, n_layer=2, n_head=2, n_positions=32,
                bos_token_id=0, eos_token_id=0, **settings,
            )
        )  # fmt: skip


def arguments(folder, **settings):
    return TrainingArguments(
        **{
            "output_dir": str(folder / "out"), "use_cpu": True, "report_to": [], "seed": 3,
            "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no",
            "per_device_train_batch_size": 16, "dataloader_pin_memory": False,
            "learning_rate": 1e-3, "max_steps": 12, "lr_scheduler_type": "constant", **settings,
        }
    )  # fmt: skip


def make(folder, *, model=None, kind=Trainer, **settings):
    """A Trainer that classifies lines; what is no argument of a Trainer goes to its arguments."""
    named = ("optimizers", "callbacks", "compute_loss_func", "data_collator", "eval_dataset",
             "optimizer_cls_and_kwargs", "train_dataset", "processing_class")  # fmt: skip
    given = {name: settings.pop(name) for name in named if name in settings}
    args = arguments(folder, **settings)
    model = model or classifier()
    if isinstance(model, GPT2LMHeadModel):
        collate = DataCollatorForLanguageModeling(tokenizer(), mlm=False)
        given = {"train_dataset": examples(labelled=False), "data_collator": collate, **given}
    return kind(
        model, args, **{"train_dataset": examples(), "processing_class": tokenizer(), **given}
    )


class Asks(TrainerCallback):
    """Does something once, at an event of training."""

    def __init__(self, event, do, at=0):
        self.do, self.at, self.answer = do, at, None
        setattr(self, event, self._ask)

    def _ask(self, args, state, control, **_):
        if state.global_step >= self.at and self.answer is None:
            self.answer = self.do()


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
