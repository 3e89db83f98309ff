"""Networks for the page of detection: new, trained here, with real weights; their batches."""

import functools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
import transformers
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lrsuggest.tasks.models.encoder import encoder

CLASSES = 10
PRETRAINING = 60  # steps of what is called trained here
WORDS, LENGTH = 64, 12


def _digits() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels[:256], dtype=torch.float32) / 16, torch.tensor(labels[:256])


def pixels(size: int = 16) -> list[Any]:
    """Return batches of digits as rows of 64."""
    rows, labels = _digits()
    return list(zip(rows.split(size), labels.split(size), strict=True))


def pictures(size: int = 16) -> list[Any]:
    """Return batches of digits as pictures of 3x32x32."""
    rows, labels = _digits()
    made = nn.functional.interpolate(rows.reshape(-1, 1, 8, 8), size=32).expand(-1, 3, -1, -1)
    return list(zip(made.contiguous().split(size), labels.split(size), strict=True))


def sentences(size: int = 16) -> list[Any]:
    """Return batches of digits as dicts: each a sentence of 12 words, the label its class."""
    rows, labels = _digits()
    words = (rows[:, 20 : 20 + LENGTH] * 60).long()
    return [
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": label}
        for ids, label in zip(words.split(size), labels.split(size), strict=True)
    ]


def texts(size: int = 16) -> list[Any]:
    """Return batches of the same sentences, to be written on."""
    return [
        {"input_ids": each["input_ids"], "labels": each["input_ids"]} for each in sentences(size)
    ]


@dataclass(frozen=True)
class Network:
    """A network of the page.

    Attributes:
        name: of the library and the architecture.
        make: makes it anew.
        head: what the names of its head's weights begin with; "" for one that keeps its head.
        batches: what it trains on.
        weights: its real weights, put into what `make` made; None to train it here.
    """

    name: str
    make: Callable[[], nn.Module]
    head: str
    batches: Callable[[], list[Any]]
    weights: Callable[[nn.Module], None] | None = None


def fit(
    model: nn.Module, batches: list[Any], optimizer: Any, steps: int, *, clears: bool = False
) -> None:
    """Make steps of a plain loop.

    Args:
        model: what trains.
        batches: what on.
        optimizer: over its weights.
        steps: how many.
        clears: whether gradients are cleared after a step, as some loops do, not before it.
    """
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, batches[step % len(batches)]).backward()
        optimizer.step()
        if clears:
            optimizer.zero_grad()


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    """Return the loss of a batch, of pairs or of a dict."""
    if isinstance(batch, dict):
        loss: Tensor = model(**batch).loss
        return loss
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def body_of(model: nn.Module, head: str) -> list[Tensor]:
    """Return the weights before the head."""
    return [p for name, p in model.named_parameters() if not (head and name.startswith(head))]


def hold(weights: Iterable[Tensor], held: bool = True) -> None:
    """Hold weights, or let them train."""
    for each in weights:
        each.requires_grad_(not held)


@functools.cache
def trained_state(network: Network) -> dict[str, Tensor]:
    """Return the weights of a network that was trained, or has real ones."""
    torch.manual_seed(1)
    model = network.make().train()
    if network.weights is not None:
        network.weights(model)
    else:
        fit(model, network.batches(), torch.optim.AdamW(model.parameters(), 2e-3), PRETRAINING)
    return {name: each.clone() for name, each in model.state_dict().items()}


def loaded(network: Network, *, head: bool = False) -> nn.Module:
    """Return a network with a trained body, and a new head unless the trained one is wanted."""
    torch.manual_seed(2)
    model = network.make().train()
    keeps = head or not network.head
    places = model.state_dict()
    for name, each in trained_state(network).items():
        if keeps or not name.startswith(network.head):
            places[name].detach().copy_(each)
    return model


class Pooled(nn.Module):
    """The last of a body's features, averaged."""

    def forward(self, features: Any) -> Tensor:
        """Return (n, channels)."""
        last: Tensor = features[-1] if isinstance(features, list | tuple) else features
        return last.mean((2, 3))


def on_body(name: str) -> nn.Module:
    """Return a linear head on timm's features."""
    body = encoder(name, pretrained=False)
    return nn.Sequential(body, Pooled(), nn.Linear(body.feature_info.channels()[-1], CLASSES))


def lite0(model: Any) -> None:
    """Put ImageNet weights into EfficientNet-Lite0's body."""
    model[0].load_state_dict(encoder("tf_efficientnet_lite0").state_dict())


def shufflenet(model: nn.Module) -> None:
    """Put the data folder's weights into a small ShuffleNetV2, whose last layers stay new."""
    path = Path(os.environ["LRSUGGEST_DATA"]) / "weights" / "shufflenet_v2_24-48-96-192.pth"
    state = torch.load(path, "cpu", weights_only=True)
    renamed = {"first_conv": "conv1", "branch_main": "branch2", "branch_proj": "branch1"}
    for old, new in renamed.items():
        state = {name.replace(old, new): each for name, each in state.items()}
    model.load_state_dict({**model.state_dict(), **state})


def convolutions(norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d) -> nn.Module:
    """Return a body of three convolutions with norms between, and a linear head."""
    parts: list[nn.Module] = []
    for a, b in ((3, 16), (16, 32), (32, 64)):
        parts += [nn.Conv2d(a, b, 3, 2, 1), *([norm(b)] if norm else []), nn.ReLU()]
    body = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(64, CLASSES))


def perceptron(norm: Callable[[int], nn.Module] | None = nn.LayerNorm) -> nn.Module:
    """Return three linear layers with norms between, and a head of two."""
    parts: list[nn.Module] = []
    for a, b in ((64, 96), (96, 96), (96, 64)):
        parts += [nn.Linear(a, b), *([norm(b)] if norm else []), nn.ReLU()]
    head = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, CLASSES))
    return nn.Sequential(nn.Sequential(*parts), head)


def of_timm(name: str, head: str, **settings: Any) -> Network:
    """Return a network of timm's."""
    make = functools.partial(timm.create_model, name, num_classes=CLASSES, **settings)
    return Network(f"timm {name}", make, head, pictures)


def of_torchvision(name: str, head: str, **settings: Any) -> Network:
    """Return a network of torchvision's."""
    make = functools.partial(getattr(torchvision.models, name), num_classes=CLASSES, **settings)
    return Network(f"torchvision {name}", make, head, pictures)


def of_transformers(kind: str, config: str, head: str, **settings: Any) -> Network:
    """Return a small network of transformers', which reads sentences or writes on."""
    given = {"vocab_size": WORDS, "num_labels": CLASSES, "pad_token_id": 0, **settings}

    def make() -> nn.Module:
        made = getattr(transformers, config)(**given)
        model: nn.Module = getattr(transformers, kind)(made)
        return model

    classifies = kind.endswith("SequenceClassification")
    return Network(f"transformers {kind}", make, head, sentences if classifies else texts)


SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 32,
}  # fmt: skip
REAL = (
    Network("tf_efficientnet_lite0, ImageNet", lambda: on_body("tf_efficientnet_lite0"), "2.",
            pictures, lite0),
    Network("torchvision ShuffleNetV2, real weights",
            lambda: torchvision.models.ShuffleNetV2([4, 8, 4], [24, 48, 96, 192, 1024], CLASSES),
            ("fc"), pictures, shufflenet),
)  # fmt: skip
# Those that what is detected was worked out on.
FIRST = (
    Network("own convolutions, batch norm", convolutions, "1.", pictures),
    Network("own perceptron, layer norm", perceptron, "1.", pixels),
    of_timm("resnet18", "fc"),
    of_timm("mobilenetv3_small_050", "classifier"),
    of_timm("vit_tiny_patch16_224", "head", img_size=32),
    of_timm("convnext_atto", "head.fc"),
    of_torchvision("resnet18", "fc"),
    of_transformers("BertForSequenceClassification", "BertConfig", "classifier", **SMALL),
    of_transformers("LlamaForCausalLM", "LlamaConfig", "", **SMALL),
)  # fmt: skip
BRIEFLY = (
    of_timm("regnetx_002", "head.fc"),
    of_timm("repvgg_a0", "head.fc"),
    of_timm("mixer_s32_224", "head", img_size=32),
    of_torchvision("mobilenet_v3_small", "classifier"),
    of_torchvision("efficientnet_b0", "classifier"),
    of_transformers("DistilBertForSequenceClassification", "DistilBertConfig", "classifier",
                    dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=32),
    of_transformers("GPT2LMHeadModel", "GPT2Config", "", n_embd=32, n_layer=2, n_head=2,
                    n_positions=32),
)  # fmt: skip
WITHOUT_NORMS = (
    Network("own convolutions, no norm", lambda: convolutions(None), "1.", pictures),
    of_torchvision("squeezenet1_1", "classifier"),
)
# Those that were written down before what is detected was tried on them.
SECOND = (
    Network("own convolutions, group norm", lambda: convolutions(lambda n: nn.GroupNorm(4, n)),
            "1.", pictures),
    of_timm("dla46_c", "fc"),
    of_timm("swin_tiny_patch4_window7_224", "head.fc", img_size=32, window_size=2),
    of_timm("ghostnet_050", "classifier"),
    of_torchvision("densenet121", "classifier"),
    of_torchvision("mnasnet0_5", "classifier"),
    of_transformers("ElectraForSequenceClassification", "ElectraConfig", "classifier",
                    embedding_size=32, **SMALL),
    of_transformers("OPTForCausalLM", "OPTConfig", "", hidden_size=32, num_hidden_layers=2,
                    num_attention_heads=2, ffn_dim=64, max_position_embeddings=32,
                    word_embed_proj_dim=32),
    of_timm("nfnet_l0", "head.fc"),
)  # fmt: skip


def made(network: Network, trained: bool) -> nn.Module:
    """Return a network, new or with a trained body."""
    torch.manual_seed(0)
    return loaded(network) if trained else network.make().train()


def examples(network: Network) -> list[Any]:
    """Return single examples of what a network trains on."""
    batches = network.batches()
    if isinstance(batches[0], dict):
        return [{k: v[i] for k, v in batch.items()} for batch in batches for i in range(16)]
    return [(x[i], y[i]) for x, y in batches for i in range(16)]
