"""Which framework an object is from, without loading one."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import make_learner, sweep_like
from torch import nn

from lrsuggest import Curve, UserError, set_lr, suggest_lr
from lrsuggest.adapters.dispatch import adapter

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORKS = {"fastai", "lightning", "pytorch_lightning", "transformers", "accelerate"}


@pytest.mark.parametrize(
    "code",
    [
        "import lrsuggest",
        "import lrsuggest.suggest",
        "from lrsuggest import set_lr, suggest_lr",
        "from lrsuggest.adapters.dispatch import adapter; assert adapter(object()) is None",
        "from lrsuggest.adapters.dispatch import adapter; import torch\n"
        "assert adapter((torch.nn.Linear(1, 1), 3)) is None",
        "import lrsuggest.adapters.lightning.adapter, lrsuggest.adapters.fastai.adapter",
        "import lrsuggest.adapters.transformers.adapter",
    ],
)
def test_no_framework_is_loaded(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not FRAMEWORKS & set(done.stdout.split())


def test_each_framework_is_an_extra_and_none_is_required():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for name in ("fastai", "lightning", "transformers"):
        assert any(name in each for each in extras[name])
        assert not any(name in each for each in project["dependencies"])
    assert "lrsuggest[fastai,lightning,transformers]" in extras["peers"]


def test_ours_are_nobodys():
    for each in (make_learner(), Curve(*sweep_like()), nn.Linear(1, 1), None, 3, (), ("a", 2)):
        assert adapter(each) is None


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightnings_are_lightnings(package):
    pl = pytest.importorskip(
        package, reason=f"{package} is missing: pip install 'lrsuggest[peers]'"
    )
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    module = pl.LightningModule()
    for each in (trainer, module, (trainer, module), (module, 3)):
        found = adapter(each)
        assert found is not None
        assert found.__name__ == "lrsuggest.adapters.lightning.adapter"
    assert adapter(pl.Callback()) is None


@pytest.mark.parametrize(
    ("x", "said"), [(3, "not an int"), ((1, "a"), "not a tuple of int, str"), (nn.ReLU(), "a ReLU")]
)
def test_anything_else_is_refused_in_one_sentence(x, said):
    with pytest.raises(UserError, match=f"suggest_lr takes .*{said}; wrap any other model"):
        suggest_lr(x)
    with pytest.raises(UserError, match="a rate is set in a Learner or a framework's; got"):
        set_lr(x, 1e-3)


@pytest.mark.parametrize("name", ["batches", "valid"])
def test_a_learner_has_its_own_data(name):
    with pytest.raises(UserError, match=f"give it {name} there"):
        suggest_lr(make_learner(), **{name: []})
    with pytest.raises(UserError, match=f"{name}=.* needs a Learner"):
        suggest_lr(Curve(*sweep_like()), **{name: [1]})
