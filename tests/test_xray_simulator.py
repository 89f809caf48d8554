"""X-rays of a remnant: lines where they belong, spectra that harden, gradients, and cubes with known maps."""

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from probspec.errors import ProbspecError
from probspec.simulate import RemnantXray, simulate, simulate_cube
from probspec.simulate.maps import gaussian_field
from probspec.simulate.xray import expected_counts
from probspec.simulators.xray import (
    LINES,
    Telescope,
    bremsstrahlung,
    equivalent_width_keV,
    synchrotron_spectrum,
    thermal_spectrum,
)
from probspec.spec import load_spec

ENERGY_KEV = torch.linspace(3.0, 8.5, 551, dtype=torch.float64)
COARSE_KEV = torch.linspace(3.0, 8.5, 23, dtype=torch.float64)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def thermal(kT: float, z: float = 0.0, telescope: Telescope | None = None) -> Tensor:
    return thermal_spectrum(number(kT), number(z), ENERGY_KEV, telescope)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_components_are_positive_and_of_unit_sum(dtype: torch.dtype):
    kT, z = torch.tensor([[0.5], [0.8], [6.0], [15.0]]), torch.tensor([-0.04, 0.0, 0.04])
    plasma = thermal_spectrum(kT, z, ENERGY_KEV.to(dtype))
    power = synchrotron_spectrum(torch.tensor([0.0, 1.0, 4.0, 6.0]), ENERGY_KEV.to(dtype))
    assert plasma.shape == (4, 3, 551) and power.shape == (4, 551)
    for found in (plasma, power):
        assert found.dtype == dtype and (found > 0).all()
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1], dtype=dtype))


def test_gradients_are_those_of_finite_differences():
    kT = torch.tensor([0.9, 2.5, 6.0], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([-0.03, 0.0, 0.02], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: thermal_spectrum(a, b, COARSE_KEV), (kT, z))
    index = torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: synchrotron_spectrum(a, COARSE_KEV), (index,))


@pytest.mark.parametrize("z", [-0.033, 0.0, 0.02])
def test_iron_line_moves_with_redshift(z: float):
    sharp = thermal(2.5, z, Telescope(fwhm_6_keV=0.03))
    iron = (ENERGY_KEV > 6.3) & (ENERGY_KEV < 7.0)
    assert float(ENERGY_KEV[iron][sharp[iron].argmax()]) == pytest.approx(6.685 / (1 + z), abs=0.011)


@pytest.mark.parametrize("line", ["Ar He alpha", "Ca He alpha", "Fe He alpha", "Fe Ly alpha"])
def test_strong_lines_stand_above_their_surroundings(line: str):
    rest = LINES[line][0]
    spectrum = thermal(5.0, telescope=Telescope(fwhm_6_keV=0.03))
    beside = ((ENERGY_KEV - rest).abs() > 0.06) & ((ENERGY_KEV - rest).abs() < 0.12)
    at = (ENERGY_KEV - rest).abs() < 0.02
    assert spectrum[at].max() > 1.05 * spectrum[beside].median()


def test_equivalent_width_is_what_the_spectrum_shows():
    """The excess over the continuum around iron's He-like line, divided by the continuum there."""
    spectrum = thermal(2.6, telescope=Telescope(fwhm_6_keV=0.03, knee_keV=1e3))
    window = (ENERGY_KEV > 6.55) & (ENERGY_KEV < 6.82)
    density = bremsstrahlung(ENERGY_KEV, number(2.6))
    beside = (ENERGY_KEV > 7.2) & (ENERGY_KEV < 7.5)
    scale = spectrum[beside].sum() / density[beside].sum()
    excess = (spectrum - scale * density)[window].sum() * 0.01
    found = float(excess / (scale * bremsstrahlung(number(6.685), number(2.6))))
    expected = equivalent_width_keV(number(2.6))[list(LINES).index("Fe He alpha")]
    assert found == pytest.approx(float(expected), rel=0.03)


def test_hotter_plasma_and_flatter_power_laws_are_harder():
    kT = torch.tensor([0.8, 1.5, 3.0, 6.0]).double()
    plasma = thermal_spectrum(kT, torch.zeros(4), ENERGY_KEV)
    power = synchrotron_spectrum(torch.tensor([4.0, 3.0, 2.0, 1.0]), ENERGY_KEV)
    for found in (plasma, power):
        assert ((found * ENERGY_KEV).sum(-1).diff() > 0).all()


def test_power_law_is_a_power_law_where_the_telescope_is_flat():
    found = synchrotron_spectrum(number(2.5), ENERGY_KEV, Telescope(knee_keV=1e3, fwhm_6_keV=0.02))
    slope = found[::10].log().diff() / ENERGY_KEV[::10].log().diff()
    torch.testing.assert_close(slope, torch.full_like(slope, -2.5), atol=0.01, rtol=0)


def test_wider_resolution_keeps_the_lines_light():
    narrow, wide = (thermal(3.0, telescope=Telescope(fwhm_6_keV=fwhm)) for fwhm in (0.03, 0.13))
    around = (ENERGY_KEV > 6.2) & (ENERGY_KEV < 7.4)
    assert float(wide[around].sum()) == pytest.approx(float(narrow[around].sum()), rel=0.01)
    assert wide.max() < narrow.max()


def test_same_seed_same_cube(untouched_generators):
    first, again, other = (simulate_cube((5, 6), 50.0, seed) for seed in (2, 2, 3))
    assert first.identical(again)
    assert not np.array_equal(first.counts, other.counts)
    a, b = (simulate("xray_remnant_simulated", 4, seed).spectra("xray") for seed in (2, 2))
    assert np.array_equal(a, b)


@pytest.mark.parametrize("edges", ["smooth", "sharp"])
def test_cube_holds_counts_truth_and_units(edges):
    cube = simulate_cube((20, 24), 300.0, 1, edges)
    assert cube.counts.dims == ("y", "x", "channel") and cube.counts.shape == (20, 24, 300)
    assert cube.counts.dtype == np.int32 and cube.counts.attrs["units"] == "counts"
    assert cube.energy.attrs["units"] == "keV" and cube.kT.attrs["units"] == "keV"
    assert cube.component.values.tolist() == ["thermal", "synchrotron"]
    np.testing.assert_allclose(cube.amplitude.mean(("y", "x")), [180, 120])
    assert (cube.amplitude > 0).all()
    assert float(cube.kT.min()) >= 1.2 and float(cube.kT.max()) <= 3.0 and float(abs(cube.z).max()) <= 0.026


def test_counts_are_poisson_about_the_maps():
    cube = simulate_cube((30, 30), 2000.0, 4)
    maps = (torch.from_numpy(cube[name].values.reshape(900, -1)) for name in ("amplitude", "kT", "z", "index"))
    amplitude, kT, z, index = maps
    energy = torch.from_numpy(cube.energy.values)
    mean = expected_counts(amplitude, kT[:, 0], z[:, 0], index[:, 0], energy).numpy()
    usual = mean > 0.5
    ratio = ((cube.counts.values.reshape(900, -1) - mean) ** 2 / mean)[usual].mean()
    assert ratio == pytest.approx(1, abs=5 * np.sqrt(4 / usual.sum()))


def test_sharp_maps_have_steps_and_two_zones_and_smooth_maps_have_not():
    sharp, smooth = (simulate_cube((40, 40), 100.0, 0, edges) for edges in ("sharp", "smooth"))
    assert np.unique(sharp["index"]).tolist() == [2.1, 2.9] and np.unique(smooth["index"]).tolist() == [2.5]
    assert len(np.unique(sharp.kT)) <= 3 and len(np.unique(smooth.kT)) > 1000
    steps = {name: abs(cube.kT.diff("x")).values for name, cube in (("sharp", sharp), ("smooth", smooth))}
    assert (steps["sharp"] == 0).mean() > 0.5 and steps["sharp"].max() >= 0.9
    assert (steps["smooth"] > 0).all() and steps["smooth"].max() < 0.9


def test_components_lie_in_a_shell_and_a_rim():
    """In the mean over several draws the rim is synchrotron, the inside thermal, and the corners are dark."""
    light = sum(simulate_cube((32, 32), 100.0, seed).amplitude.values for seed in range(5))
    y, x = np.indices((32, 32)) - 15.5
    radius = np.hypot(y, x) / 16
    rim, inside, outside = (radius > 0.8) & (radius < 0.9), radius < 0.6, radius > 1.1
    thermal, synchrotron = np.moveaxis(light, -1, 0)
    assert thermal[inside].mean() > 5 * thermal[rim].mean()
    assert synchrotron[rim].mean() > synchrotron[inside].mean()
    assert light[outside].max() < 0.05 * light.mean()


def test_fields_are_smoother_the_steeper_their_spectrum():
    rough, smooth = (
        np.mean([np.diff(gaussian_field((48, 48), power, np.random.default_rng(seed))).std() for seed in range(10)])
        for power in (2.5, 5.0)
    )
    assert smooth < 0.5 * rough


def test_small_cubes_take_no_time():
    began = time.perf_counter()
    simulate_cube((8, 8), 100.0)
    assert time.perf_counter() - began < 1


def test_pixels_follow_their_laws():
    data = simulate(load_spec("xray_remnant_simulated"), 400, 0)
    assert data.targets["amplitude"].sum(1).mean() == pytest.approx(1000, rel=0.15)
    for name, (low, high) in {"temperature": (0.8, 6.0), "redshift": (-0.033, 0.033), "index": (1.0, 4.0)}.items():
        values = data.targets[name]
        assert low <= values.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < values.max() <= high
    counts = data.spectra("xray")
    assert np.array_equal(counts, counts.round())
    total = data.targets["amplitude"].sum(1)
    assert np.mean((counts.sum(1) - total) ** 2 / total) == pytest.approx(1, abs=5 * np.sqrt(2 / 400))


WRONG = [
    (lambda: simulate_cube((3, 8)), "shape: .3, 8.; expected pixels along y and x"),
    (lambda: simulate_cube((8, 8), mean_counts=0.0), "mean_counts: 0.0"),
    (lambda: simulate_cube((8, 8), edges="shrap"), "did you mean 'sharp'"),
    (lambda: simulate_cube((4, 4), energy_keV=torch.tensor([3.0, 2.0])), "ascending"),
    (lambda: synchrotron_spectrum(number(2.0), torch.linspace(-1, 5, 7)), "energies above 0"),
    (lambda: Telescope(slope=-1.0), "Telescope.slope: -1.0; expected a number above 0"),
    (lambda: RemnantXray(kT_keV=(6.0, 0.8)), "kT_keV: from 6.0 to 0.8"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_is_wrong_is_named(call, message: str):
    with pytest.raises(ProbspecError, match=message):
        call()
