"""X-rays of a supernova remnant between 3 and 8.5 keV: a hot plasma, and electrons on spirals, seen by a telescope.

The plasma shines by bremsstrahlung and by lines of ions that have kept one or two electrons (hydrogen-like, Ly;
helium-like, He); both are shifted by its motion. The electrons give a power law. Each component is folded by the
effective area and the energy resolution of the telescope, and scaled to unit sum, so that an amplitude is in counts.

Line energies are rounded centroids of multiplets (Foster et al., AtomDB 3, ApJ 756 (2012) 128; NIST Atomic Spectra
Database). Strengths are equivalent widths over the plasma's own continuum, representative of a plasma of solar
composition in ionisation equilibrium, where each ion has its temperature; remnants are often richer, and not there yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from probspec.errors import SpecError, explain
from probspec.simulators.instrument import channel_edges, voigt_shares

# energy, keV / largest equivalent width, keV / temperature kT where it is reached, keV
LINES: dict[str, tuple[float, float, float]] = {
    "S Ly beta": (3.107, 0.015, 1.9),
    "Ar He alpha": (3.125, 0.100, 1.3),
    "Ar Ly alpha": (3.323, 0.030, 2.8),
    "Ar He beta": (3.685, 0.012, 1.6),
    "Ca He alpha": (3.902, 0.120, 1.7),
    "Ca Ly alpha": (4.107, 0.025, 3.6),
    "Ca He beta": (4.583, 0.015, 2.0),
    "Ti He alpha": (4.750, 0.010, 2.0),
    "Cr He alpha": (5.682, 0.040, 2.2),
    "Mn He alpha": (6.181, 0.025, 2.4),
    "Fe He alpha": (6.685, 1.000, 2.6),
    "Fe Ly alpha": (6.966, 0.200, 7.0),
    "Ni He alpha": (7.806, 0.080, 3.2),
    "Fe He beta": (7.881, 0.150, 3.2),
    "Fe Ly beta": (8.252, 0.040, 7.5),
}
"""Lines of the plasma: energy at rest, equivalent width and its temperature."""

LINE_SPREAD = 0.75
"""Standard deviation of ln kT over which a line is as wide as about its largest equivalent width."""


@dataclass(frozen=True)
class Telescope:
    """An X-ray telescope with a CCD, much simplified.

    Parameters
    ----------
    knee_keV, slope : float
        Energy at which half of the effective area is lost, and how fast: area = 1 / (1 + (E / knee)^slope).
    fwhm_6_keV : float
        Full width at half maximum of a line at 6 keV; widths grow as the root of the energy.

    Raises
    ------
    SpecError
        If a value is not above zero.
    """

    knee_keV: float = 6.0
    slope: float = 5.0
    fwhm_6_keV: float = 0.13

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise SpecError(explain(f"Telescope.{name}", f"{value}", expected="a number above 0"))

    def effective_area(self, energy_keV: Tensor) -> Tensor:
        """Sensitivity relative to that at low energies."""
        return 1 / (1 + (energy_keV / self.knee_keV) ** self.slope)

    def fwhm_keV(self, energy_keV: Tensor) -> Tensor:
        """Full width at half maximum of a line."""
        return self.fwhm_6_keV * (energy_keV / 6.0).sqrt()


def thermal_spectrum(
    kT_keV: Tensor, redshift: Tensor, channel_keV: Tensor, telescope: Telescope | None = None
) -> Tensor:
    """Spectrum of a hot plasma, of unit sum over the channels.

    Parameters
    ----------
    kT_keV : (...) Tensor
        Temperature, above zero.
    redshift : (...) Tensor
        Broadcasts with `kT_keV`; 0.03 is 9000 km/s away from us.
    channel_keV : (channel,) Tensor
        Centres of the channels, ascending; its type is that of the spectra.
    telescope : Telescope, optional

    Returns
    -------
    (..., channel) Tensor
        Share of the component's counts per channel: positive, differentiable in temperature and redshift.

    Raises
    ------
    SpecError
        If the channels do not ascend, or begin at or below zero.

    Examples
    --------
    >>> energy_keV = torch.linspace(5.5, 8.0, 126)
    >>> energy_keV[thermal_spectrum(torch.tensor(3.0), torch.tensor([-0.03, 0.0, 0.03]), energy_keV).argmax(-1)]
    tensor([6.9000, 6.6800, 6.4800])
    """
    telescope = telescope or Telescope()
    kT, z = torch.broadcast_tensors(kT_keV.to(channel_keV), redshift.to(channel_keV))
    energy, fold = _fold(channel_keV, telescope)
    continuum = bremsstrahlung(energy * (1 + z[..., None]), kT[..., None]) @ fold
    return _unit_sum(continuum + _line_counts(kT, z, channel_keV, telescope))


def synchrotron_spectrum(photon_index: Tensor, channel_keV: Tensor, telescope: Telescope | None = None) -> Tensor:
    """Spectrum of a power law of photons, E^-index, of unit sum over the channels.

    Parameters
    ----------
    photon_index : (...) Tensor
    channel_keV : (channel,) Tensor
    telescope : Telescope, optional

    Returns
    -------
    (..., channel) Tensor
        Share of the component's counts per channel: positive, differentiable in the index.

    Raises
    ------
    SpecError
        If the channels do not ascend, or begin at or below zero.

    Examples
    --------
    >>> synchrotron_spectrum(torch.tensor([2.0, 3.0]), torch.linspace(3.0, 8.0, 6))
    tensor([[0.5204, 0.2524, 0.1266, 0.0605, 0.0276, 0.0126],
            [0.6341, 0.2236, 0.0884, 0.0349, 0.0136, 0.0054]])
    """
    energy, fold = _fold(channel_keV, telescope or Telescope())
    middle = math.sqrt(float(channel_keV[0]) * float(channel_keV[-1]))
    return _unit_sum((energy / middle) ** -photon_index.to(channel_keV)[..., None] @ fold)


def bremsstrahlung(energy_keV: Tensor, kT_keV: Tensor) -> Tensor:
    """Photons per energy of a hot plasma's continuum, relative to those at the energy kT.

    The Gaunt factor is (kT / E)^0.4, near enough where E is about kT (Longair, High Energy Astrophysics, 2011, ch. 6).

    Parameters
    ----------
    energy_keV, kT_keV : Tensor
        That broadcast; the energy in the frame of the plasma.
    """
    ratio = energy_keV / kT_keV
    return ratio**-1.4 * torch.exp(1 - ratio)


def equivalent_width_keV(kT_keV: Tensor) -> Tensor:
    """Photons of each line, as the width of continuum at the line's energy that has as many.

    Parameters
    ----------
    kT_keV : (...) Tensor

    Returns
    -------
    (..., line) Tensor, keV
        In the order of `LINES`.
    """
    _, largest, at_keV = torch.tensor(list(LINES.values())).to(kT_keV).T
    return largest * torch.exp(-0.5 * ((kT_keV[..., None] / at_keV).log() / LINE_SPREAD) ** 2)


def _line_counts(kT: Tensor, redshift: Tensor, channel_keV: Tensor, telescope: Telescope) -> Tensor:
    rest = torch.tensor([line[0] for line in LINES.values()]).to(kT)
    photons = equivalent_width_keV(kT) * bremsstrahlung(rest, kT[..., None])
    seen = rest / (1 + redshift[..., None])
    # a shifted spectrum is squeezed: as many photons lie in a narrower band
    photons = photons * telescope.effective_area(seen) / (1 + redshift[..., None])
    shares = voigt_shares(channel_keV, seen, telescope.fwhm_keV(seen))
    return (photons[..., None, :] @ shares).squeeze(-2)


def _fold(channel_keV: Tensor, telescope: Telescope) -> tuple[Tensor, Tensor]:
    """Energies, and the counts per channel of a continuum's photons at each: area, resolution and width of the bins."""
    edges = channel_edges(channel_keV)
    if edges[0] <= 0:
        raise SpecError(explain("channel_keV", f"begins at {float(edges[0]):.4g} keV", expected="energies above 0"))
    step = float(edges.diff().min()) / 2
    margin = 3 * float(telescope.fwhm_keV(edges[-1]))
    first, last = max(float(edges[0]) - margin, float(edges[0]) / 4), float(edges[-1]) + margin
    energy = torch.linspace(first, last, math.ceil((last - first) / step) + 1).to(channel_keV)
    blur = voigt_shares(channel_keV, energy, telescope.fwhm_keV(energy))
    return energy, (telescope.effective_area(energy) * (energy[1] - energy[0]))[:, None] * blur


def _unit_sum(counts: Tensor) -> Tensor:
    return counts / counts.sum(-1, keepdim=True)
