"""Optuna: a study of the rate on handwritten digits, kept to where the range test says to look."""

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, fit_one_cycle, suggest_lr

pixels, digits = load_digits(return_X_y=True)
x, y = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits)
batches = DataLoader(TensorDataset(x[:1400], y[:1400]), 64, shuffle=True)
held_out = DataLoader(TensorDataset(x[1400:], y[1400:]), 256)


def learner():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    return Learner(model, nn.functional.cross_entropy, batches, optimizer, valid=held_out)


def objective(trial):
    return fit_one_cycle(learner(), suggestion.suggest_float(trial, "lr"), epochs=2).valid_loss


suggestion = suggest_lr(learner(), total_steps=2 * len(batches))
print(suggestion)

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
suggestion.enqueue(study, "lr")  # the suggested rate is tried first
study.optimize(objective, n_trials=8)
first, best = study.trials[0], study.best_trial
print(f"suggested {first.params['lr']:.2g}: loss {first.value:.3f}")
print(f"best of 8 {best.params['lr']:.2g}: loss {best.value:.3f}")
