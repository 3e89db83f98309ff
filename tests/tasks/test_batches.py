import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.tasks.data.batches import Batches, flip, to_unit
from lrsuggest.tasks.data.readers.points import _mirror_68
from lrsuggest.tasks.data.resident import Resident


def marked(n=12, size=(6, 10)):
    """Each image has one bright pixel, its mask the same, and point 0 stands on it."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, 3, *size), np.uint8)
    masks = np.zeros((n, *size), np.uint8)
    points = np.zeros((n, 2, 2), np.float32)
    for i in range(n):
        y, x = rng.integers(size[0]), rng.integers(size[1])
        images[i, :, y, x], masks[i, y, x], points[i] = 255, 1, (x, y)
    return images, masks, points


def test_a_flip_moves_masks_and_points_with_the_image():
    images, masks, points = map(torch.from_numpy, marked())
    chosen = torch.arange(12) % 2 == 0
    same, moved_masks = flip(images, masks, chosen, None)
    _, moved_points = flip(images, points, chosen, torch.tensor([0, 1]))
    for i in range(12):
        y, x = (same[i, 0] == 255).nonzero()[0].tolist()
        assert moved_masks[i, y, x] == 1
        assert moved_points[i, 0].tolist() == [x, y]
        assert (x != 9 - x) == (torch.equal(same[i], images[i]) != bool(chosen[i])) or x in (4, 5)
    assert torch.equal(same[~chosen], images[~chosen])
    assert torch.equal(same[chosen], images[chosen].flip(-1))


def test_a_flipped_face_keeps_its_left_eye_left():
    swap = torch.tensor(_mirror_68())
    assert torch.equal(swap[swap], torch.arange(68))
    middle = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]  # chin, nose, the middles of the lips
    assert (swap == torch.arange(68)).nonzero()[:, 0].tolist() == middle
    points = torch.rand(1, 68, 2) * 10
    _, flipped = flip(torch.zeros(1, 3, 11, 11), points, torch.tensor([True]), swap)
    assert torch.allclose(
        flipped[0, 36], torch.tensor([10.0, 0.0]) - points[0, 45] * torch.tensor([1, -1])
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_unit_coordinates_span_the_image_from_edge_to_edge(height, width):
    corners = torch.tensor([[-0.5, -0.5], [width - 0.5, height - 0.5], [(width - 1) / 2] * 2])
    unit = to_unit(corners, (height, width))
    assert torch.allclose(unit[:2], torch.tensor([[-1.0, -1], [1, 1]]), atol=1e-5)
    assert abs(float(unit[2, 0])) < 1e-5


def data(n=10, kind="mask"):
    images, masks, points = marked(n)
    valid = np.arange(n) >= n - 3
    if kind == "points":
        return Resident(images, points, valid, (), (0, 1))
    return Resident(images, masks, valid, ("a", "b"))


def test_a_pass_sees_every_training_image_once_and_the_next_in_another_order():
    batches = Batches(data(), train=True, batch_size=7, flips=False)
    first, second = (next(iter(batches))[0] for _ in range(2))
    assert len(batches) == 1
    assert first.shape == (7, 3, 6, 10)
    assert (first.min(), first.max()) == (-1, 1)
    assert not torch.equal(first, second)
    whole = first.sum((1, 2, 3)).sort().values
    assert torch.equal(whole, second.sum((1, 2, 3)).sort().values)


def test_short_last_batches_are_dropped_in_training_and_kept_in_validation():
    assert [len(x) for x, _ in Batches(data(), train=True, batch_size=3)] == [3, 3]
    assert [len(x) for x, _ in Batches(data(), train=False, batch_size=2)] == [2, 1]
    assert len(Batches(data(), train=True, batch_size=100)) == 1


def test_the_generator_alone_decides_order_and_flips():
    batches = Batches(data(kind="points"), train=True, batch_size=3)
    state = batches.generator.get_state()
    first = [(x.clone(), y.clone()) for x, y in batches]
    torch.rand(5)
    batches.generator.set_state(state)
    for (a, b), (x, y) in zip(first, batches, strict=True):
        assert torch.equal(a, x)
        assert torch.equal(b, y)
        assert b.abs().max() <= 1


@given(st.integers(2, 30), st.integers(1, 8))
def test_halves_share_nothing_and_lack_nothing(held_out, batch_size):
    rows = np.arange(40, dtype=np.float32)[:, None]
    whole = Resident(rows, rows, np.arange(40) >= 40 - held_out)
    seen = []
    for half in (0, 1):
        batches = Batches(whole, train=False, batch_size=batch_size, half=half)
        values = torch.cat([x for x, _ in batches])[:, 0].tolist()
        assert len(values) == batches.examples
        assert values == rows[40 - held_out :, 0].tolist()[half::2]
        seen += values
    assert sorted(seen) == rows[40 - held_out :, 0].tolist()


def test_rows_of_a_table_come_as_they_are_and_with_their_own_targets():
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    table = Resident(rows, rows[:, :1] * 100, np.arange(9) >= 7)
    for x, y in Batches(table, train=True, batch_size=3, flips=False):
        assert (x.dtype, y.dtype) == (torch.float32, torch.float32)
        assert torch.equal(x[:, :1] * 100, y)
        assert all(row in rows.tolist() for row in x.tolist())
    ((x, _),) = Batches(table, train=False, batch_size=9)
    assert torch.equal(x, torch.from_numpy(rows[7:]))


@pytest.mark.parametrize("language", [True, False])
def test_tokens_and_classes_are_whole_numbers(language):
    ids = np.arange(60).reshape(10, 6)
    data = Resident(ids, ids + 1 if language else ids[:, 0] % 2, np.arange(10) >= 8, ("a", "b"))
    for x, y in Batches(data, train=True, batch_size=4, flips=False):
        assert (x.dtype, y.dtype) == (torch.int64, torch.int64)
        assert torch.equal(y, x + 1 if language else x[:, 0] % 2)


def test_images_lie_channels_last_and_say_the_same():
    data = Resident(
        np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6)).astype(np.uint8),
        np.zeros(5, np.int64), np.ones(5, bool), ("a",),
    )  # fmt: skip
    images, _ = next(iter(Batches(data, train=False, batch_size=5)))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, torch.from_numpy(data.inputs).float() / 127.5 - 1)
