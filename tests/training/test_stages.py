"""The stage, and that a training went on before, as the weights and the optimizer show them."""

import warnings
from functools import partial

import pytest
import timm
import torch
from torch import nn

from lrsuggest import Learner, RangeTest, suggest_lr
from lrsuggest.curves.heuristics.reasons import Reason
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.tasks.models.encoder import encoder
from lrsuggest.training.inspection.layers import adapters
from lrsuggest.training.inspection.marks import look
from lrsuggest.training.seen import seen

ADAMW = partial(torch.optim.AdamW, lr=1e-3)


def network(norm=nn.BatchNorm2d, *, head=16):
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), norm(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1), norm(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1), norm(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    return nn.Sequential(body, nn.Linear(16, head))


def learner(model, optimizer=None):
    torch.manual_seed(1)
    batches = [(torch.randn(16, 3, 16, 16), torch.randint(2, (16,))) for _ in range(4)]
    made = ADAMW(model.parameters()) if optimizer is None else optimizer
    return Learner(model.train(), nn.functional.cross_entropy, batches, made)


def train(ours, steps=20):
    drawn = ours.endless()
    for _ in range(steps):
        ours.step(drawn)
    return ours


def stage(model, optimizer=None):
    return learner(model, optimizer).detected_stage


NORMS = [nn.BatchNorm2d, partial(nn.GroupNorm, 2)]


@pytest.mark.parametrize("norm", NORMS)
def test_a_new_network_is_from_scratch(norm):
    assert stage(network(norm)) == "scratch"


def test_a_network_without_norms_is_not_answered():
    assert stage(network(lambda _: nn.Identity())) is None


@pytest.mark.parametrize(
    "name", ["resnet18", "regnetx_002", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_residual_norms_that_begin_at_zero_and_layer_norms_are_new(name):
    model = timm.create_model(name, num_classes=2)
    assert look(model, model.parameters()).fresh


def test_a_layer_held_a_norm_moved_or_a_batch_gone_through_is_not_called_new():
    model = network()
    model[0][0].requires_grad_(False)
    assert stage(model) is None
    model = network()
    model(torch.randn(4, 3, 16, 16))  # in train mode: what the norms have seen moved
    assert stage(model) is None
    model = network()
    model[0][4].weight.data[0] += 0.1
    assert stage(model) != "scratch"


def test_a_trained_body_without_norms_under_a_head_with_one_is_never_called_new():
    body = [part for _ in range(5) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 16), nn.BatchNorm1d(16), nn.Linear(16, 2))
    model = nn.Sequential(*body, head)
    assert not look(model, model.parameters()).fresh


def test_biases_beyond_what_is_drawn_for_them_are_not_new():
    model = network()
    model[0][3].bias.data[0] = 2.0
    assert stage(model) is None


def test_a_trained_body_under_a_new_head_is_finetuned_and_one_that_goes_on_is_unfrozen():
    body = encoder("tf_efficientnet_lite0")

    class Mean(nn.Module):
        def forward(self, features):
            return features[-1].mean((2, 3))

    model = nn.Sequential(body, Mean(), nn.Linear(320, 2))
    assert stage(model) == "finetune"
    body.requires_grad_(False)
    optimizer = ADAMW(model.parameters())
    ours = train(learner(model, optimizer))
    assert (ours.detected_stage, ours.continued) == ("frozen", True)
    body.requires_grad_(True)
    assert ours.detected_stage == "unfrozen"  # as many steps as the head has the body has not
    fresh = learner(model)
    assert fresh.continued is True  # the head's draw has moved
    assert fresh.detected_stage == "unfrozen"
    context, _ = seen(fresh, Context(continued=False))
    assert (context.stage, context.continued) == ("finetune", False)
    assert seen(fresh, Context(stage="scratch"))[0].stage == "scratch"  # told goes before seen


def test_gradients_left_tell_what_the_last_step_trained():
    model = network()
    train(learner(model))
    model[0].requires_grad_(False)
    nn.functional.cross_entropy(
        model(torch.randn(4, 3, 16, 16)), torch.tensor([0, 1, 0, 1])
    ).backward()
    model[0].requires_grad_(True)
    assert stage(model) == "unfrozen"
    model.zero_grad()
    assert stage(model) != "unfrozen"


def test_a_short_training_of_adams_is_told_from_a_trained_body():
    model = network()
    ours = train(learner(model))
    assert (ours.detected_stage, ours.continued) == ("scratch", True)
    model[0][4].weight.data[0] = 3.0  # further than twenty steps go
    assert ours.detected_stage == "finetune"
    model = network()
    sgd = train(learner(model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)))
    assert (sgd.detected_stage, sgd.continued) == (None, True)  # whose steps have no such bound


HEADS = {
    "torch's draw": (lambda head: head, False),
    "zeros": (lambda head: nn.init.zeros_(head.bias), False),
    "one number": (lambda head: nn.init.constant_(head.bias, -4.6), False),
    "nearly zeros": (lambda head: nn.init.normal_(head.bias, std=1e-6), False),
    "normal weights, torch's biases": (lambda head: nn.init.normal_(head.weight), None),
    "torch's draw, another bias": (lambda head: nn.init.constant_(head.bias[:1], 1.0), False),
    "a large bias": (
        lambda head: (nn.init.normal_(head.weight), nn.init.constant_(head.bias[:1], 1.0)), True,
    ),
    "zeros that moved": (
        lambda head: (nn.init.normal_(head.weight), nn.init.normal_(head.bias, std=1e-2)), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "trained"), HEADS.values(), ids=HEADS)
def test_a_head_tells_whether_it_was_trained(change, trained):
    model = network(head=8)
    with torch.no_grad():
        change(model[1])
    assert look(model, model.parameters()).head is trained


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_a_new_head_is_new_in_any_kind_of_number(kind):
    for seed in range(10):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 64), nn.Linear(64, 64)).to(kind)
        assert look(model, model.parameters()).head is False


def test_a_norm_between_the_last_layers_tells():
    head = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 4, bias=False))
    model = nn.Sequential(network()[0], head)
    nn.init.normal_(head[2].weight)
    assert look(model, model.parameters()).head is None
    head[1].bias.data[0] = 0.1
    assert look(model, model.parameters()).head is True


def test_a_held_body_under_a_head_that_goes_on_is_frozen():
    head = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    model = nn.Sequential(network()[0].requires_grad_(False), head)
    with torch.no_grad():
        head[1].bias.uniform_()
        head[1].weight.uniform_()
        head[1].running_mean.uniform_()
    ours = learner(model)
    assert (ours.detected_stage, ours.continued) == ("frozen", True)


def test_layers_that_train_below_a_new_head_and_were_trained_are_no_head():
    model = network()
    train(learner(model))
    model[1] = nn.Linear(16, 2)
    model[0][:2].requires_grad_(False)
    model[0][3].requires_grad_(False)
    assert stage(model) is None
    model[0].requires_grad_(False)
    assert stage(model) == "frozen"


class Low(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.base_layer = layer.requires_grad_(False)
        self.lora_A = nn.Linear(layer.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def test_lora_is_named_and_its_stage_is_told():
    model = nn.Sequential(nn.Flatten(), Low(nn.Linear(768, 32)), nn.LayerNorm(32), nn.Linear(32, 2))
    assert adapters(model) == "LoRA"
    found = suggest_lr(learner(model), seed=0, sweep=RangeTest(num_iter=30))
    assert found.stage is None
    assert "LoRA" in found.seen.beside
    assert "No recorded task trained with LoRA" in str(found)
    told = suggest_lr(learner(model), seed=0, sweep=RangeTest(num_iter=30), stage="finetune")
    assert told.stage == "finetune"
    assert any("LoRA" in each for each in told.reasons)


def test_adapters_are_named_by_pefts_mark():
    from types import SimpleNamespace

    model = network()
    model.peft_config = {"default": SimpleNamespace(peft_type=SimpleNamespace(value="LORA"))}
    assert adapters(model) == "LoRA"
    model.peft_config = {"default": SimpleNamespace(peft_type="IA3")}
    assert adapters(model) == "IA3"
    for name in ("explorations", "prompt_encoder"):
        assert adapters(nn.ModuleDict({name: nn.Linear(2, 2)})) is None


def test_what_is_told_of_the_stage_before_makes_a_trained_body_unfrozen():
    model = network()
    train(learner(model))
    ours = learner(model)
    assert ours.detected_stage is None  # a short training from scratch may go on
    found = suggest_lr(ours, previous=2e-3, seed=0, sweep=RangeTest(num_iter=30))
    assert (found.stage, found.context.continued, found.context.previous) == (
        "unfrozen",
        True,
        2e-3,
    )
    assert [each.reason for each in found.reasons].count(Reason.CONTINUED) == 1


@pytest.mark.parametrize(
    "odd",
    [
        lambda: nn.Linear(16, 2, dtype=torch.cfloat),
        lambda: nn.LazyLinear(2),
        lambda: nn.Linear(16, 2, device="meta"),
        lambda: nn.Linear(0, 2),
        lambda: nn.LSTM(16, 2),
        lambda: nn.Embedding(16, 2),
    ],
)
def test_what_cannot_be_looked_at_tells_nothing(odd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of empty layers
        model = nn.Sequential(network()[0], odd())
    found = look(model, model.parameters())
    assert found.head is None
    assert not found.pretrained
