"""An abstention raises its sentence where several rates, or a tensor's values, are wanted."""

import warnings

import numpy as np
import pytest
import torch

from lrsuggest import Curve, NoSuggestion, suggest_lr

NONE = suggest_lr(Curve(np.geomspace(1e-7, 10, 100), np.full(100, 0.7)))


USES = {
    "len": len,
    "list": list,
    "unpacked": lambda x: [*x],
    "item": lambda x: x[0],
    "part": lambda x: x[-1:],
    "in": lambda x: 1e-3 in x,
    "tensor": torch.tensor,
    "tensor of a list": lambda x: torch.tensor([x]),
    "as_tensor": torch.as_tensor,
    "array": np.asarray,
    "linspace": lambda x: np.linspace(0.0, x, 3),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_it_says_why_there_is_no_rate(use):
    with pytest.raises(NoSuggestion, match="The loss is flat"):
        use(NONE)


def test_it_is_still_false_and_itself():
    assert not NONE
    assert (NONE or 1e-3) == 1e-3
    assert bool(NONE) is False
    assert NONE == NONE
    assert str(NONE).startswith("No suggestion")
    assert f"{NONE}" == str(NONE)
    assert not isinstance(NONE, float)
    assert [NONE].index(NONE) == 0


@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")
@pytest.mark.parametrize("fit", ["fit", "fit_one_cycle", "fit_flat_cos"])
def test_fastai_s_fits_take_none(fit):
    pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastai.callback.schedule import Learner
        from fastai.data.core import DataLoaders

    data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.arange(32) % 2)
    loader = torch.utils.data.DataLoader(data, 8)
    model = torch.nn.Linear(4, 2)
    before = [p.detach().clone() for p in model.parameters()]
    learn = Learner(DataLoaders(loader, loader), model, torch.nn.functional.cross_entropy)
    with learn.no_bar(), learn.no_logging(), pytest.raises(NoSuggestion, match="loss is flat"):
        getattr(learn, fit)(1, NONE)
    assert all(map(torch.equal, before, model.parameters()))
