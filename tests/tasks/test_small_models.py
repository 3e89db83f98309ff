"""The small networks keep what their docstrings promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.tasks.models.heads import CNNHead
from lrsuggest.tasks.models.small import (
    Bag,
    Dot,
    Recurrent,
    Transformer,
    WordCNN,
    dilated_cnn,
    mlp,
    plain_cnn,
    small_cnn,
)

TOKENS, LENGTH = 11, 9


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def ids(n=5, length=LENGTH):
    return torch.randint(0, TOKENS, (n, length))


@pytest.mark.parametrize(
    ("build", "inputs", "shape"),
    [
        (lambda: small_cnn(1, 10), lambda: torch.rand(5, 1, 8, 8), (5, 10)),
        (lambda: plain_cnn(3, 10), lambda: torch.rand(5, 3, 32, 32), (5, 10)),
        (lambda: plain_cnn(1, 2), lambda: torch.rand(5, 1, 28, 28), (5, 2)),
        (lambda: plain_cnn(1, 10), lambda: torch.rand(5, 1, 8, 8), (5, 10)),
        (lambda: dilated_cnn(3, 2), lambda: torch.rand(5, 3, 20, 27), (5, 2, 20, 27)),
        (lambda: mlp(7, 3, 50, norm=True), lambda: torch.rand(5, 7), (5, 3)),
        (lambda: mlp(7, 1, 50, norm=False), lambda: torch.rand(5, 7), (5, 1)),
        (lambda: Bag(TOKENS, 2, 16), ids, (5, 2)),
        (lambda: WordCNN(TOKENS, 6, 16), ids, (5, 6)),
        (lambda: Recurrent(TOKENS, 16), ids, (5, TOKENS, LENGTH)),
        (lambda: Transformer(TOKENS, TOKENS, LENGTH, 16, causal=True), ids, (5, TOKENS, LENGTH)),
        (lambda: Transformer(TOKENS, 2, LENGTH, 16, causal=False), ids, (5, 2)),
        (lambda: Dot(TOKENS, TOKENS, 8), lambda: ids(5, 2), (5, 1)),
    ],
)
def test_outputs_have_their_shape_and_every_parameter_a_gradient(build, inputs, shape):
    model = build().train()
    out = model(inputs())
    assert out.shape == shape
    (out * torch.rand_like(out)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("model", "norms"),
    [(plain_cnn(1, 2), 0), (mlp(3, 2, 9, norm=False), 0), (mlp(3, 2, 9, norm=True), 2),
     (small_cnn(1, 2), 2), (dilated_cnn(1, 2), 5)],
)  # fmt: skip
def test_norms_are_where_they_are_said_to_be(model, norms):
    found = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(found) == norms


def test_a_bag_does_not_see_padding_nor_order():
    model = Bag(TOKENS, 2, 16).eval()
    words = torch.randint(1, TOKENS, (4, 5))
    padded = torch.cat([words, torch.zeros(4, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(model(words), model(padded))
    torch.testing.assert_close(model(words), model(words.flip(1)))
    more = torch.cat([words, words[:, :1]], 1)
    assert not torch.allclose(model(words), model(more))
    nothing = model(torch.zeros(1, 5, dtype=torch.long))
    torch.testing.assert_close(nothing[0], model.out.bias)


@pytest.mark.parametrize("build", [Bag, WordCNN])
def test_padding_is_not_trained(build):
    model = build(TOKENS, 2, 16)
    assert (model.embed.weight[0] == 0).all()
    model(torch.tensor([[3, 4, 5, 0, 0]])).sum().backward()
    assert (model.embed.weight.grad[0] == 0).all()
    assert model.embed.weight.grad[3].abs().sum() > 0


def test_word_order_matters_to_the_convolutions():
    model = WordCNN(TOKENS, 2, 16).eval()
    words = torch.tensor([[1, 2, 3, 4, 5, 6]])
    assert not torch.allclose(model(words), model(words[:, [1, 0, 3, 2, 5, 4]]))


CAUSAL = {
    "transformer": lambda: Transformer(TOKENS, TOKENS, LENGTH, 16, causal=True),
    "gru": lambda: Recurrent(TOKENS, 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL)
@given(at=st.integers(0, LENGTH - 1), other=st.integers(1, TOKENS - 1))
def test_a_later_token_changes_no_earlier_score(name, at, other):
    with torch.random.fork_rng():
        torch.manual_seed(at)
        model, tokens = CAUSAL[name]().eval(), ids(2)
    changed = tokens.clone()
    changed[:, at] = (changed[:, at] + other) % TOKENS
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[..., :at], after[..., :at], rtol=1e-5, atol=1e-6)
    moved = (before - after).abs().amax((0, 1))
    assert (moved[at:] > 1e-6).all(), "it changes its own score and those after it"


def test_a_transformer_for_classes_sees_every_token():
    model = Transformer(TOKENS, 2, LENGTH, 16, causal=False).eval()
    tokens = ids(1)
    for at in range(LENGTH):
        changed = tokens.clone()
        changed[:, at] = (changed[:, at] + 1) % TOKENS
        assert not torch.allclose(model(tokens), model(changed), atol=1e-6)
    assert not torch.allclose(model(tokens), model(tokens.roll(1, 1)), atol=1e-6)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_stars_stay_between_nought_and_five_and_a_half(user, item):
    model = Dot(4, 6, 8)
    with torch.no_grad():
        model.user.weight[:] = user / 10
        model.item.weight[:] = item / 10
        stars = model(torch.tensor([[0, 5], [3, 0]]))
    assert ((stars > 0) & (stars <= 5.5)).all()  # float32 rounds the sigmoid's end up to 1


def test_stars_start_in_the_middle_and_know_user_from_film():
    model = Dot(4, 6, 8)
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(6))
    stars = model(pairs)
    assert ((stars > 2.6) & (stars < 2.9)).all()
    assert model.user.weight.abs().max() <= 0.02
    assert len(stars.unique()) == 24
    with torch.no_grad():
        model.user.weight[2, 0] += 1
    moved = (model(pairs) != stars)[:, 0]
    assert torch.equal(moved, pairs[:, 0] == 2)


def test_a_grey_image_is_shown_to_a_pretrained_body_three_times():
    model = CNNHead((2,), "tf_efficientnet_lite0", pretrained=False).eval()
    grey = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(grey), model(grey.expand(-1, 3, -1, -1)))
