"""Absorption spectra of aqueous salts, from the near ultraviolet to the near infrared.

The law of Beer and Lambert, and what bends it: sulfate pairs with the metal ions, and the pairs absorb otherwise; a
share of stray light hides how dark a dark channel is. Ions without bands of their own in this range (Zn2+, Li+, NH4+,
SO4 2-) are seen by what they do to the bands of water: their hydration moves and weakens them.

Positions, widths and molar absorptivities of the aqua ions are rounded values on which textbooks agree (Lever,
Inorganic Electronic Spectroscopy, 2nd ed. 1984; for nitrate Mack and Bolton, J. Photochem. Photobiol. A 128 (1999) 1;
for water Kou, Labrie and Chylek, Appl. Opt. 32 (1993) 3531). Stabilities of ion pairs are of the order that tables
give, lowered for solutions of some ionic strength. The effects on water are representative, not measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from probspec.errors import SpecError, explain, known

IONS = ("Zn2+", "Cu2+", "Li+", "Fe3+", "Ni2+", "NH4+", "SO4 2-", "NO3-")
"""The ions of Mushchina et al. 2024, in their order."""

Bands = tuple[tuple[float, float, float], ...]

BANDS: dict[str, Bands] = {
    "Zn2+": (),
    "Cu2+": ((815.0, 11.0, 230.0), (970.0, 3.5, 250.0)),
    "Li+": (),
    "Fe3+": ((240.0, 4200.0, 62.0), (408.0, 0.6, 30.0), (540.0, 0.1, 60.0), (780.0, 0.06, 120.0)),
    "Ni2+": ((394.0, 5.1, 42.0), (656.0, 1.5, 60.0), (722.0, 2.0, 95.0), (1150.0, 2.0, 260.0)),
    "NH4+": (),
    "SO4 2-": (),
    "NO3-": ((302.0, 7.2, 32.0),),
}
"""Bands of the free ions: nm, L / (mol cm) at the top, and nm (full width at half maximum)."""

PAIRS: dict[str, tuple[float, Bands]] = {
    "Cu2+": (10.0, ((800.0, 14.0, 225.0), (250.0, 900.0, 55.0))),
    "Fe3+": (150.0, ((305.0, 2200.0, 70.0), (410.0, 0.8, 35.0))),
    "Ni2+": (8.0, ((396.0, 5.6, 43.0), (725.0, 2.3, 100.0), (1150.0, 2.1, 260.0))),
    "Zn2+": (9.0, ()),
}
"""Pairs of a metal with one sulfate: L / mol (stability), and bands."""

WATER: Bands = ((975.0, 0.20, 55.0), (1195.0, 0.52, 75.0), (840.0, 0.018, 40.0), (745.0, 0.011, 30.0))
"""Bands of water: nm, decadic 1 / cm, nm."""

HYDRATION: dict[str, tuple[float, float, float, float]] = {
    "Zn2+": (-0.030, -0.055, 9.0, 4.0),
    "Cu2+": (-0.028, -0.040, 8.0, 5.0),
    "Li+": (0.015, -0.020, 5.0, -3.0),
    "Fe3+": (-0.045, -0.080, 14.0, 9.0),
    "Ni2+": (-0.030, -0.050, 9.5, 5.5),
    "NH4+": (-0.042, -0.010, -3.0, 2.5),
    "SO4 2-": (-0.050, -0.075, -6.0, -9.0),
    "NO3-": (-0.034, -0.030, -8.5, -4.0),
}
"""What a mol / L of an ion does to the two strong bands of water: shares by which they grow, and nm by which they move.

The weaker bands are overtones of the same vibrations and follow the mean of both.
"""

NEWTON_STEPS = 20


def check_ions(ions: Sequence[str]) -> None:
    """Refuse ions without known bands.

    Raises
    ------
    SpecError
        Naming the first of them.
    """
    for ion in ions:
        if ion not in BANDS:
            raise SpecError(explain(f"ion {ion!r}", f"no bands; {known(ion, BANDS)}"))


def absorptivity(ions: Sequence[str], wavelength_nm: Tensor) -> Tensor:
    """Molar absorptivity of free ions.

    Parameters
    ----------
    ions : sequence of str
    wavelength_nm : (channel,) Tensor

    Returns
    -------
    (ion, channel) Tensor, L / (mol cm)

    Raises
    ------
    SpecError
        If an ion's bands are not known.

    Examples
    --------
    >>> absorptivity(["Cu2+", "NO3-"], torch.tensor([302.0, 815.0])).round().int()
    tensor([[ 0, 12],
            [ 7,  0]], dtype=torch.int32)
    """
    check_ions(ions)
    return torch.stack([_spectrum(BANDS[ion], wavelength_nm) for ion in ions])


def free_sulfate(concentration_M: Tensor, sulfate_M: Tensor, stability: Tensor) -> Tensor:
    """Sulfate that is not paired: the root of s + sum_i K_i m_i s / (1 + K_i s) = total.

    Parameters
    ----------
    concentration_M : (..., metal) Tensor, mol / L
        Of each metal, paired and free.
    sulfate_M : (...) Tensor, mol / L
    stability : (metal,) Tensor, L / mol

    Returns
    -------
    (...) Tensor, mol / L

    Notes
    -----
    The left side is concave, so that Newton's steps from below never pass the root.

    Examples
    --------
    >>> free_sulfate(torch.tensor([1.0]), torch.tensor(1.0), torch.tensor([2.0]))
    tensor(0.5000)
    """
    free = sulfate_M / (1 + concentration_M @ stability)
    for _ in range(NEWTON_STEPS):
        bound = 1 + stability * free[..., None]
        value = free + (stability * concentration_M * free[..., None] / bound).sum(-1) - sulfate_M
        slope = 1 + (stability * concentration_M / bound.square()).sum(-1)
        free = free - value / slope
    return free


def absorbance(ions: Sequence[str], concentration_M: Tensor, wavelength_nm: Tensor, path_cm: float = 1.0) -> Tensor:
    """Absorbance of a solution against air, with pairs and water, by the law of Beer and Lambert.

    Parameters
    ----------
    ions : sequence of str
    concentration_M : (..., ion) Tensor, mol / L
        Of each ion in all its forms.
    wavelength_nm : (channel,) Tensor
    path_cm : float

    Returns
    -------
    (..., channel) Tensor

    Raises
    ------
    SpecError
        If an ion's bands are not known.

    Examples
    --------
    >>> axis = torch.tensor([815.0])
    >>> alone, paired = (absorbance(["Cu2+", "SO4 2-"], torch.tensor([0.05, s]), axis) for s in (0.0, 0.5))
    >>> bool(paired > alone)
    True
    """
    free, paired = speciation(ions, concentration_M)
    dissolved = free @ absorptivity(ions, wavelength_nm)
    for k, ion in enumerate(ions):
        if ion in PAIRS:
            dissolved = dissolved + paired[..., k, None] * _spectrum(PAIRS[ion][1], wavelength_nm)
    return path_cm * (dissolved + water(ions, concentration_M, wavelength_nm))


def speciation(ions: Sequence[str], concentration_M: Tensor) -> tuple[Tensor, Tensor]:
    """Concentrations of the free ions, and of the pairs of each ion with sulfate.

    Parameters
    ----------
    ions : sequence of str
    concentration_M : (..., ion) Tensor, mol / L

    Returns
    -------
    free, paired : (..., ion) Tensor, mol / L
    """
    stability = torch.tensor([PAIRS[ion][0] if ion in PAIRS else 0.0 for ion in ions]).to(concentration_M)
    if "SO4 2-" not in ions:
        return concentration_M, torch.zeros_like(concentration_M)
    place = list(ions).index("SO4 2-")
    sulfate = free_sulfate(concentration_M, concentration_M[..., place], stability)
    bound = stability * sulfate[..., None]
    paired = concentration_M * bound / (1 + bound)
    is_sulfate = (torch.arange(len(ions), device=paired.device) == place).to(paired)
    return concentration_M - paired - is_sulfate * paired.sum(-1, keepdim=True), paired


def water(ions: Sequence[str], concentration_M: Tensor, wavelength_nm: Tensor) -> Tensor:
    """Absorption of the water in a solution, whose bands the ions weaken and move.

    Returns
    -------
    (..., channel) Tensor, decadic 1 / cm
    """
    change = concentration_M @ torch.tensor([HYDRATION[ion] for ion in ions]).to(concentration_M)
    growth, shift_nm = _for_all_bands(change[..., :2]), _for_all_bands(change[..., 2:])
    position, height, width = torch.tensor(WATER).to(wavelength_nm).T
    bands = _gaussian(wavelength_nm[:, None] - (position + shift_nm)[..., None, :], width)
    return (bands * (height * (1 + growth))[..., None, :]).sum(-1)


def _for_all_bands(strong: Tensor) -> Tensor:
    """Changes of the two strong bands, then those of the weaker ones, (..., band)."""
    return torch.cat([strong, strong.mean(-1, keepdim=True).expand(*strong.shape[:-1], len(WATER) - 2)], -1)


def measured(absorbance: Tensor, stray: float) -> Tensor:
    """Absorbance that a spectrometer with stray light reads.

    Parameters
    ----------
    absorbance : (..., channel) Tensor
    stray : float
        Stray light, as a share of the light of the lamp.

    Returns
    -------
    (..., channel) Tensor
        Never above ``-log10(stray / (1 + stray))``.

    Examples
    --------
    >>> measured(torch.tensor([0.1, 5.0]), stray=1e-3).round(decimals=2)
    tensor([0.1000, 3.0000])
    """
    return -torch.log10((10.0**-absorbance + stray) / (1 + stray))


def _spectrum(bands: Bands, wavelength_nm: Tensor) -> Tensor:
    total = torch.zeros_like(wavelength_nm)
    for position, height, width in bands:
        total = total + height * _gaussian(wavelength_nm - position, width)
    return total


def _gaussian(distance: Tensor, full_width: float | Tensor) -> Tensor:
    return torch.exp(-4 * math.log(2) * (distance / full_width).square())
