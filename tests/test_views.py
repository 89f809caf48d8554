"""Each view removes what it says it removes, and nothing makes it blow up."""

import numpy as np
import pytest
import torch
from scipy.signal import savgol_filter

from probspec.nets import views
from probspec.nets.views import ANY, POSITIVE, VIEWS, applicable

GAIN_FREE = ("snv", "snv_derivative", "centred_log", "root_of_shape", "compressed")
OFFSET_FREE = ("snv", "first_derivative", "snv_derivative", "second_derivative")


def spectra(rows: int = 6, channels: int = 40) -> torch.Tensor:
    return 1 + torch.rand(rows, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", VIEWS)
def test_shape_and_dtype_are_kept(name):
    for dtype in (torch.float32, torch.float64):
        viewed = VIEWS[name](spectra().to(dtype))
        assert viewed.shape == (6, 40) and viewed.dtype == dtype and viewed.isfinite().all()


@pytest.mark.parametrize("name", VIEWS)
def test_a_dark_spectrum_stays_finite(name):
    assert VIEWS[name](torch.zeros(2, 40)).isfinite().all()


@pytest.mark.parametrize("name", VIEWS)
def test_rows_do_not_mix(name):
    x = spectra()
    assert torch.allclose(VIEWS[name](x)[2:3], VIEWS[name](x[2:3]), atol=1e-12)


@pytest.mark.parametrize("name", VIEWS)
def test_gain(name):
    """A factor on the whole spectrum is removed by the views that claim it, and by no other."""
    x = spectra()
    assert torch.allclose(VIEWS[name](7.3 * x), VIEWS[name](x), atol=1e-9) is (name in GAIN_FREE)


@pytest.mark.parametrize("name", VIEWS)
def test_offset(name):
    x = spectra()
    assert torch.allclose(VIEWS[name](x + 5), VIEWS[name](x), atol=1e-9) is (name in OFFSET_FREE)


def test_a_sloping_background_has_no_curvature():
    x, line = spectra(), torch.linspace(0, 3, 40, dtype=torch.float64)
    inner = slice(7, -7)
    assert torch.allclose(views.second_derivative(x + line)[:, inner], views.second_derivative(x)[:, inner], atol=1e-9)


def test_snv_has_zero_mean_and_unit_spread():
    viewed = views.snv(spectra())
    assert torch.allclose(viewed.mean(-1), torch.zeros(6, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(viewed.square().mean(-1), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize(
    ("view", "window", "order", "derivative"), [("first_derivative", 11, 2, 1), ("second_derivative", 15, 3, 2)]
)
def test_derivatives_are_those_of_scipy(view, window, order, derivative):
    expected = savgol_filter(spectra().numpy(), window, order, deriv=derivative, mode="nearest")
    assert np.allclose(VIEWS[view](spectra()).numpy(), expected, atol=1e-12)


def test_derivatives_of_a_parabola():
    channel = torch.arange(40, dtype=torch.float64)
    parabola = (3 * channel + 0.5 * channel.square())[None]
    assert torch.allclose(views.first_derivative(parabola)[0, 5:-5], (3 + channel)[5:-5])
    assert torch.allclose(views.second_derivative(parabola)[0, 7:-7], torch.ones(26, dtype=torch.float64))


def test_root_undoes_a_square():
    assert torch.allclose(views.square_root(spectra().square()), spectra())


def test_the_names_are_those_of_the_functions():
    assert all(view.__name__ == name for name, view in VIEWS.items()) and set(ANY) | set(POSITIVE) == set(VIEWS)


def test_positive_views_are_offered_to_positive_spectra_alone():
    x = spectra()
    assert set(applicable(x)) == set(VIEWS)
    x[3, 7] = 0.0
    assert set(applicable(x)) == set(ANY)


def test_short_spectra_are_not_differentiated():
    assert set(applicable(spectra(channels=14) - 5)) == {"raw", "snv", "compressed"}
    assert set(applicable(spectra(channels=15) - 5)) == set(ANY)
