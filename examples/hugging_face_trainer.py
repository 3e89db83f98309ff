"""Hugging Face: a small vision transformer on handwritten digits, its Trainer's rate suggested."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import random_split
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from lrsuggest import set_lr, suggest_lr

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
images = torch.tensor(pixels.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
data = [{"pixel_values": x, "labels": int(y)} for x, y in zip(images, digits, strict=True)]
train, valid = random_split(data, [1400, len(data) - 1400])
model = ViTForImageClassification(
    ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, num_labels=10,
    )
)  # fmt: skip
arguments = TrainingArguments(
    "digits", num_train_epochs=10, per_device_train_batch_size=64, warmup_steps=60,
    save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
)  # fmt: skip
trainer = Trainer(model, arguments, train_dataset=train, eval_dataset=valid)

suggestion = suggest_lr(trainer)
print(suggestion)

set_lr(trainer, suggestion)  # sets trainer.args.learning_rate
trainer.train()
answer = trainer.predict(valid)
print(f"accuracy {(answer.predictions.argmax(1) == answer.label_ids).mean():.3f}")
