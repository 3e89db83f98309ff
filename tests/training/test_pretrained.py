"""A body that was trained before it came here is seen, with all of it trainable."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from lrsuggest import Learner, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed
from lrsuggest.tasks.models.encoder import encoder
from lrsuggest.training.inspection.marks import look

NORMS = [nn.BatchNorm1d(8), nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.RMSNorm(8)]


def known(model):
    return look(model, model.parameters()).pretrained


def asked(model, shape):
    torch.manual_seed(0)
    batches = [(torch.randn(16, *shape), torch.randint(2, (16,))) for _ in range(4)]
    optimizer = torch.optim.AdamW(model.parameters())
    return Learner(model, nn.functional.cross_entropy, batches, optimizer)


class Last(nn.Module):
    def forward(self, features):
        return features[-1].mean((2, 3))


def test_a_loaded_body_all_trainable_is_seen_and_a_new_one_is_not():
    for loaded, stage in ((True, "finetune"), (False, "scratch")):
        body = encoder("tf_efficientnet_lite0", pretrained=loaded)
        model = nn.Sequential(body, Last(), nn.Linear(320, 2))
        assert asked(model, (3, 32, 32)).detected_stage == stage
        body.requires_grad_(False)
        assert asked(model, (3, 32, 32)).detected_stage == "frozen"


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def trained():
    ours = asked(small(), (4,))
    drawn = ours.endless()
    for _ in range(20):
        ours.step(drawn)
    return ours


def test_loaded_weights_are_a_doubt():
    model = small()
    assert suggest_lr(asked(model, (4,)), seed=0).stage == "scratch"
    model.load_state_dict(trained().model.state_dict())
    found = suggest_lr(asked(model, (4,)), seed=0)
    assert found.stage == "finetune"
    assert not found.reliable
    assert any(each.startswith("The body is pretrained") for each in found.reasons)
    told = suggest_lr(asked(model, (4,)), stage="scratch", seed=0)
    assert not any(each.startswith("The body is pretrained") for each in told.reasons)


def test_torchvisions_loaded_by_its_state_is_seen(data_root):
    made = torchvision.models.ShuffleNetV2([4, 8, 4], [24, 48, 96, 192, 1024], 2)
    assert not known(made)
    saved = torch.load(
        data_root / "weights" / "shufflenet_v2_24-48-96-192.pth", "cpu", weights_only=True
    )
    renamed = {"first_conv": "conv1", "branch_main": "branch2", "branch_proj": "branch1"}
    for old, new in renamed.items():
        saved = {name.replace(old, new): each for name, each in saved.items()}
    made.load_state_dict({**made.state_dict(), **saved})
    assert known(made)
    for norm in (each for each in made.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.requires_grad_(False)  # as many hold them
    assert known(made)


@pytest.mark.parametrize("norm", NORMS, ids=lambda each: type(each).__name__)
def test_a_norm_tells_once_it_was_trained(norm):
    model = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 2))
    assert not known(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.randn(16, 4)).square().sum().backward()
        optimizer.step()
    assert known(model)
    model[0].requires_grad_(False)  # what was trained is held: no layer of it trains
    assert not known(model)


def test_what_new_models_draw_tells_nothing():
    dc = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    nn.init.normal_(dc[1].weight, 1.0, 0.02)
    dc(torch.randn(4, 3, 8, 8))  # a batch gone through to see shapes
    assert not known(dc)
    for name in ("repvgg_a0", "resnet18", "vit_tiny_patch16_224"):
        assert not known(timm.create_model(name)), name
    assert not known(torchvision.models.mobilenet_v3_small())


class Adapted(nn.Module):
    """A held layer with two small ones that train beside it."""

    def __init__(self, layer):
        super().__init__()
        self.base = layer.requires_grad_(False)
        self.lora_a = nn.Linear(layer.in_features, 2, bias=False)
        self.lora_b = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.lora_b(self.lora_a(x))


def test_adapters_beside_a_held_body_are_no_finetuning():
    model = trained().model
    assert asked(model, (4,)).detected_stage == "finetune"
    model[0], model[3] = Adapted(model[0]), Adapted(model[3])
    ours = asked(model, (4,))
    assert ours.detected_stage is None
    assert (ours.layers.held, ours.layers.all) == (2, 6)  # which is a doubt of its own


def test_a_training_in_its_middle_keeps_its_stage():
    found = suggest_lr(trained(), seed=0)
    assert found.stage == "scratch"
    assert any(each.startswith("This training went on before") for each in found.reasons)


def test_a_fastai_learner_unfrozen_at_once_is_seen():
    vision = pytest.importorskip("fastai.vision.all")
    pictures, classes = torch.randn(16, 3, 32, 32), torch.randint(2, (16,))
    examples = list(zip(pictures, classes, strict=True))
    stages = []
    for loaded in (True, False):
        body = encoder("tf_efficientnet_lite0", pretrained=loaded)
        learn = vision.Learner(
            vision.DataLoaders.from_dsets(examples, examples, bs=8, device="cpu"),
            nn.Sequential(body, Last(), nn.Linear(320, 2)),
            loss_func=nn.CrossEntropyLoss(),
            splitter=lambda model: [vision.params(model[0]), vision.params(model[2])],
        )
        learn.freeze()
        for _ in range(2):
            with borrowed(learn) as ours:
                stages.append(ours.detected_stage)
            learn.unfreeze()
    assert stages == ["frozen", "finetune", "frozen", "scratch"]


class Looks(TorchFunctionMode):
    """Counts how often a tensor's numbers are asked for."""

    asks = frozenset(getattr(torch.Tensor, name) for name in (
        "tolist", "item", "numpy", "cpu", "__bool__", "__float__", "__int__",
    ))  # fmt: skip
    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func in self.asks
        return func(*args, **(kwargs or {}))


def test_all_norms_are_looked_at_in_one_look():
    """Each look by itself would make the host wait for a device."""
    looks = Looks()
    model = nn.Sequential(*(m for _ in range(20) for m in (nn.Linear(4, 4), nn.LayerNorm(4))))
    with looks:
        assert not known(model)
    assert looks.count == 1
    model[-1].bias.data[0] = 1
    assert known(model)
