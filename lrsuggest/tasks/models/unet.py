"""A U-Net in the shape of fastai's DynamicUnet, on any timm backbone.

The course's hand-picked rates belong to that network: pixel-shuffle up-sampling with ICNR
initialisation (Aitken et al., arXiv:1707.02937), a cross connection at every scale and one to the
input image. Like fastai's, its decoder has no normalisation but on the cross connections, unless
asked for.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrsuggest.tasks.models.encoder import channels, encoder, split


def _conv(
    inputs: int, outputs: int, kernel: int = 3, *, relu: bool = True, norm: bool = False
) -> nn.Sequential:
    """A convolution that keeps the size, He-initialised, with zero bias or batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not norm)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers: list[nn.Module] = [conv]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class PixelShuffleUp(nn.Sequential):
    """Doubles the size by a 1x1 convolution and a pixel shuffle, starting without checkerboards."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool) -> None:
        widen = _conv(inputs, outputs * 4, 1, norm=norm)
        with torch.no_grad():
            kernel = next(widen.parameters())
            kernel.copy_(nn.init.kaiming_normal_(kernel[::4].clone()).repeat_interleave(4, dim=0))
        super().__init__(widen, nn.PixelShuffle(2))


class Up(nn.Module):
    """One step up: enlarge, join with the encoder's feature of that size, convolve twice."""

    def __init__(self, below: int, skip: int, *, last: bool, norm: bool) -> None:
        super().__init__()
        self.enlarge = PixelShuffleUp(below, below // 2, norm=norm)
        self.norm = nn.BatchNorm2d(skip)
        joined = below // 2 + skip
        self.channels = joined // 2 if last else joined
        self.convs = nn.Sequential(
            _conv(joined, self.channels, norm=norm),
            _conv(self.channels, self.channels, norm=norm),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join x (n, below, h/2, w/2) with skip (n, skip, h, w) into (n, channels, h, w)."""
        x = self.enlarge(x)
        if x.shape[-2:] != skip.shape[-2:]:
            x = F.interpolate(x, skip.shape[-2:], mode="nearest")
        joined: Tensor = self.convs(F.relu(torch.cat([x, self.norm(skip)], dim=1)))
        return joined


class UNet(nn.Module):
    """Images (n, 3, height, width) to class scores (n, classes, height, width).

    Args:
        classes: number of classes.
        body: name of a timm backbone.
        pretrained: load its ImageNet weights.
        norm: batch norm after every convolution of the decoder, with which a few dozen steps
            suffice; fastai's has none.
    """

    def __init__(
        self, classes: int, body: str, *, pretrained: bool = True, norm: bool = False
    ) -> None:
        super().__init__()
        self.body = encoder(body, pretrained=pretrained)
        *skips, deepest = channels(self.body)
        self.middle = nn.Sequential(
            nn.BatchNorm2d(deepest),
            nn.ReLU(),
            _conv(deepest, deepest * 2, norm=norm),
            _conv(deepest * 2, deepest, norm=norm),
        )
        ups, width = [], deepest
        for index, skip in enumerate(reversed(skips)):
            ups.append(Up(width, skip, last=index == len(skips) - 1, norm=norm))
            width = ups[-1].channels
        self.ups = nn.ModuleList(ups)
        self.enlarge = PixelShuffleUp(width, width, norm=norm)
        width += 3
        self.cross = nn.Sequential(
            _conv(width, width, norm=norm), _conv(width, width, relu=False, norm=norm)
        )
        # torch's own, smaller initialisation: He's would start at several times the entropy.
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Score every pixel."""
        *skips, x = self.body(image)
        x = self.middle(x)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        x = self.enlarge(x)
        if x.shape[-2:] != image.shape[-2:]:
            x = F.interpolate(x, image.shape[-2:], mode="nearest")
        x = torch.cat([x, image], dim=1)
        scores: Tensor = self.out(F.relu(x + self.cross(x)))
        return scores

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters as fastai groups them: early body, late body, the rest."""
        inside = {id(p) for p in self.body.parameters()}
        rest = [p for p in self.parameters() if id(p) not in inside]
        return [*split(self.body), rest]
