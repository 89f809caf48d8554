"""How matter weakens X-rays and gamma rays, and what lead sends out in return.

Mass attenuation coefficients are those of Hubbell and Seltzer, Tables of X-Ray Mass Attenuation Coefficients, NIST
Standard Reference Database 126 (NISTIR 5632, 2004), from 10 keV to 3 MeV with coherent scattering, interpolated between
logarithms; an edge stands twice. Compounds are mixed by mass. Below 10 keV the value at 10 keV holds: no detector that
is simulated here sees such photons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from probspec.errors import SpecError, explain, known

# energy, keV / mass attenuation coefficient, cm^2 g^-1
_COARSE = "10 15 20 30 40 50 60 80 100 150 200 300 400 500 600 800 1000 1250 1500 2000 3000"
_ELEMENTS: dict[str, tuple[str, str]] = {
    "Na": (
        _COARSE,
        "15.57 4.694 2.057 .7197 .3969 .2804 .2268 .1796 .1585 .1335 .1199 .1029 .09185 .08372 .07736 .06788 .06100"
        " .05454 .04968 .04282 .03487",
    ),
    "Al": (
        _COARSE,
        "26.23 7.955 3.441 1.128 .5685 .3681 .2778 .2018 .1704 .1378 .1223 .1042 .09276 .08445 .07802 .06841 .06146"
        " .05496 .05006 .04324 .03541",
    ),
    "Fe": (
        _COARSE,
        "170.6 57.08 25.68 8.176 3.629 1.958 1.205 .5952 .3717 .1964 .1460 .1099 .09400 .08414 .07704 .06699 .05995"
        " .05350 .04883 .04265 .03621",
    ),
    "I": (
        "10 15 20 30 33.17 33.17 40 50 60 80 100 150 200 300 400 500 600 800 1000 1250 1500 2000 3000",
        "162.6 55.12 25.43 8.561 6.553 35.82 22.10 12.32 7.579 3.510 1.942 .6978 .3663 .1771 .1217 .09701 .08313 .06749"
        " .05841 .05111 .04647 .04124 .03716",
    ),
    "Pb": (
        "10 13.04 13.04 15 15.20 15.20 15.53 15.86 15.86 20 30 40 50 60 80 88.005 88.005 100 150 200 300 400 500 600"
        " 800 1000 1250 1500 2000 3000",
        "130.6 67.01 162.1 111.6 107.8 148.5 141.6 134.4 154.8 86.36 30.32 14.36 8.041 5.021 2.419 1.910 7.683 5.549"
        " 2.014 .9985 .4031 .2323 .1614 .1248 .08870 .07102 .05876 .05222 .04606 .04234",
    ),
}


@dataclass(frozen=True)
class Material:
    """A homogeneous material.

    Parameters
    ----------
    mass_fractions : dict of element -> float
    density_g_cm3 : float
    electrons_mol_g : float
        Electrons per unit of mass: the mean of Z / A.
    """

    mass_fractions: Mapping[str, float]
    density_g_cm3: float
    electrons_mol_g: float


MATERIALS: Mapping[str, Material] = {
    "lead": Material({"Pb": 1.0}, 11.35, 0.39575),
    "iron": Material({"Fe": 1.0}, 7.874, 0.46557),
    "steel": Material({"Fe": 1.0}, 7.85, 0.46557),  # the carbon and manganese of plain steel change little
    "aluminium": Material({"Al": 1.0}, 2.699, 0.48181),
    "sodium iodide": Material({"Na": 0.15337, "I": 0.84663}, 3.667, 0.42697),
}

K_EDGE_KEV = {"lead": 88.005}
K_SHARE = {"lead": 1 - 1.910 / 7.683}
"""Share of the K shell in what a material absorbs above its K edge: from the height of the edge."""

# Energies: Bearden, Rev. Mod. Phys. 39 (1967) 78. Yield (K shell of lead, 0.96) and shares: Krause, J. Phys. Chem. Ref.
# Data 8 (1979) 307, and Scofield, At. Data Nucl. Data Tables 14 (1974) 121, rounded.
K_LINES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "lead": ((72.80, 0.279), (74.97, 0.466), (84.45, 0.056), (84.94, 0.109), (87.30, 0.050)),
}
"""Fluorescence: energy in keV, photons per vacancy in the K shell."""


def attenuation_cm1(material: str, energy_keV: Tensor) -> Tensor:
    """Probability per path length that a photon is absorbed or scattered.

    Parameters
    ----------
    material : str
        One of `MATERIALS`.
    energy_keV : Tensor
        From 10 keV to 3 MeV; outside of it the value at the end holds.

    Returns
    -------
    Tensor, cm^-1

    Raises
    ------
    SpecError
        If the material is not known.

    Examples
    --------
    Some millimetres of lead halve the photons of Cs137.

    >>> 0.6931 / attenuation_cm1("lead", torch.tensor([661.66]))
    tensor([0.5496])
    """
    matter = find_material(material)
    mass = sum(share * _mass_attenuation_cm2_g(e, energy_keV) for e, share in matter.mass_fractions.items())
    return torch.as_tensor(matter.density_g_cm3 * mass)


def find_material(name: str) -> Material:
    """Look a material up.

    Raises
    ------
    SpecError
        If it is not known.
    """
    if name not in MATERIALS:
        raise SpecError(explain("material", f"{name!r} is unknown, {known(name, MATERIALS)}"))
    return MATERIALS[name]


def _mass_attenuation_cm2_g(element: str, energy_keV: Tensor) -> Tensor:
    """Interpolate linearly between logarithms."""
    log_energy, log_value = (column.to(energy_keV) for column in _log_table(element))
    at = energy_keV.log().clamp(log_energy[0], log_energy[-1])
    left = (torch.searchsorted(log_energy, at.contiguous(), right=True) - 1).clamp(0, len(log_energy) - 2)
    weight = (at - log_energy[left]) / (log_energy[left + 1] - log_energy[left])
    return torch.lerp(log_value[left], log_value[left + 1], weight).exp()


@cache
def _log_table(element: str) -> tuple[Tensor, Tensor]:
    energy, value = (torch.tensor([float(x) for x in column.split()]).double() for column in _ELEMENTS[element])
    return energy.log(), value.log()
