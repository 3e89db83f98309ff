"""A recorded curve: a range test made without torch, written down, and read from its file."""

import csv

import numpy as np
from sklearn.datasets import load_digits

from lrsuggest import Curve, suggest_lr

pixels, digits = load_digits(return_X_y=True)
x = np.hstack([pixels / 16, np.ones((len(pixels), 1))])
weights = np.zeros((x.shape[1], 10))
rng = np.random.default_rng(0)

with open("curve.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["lr", "loss"])
    for lr in np.geomspace(1e-5, 1e3, 120):
        batch = rng.choice(len(x), 64, replace=False)
        logits = x[batch] @ weights
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        right = p[np.arange(64), digits[batch]]
        table.writerow([lr, -np.log(np.maximum(right, 1e-30)).mean()])  # before the step at lr
        p[np.arange(64), digits[batch]] -= 1
        weights -= lr * x[batch].T @ p / 64

curve = Curve.from_csv("curve.csv")
print(curve)
suggestion = suggest_lr(curve, optimizer="sgd", stage="scratch", total_steps=200)
print(suggestion)
suggestion.to_html("curve.html")
