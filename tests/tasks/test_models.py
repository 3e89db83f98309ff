import numpy as np
import pytest
import timm
import torch
from torch import nn

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import datasets
from lrsuggest.tasks.data.resident import Resident
from lrsuggest.tasks.models.encoder import OFFLINE, _offline_weights, encoder, hold
from lrsuggest.tasks.models.heads import CNNHead
from lrsuggest.tasks.models.registry import MODELS, build, pretrained
from lrsuggest.tasks.models.registry import model as registered
from lrsuggest.tasks.models.unet import PixelShuffleUp, UNet


@pytest.mark.slow
def test_the_offline_weights_are_loaded_whole_and_are_no_random_ones():
    body = encoder(OFFLINE)
    fresh = timm.create_model(OFFLINE, pretrained=False, features_only=True)
    for (name, ours), theirs in zip(
        body.state_dict().items(), fresh.state_dict().values(), strict=True
    ):
        if name.endswith("weight"):
            assert not torch.equal(ours, theirs), name
    body.eval()
    image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        features = body(image)
    assert [f.shape[-1] for f in features] == [32, 16, 8, 4, 2]
    # With running statistics that fit its weights a network stays of order one to ten.
    assert all(0.1 < float(f.std()) < 20 for f in features)


@pytest.mark.parametrize("size", [(48, 64), (60, 80), (37, 51)])
@pytest.mark.parametrize("norm", [False, True])
def test_a_unet_scores_every_pixel(size, norm):
    model = UNet(12, OFFLINE, norm=norm).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, *size)).shape == (2, 12, *size)


@pytest.mark.slow
def test_the_unet_on_resnet34_has_the_size_of_fastais():
    model = UNet(32, "resnet34", pretrained=False)
    assert sum(p.numel() for p in model.parameters()) == 41_224_168
    head = CNNHead((2,), "resnet34", pretrained=False)
    assert sum(p.numel() for p in head.parameters()) == 21_813_056


def test_icnr_starts_without_checkerboards():
    up = PixelShuffleUp(8, 4, norm=False)
    out = up(torch.rand(1, 8, 5, 5))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2)
    assert torch.allclose(blocks, blocks[..., :1, :1].expand_as(blocks), atol=1e-6)


def test_layer_groups_hold_every_parameter_once():
    for model in (UNet(3, OFFLINE), CNNHead((68, 2), OFFLINE)):
        groups = model.layer_groups()
        assert len(groups) == 3
        assert all(groups)
        ids = [id(p) for group in groups for p in group]
        assert sorted(ids) == sorted(id(p) for p in model.parameters())
        assert id(next(iter(model.body.parameters()))) in map(id, groups[0])


def test_a_held_body_trains_only_its_norms():
    body = encoder(OFFLINE)
    hold(body)
    for module in body.modules():
        for parameter in module.parameters(recurse=False):
            assert parameter.requires_grad is isinstance(module, nn.BatchNorm2d)


def test_the_first_body_of_a_process_draws_as_many_numbers_as_the_next():
    drawn = []
    for forget in (True, False):
        if forget:
            _offline_weights.cache_clear()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder(OFFLINE)
            drawn.append(torch.rand(1))
    assert drawn[0] == drawn[1]


def test_an_unknown_body_is_refused():
    with pytest.raises(UserError, match="timm has no model 'resnet35'"):
        encoder("resnet35")


def test_a_model_is_one_registration():
    named = {each.model.partition("/")[0] for each in datasets().values() if each.model}
    assert named <= set(MODELS)
    assert [name for name, each in MODELS.items() if each.body] == ["unet", "unet_norm", "cnn_head"]
    assert pretrained("unet_norm/tf_efficientnet_lite0")
    assert not pretrained("mlp/100")
    assert not pretrained("of nobody")
    with pytest.raises(UserError, match="there is a model 'mlp' already"):
        registered("mlp")(lambda data, kind, detail: None)
    with pytest.raises(UserError, match=r"no model 'of nobody'; use one of unet, .*, dot$"):
        build("of nobody", None, "regression")
    rows = resident(np.zeros((4, 3), np.float32))
    assert build("mlp/7", rows, "regression")[0].out_features == 7
    for wrong in ("mlp", "mlp/", "mlp/x", "mlp/0", "mlp/-3"):
        with pytest.raises(UserError, match=r"a width must follow .* mlp/100"):
            build(wrong, rows, "regression")


def resident(inputs):
    n = len(inputs)
    return Resident(inputs, np.zeros((n, 1), np.float32), np.arange(n) > n // 2, ())
