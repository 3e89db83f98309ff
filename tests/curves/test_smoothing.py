import numpy as np
import pytest
from helpers import sweep_like

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.smoothing import noise, slope, smooth, usable


def half_fall(lr, loss):
    return lr[np.argmax(loss < 1.5)]


@pytest.mark.parametrize("method", ["savgol", "gaussian", "robust"])
def test_a_step_shows_where_it_is(method):
    lr = np.geomspace(1e-7, 10, 100)
    loss = np.where(lr < 1e-4, 2.0, 1.0)
    decades = np.log10(half_fall(lr, smooth(lr, loss, method)) / 1e-4)
    assert abs(decades) < 0.1


def test_savgol_keeps_a_parabola_and_uneven_rates_read_alike():
    lr = np.geomspace(1e-5, 1, 60)
    bowl = (np.log10(lr) + 2) ** 2
    np.testing.assert_allclose(smooth(lr, bowl), bowl, atol=1e-12)
    uneven = 10 ** np.sort(np.random.default_rng(0).uniform(-5, 0, 80))
    bowl = (np.log10(uneven) + 2) ** 2
    calm = smooth(uneven, bowl)
    assert abs(np.log10(uneven[np.argmin(calm)]) + 2) < 0.15


@pytest.mark.parametrize("method", ["savgol", "gaussian", "robust"])
def test_smoothing_quietens_noise(method):
    lr, clean = sweep_like()
    _, noisy = sweep_like(noise=0.1)
    part = lr < 0.1
    rough = np.std((noisy - clean)[part])
    assert np.std((smooth(lr, noisy, method) - clean)[part]) < 0.6 * rough


def test_noise_is_measured_and_a_trend_is_not_noise():
    _, loss = sweep_like(200, noise=0.05)
    assert noise(loss[:120]) == pytest.approx(0.05, rel=0.25)
    assert noise(np.linspace(3, 1, 100)) < 1e-12


def test_slope_is_per_decade():
    lr = np.geomspace(1e-4, 1, 41)
    np.testing.assert_allclose(slope(lr, 2 - 3 * np.log10(lr)), -3)


def test_usable_drops_skipped_steps_the_non_finite_and_the_blow_up():
    lr, loss = sweep_like()
    cut, _ = usable(Curve(lr, loss))
    assert 0.1 < cut[-1] < 1  # the blow-up passes the start just above .3
    loss[60] = np.nan
    assert len(usable(Curve(lr, loss))[0]) == 60
    skipped = np.arange(100) == 60
    assert len(usable(Curve(lr, loss, skipped=skipped))[0]) == len(cut) - 1
