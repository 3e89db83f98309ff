"""Lightning: a module that reads its rate from self.lr, set before the trainer fits it."""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lrsuggest import set_lr, suggest_lr


class Digits(pl.LightningModule):
    def __init__(self, lr=1e-3):
        super().__init__()
        self.lr = lr
        self.model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def test_step(self, batch, index):
        self.log("accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.lr)


torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits))
train, held_out = random_split(data, [1400, len(data) - 1400])
module, batches = Digits(), DataLoader(train, 64, shuffle=True)
trainer = pl.Trainer(max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False)

suggestion = suggest_lr((trainer, module), batches=batches)  # at a rate that stays
print(suggestion)
set_lr((trainer, module), suggestion)  # sets module.lr
trainer.fit(module, batches)
trainer.test(module, DataLoader(held_out, 397))
