"""A loss with weights of its own, in the frameworks: trained where it is, and put back."""

import warnings

import pytest
import torch
from hf_trainers import Asks, make
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lrsuggest import RangeTest, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import Adam

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*numpy.core is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
]


class Margin(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.centres = nn.Parameter(torch.eye(n))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, output, target):
        self.seen += len(target)
        return F.cross_entropy(output @ self.centres, target)


def fastai_learner():
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), 16)
    margin, model = Margin(2), nn.Linear(8, 2)

    def splitter(model):
        return [list(model.parameters()), list(margin.parameters())]

    learn = Learner(
        DataLoaders(loader, loader), model, margin, opt_func=Adam, splitter=splitter, lr=0.05
    )
    return learn, margin


def test_fastai_sweeps_a_loss_through_a_splitter_as_fit_trains_it_and_puts_it_back():
    learn, margin = fastai_learner()
    learn.fit(1, lr=0.05)
    expected = margin.centres.detach().clone()
    learn, margin = fastai_learner()
    before = margin.centres.detach().clone()
    with borrowed(learn) as learner:
        learner.set_lr([0.05, 0.05])
        with learner.training():
            batches = learner.endless()
            losses = [float(learner.step(batches)) for _ in range(4)]
        assert torch.equal(margin.centres, expected)
    assert len(losses) == 4
    assert torch.equal(margin.centres, before)
    assert not margin.seen


def test_a_hugging_face_training_goes_on_as_if_nobody_had_asked(tmp_path):
    def train(ask):
        margin = Margin(6)

        def loss(outputs, labels, num_items_in_batch=None):
            return margin(outputs.logits, labels)

        trainer = make(tmp_path, compute_loss_func=loss)
        trainer.create_optimizer()
        trainer.optimizer.add_param_group({"params": margin.parameters(), "lr": 0.1})
        if ask:
            asks = Asks(
                "on_step_end",
                lambda: [
                    suggest_lr(trainer, sweep=RangeTest(num_iter=15, end_lr=1.0), seed=0)
                    for _ in range(2)
                ],
                at=4,
            )
            trainer.add_callback(asks)
        trainer.train()
        if ask:
            one, other = asks.answer
            assert one.curve.loss.tobytes() == other.curve.loss.tobytes()
        return margin.state_dict(), trainer.model.state_dict()

    (plain_margin, plain), (margin, model) = train(False), train(True)
    assert all(torch.equal(plain_margin[name], margin[name]) for name in margin)
    assert all(torch.equal(plain[name], model[name]) for name in model)
