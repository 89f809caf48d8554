"""What a sodium iodide detector makes of gamma rays: full-energy peaks, Compton continua and backscatter.

A photon that meets the crystal leaves all of its energy there, or the part that the first electron took. The peak's
share follows from attenuation alone: a photon is absorbed at once, or scattered and then perhaps absorbed on its way
out, which is asked of its mean energy again. Escape of iodine X-rays and of annihilation photons is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from probspec.errors import SpecError, explain
from probspec.simulators.attenuation import attenuation_cm1
from probspec.simulators.compton import compton_cm1, mean_scattered_keV, scattered_shares
from probspec.simulators.instrument import channel_edges, voigt_shares

CAESIUM_KEV = 661.66
CRYSTAL = "sodium iodide"


@dataclass(frozen=True)
class Scintillator:
    """A NaI(Tl) detector and the room around it; the defaults are a common crystal of 3 inches.

    Parameters
    ----------
    size_cm : float
        Diameter and height of the crystal.
    resolution_662 : float
        Full width at half maximum of the peak at 662 keV, over 662 keV; widths grow as the root of the energy.
    can_cm : float
        Aluminium before the crystal.
    threshold_keV, threshold_width_keV : float
        Energy at which half of the pulses are recorded, and over which the discriminator opens.
    multiple : float
        Share of the incomplete events that scattered several times: they fill the valley below the peak.
    backscatter : float
        Photons that surroundings turn back by more than 120 degrees, per photon of the source.
    stray : float
        Share of all counts that lies evenly on the channels (cosmic rays, pile-up), so that none is impossible.

    Raises
    ------
    SpecError
        If a value is not above zero, or a share not below one.

    Examples
    --------
    >>> float(Scintillator().fwhm_keV(torch.tensor(661.66)))
    46.31...
    """

    size_cm: float = 7.62
    resolution_662: float = 0.07
    can_cm: float = 0.05
    threshold_keV: float = 15.0
    threshold_width_keV: float = 1.0
    multiple: float = 0.15
    backscatter: float = 0.05
    stray: float = 1e-5

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            least, most = name != "multiple" and name != "backscatter", name not in ("multiple", "stray")
            if not math.isfinite(value) or value < 0 or (least and value == 0) or (not most and value >= 1):
                expected = f"a number {'above' if least else 'not below'} 0{'' if most else ' and below 1'}"
                raise SpecError(explain(f"Scintillator.{name}", f"{value}", expected=expected))

    def fwhm_keV(self, energy_keV: Tensor) -> Tensor:
        """Full width at half maximum of a peak."""
        return self.resolution_662 * (CAESIUM_KEV * energy_keV).sqrt()


def peak_share(energy_keV: Tensor, detector: Scintillator) -> Tensor:
    """Share of the recorded photons that leave all of their energy in the crystal.

    Parameters
    ----------
    energy_keV : (line,) Tensor
    detector : Scintillator

    Returns
    -------
    (line,) Tensor

    Examples
    --------
    >>> peak_share(torch.tensor([122.0, 662.0, 1332.0]), Scintillator())
    tensor([0.9957, 0.5192, 0.2723])
    """
    return _peak_share(energy_keV, detector, scatterings=5)


def detector_response(energy_keV: Tensor, channel_keV: Tensor, detector: Scintillator) -> Tensor:
    """Counts in each channel per photon of each energy that meets the crystal.

    Parameters
    ----------
    energy_keV : (line,) Tensor
    channel_keV : (channel,) Tensor
        Centres of the channels, ascending.
    detector : Scintillator

    Returns
    -------
    (line, channel) Tensor
        Rows sum to less than one: photons pass through, stop in the can, or fall below the threshold.

    Raises
    ------
    SpecError
        If the channels do not ascend.
    """
    edges = deposit_edges_keV(energy_keV, channel_keV)
    centre = (edges[1:] + edges[:-1]) / 2
    peak = peak_share(energy_keV, detector)[:, None]
    partial = _partial_deposits(energy_keV, edges, detector.multiple)
    shape = peak * _peaks(energy_keV, channel_keV, detector) + (1 - peak) * partial @ _peaks(
        centre, channel_keV, detector
    )
    recorded = torch.sigmoid((channel_keV - detector.threshold_keV) / detector.threshold_width_keV)
    return _efficiency(energy_keV, detector)[:, None] * shape * recorded


def deposit_edges_keV(energy_keV: Tensor, channel_keV: Tensor) -> Tensor:
    """Borders of bins from zero to above the highest energy, not wider than 3 keV or two channels."""
    width = min(3.0, 2 * float(channel_edges(channel_keV).diff().min()))
    bins = math.ceil(float(energy_keV.max()) / width)
    return width * torch.arange(bins + 1).to(channel_keV)


def _efficiency(energy_keV: Tensor, detector: Scintillator) -> Tensor:
    passes = torch.exp(-attenuation_cm1("aluminium", energy_keV) * detector.can_cm)
    return passes * -torch.expm1(-attenuation_cm1(CRYSTAL, energy_keV) * detector.size_cm)


def _peak_share(energy_keV: Tensor, detector: Scintillator, scatterings: int) -> Tensor:
    attenuation = attenuation_cm1(CRYSTAL, energy_keV)
    scatters = (compton_cm1(CRYSTAL, energy_keV) / attenuation).clamp(max=1.0)
    if scatterings == 0:
        return 1 - scatters
    again = mean_scattered_keV(energy_keV)
    # ways out are between nothing and two thirds of the crystal's size, its mean chord, and all equally likely
    way = attenuation_cm1(CRYSTAL, again) * detector.size_cm * 2 / 3
    caught = 1 + torch.expm1(-way) / way
    return 1 - scatters + scatters * caught * _peak_share(again, detector, scatterings - 1)


def _partial_deposits(energy_keV: Tensor, edges_keV: Tensor, multiple: float) -> Tensor:
    """Share of the incomplete events that deposit an energy in each bin: one electron's, or evenly up to the peak."""
    left = energy_keV[:, None] - edges_keV.flip(0)  # what a scattered photon carries away, ascending
    single = scattered_shares(energy_keV, left.clamp(min=0)).flip(-1)
    even = torch.minimum(edges_keV / energy_keV[:, None], torch.ones(())).diff(dim=-1)
    return (1 - multiple) * single + multiple * even


def _peaks(energy_keV: Tensor, channel_keV: Tensor, detector: Scintillator) -> Tensor:
    return voigt_shares(channel_keV, energy_keV.to(channel_keV), detector.fwhm_keV(energy_keV).to(channel_keV))
