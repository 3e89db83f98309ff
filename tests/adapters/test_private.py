"""What is used of another library without a promise is there in the installed releases."""

import re
from pathlib import Path

import pytest
import torch

from lrsuggest import UserError, suggest_lr
from lrsuggest.training.restore.private import TORCH, Private

# The frameworks' own warnings about each other.
THEIRS = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", TORCH.names)
def test_torch_has(name):
    assert TORCH.get(name) is not None


@THEIRS
def test_lightning_has_all_and_lacks_are_told_before_anything_is_touched(monkeypatch, tmp_path):
    pytest.importorskip("pytorch_lightning")
    import pytorch_lightning as pl

    from lrsuggest.adapters.lightning.private import LIGHTNING

    class Plain(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 1)

        def training_step(self, batch, _):
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-2)

    trainer = pl.Trainer(max_steps=5, logger=False, enable_checkpointing=False,
                         default_root_dir=tmp_path, accelerator="cpu",
                         enable_progress_bar=False)  # fmt: skip
    module = Plain()
    LIGHTNING.check(trainer, module, home="pytorch_lightning")
    for name in LIGHTNING.names:
        assert LIGHTNING.get(name, "pytorch_lightning") is not None
    with pytest.raises(KeyError):  # what is no part of the table cannot be used
        LIGHTNING.get("trainer.call:_call_lightning_module_hook", "pytorch_lightning")
    combined = LIGHTNING.get("utilities.combined_loader:CombinedLoader", "pytorch_lightning")
    assert combined([[1]], "sequential")._mode == "sequential"
    wanted = Private("Lightning", "2.6.6", held=(*LIGHTNING.held, "fit_loop._gone"))
    monkeypatch.setattr("lrsuggest.adapters.lightning.fitter.LIGHTNING", wanted)
    before = dict(vars(trainer))
    with pytest.raises(UserError, match=r"Lightning 2\.\d.* has no fit_loop\._gone, .*, 2\.6\.6$"):
        suggest_lr((trainer, module), batches=[(torch.zeros(2, 2),)])
    assert dict(vars(trainer)) == before


@THEIRS
def test_a_transformers_trainer_has_all(tmp_path):
    pytest.importorskip("transformers")
    from hf_trainers import make

    from lrsuggest.adapters.transformers.private import TRANSFORMERS

    TRANSFORMERS.check(make(tmp_path))


@THEIRS
def test_a_fastai_learner_has_all():
    pytest.importorskip("fastai")
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    from lrsuggest.adapters.fastai.private import FASTAI

    loader = torch.utils.data.DataLoader([(torch.zeros(2), torch.zeros(1))] * 4, batch_size=2)
    FASTAI.check(Learner(DataLoaders(loader, loader), torch.nn.Linear(2, 1),
                         loss_func=torch.nn.functional.mse_loss))  # fmt: skip


def test_a_release_without_a_part_is_told_in_a_sentence():
    table = Private("torch", "2.9 to 2.14", ("torch:nothing_there", "torch.nowhere:part"))
    for name in table.names:
        with pytest.raises(UserError) as told:
            table.get(name)
        said = f"torch {torch.__version__} has no {name}, which is needed to leave a training"
        assert str(told.value).startswith(said)
        assert str(told.value).endswith("install a release that was tested, 2.9 to 2.14")


def test_no_private_part_is_named_outside_the_tables():
    """The names of Lightning's private functions stand in one file."""
    root = Path(__file__).resolve().parents[2] / "lrsuggest"
    named = re.compile(r"\.(_call_\w+|_verify_\w+|_parse_loop\w+|_MockOptimizer|_resolve_\w+)")
    for path in root.rglob("*.py"):
        assert path.name == "private.py" or not named.search(path.read_text("utf-8")), path
