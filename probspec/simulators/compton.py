"""Compton scattering of gamma rays by free electrons at rest (Klein and Nishina, Z. Phys. 52 (1929) 853).

Energies of scattered photons follow the closed integral of the Klein-Nishina formula, so that the shares of bins are
exact whatever their width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.simulators.attenuation import find_material

ELECTRON_KEV = 510.99895  # rest energy (CODATA 2018)
CROSS_SECTION_CM2 = 2.4946725e-25  # pi times the square of the classical electron radius
AVOGADRO = 6.02214076e23


def compton_cm1(material: str, energy_keV: Tensor) -> Tensor:
    """Probability per path length that a photon is scattered by an electron.

    Parameters
    ----------
    material : str
        One of `probspec.simulators.attenuation.MATERIALS`.
    energy_keV : Tensor

    Returns
    -------
    Tensor, cm^-1

    Examples
    --------
    >>> compton_cm1("aluminium", torch.tensor([1000.0]))
    tensor([0.1654])
    """
    matter = find_material(material)
    energy = energy_keV.double()  # the antiderivative has large terms that cancel
    areas = _integral(energy, energy) - _integral(energy, scattered_energy_keV(energy, -1.0))
    electrons_cm3 = AVOGADRO * matter.density_g_cm3 * matter.electrons_mol_g
    return (electrons_cm3 * CROSS_SECTION_CM2 * areas).to(energy_keV)


def scattered_energy_keV(energy_keV: Tensor, cosine: Tensor | float) -> Tensor:
    """Energy of a photon after it was turned by an angle (Compton 1923).

    Examples
    --------
    >>> scattered_energy_keV(torch.tensor(661.66), -1.0)
    tensor(184.3232)
    """
    return energy_keV / (1 + energy_keV / ELECTRON_KEV * (1 - cosine))


def scattering_cosine(energy_keV: Tensor, scattered_keV: Tensor) -> Tensor:
    """Cosine of the angle by which a photon was turned, given its energies before and after."""
    return (1 + ELECTRON_KEV * (1 / energy_keV - 1 / scattered_keV)).clamp(-1, 1)


def scattered_shares(energy_keV: Tensor, edges_keV: Tensor, backward_of: float = 1.0) -> Tensor:
    """Share of the scattered photons whose energy lies in each bin.

    Parameters
    ----------
    energy_keV : (line,) Tensor
        Before scattering.
    edges_keV : (bin + 1,) or (line, bin + 1) Tensor
        Borders of the bins, ascending.
    backward_of : float
        Only photons turned by more than the angle of this cosine; 1.0 takes all of them.

    Returns
    -------
    (line, bin) Tensor
        Sums to one where the bins reach from zero to `energy_keV`.

    Examples
    --------
    >>> scattered_shares(torch.tensor([661.66]), torch.tensor([0.0, 184.0, 300.0, 661.0, 700.0])).sum(-1)
    tensor([1.])
    """
    energy = energy_keV[:, None].double()
    low, high = scattered_energy_keV(energy, -1.0), scattered_energy_keV(energy, backward_of)
    at = torch.minimum(torch.maximum(edges_keV.double().expand(len(energy), -1), low), high)
    shares = _integral(energy, at).diff(dim=-1) / (_integral(energy, high) - _integral(energy, low))
    return shares.to(energy_keV)


def mean_scattered_keV(energy_keV: Tensor) -> Tensor:
    """Mean energy of the photon after one scattering, over all angles.

    Parameters
    ----------
    energy_keV : (line,) Tensor

    Returns
    -------
    (line,) Tensor, keV
    """
    edges = torch.linspace(0, 1, 201).to(energy_keV)
    shares = scattered_shares(energy_keV, energy_keV[:, None] * edges)
    return energy_keV * (shares * (edges[1:] + edges[:-1]) / 2).sum(-1)


def _integral(energy_keV: Tensor, scattered_keV: Tensor) -> Tensor:
    """Antiderivative of the Klein-Nishina formula in the ratio of energies, over `CROSS_SECTION_CM2`."""
    alpha = energy_keV / ELECTRON_KEV
    ratio = scattered_keV / energy_keV
    forward = 1 + 1 / alpha
    angular = forward**2 * ratio - 2 * forward / alpha * ratio.log() - 1 / (alpha**2 * ratio)
    return (ratio**2 / 2 + ratio.log() - ratio + angular) / alpha
