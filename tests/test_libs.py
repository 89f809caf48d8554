"""The plasma's physics against closed forms computed on their own, and against published partition functions."""

import math

import pytest
import torch
from scipy import constants, integrate

from probspec.errors import SpecError
from probspec.simulators import libs
from probspec.simulators.atoms import IONISATION_EV, Atoms, load_atoms
from probspec.simulators.instrument import voigt_shares

T = torch.tensor(10000.0, dtype=torch.float64)
N_E = torch.tensor(1e17, dtype=torch.float64)
PURE = torch.ones(1, dtype=torch.float64)
AXIS = torch.linspace(240, 860, 12401, dtype=torch.float64)


def boltzmann(energy_eV: float, temperature_K: float = 10000.0) -> float:
    return math.exp(-energy_eV * constants.e / (constants.k * temperature_K))


def line(atoms: Atoms, wavelength_nm: float) -> int:
    offset = (atoms.wavelength_nm - wavelength_nm).abs()
    assert offset.min() < 0.01
    return int(offset.argmin())


def test_saha_ratio_from_si_constants():
    thermal = 2 * math.pi * constants.m_e * constants.k * 10000.0 / constants.h**2
    expected = 2 * 0.5 * thermal**1.5 / 1e23 * boltzmann(13.598)  # electrons per m^3
    assert libs.saha_ratio(T, N_E, torch.tensor(13.598), 0.5).item() == pytest.approx(expected, rel=1e-6)


def test_hydrogen_ionises_as_saha_says():
    atoms = load_atoms(["H"])
    neutral, ion, _ = libs.stage_fractions(atoms, T, N_E)[0].tolist()
    partition = 2 + 8 * boltzmann(10.199)
    expected = 2 / partition * 2.4146830e15 * 1e4**1.5 / 1e17 * boltzmann(13.5984)
    assert ion / neutral == pytest.approx(expected, rel=1e-4)


def test_stages_sum_to_one_and_heat_ionises():
    atoms = load_atoms()
    heat = torch.tensor([5000.0, 10000.0, 20000.0], dtype=torch.float64)
    stages = libs.stage_fractions(atoms, heat, N_E.expand(3))
    torch.testing.assert_close(stages.sum(-1), torch.ones(3, len(atoms.elements), dtype=torch.float64))
    assert (stages[..., 0].diff(dim=0) < 0).all()
    assert (stages[1, :, 0] < libs.stage_fractions(atoms, T, 10 * N_E)[:, 0]).all()


# Partition functions of atom and ion at 10000 K (Barklem and Collet 2016).
PARTITION = {
    "H": (2.00, 1.00),
    "C": (10.21, 5.99),
    "O": (9.42, 4.23),
    "Mg": (1.64, 2.04),
    "Si": (11.36, 5.87),
    "Ca": (5.70, 3.56),
    "Ti": (83.20, 83.72),
    "Fe": (59.66, 66.90),
    "Zr": (92.91, 81.23),
    "Ba": (16.61, 6.97),
}
BRIGHTEST_NM = {
    "H": 656.28,
    "Na": 588.995,
    "Mg": 279.553,
    "Al": 396.152,
    "Si": 251.611,
    "K": 766.490,
    "Ca": 393.366,
    "Ba": 455.403,
}


@pytest.mark.parametrize("element", PARTITION)
def test_published_partition_functions(element: str):
    found = libs.partition_functions(load_atoms([element]), T)[0, :2].tolist()
    assert found == pytest.approx(PARTITION[element], rel=0.02)


def test_boltzmann_ratio_of_two_lines_of_one_ion():
    atoms = load_atoms(["Ca"])
    photons = libs.line_photons(atoms, PURE, T, N_E)
    k, high = line(atoms, 393.366), line(atoms, 317.933)
    expected = 4 * 1.47 / (6 * 3.6) * boltzmann(3.151 - 7.050)
    assert (photons[k] / photons[high]).item() == pytest.approx(expected, rel=1e-5)


def test_photons_of_one_line_by_hand():
    atoms = load_atoms(["Na"])
    neutral = libs.stage_fractions(atoms, T, N_E)[0, 0].item()
    partition = libs.partition_functions(atoms, T)[0, 0].item()
    expected = neutral / partition * 4 * 0.616e8 * boltzmann(2.104)
    found = libs.line_photons(atoms, PURE, T, N_E)[line(atoms, 588.995)].item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_heavy_atoms_are_fewer_at_equal_mass():
    numbers = libs.number_fractions(load_atoms(["C", "Ca"]), torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert (numbers[0] / numbers[1]).item() == pytest.approx(40.078 / 12.011, rel=1e-4)


@pytest.mark.parametrize("element", BRIGHTEST_NM)
def test_a_pure_element_shines_on_its_line(element: str):
    atoms = load_atoms([element])
    spectrum = libs.libs_spectrum(atoms, voigt_shares(AXIS, atoms.wavelength_nm, 0.02), PURE, T, N_E)
    assert AXIS[spectrum.argmax()].item() == pytest.approx(BRIGHTEST_NM[element], abs=0.05)


def test_the_instrument_keeps_the_photons():
    atoms = load_atoms(["Fe", "Ti"])
    axis = torch.linspace(190, 910, 1000, dtype=torch.float64)
    mixture = torch.tensor([0.3, 0.7], dtype=torch.float64)
    spectrum = libs.libs_spectrum(atoms, voigt_shares(axis, atoms.wavelength_nm, 0.3), mixture, T, N_E)
    torch.testing.assert_close(spectrum.sum(), libs.line_photons(atoms, mixture, T, N_E).sum())


def test_optical_depth_by_hand():
    atoms = load_atoms(["Ca"])
    ion = libs.stage_fractions(atoms, T, N_E)[0, 1].item() / libs.partition_functions(atoms, T)[0, 1].item()
    metre, width = 393.366e-9, 0.05e-9
    integral = metre**2 / (8 * math.pi) * 4 * 1.47e8 * ion * 1e20  # lower level at 0 eV; 1e16 cm^-2 = 1e20 m^-2
    per_hertz = 2 / (math.pi * constants.c * width / metre**2)
    expected = integral * per_hertz * (1 - boltzmann(constants.h * constants.c / metre / constants.e))
    depth = libs.optical_depth(atoms, PURE, T, N_E, torch.tensor(1e16, dtype=torch.float64), line_width_nm=0.05)
    assert depth[line(atoms, 393.366)].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("depth", [0.01, 1.0, 30.0])
def test_escape_share_is_the_integral_over_a_lorentzian(depth: float):
    absorbed, _ = integrate.quad(lambda x: 1 - math.exp(-depth / (1 + x * x)), 0, math.inf)
    thin = depth * math.pi / 2
    found = libs.escape_share(torch.tensor(depth, dtype=torch.float64)).item()
    assert found == pytest.approx(absorbed / thin, rel=1e-6)


def test_self_absorption_weakens_each_line_by_its_own_depth():
    atoms, column = load_atoms(["Ca"]), torch.tensor(1e16, dtype=torch.float64)
    profile = voigt_shares(AXIS, atoms.wavelength_nm, 0.1)
    thin, thick = (libs.libs_spectrum(atoms, profile, PURE, T, N_E, depth) for depth in (None, column))
    share = libs.escape_share(libs.optical_depth(atoms, PURE, T, N_E, column))
    for isolated_nm in (393.366, 612.222):
        kept = (thick / thin)[(AXIS - isolated_nm).abs().argmin()]
        assert kept.item() == pytest.approx(share[line(atoms, isolated_nm)].item(), rel=1e-3)
    assert share[line(atoms, 393.366)] < share[line(atoms, 612.222)] < 1


def test_continuum_is_bluer_in_photons_by_one_power():
    light = libs.continuum(torch.tensor([300.0, 600.0]))
    assert light.mean().item() == pytest.approx(1) and (light[0] / light[1]).item() == pytest.approx(2)


def test_differentiable_in_composition_temperature_density_and_column():
    atoms = load_atoms(["H", "Ca", "Fe"])
    profile = voigt_shares(torch.linspace(380, 400, 21, dtype=torch.float64), atoms.wavelength_nm, 1.0) * 1e-5
    composition = torch.tensor([[0.1, 0.5, 0.4], [0.3, 0.3, 0.4]], dtype=torch.float64, requires_grad=True)
    scaled = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([1.0, 1.2], [1.0, 0.3], [1.0, 2.0])]

    def spectrum(mass_fraction, temperature, density, column):
        return libs.libs_spectrum(atoms, profile, mass_fraction, 1e4 * temperature, 1e17 * density, 1e15 * column)

    assert torch.autograd.gradcheck(spectrum, (composition, *scaled))


def test_float32_agrees_with_float64():
    atoms = load_atoms()
    composition = torch.full((len(atoms.elements),), 1 / len(atoms.elements), dtype=torch.float64)
    profile = voigt_shares(AXIS[::20], atoms.wavelength_nm, 0.5)
    arguments = (composition, T, N_E, torch.tensor(1e16, dtype=torch.float64))
    double = libs.libs_spectrum(atoms, profile, *arguments)
    single = libs.libs_spectrum(atoms, profile, *(a.float() for a in arguments))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5 * double.max().item())


def test_every_line_lies_between_two_levels():
    atoms = load_atoms()
    assert (atoms.upper_energy_eV - libs.PHOTON_EV_NM / atoms.wavelength_nm > -0.005).all()
    limit = atoms.ionisation_eV[atoms.element, atoms.stage]
    assert (atoms.upper_energy_eV < limit).all()
    assert set(atoms.element.tolist()) == set(range(len(IONISATION_EV)))


def test_unknown_element_names_the_known_ones():
    with pytest.raises(SpecError, match="'Au'.*Known: Al, Ba"):
        load_atoms(["Au"])
