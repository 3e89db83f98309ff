"""Small networks that train from scratch in seconds, one for each kind of data.

All outputs have their classes on axis 1, as torch's cross entropy wants them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def small_cnn(channels: int, classes: int) -> nn.Sequential:
    """Two convolutions with batch norm and a linear layer, for images of about 8x8."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4, classes),
    )


def plain_cnn(channels: int, classes: int) -> nn.Sequential:
    """Three convolutions without any normalisation, for images of about 28x28."""
    widths = (channels, 16, 32, 64)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, classes))


def dilated_cnn(channels: int, classes: int) -> nn.Sequential:
    """Five dilated convolutions that keep the size, for masks (Yu and Koltun, arXiv:1511.07122)."""
    layers: list[nn.Module] = []
    for dilation in (1, 2, 4, 8, 1):
        layers += [nn.Conv2d(channels, 16, 3, padding=dilation, dilation=dilation, bias=False),
                   nn.BatchNorm2d(16), nn.ReLU(inplace=True)]  # fmt: skip
        channels = 16
    return nn.Sequential(*layers, nn.Conv2d(16, classes, 1))


def mlp(inputs: int, outputs: int, width: int, *, norm: bool) -> nn.Sequential:
    """Two hidden layers for the rows of a table, with batch norm or without."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
        layers += [nn.BatchNorm1d(width)] if norm else []
        inputs = width
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Bag(nn.Module):
    """Word numbers (n, length) to class scores: the mean embedding, 0 left out, then a layer."""

    def __init__(self, words: int, classes: int, width: int) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(words, width, mode="mean", padding_idx=0)
        self.out = nn.Linear(width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Score the classes."""
        scores: Tensor = self.out(self.embed(ids))
        return scores


class WordCNN(nn.Module):
    """Word numbers (n, length) to class scores by convolutions (Kim, arXiv:1408.5882)."""

    def __init__(self, words: int, classes: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, k, padding=k // 2) for k in (3, 5))
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(2 * width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Score the classes."""
        x = self.embed(ids).transpose(1, 2)
        pooled = torch.cat([F.relu(conv(x)).amax(-1) for conv in self.convs], dim=1)
        scores: Tensor = self.out(self.drop(pooled))
        return scores


class Recurrent(nn.Module):
    """Tokens (n, length) to scores (n, tokens, length) of each next one, by a GRU."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, tokens)

    def forward(self, ids: Tensor) -> Tensor:
        """Score every next token."""
        scores: Tensor = self.out(self.gru(self.embed(ids))[0])
        return scores.transpose(1, 2)


class Transformer(nn.Module):
    """Tokens (n, length) to scores of each next one (causal), or of one class for the whole.

    Two layers of four heads, layer norm first, learnt positions.
    """

    def __init__(self, tokens: int, outputs: int, length: int, width: int, *, causal: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, outputs)
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        self.register_buffer("mask", mask if causal else None, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Score next tokens (n, tokens, length), or classes (n, classes)."""
        x = self.embed(ids) + self.place
        x = self.norm(self.layers(x, mask=self.mask, is_causal=self.mask is not None))
        scores: Tensor = self.out(x if self.mask is not None else x.mean(1))
        return scores.transpose(1, 2) if self.mask is not None else scores


class Dot(nn.Module):
    """(user, film) numbers (n, 2) to stars (n, 1): a dot product, two biases, a sigmoid to 0..5.5.

    fastai's EmbeddingDotBias.
    """

    def __init__(self, users: int, items: int, width: int) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, width + 1), nn.Embedding(items, width + 1)
        for embedding in (self.user, self.item):
            nn.init.trunc_normal_(embedding.weight, std=0.01, a=-0.02, b=0.02)

    def forward(self, pairs: Tensor) -> Tensor:
        """Predict the stars."""
        user, item = self.user(pairs[:, 0]), self.item(pairs[:, 1])
        score = (user[:, 1:] * item[:, 1:]).sum(1) + user[:, 0] + item[:, 0]
        stars: Tensor = 5.5 * score.sigmoid()[:, None]
        return stars
