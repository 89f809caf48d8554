"""Laser-induced breakdown spectroscopy: the light of a small, hot, dense plasma in local thermal equilibrium.

Element mass fractions become numbers of atoms; Saha's equation says how many are ionised, Boltzmann's how many are
excited, the transition probability how fast these shine. Strong lines are weakened by the plasma's own absorption, but
not widened by it, and the small lowering of ionisation energies in a dense plasma is left out. The instrument function
(`probspec.simulators.instrument`) makes a spectrum of the lines. Light is counted in photons, as detectors do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probspec.simulators.atoms import Atoms

BOLTZMANN_EV = 8.617333262e-5  # eV / K (CODATA 2018)
SAHA_CM3 = 2.414683e15  # (2 pi m_e k / h^2)^(3/2), cm^-3 K^(-3/2)
LIGHT_CM = 2.99792458e10  # cm / s
PHOTON_EV_NM = 1239.841984  # h c, eV nm


def partition_functions(atoms: Atoms, temperature_K: Tensor) -> Tensor:
    """Sum over levels of weight times Boltzmann factor.

    Parameters
    ----------
    atoms : Atoms
    temperature_K : (...) Tensor

    Returns
    -------
    (..., element, stage) Tensor
        Of the neutral atom, the ion and the doubly charged ion.
    """
    thermal_eV = BOLTZMANN_EV * temperature_K[..., None, None, None]
    return (atoms.level_weight * torch.exp(-atoms.level_energy_eV / thermal_eV)).sum(-1)


def saha_ratio(
    temperature_K: Tensor, electron_density_cm3: Tensor, ionisation_eV: Tensor, partition_ratio: Tensor | float
) -> Tensor:
    """Atoms with one electron less per atom, in ionisation equilibrium (Saha 1920).

    Parameters
    ----------
    temperature_K, electron_density_cm3 : Tensor
    ionisation_eV : Tensor
        Energy that takes the electron off.
    partition_ratio : Tensor or float
        Partition function of the ion over that of the atom.

    Returns
    -------
    Tensor
        Number of ions per atom.

    Examples
    --------
    Half of the hydrogen of a star is ionised near 9600 K at 20 Pa of electron pressure.

    >>> temperature, pressure_dyn_cm2 = torch.tensor(9600.0), 200.0
    >>> saha_ratio(temperature, pressure_dyn_cm2 / (1.380649e-16 * temperature), torch.tensor(13.598), 1 / 2)
    tensor(1.0938)
    """
    electrons = 2 * SAHA_CM3 * temperature_K**1.5 / electron_density_cm3
    return electrons * partition_ratio * torch.exp(-ionisation_eV / (BOLTZMANN_EV * temperature_K))


def stage_fractions(atoms: Atoms, temperature_K: Tensor, electron_density_cm3: Tensor) -> Tensor:
    """Share of each element's atoms that are neutral, singly and doubly ionised.

    Parameters
    ----------
    atoms : Atoms
    temperature_K, electron_density_cm3 : (...) Tensor

    Returns
    -------
    (..., element, stage) Tensor
        Sums to one over the three stages.
    """
    partition = partition_functions(atoms, temperature_K)
    ratio = saha_ratio(
        temperature_K[..., None, None],
        electron_density_cm3[..., None, None],
        atoms.ionisation_eV,
        partition[..., 1:] / partition[..., :-1],
    )
    relative = torch.cat([torch.ones_like(ratio[..., :1]), ratio.cumprod(-1)], -1)
    return relative / relative.sum(-1, keepdim=True)


def number_fractions(atoms: Atoms, mass_fraction: Tensor) -> Tensor:
    """Share of each element in the number of atoms.

    Parameters
    ----------
    atoms : Atoms
    mass_fraction : (..., element) Tensor
        Need not sum to one.

    Returns
    -------
    (..., element) Tensor
    """
    number = mass_fraction / atoms.mass_u
    return number / number.sum(-1, keepdim=True)


def line_photons(atoms: Atoms, mass_fraction: Tensor, temperature_K: Tensor, electron_density_cm3: Tensor) -> Tensor:
    """Photons per second and per heavy particle of the plasma, in each line, without self-absorption.

    Parameters
    ----------
    atoms : Atoms
    mass_fraction : (..., element) Tensor
    temperature_K, electron_density_cm3 : (...) Tensor

    Returns
    -------
    (..., line) Tensor
    """
    return _weighted_population(atoms, mass_fraction, temperature_K, electron_density_cm3, atoms.upper_energy_eV)


def optical_depth(
    atoms: Atoms,
    mass_fraction: Tensor,
    temperature_K: Tensor,
    electron_density_cm3: Tensor,
    column_cm2: Tensor,
    line_width_nm: float = 0.05,
) -> Tensor:
    """Optical depth of the plasma in the middle of each line.

    Parameters
    ----------
    atoms : Atoms
    mass_fraction : (..., element) Tensor
    temperature_K, electron_density_cm3 : (...) Tensor
    column_cm2 : (...) Tensor
        Heavy particles along the line of sight: density times depth of the plasma.
    line_width_nm : float
        Full width at half maximum of the lines in the plasma (Lorentzian, by the Stark effect).

    Returns
    -------
    (..., line) Tensor
    """
    photon_eV = PHOTON_EV_NM / atoms.wavelength_nm
    lower_energy_eV = (atoms.upper_energy_eV - photon_eV).clamp(min=0)
    absorbers = _weighted_population(atoms, mass_fraction, temperature_K, electron_density_cm3, lower_energy_eV)
    stimulated = 1 - torch.exp(-photon_eV / (BOLTZMANN_EV * temperature_K[..., None]))
    profile_per_cm = 2 / (math.pi * line_width_nm * 1e-7)
    strength_cm2 = (atoms.wavelength_nm * 1e-7) ** 4 / (8 * math.pi * LIGHT_CM) * profile_per_cm
    return column_cm2[..., None] * absorbers * strength_cm2 * stimulated


def escape_share(depth: Tensor) -> Tensor:
    """Share of a Lorentzian line's light that leaves a uniform plasma (Ladenburg and Reiche 1913).

    Parameters
    ----------
    depth : Tensor
        Optical depth in the middle of the line.

    Returns
    -------
    Tensor
        One for a thin plasma, ``sqrt(4 / (pi depth))`` for a thick one.
    """
    return torch.special.i0e(depth / 2) + torch.special.i1e(depth / 2)


def continuum(wavelength_nm: Tensor) -> Tensor:
    """Photons per channel of free electrons, relative to the mean over the channels.

    Bremsstrahlung and recombination together shine as ``1 / wavelength^2`` in energy (Kramers, Gaunt factors of one),
    so as ``1 / wavelength`` in photons.

    Parameters
    ----------
    wavelength_nm : (channel,) Tensor

    Returns
    -------
    (channel,) Tensor
    """
    photons = 1 / wavelength_nm
    return photons / photons.mean()


def libs_spectrum(
    atoms: Atoms,
    profile: Tensor,
    mass_fraction: Tensor,
    temperature_K: Tensor,
    electron_density_cm3: Tensor,
    column_cm2: Tensor | None = None,
) -> Tensor:
    """Emission lines of a plasma as an instrument sees them.

    Parameters
    ----------
    atoms : Atoms
    profile : (line, channel) Tensor
        Instrument function: share of each line that falls into each channel (`voigt_shares` times `response`).
    mass_fraction : (..., element) Tensor
    temperature_K, electron_density_cm3 : (...) Tensor
    column_cm2 : (...) Tensor, optional
        Heavy particles along the line of sight; lines are not self-absorbed where it is left out.

    Returns
    -------
    (..., channel) Tensor
        Photons per second, per heavy particle and channel.

    Examples
    --------
    Calcium shines brightest in its ion's violet resonance line.

    >>> from probspec.simulators.atoms import load_atoms
    >>> from probspec.simulators.instrument import voigt_shares
    >>> atoms, axis = load_atoms(["Ca"]), torch.linspace(240, 860, 6201)
    >>> profile = voigt_shares(axis, atoms.wavelength_nm, gauss_fwhm=0.1)
    >>> plasma = torch.tensor(10000.0), torch.tensor(1e17)
    >>> axis[libs_spectrum(atoms, profile, torch.ones(1), *plasma).argmax()].item()
    393.3999938964844
    """
    atoms = atoms.to(mass_fraction)
    photons = line_photons(atoms, mass_fraction, temperature_K, electron_density_cm3)
    if column_cm2 is not None:
        depth = optical_depth(atoms, mass_fraction, temperature_K, electron_density_cm3, column_cm2)
        photons = photons * escape_share(depth)
    return photons @ profile.to(photons)


def _weighted_population(
    atoms: Atoms, mass_fraction: Tensor, temperature_K: Tensor, electron_density_cm3: Tensor, energy_eV: Tensor
) -> Tensor:
    """Occupation per unit weight of the level at `energy_eV`, times the upper weight and the rate of each line."""
    stages = stage_fractions(atoms, temperature_K, electron_density_cm3)
    per_weight = number_fractions(atoms, mass_fraction)[..., None] * stages / partition_functions(atoms, temperature_K)
    boltzmann = torch.exp(-energy_eV / (BOLTZMANN_EV * temperature_K[..., None]))
    return per_weight[..., atoms.element, atoms.stage] * boltzmann * atoms.upper_weight * atoms.rate_per_s
