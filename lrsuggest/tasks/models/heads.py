"""A pretrained body with fastai's head: both poolings, then two linear layers with batch norm."""

import torch
from torch import Tensor, nn

from lrsuggest.tasks.models.encoder import channels, encoder, split


class CNNHead(nn.Module):
    """Images (n, 3 or 1, height, width) to outputs (n, *shape).

    The head is that of fastai's vision_learner: average and maximum pooling side by side, batch
    norm, dropout, a hidden layer of 512, and an output layer without bias.

    Args:
        shape: shape of one output, such as (2,) or (68, 2).
        body: name of a timm backbone.
        pretrained: load its ImageNet weights.
    """

    def __init__(self, shape: tuple[int, ...], body: str, *, pretrained: bool = True) -> None:
        super().__init__()
        self.shape = shape
        self.body = encoder(body, pretrained=pretrained)
        width = 2 * channels(self.body)[-1]
        self.head = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Dropout(0.25),
            nn.Linear(width, 512, bias=False),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(512),
            nn.Dropout(0.5),
            nn.Linear(512, int(torch.Size(shape).numel()), bias=False),
        )
        for module in self.head:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Predict from images."""
        if image.shape[1] == 1:
            image = image.expand(-1, 3, -1, -1)
        deepest = self.body(image)[-1]
        pooled = torch.cat([deepest.amax((-2, -1)), deepest.mean((-2, -1))], dim=1)
        flat: Tensor = self.head(pooled)
        return flat.view(-1, *self.shape)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters as fastai groups them: early body, late body, head."""
        return [*split(self.body), list(self.head.parameters())]
