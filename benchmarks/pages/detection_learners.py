"""Cases of our Learner: optimizers, schedules attached to them, planned steps, adapters."""

import functools
from collections.abc import Callable
from typing import Any

import accelerate
import torch
import transformers
from detection_cases import ADAMW, Case, Looks, learner
from detection_models import FIRST, SECOND, Network, body_of, fit, hold, loaded
from torch import nn
from torch.optim import lr_scheduler as schedulers

from lrsuggest.tasks.models.encoder import encoder

MLP, NET = FIRST[1], FIRST[0]
SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
FUSED = functools.partial(torch.optim.AdamW, lr=1e-3, fused=True)
ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


class Logs:
    """Hands on whatever it is asked, as wrappers for logging do."""

    def __init__(self, optimizer: Any) -> None:
        self.inner = optimizer
        self.param_groups, self.state = optimizer.param_groups, optimizer.state

    def step(self, closure: Any = None) -> Any:
        """Step."""
        return self.inner.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.inner.zero_grad(set_to_none)


class Mine(torch.optim.AdamW):
    """A person's own heir."""


class Lion(torch.optim.Optimizer):
    """Signs of a momentum."""

    def __init__(self, weights: Any, lr: float = 1e-4) -> None:
        super().__init__(weights, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        """Step along the signs."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.add_(weight.grad.sign(), alpha=-group["lr"])


OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "AdamW": (ADAMW, "adamw"),
    "Adam": (ADAM, "adam"),
    "SGD with momentum": (SGD, "sgd"),
    "Adam with decoupled decay": (
        functools.partial(torch.optim.Adam, decoupled_weight_decay=True), "adamw",
    ),
    "an heir of AdamW": (Mine, "adamw"),
    "AdamW in two groups": (
        lambda weights: (lambda all_of: torch.optim.AdamW(
            [{"params": all_of[:4], "lr": 1e-4}, {"params": all_of[4:]}], lr=1e-3,
        ))(list(weights)), "adamw",
    ),
    "AdamW within accelerate's": (
        lambda weights: accelerate.Accelerator(cpu=True).prepare(ADAMW(weights)), "adamw",
    ),
    "SGD within a wrapper": (lambda weights: Logs(SGD(weights)), "sgd"),
    "RAdam": (torch.optim.RAdam, "RAdam"),
    "RMSprop": (torch.optim.RMSprop, "RMSprop"),
    "Adagrad within accelerate's": (
        lambda weights: accelerate.Accelerator(cpu=True).prepare(torch.optim.Adagrad(weights)),
        "Adagrad",
    ),
    "a person's Lion": (Lion, "Lion"),
    "transformers' Adafactor": (
        lambda weights: transformers.Adafactor(weights, lr=1e-3, relative_step=False), "Adafactor",
    ),
}  # fmt: skip


def with_optimizer(make: Callable[[Any], Any], look: Looks) -> None:
    """A new network under an optimizer."""
    torch.manual_seed(0)
    model = MLP.make().train()
    look(learner(MLP, model, make(model.parameters())))


ONE_CYCLE = functools.partial(schedulers.OneCycleLR, max_lr=1e-2, total_steps=120)
COSINE = functools.partial(schedulers.CosineAnnealingLR, T_max=80)
LINEAR = functools.partial(schedulers.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=90)


def warm_up(optimizer: Any, after: Callable[[Any], Any], steps: int = 10) -> Any:
    """Return a warm-up of some steps, and what comes after it."""
    first = schedulers.LinearLR(optimizer, 0.1, total_iters=steps)
    return schedulers.SequentialLR(optimizer, [first, after(optimizer)], [steps])


def transformers_schedule(name: str, **settings: Any) -> Callable[[Any], Any]:
    """Return what makes one of transformers' schedules of 100 steps."""
    made = getattr(transformers, f"get_{name}_schedule_with_warmup")
    return functools.partial(made, num_warmup_steps=10, **settings)


SCHEDULES: dict[str, tuple[Callable[[Any], Any], dict[str, Any], dict[str, Any]]] = {
    "one-cycle": (ONE_CYCLE, {"schedule": "one_cycle", "total_steps": 120}, {}),
    "one-cycle, in its middle": (
        ONE_CYCLE,
        {"schedule": "one_cycle", "total_steps": 100, "continued": True}, {"steps": 20},
    ),
    "one-cycle that no name holds": (ONE_CYCLE, {"schedule": "one_cycle"}, {"named": False}),
    "a cosine": (COSINE, {"schedule": "cosine"}, {}),
    "a cosine by the step, in its middle": (
        COSINE, {"schedule": "cosine", "total_steps": 70, "continued": True}, {"steps": 10},
    ),
    "a cosine by the epoch, in its middle": (
        COSINE, {"schedule": "cosine", "continued": True}, {"steps": 10, "every": 5},
    ),
    "a cosine that no name holds": (COSINE, {"schedule": "cosine"}, {"named": False}),
    "a line down": (LINEAR, {"schedule": "linear"}, {}),
    "a warm-up and a cosine": (lambda o: warm_up(o, COSINE), {"schedule": "cosine"}, {}),
    "a warm-up and a line": (lambda o: warm_up(o, LINEAR), {"schedule": "linear"}, {}),
    "a warm-up alone": (
        lambda o: schedulers.LinearLR(o, 0.1, total_iters=10), {"schedule": "constant"}, {},
    ),
    "a polynomial of degree one": (
        lambda o: schedulers.PolynomialLR(o, 100), {"schedule": "linear"}, {},
    ),
    "steps down": (lambda o: schedulers.StepLR(o, 30), {"schedule": "StepLR"}, {}),
    "restarts": (
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 10),
        {"schedule": "CosineAnnealingWarmRestarts"}, {},
    ),
    "an exponential": (
        lambda o: schedulers.ExponentialLR(o, 0.9), {"schedule": "ExponentialLR"}, {},
    ),
    "a lambda of one's own": (
        lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step)), {"schedule": "LambdaLR"}, {},
    ),
    "transformers' linear": (
        transformers_schedule("linear", num_training_steps=100),
        {"schedule": "linear", "total_steps": 100}, {},
    ),
    "transformers' cosine": (
        transformers_schedule("cosine", num_training_steps=100),
        {"schedule": "cosine", "total_steps": 100}, {},
    ),
    "transformers' constant": (transformers_schedule("constant"), {"schedule": "constant"}, {}),
}  # fmt: skip


def under_schedule(
    make: Callable[[Any], Any],
    look: Looks,
    *,
    steps: int = 0,
    every: int = 1,
    named: bool = True,
    network: Network = NET,
) -> None:
    """A new network whose optimizer has a scheduler over it, and may have made steps."""
    torch.manual_seed(0)
    model = network.make().train()
    optimizer = ADAMW(model.parameters())
    scheduler = make(optimizer)
    batches = network.batches()
    for step in range(steps):
        fit(model, batches, optimizer, 1)
        if (step + 1) % every == 0:
            scheduler.step()
    if not named:
        del scheduler
    look(learner(network, model, optimizer))


def truth_under(truth: dict[str, Any]) -> dict[str, Any]:
    """Return the truth of a new network under a schedule."""
    return {"optimizer": "adamw", "stage": "scratch", **truth}


def planned(look: Looks) -> None:
    """A Learner that was told its length."""
    model = MLP.make().train()
    look(learner(MLP, model, ADAMW(model.parameters()), total_steps=300))


class LoRA(nn.Module):
    """A layer with a product of two small ones beside it, by peft's names."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.base_layer = layer
        self.lora_A = nn.ModuleDict({"default": nn.Linear(layer.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, layer.out_features, bias=False)})
        nn.init.zeros_(self.lora_B["default"].weight)

    def forward(self, x: Any) -> Any:
        """Return the layer's output and the product's."""
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


def adapt(model: nn.Module, wanted: tuple[str, ...]) -> None:
    """Hold a model, and put LoRA beside its layers of some names."""
    hold(model.parameters())
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear) and any(part in name for part in wanted):
                setattr(module, name, LoRA(layer))


def with_lora(network: Network, wanted: tuple[str, ...], look: Looks, *, head: bool) -> None:
    """A trained network with LoRA beside some layers, its head trained too or not."""
    model = loaded(network)
    adapt(model, wanted)
    if head:
        body = {id(p) for p in body_of(model, network.head)}
        hold((p for p in model.parameters() if id(p) not in body), False)
    trained = [p for p in model.parameters() if p.requires_grad]
    look(learner(network, model, ADAMW(trained)))


def on_dtype(look: Looks) -> None:
    """Real weights in bfloat16 under a new head."""
    model = nn.Sequential(encoder("tf_efficientnet_lite0"), nn.Identity(), nn.Conv2d(320, 10, 1))
    made = learner(NET, model.to(torch.bfloat16).train(), ADAMW(model.parameters()))
    look(made)


def seen_batches(look: Looks) -> None:
    """A new network that batches went through in train mode: its running statistics moved."""
    torch.manual_seed(0)
    model = NET.make().train()
    for pictures, _ in NET.batches()[:3]:
        model(pictures)
    look(learner(NET, model, ADAMW(model.parameters())))


def zero_gammas(look: Looks) -> None:
    """A new network whose last norms begin at zero, as residual ones do."""
    torch.manual_seed(0)
    model = FIRST[2].make().train()
    for name, p in model.named_parameters():
        if "bn2.weight" in name:
            nn.init.zeros_(p)
    look(learner(FIRST[2], model, ADAMW(model.parameters())))


def held_stem(look: Looks) -> None:
    """A trained network that holds its first layer."""
    model = loaded(FIRST[2])
    hold(model.conv1.parameters())  # type: ignore[union-attr,operator]
    look(learner(FIRST[2], model, ADAMW(model.parameters())))


def learners() -> list[Case]:
    """Return the cases of our Learner beside those of all networks."""
    new = {"stage": "scratch"}
    bert, vit = FIRST[7], FIRST[4]
    lora = {"optimizer": "adamw", "lora": "LoRA"}
    found = [
        *(
            Case(f"own perceptron under {name}", "lrsuggest", {"optimizer": truth, **new},
                 functools.partial(with_optimizer, make))
            for name, (make, truth) in OPTIMIZERS.items()
        ),
        *(
            Case(f"own convolutions under {name}", "lrsuggest", truth_under(truth),
                 functools.partial(under_schedule, make, **how))
            for name, (make, truth, how) in SCHEDULES.items()
        ),
        Case("own perceptron, 300 steps planned", "lrsuggest",
             {"optimizer": "adamw", "total_steps": 300, **new}, planned),
        *(
            Case(f"{network.name} with LoRA{' and a head' if head else ''}", "lrsuggest", lora,
                 functools.partial(with_lora, network, wanted, head=head))
            for network, wanted in ((bert, ("query", "value")), (vit, ("qkv",)),
                                    (FIRST[8], ("q_proj", "v_proj")))
            for head in ((False, True) if network.head else (False,))
        ),
        Case("ImageNet weights in bfloat16, new head", "lrsuggest",
             {"optimizer": "adamw", "stage": "finetune"}, on_dtype),
        Case("own convolutions, new, that batches went through", "lrsuggest",
             {"optimizer": "adamw", **new}, seen_batches),
        Case("timm resnet18, new, residual norms at zero", "lrsuggest",
             {"optimizer": "adamw", **new}, zero_gammas),
        Case("timm resnet18, trained body, its first layer held", "lrsuggest",
             {"optimizer": "adamw", "stage": "finetune"}, held_stem),
    ]  # fmt: skip
    return [*found, *_second()]


def _second() -> list[Case]:
    """Return those of the second list."""
    dla, electra, opt = SECOND[1], SECOND[6], SECOND[7]
    chained = functools.partial(
        under_schedule,
        lambda o: schedulers.ChainedScheduler(
            [schedulers.ConstantLR(o, 0.1, 5), schedulers.CosineAnnealingLR(o, 60)]
        ),
        network=dla,
    )
    cosine = transformers_schedule("cosine", num_training_steps=50)
    cyclic = functools.partial(schedulers.CyclicLR, base_lr=1e-4, max_lr=1e-2, cycle_momentum=False)
    milestones = functools.partial(schedulers.MultiStepLR, milestones=[30, 60])
    long = functools.partial(schedulers.OneCycleLR, max_lr=1e-2, epochs=3, steps_per_epoch=16)
    under = functools.partial(under_schedule, network=dla)
    many: list[tuple[str, dict[str, Any], Callable[[Looks], None]]] = [
        ("a chain of a warm-up and a cosine", {"schedule": "cosine"}, chained),
        ("a cyclic schedule", {"schedule": "CyclicLR"}, functools.partial(under, cyclic)),
        ("milestones", {"schedule": "MultiStepLR"}, functools.partial(under, milestones)),
        ("one-cycle by epochs, one step made",
         {"schedule": "one_cycle", "total_steps": 47, "continued": True},
         functools.partial(under, long, steps=1)),
        ("transformers' cosine, in its middle",
         {"schedule": "cosine", "total_steps": 42, "continued": True},
         functools.partial(under, cosine, steps=8)),
    ]  # fmt: skip
    lora = {"optimizer": "adamw", "lora": "LoRA"}
    return [
        *(
            Case(f"{dla.name} under {name}", "lrsuggest", truth_under(truth), run, True)
            for name, truth, run in many
        ),
        Case(f"{electra.name} with LoRA and a head", "lrsuggest", lora,
             functools.partial(with_lora, electra, ("query", "key"), head=True), True),
        Case(f"{opt.name} with LoRA", "lrsuggest", lora,
             functools.partial(with_lora, opt, ("q_proj", "fc1"), head=False), True),
        Case(f"{dla.name} under NAdam", "lrsuggest", {"optimizer": "NAdam", "stage": "scratch"},
             lambda look: _under(dla, torch.optim.NAdam, look), True),
        Case(f"{dla.name} under fused AdamW", "lrsuggest",
             {"optimizer": "adamw", "stage": "scratch"},
             lambda look: _under(dla, FUSED, look), True),
    ]  # fmt: skip


def _under(network: Network, make: Callable[[Any], Any], look: Looks) -> None:
    torch.manual_seed(0)
    model = network.make().train()
    look(learner(network, model, make(model.parameters())))
