"""Line profiles against closed forms, and the conservation of light."""

import math

import pytest
import torch
from scipy.special import voigt_profile

from probspec.errors import SpecError
from probspec.simulators.instrument import channel_edges, response, voigt_shares

AXIS = torch.linspace(0, 100, 401, dtype=torch.float64)
CENTRE = torch.tensor([50.1], dtype=torch.float64)
SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))  # of a Gaussian of unit full width at half maximum


def density(gauss_fwhm: float, lorentz_fwhm: float) -> torch.Tensor:
    return voigt_shares(AXIS, CENTRE, gauss_fwhm, lorentz_fwhm)[0] / 0.25


def test_edges_lie_between_uneven_channels():
    torch.testing.assert_close(channel_edges(torch.tensor([1.0, 3.0, 4.0])), torch.tensor([0.0, 2.0, 3.5, 4.5]))


@pytest.mark.parametrize("axis", [[1.0], [2.0, 1.0], [1.0, 1.0]])
def test_an_axis_must_ascend(axis: list[float]):
    with pytest.raises(SpecError, match="ascending"):
        channel_edges(torch.tensor(axis))


@pytest.mark.parametrize("fwhm", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("channels", [51, 401])
def test_area_is_conserved_however_narrow_the_line(fwhm: float, channels: int):
    axis = torch.linspace(0, 100, channels, dtype=torch.float64)
    centre = torch.tensor([31.4, 50.0, 77.7], dtype=torch.float64)
    torch.testing.assert_close(voigt_shares(axis, centre, fwhm).sum(-1), torch.ones(3, dtype=torch.float64))


def test_lorentzian_loses_only_its_wings():
    lost = 1 - voigt_shares(AXIS, CENTRE, 0.0, 2.0).sum().item()
    edges = channel_edges(AXIS)
    wings = 1 - sum(math.atan(2 * abs(edge - CENTRE).item() / 2.0) for edge in (edges[0], edges[-1])) / math.pi
    assert lost == pytest.approx(wings, rel=1e-9)


def test_pure_gaussian():
    exact = torch.exp(-0.5 * ((AXIS - CENTRE) / (4 * SIGMA)) ** 2) / (4 * SIGMA * math.sqrt(2 * math.pi))
    torch.testing.assert_close(density(4.0, 0.0), exact, atol=3e-4, rtol=0)


@pytest.mark.parametrize(("gauss", "lorentz"), [(4.0, 1.0), (3.0, 3.0), (1.0, 4.0)])
def test_close_to_the_true_voigt_profile(gauss: float, lorentz: float):
    """The approximation is known to be good to little more than 1 % of the peak."""
    exact = torch.from_numpy(voigt_profile((AXIS - CENTRE).numpy(), gauss * SIGMA, lorentz / 2))
    torch.testing.assert_close(density(gauss, lorentz), exact, atol=0.02 * exact.max().item(), rtol=0)


def test_blurring_onto_another_axis_keeps_light_and_mean():
    other = torch.linspace(-20, 120, 71, dtype=torch.float64)
    spectrum = torch.exp(-0.5 * ((AXIS - 40) / 3) ** 2)
    blurred = spectrum @ voigt_shares(other, AXIS, 5.0)
    torch.testing.assert_close(blurred.sum(), spectrum.sum())
    torch.testing.assert_close((blurred * other).sum() / blurred.sum(), torch.tensor(40.0, dtype=torch.float64))


def test_response_halves_at_its_width():
    torch.testing.assert_close(response(torch.tensor([10.0, 15.0]), 10.0, 5.0), torch.tensor([1.0, 0.5]))


def test_profile_is_differentiable_in_position_and_widths():
    axis = AXIS[180:220]
    widths = [torch.tensor([w], dtype=torch.float64, requires_grad=True) for w in (2.0, 1.0)]
    assert torch.autograd.gradcheck(lambda *p: voigt_shares(axis, *p), (CENTRE.clone().requires_grad_(), *widths))
