"""Our networks against the installed fastai's."""

import contextlib
import io
import warnings

import pytest
import timm
import torch
from torch import nn

from lrsuggest.tasks.models.heads import CNNHead
from lrsuggest.tasks.models.unet import UNet
from lrsuggest.training.one_cycle import group_rates

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.optimizer import SGD
    from fastai.vision.learner import _resnet_split, create_unet_model, create_vision_model
    from fastai.vision.models import resnet34
    from fastai.vision.models.unet import DynamicUnet

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def size(model):
    return sum(p.numel() for p in model.parameters())


def test_the_unet_of_the_camvid_lesson():
    theirs = create_unet_model(resnet34, 32, (360, 480), pretrained=False).eval()
    ours = UNet(32, "resnet34", pretrained=False).eval()
    assert size(theirs) == size(ours) == 41_224_168
    image = torch.zeros(1, 3, 360, 480)
    with torch.no_grad():
        assert theirs(image).shape == ours(image).shape == (1, 32, 360, 480)


def test_the_cnn_head_of_the_head_pose_lesson():
    theirs = create_vision_model(resnet34, 2, pretrained=False).eval()
    ours = CNNHead((1, 2), "resnet34", pretrained=False).eval()
    assert size(theirs) == size(ours) == 21_813_056
    image = torch.zeros(2, 3, 120, 160)
    with torch.no_grad():
        assert theirs(image).numel() == ours(image).numel() == 4


def test_another_body_in_the_same_shape():
    body = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    sequence = nn.Sequential(body.conv_stem, body.bn1, *body.blocks)
    theirs = DynamicUnet(sequence, 12, (96, 128))
    assert size(theirs) == size(UNet(12, "tf_efficientnet_lite0", pretrained=False))


def test_the_same_layer_groups():
    theirs = create_vision_model(resnet34, 2, pretrained=False)
    groups = [[p.numel() for p in group] for group in _resnet_split(theirs)]
    ours = CNNHead((2,), "resnet34", pretrained=False).layer_groups()
    assert [sum(group) for group in groups] == [sum(p.numel() for p in g) for g in ours]


@pytest.mark.parametrize("rate", [1e-2, slice(1e-2), slice(1e-5, 1e-3), slice(1e-6, 1e-4)])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_slices_give_the_same_rates(rate, count):
    groups = [[nn.Parameter(torch.zeros(1))] for _ in range(count)]
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer = SGD(groups, lr=1e-3)
        optimizer.set_hyper("lr", rate)
    theirs = [hyper["lr"] for hyper in optimizer.hypers]
    assert group_rates(rate, [1.0] * count) == pytest.approx(theirs)
