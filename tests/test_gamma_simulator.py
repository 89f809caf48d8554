"""Gamma-ray physics against textbooks, numerical integrals and finite differences; and the counts drawn from it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from probspec.errors import ProbspecError
from probspec.simulate import ShieldedGamma, simulate
from probspec.simulators.attenuation import MATERIALS, attenuation_cm1
from probspec.simulators.compton import ELECTRON_KEV, compton_cm1, mean_scattered_keV, scattered_shares
from probspec.simulators.gamma import (
    ShieldedSources,
    _across,
    _outwards,
    background_spectrum,
    gamma_signatures,
    shielded_sources,
)
from probspec.simulators.nuclides import LINES
from probspec.simulators.scintillator import Scintillator, detector_response, peak_share
from probspec.spec import load_spec

ENERGY_KEV = torch.arange(1.5, 1900.0, 3.0, dtype=torch.float64)
THICKNESS_CM = torch.tensor([0.0, 0.005, 0.03, 0.1, 0.3], dtype=torch.float64)


def sources(shield: str = "lead", nuclides: tuple[str, ...] = tuple(LINES), **options: float) -> ShieldedSources:
    return shielded_sources(nuclides, shield, ENERGY_KEV, Scintillator(**options))


def one(nuclide: str, shield: str = "lead", thickness_cm: float = 0.0, **options: float) -> Tensor:
    return gamma_signatures(sources(shield, (nuclide,), **options), torch.tensor(thickness_cm))[0]


def share_between(signature: Tensor, low_keV: float, high_keV: float) -> float:
    return float(signature[..., (low_keV <= ENERGY_KEV) & (high_keV > ENERGY_KEV)].sum(-1))


def test_attenuation_agrees_with_xcom_between_the_nodes():
    """Berger, Hubbell et al., XCOM, NIST: cm^2 / g at the lines of Cs137 and Co60, which the tables do not hold."""
    at = torch.tensor([661.66, 1332.49], dtype=torch.float64)
    known = {"lead": (0.1101, 0.0563), "iron": (0.0735, 0.0518), "aluminium": (0.0746, 0.0532)}
    for material, expected in known.items():
        mass = attenuation_cm1(material, at) / MATERIALS[material].density_g_cm3
        np.testing.assert_allclose(mass, expected, rtol=0.025)


def test_lead_has_its_k_edge():
    below, above = attenuation_cm1("lead", torch.tensor([88.0, 88.01], dtype=torch.float64)) / 11.35
    assert float(below) == pytest.approx(1.910, rel=1e-3) and float(above) == pytest.approx(7.683, rel=1e-3)


def klein_nishina(energy_keV: float, cosine: np.ndarray) -> np.ndarray:
    ratio = 1 / (1 + energy_keV / ELECTRON_KEV * (1 - cosine))
    return ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)


@pytest.mark.parametrize("energy_keV", [20.0, 122.06, 661.66, 1770.0])
def test_shares_of_scattered_photons_are_the_integral_of_the_formula(energy_keV: float):
    cosine = np.linspace(-1, 1, 400001)
    weight, scattered = klein_nishina(energy_keV, cosine), energy_keV / (1 + energy_keV / ELECTRON_KEV * (1 - cosine))
    edges = np.linspace(0, energy_keV * 1.01, 12)
    expected = np.histogram(scattered, edges, weights=weight)[0] / weight.sum()
    line = torch.tensor([energy_keV], dtype=torch.float64)
    np.testing.assert_allclose(scattered_shares(line, torch.from_numpy(edges))[0], expected, atol=1e-4)
    mean = (weight * scattered).sum() / weight.sum()
    assert float(mean_scattered_keV(line)) == pytest.approx(mean, rel=1e-3)


def test_total_cross_section_is_the_textbooks():
    """Klein-Nishina at 662 keV: 2.561e-25 cm^2 per electron; aluminium has 7.83e23 electrons per cm^3."""
    found = float(compton_cm1("aluminium", torch.tensor([662.0], dtype=torch.float64)))
    assert found == pytest.approx(2.561e-25 * 6.022e23 * 2.699 * 13 / 26.9815, rel=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "depth"), [(1.2, 0.4, 0.3), (0.4, 700.0, 0.3), (2.0, 2.0, 1.0), (5.0, 1.0, 0.0)]
)
def test_ways_through_the_shell_are_integrals_over_the_depth(before: float, after: float, depth: float):
    at = (np.arange(200000) + 0.5) * depth / 200000
    numbers = (torch.tensor(x, dtype=torch.float64) for x in (before, after, depth))
    before_cm1, after_cm1, depth_cm = numbers
    outwards = np.exp(-before * at - after * (depth - at)).mean() * depth
    across = np.exp(-before * at - after * (depth + at)).mean() * depth
    assert float(_outwards(before_cm1, after_cm1, depth_cm)) == pytest.approx(outwards, rel=1e-5)
    assert float(_across(before_cm1, after_cm1, depth_cm)) == pytest.approx(across, rel=1e-5)


@pytest.mark.parametrize("shield", ["lead", "iron", "steel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_signatures_are_positive_and_of_unit_sum(shield: str, dtype: torch.dtype):
    prepared = shielded_sources(tuple(LINES), shield, ENERGY_KEV.to(dtype))
    found = gamma_signatures(prepared, THICKNESS_CM.reshape(5, 1))
    assert found.shape == (5, 1, len(LINES), len(ENERGY_KEV)) and found.dtype == dtype
    assert (found > 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(5, 1, len(LINES), dtype=dtype))


@pytest.mark.parametrize("shield", ["lead", "steel"])
def test_gradients_are_those_of_finite_differences(shield: str):
    prepared = shielded_sources(("Ba133", "Cs137"), shield, torch.arange(5.0, 700.0, 60.0, dtype=torch.float64))
    thickness = THICKNESS_CM[1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: gamma_signatures(prepared, t), (thickness,), eps=1e-7)
    thin = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    gamma_signatures(prepared, thin)[..., 1].sum().backward()
    assert thin.grad is not None and torch.isfinite(thin.grad).all()


PEAKS = [("Co60", 1173.23), ("Co60", 1332.49), ("Ba133", 356.01), ("Co57", 122.06), ("Cs137", 661.66), ("Am241", 59.54),
         ("Bi207", 569.70), ("Bi207", 1063.66)]  # fmt: skip


@pytest.mark.parametrize(("nuclide", "line_keV"), PEAKS)
def test_peaks_stand_at_their_lines(nuclide: str, line_keV: float):
    signature = one(nuclide, "steel", 0.01)
    near = (ENERGY_KEV - line_keV).abs() < 40
    assert float(ENERGY_KEV[near][signature[near].argmax()]) == pytest.approx(line_keV, abs=4.5)


def test_caesium_peak_has_the_width_of_the_detector():
    signature = one("Cs137", multiple=0.0)
    high = ENERGY_KEV[signature > signature[(ENERGY_KEV - 661.66).abs() < 10].max() / 2]
    width = float(high.max() - high[high > 560].min())
    assert width == pytest.approx(0.07 * 661.66, abs=6)


def test_compton_edge_and_backscatter_stand_where_kinematics_puts_them():
    """180 degrees: the electron takes 477.3 keV, the photon keeps 184.3 keV."""
    sharp = one("Cs137", resolution_662=0.01, multiple=0.0)
    fall = sharp.diff()
    between = (ENERGY_KEV[1:] > 400) & (ENERGY_KEV[1:] < 560)
    assert float(ENERGY_KEV[1:][between][fall[between].argmin()]) == pytest.approx(477.3, abs=4)
    with_room, without = one("Cs137"), one("Cs137", backscatter=0.0)
    assert 184 < float(ENERGY_KEV[(with_room / without).argmax()]) < 230


def test_peak_share_of_a_three_inch_crystal_falls_as_measured():
    """Near 0.55 at 662 keV and 0.3 at 1332 keV (Knoll, Radiation Detection and Measurement, ch. 10)."""
    low, middle, high = peak_share(torch.tensor([122.0, 661.66, 1332.5]), Scintillator()).tolist()
    assert low > 0.95 and 0.45 < middle < 0.65 and 0.2 < high < 0.4
    assert peak_share(torch.tensor([661.66]), Scintillator(size_cm=2.54)) < middle


def test_rows_of_the_response_are_not_more_than_one_count_a_photon():
    found = detector_response(torch.tensor([20.0, 60.0, 600.0, 1500.0]).double(), ENERGY_KEV, Scintillator()).sum(-1)
    assert (found > 0.4).all() and (found <= 1).all()
    assert found[-1] < found[1]


def test_thicker_shields_harden_spectra():
    for shield, nuclide in [("lead", "Ba133"), ("steel", "Ba133"), ("steel", "Am241"), ("lead", "Bi207")]:
        found = gamma_signatures(sources(shield, (nuclide,)), THICKNESS_CM)
        assert ((found * ENERGY_KEV).sum(-1).squeeze(-1).diff() > 0).all(), (shield, nuclide)


def test_lead_shines_at_its_k_lines_and_steel_does_not():
    for shield, shines in (("lead", True), ("steel", False)):
        bare, behind = (share_between(one("Co57", shield, t), 60, 90) for t in (0.0, 0.03))
        assert (behind > 2 * bare) is shines
    signature = one("Co57", "lead", 0.03)
    near = (ENERGY_KEV > 60) & (ENERGY_KEV < 95)
    assert 71 < float(ENERGY_KEV[near][signature[near].argmax()]) < 79


def test_scattering_in_the_shield_fills_the_valley_below_the_peak():
    thin, thick = (share_between(one("Cs137", "steel", t), 520, 600) for t in (0.0, 1.0))
    assert thick > 2 * thin


def test_background_is_positive_with_potassium_in_it():
    found = background_spectrum(ENERGY_KEV)
    assert (found > 0).all() and float(found.sum()) == pytest.approx(1)
    near = (ENERGY_KEV > 1400) & (ENERGY_KEV < 1550)
    assert float(ENERGY_KEV[near][found[near].argmax()]) == pytest.approx(1460.8, abs=6)


WRONG = [
    (lambda: shielded_sources(["Co61"], "lead", ENERGY_KEV), r"nuclides\[0\].*did you mean 'Co60'"),
    (lambda: shielded_sources([], "lead", ENERGY_KEV), "nuclides: none given"),
    (lambda: shielded_sources(["Co60"], "leed", ENERGY_KEV), "did you mean 'lead'"),
    (lambda: shielded_sources(["Co60"], "lead", ENERGY_KEV.flip(0)), "ascending"),
    (lambda: Scintillator(resolution_662=0.0), "resolution_662: 0.0; expected a number above 0"),
    (lambda: Scintillator(multiple=1.5), "multiple: 1.5; expected .* below 1"),
    (lambda: ShieldedGamma(nuclides=("Co60", "Cs136")), "nuclides.Cs136: unknown; expected did you mean 'Cs137'"),
    (lambda: ShieldedGamma(thickness_cm=(0.3, 0.1)), "thickness_cm: from 0.3 to 0.1"),
    (lambda: ShieldedGamma(shield="wood"), "shield.*'lead', 'iron' or 'steel'"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_is_wrong_is_named(call, message: str):
    with pytest.raises(ProbspecError, match=message):
        call()


def test_same_seed_same_counts(untouched_generators):
    first, again, other = (simulate("gamma_lead_simulated", 3, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.spectra("gamma"), again.spectra("gamma"))
    assert not np.array_equal(first.spectra("gamma"), other.spectra("gamma"))


def test_simulated_measurements_hold_what_the_spec_says():
    spec = load_spec("gamma_lead_simulated")
    data = simulate(spec, 200, 0)
    counts, thickness = data.targets["counts"], data.targets["thickness"][:, 0]
    np.testing.assert_allclose(counts.sum(1), 2000)
    np.testing.assert_allclose(counts[:, -1], 800)
    absent = counts[:, :-1] == 0
    assert absent.mean() == pytest.approx(0.25, abs=0.06) and not absent.all(1).any()
    assert thickness.min() >= 0.005 and thickness.max() <= 0.3
    assert np.median(thickness) == pytest.approx(np.sqrt(0.005 * 0.3), rel=0.25)
    assert data.axes["gamma"][[0, -1]].tolist() == [0.75, 1535.25]


def test_counts_are_poisson_about_the_mixture_of_signatures():
    spec = load_spec("gamma_lead_simulated")
    data = simulate(spec, 100, 1)
    counts, axis = data.spectra("gamma").astype(float), torch.from_numpy(data.axes["gamma"])
    prepared = shielded_sources(spec.targets["counts"].components[:-1], "lead", axis)
    pure = gamma_signatures(prepared, torch.from_numpy(data.targets["thickness"][:, 0]))
    shapes = torch.cat([pure, background_spectrum(axis).expand(100, 1, -1)], 1).numpy()
    mean = np.einsum("ns,nsc->nc", data.targets["counts"], shapes)
    usual = mean > 0.5
    ratio = ((counts - mean) ** 2 / mean)[usual].mean()
    assert ratio == pytest.approx(1, abs=5 * np.sqrt(4 / usual.sum()))
    assert np.array_equal(counts, counts.round())
