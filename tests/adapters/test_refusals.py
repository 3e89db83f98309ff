"""What no range test can follow is refused in one sentence, in every framework alike."""

import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from everything import changes, everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import Learner, RangeTest, UserError, suggest_lr

pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
pytest.importorskip("pytorch_lightning", reason="it is missing: pip install 'lrsuggest[peers]'")
pytest.importorskip("transformers", reason="it is missing: pip install 'lrsuggest[peers]'")

import hf_trainers as hf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
]
HERE = Path(__file__).parent
DATA = DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(2, (64,))), 8)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_where_two_processes_train_together_both_are_told_and_none_hangs():
    """Two real processes over gloo: each would stop its sweep at a step of its own."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    both = [
        subprocess.Popen(
            [sys.executable, str(HERE / "several.py")], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE,
            env={**os.environ, **place, "PYTHONPATH": path, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()
    for out, err in said:
        told = dict(line.split(": ", 1) for line in out.splitlines())
        assert set(told) == {"ours", "fastais", "lightnings", "transformers"}, err
        assert "DistributedDataParallel trains in 2 processes" in told["ours"]
        assert "fastai's DistributedDataParallel: train on one device" in told["fastais"]
        assert "DDPStrategy may train on several devices" in told["lightnings"]
        assert "world_size=2 means several processes" in told["transformers"]
        assert all(each.count(".") <= 1 for each in told.values())  # torch.nn has a dot


def fastais(model):
    return FastaiLearner(DataLoaders(DATA, DATA), model, nn.functional.cross_entropy)


def compiled(folder):
    trainer = hf.make(folder)
    trainer.model = torch.compile(trainer.model)
    return trainer


def on_two_devices(folder):
    trainer = hf.make(folder)
    trainer.args._n_gpu = 2
    return trainer


def sharded(folder):
    trainer = hf.make(folder)
    trainer.is_fsdp_enabled = True
    return trainer


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: fastais(nn.DataParallel(nn.Linear(8, 2))), "DataParallel: train on one device"),
        (lambda _: fastais(torch.compile(nn.Linear(8, 2))), "as it was before torch.compile"),
        (compiled, "cannot follow torch.compile; ask before compiling"),
        (on_two_devices, "n_gpu=2 means DataParallel"),
        (sharded, "fsdp is set"),
    ],
)
def test_several_devices_and_compiled_models_are_refused(tmp_path, make, says):
    x = make(tmp_path)
    before = everything(x, ignore=("logger", "input_ids", "attention_mask"))
    with pytest.raises(UserError, match=says) as told:
        suggest_lr(x)
    assert "\n" not in str(told.value)
    assert changes(before, everything(x, ignore=("logger", "input_ids", "attention_mask"))) == []


def test_a_wrapped_model_alone_is_swept(tmp_path):
    """One process, whatever its model is wrapped in, stops where it stops."""
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/it", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(nn.Linear(8, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        found = suggest_lr(
            Learner(model, nn.functional.cross_entropy, DATA, optimizer),
            sweep=RangeTest(num_iter=20),
        )
    finally:
        torch.distributed.destroy_process_group()
    assert len(found.curve) > 10
