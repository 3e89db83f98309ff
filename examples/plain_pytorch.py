"""Plain PyTorch: a loop of your own on handwritten digits, at a suggested one-cycle maximum."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lrsuggest import Learner, suggest_lr

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits))
train, valid = random_split(data, [1400, len(data) - 1400])
batches, held_out = DataLoader(train, 64, shuffle=True), DataLoader(valid, 256)
model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
optimizer = torch.optim.AdamW(model.parameters())
steps = 5 * len(batches)

learner = Learner(model, nn.functional.cross_entropy, batches, optimizer, total_steps=steps)
suggestion = suggest_lr(learner)  # model, optimizer and random states stay as they were
print(suggestion)

cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, float(suggestion), total_steps=steps)
for _ in range(5):
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        cycle.step()

model.eval()
with torch.no_grad():
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in held_out)
print(f"accuracy {right / len(valid):.3f}")
