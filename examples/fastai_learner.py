"""fastai: a Learner on handwritten digits, and the rate that its fit_one_cycle takes by itself."""

import torch
from fastai.basics import CrossEntropyLossFlat, DataLoaders, Learner, accuracy
from fastai.callback.schedule import fit_one_cycle  # noqa: F401  (it becomes a method of Learner)
from fastai.data.load import DataLoader
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset, random_split

from lrsuggest import set_lr, suggest_lr

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits))
train, valid = random_split(data, [1400, len(data) - 1400])
batches, held_out = DataLoader(train, bs=64, shuffle=True), DataLoader(valid, bs=256)
model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
dls = DataLoaders(batches, held_out, device=torch.device("cpu"))
learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy)

suggestion = suggest_lr(learn, total_steps=5 * len(batches))
print(suggestion)

set_lr(learn, suggestion)  # sets learn.lr
with learn.no_bar(), learn.no_logging():
    learn.fit_one_cycle(5)
    loss, right = learn.validate()
print(f"accuracy {right:.3f}")
