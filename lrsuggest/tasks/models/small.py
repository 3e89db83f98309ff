"""Small networks that train from scratch in seconds."""

from torch import nn


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
