"""Gamma-ray sources in the middle of a hollow sphere of metal, seen by a scintillator.

What comes out of a shell of some thickness: lines, attenuated; photons that one Compton scattering in the shell has
turned and weakened; and, from lead, the X-rays that fill vacancies of its K shell. Photons that are scattered
forwards at some depth cross the rest of the shell aslant, those scattered backwards cross the hollow and the whole
shell on the other side. Photons scattered more than once are left out, so that the continuum is too weak behind
more than about one mean free path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.simulators.attenuation import K_EDGE_KEV, K_LINES, K_SHARE, attenuation_cm1
from probspec.simulators.compton import compton_cm1, scattered_shares, scattering_cosine
from probspec.simulators.nuclides import BACKGROUND_LINES, LINES, check_nuclides
from probspec.simulators.scintillator import Scintillator, deposit_edges_keV, detector_response

MOST_ASLANT = 5.0
"""Longest way through the shell, in thicknesses: a sphere is no endless plane."""


@dataclass(frozen=True, eq=False)
class ShieldedSources:
    """Everything about sources, shield and detector that does not depend on the thickness of the shield.

    Parameters
    ----------
    nuclides : tuple of str
    shield : str
    photons : (nuclide, line) Tensor
        Photons per decay; zero where a line is another nuclide's.
    attenuation_cm1 : (line,) Tensor
        Of the lines in the shield.
    scattering_cm1 : (line, bin) Tensor
        Photons that are scattered into each bin of energy per path length.
    aslant_cm1 : (line, bin) Tensor
        Attenuation of the scattered photons per thickness crossed, at their angle.
    forwards : (line, bin) bool Tensor
        Whether the scattered photons go on outwards.
    exciting_cm1 : (line, X-ray) Tensor
        X-rays of the shield per path length of each line.
    xray_cm1 : (X-ray,) Tensor
        Attenuation of the shield's own X-rays.
    line_response, bin_response, xray_response : (line or bin or X-ray, channel) Tensor
        Counts per photon; those of the lines include backscatter from the room.
    stray : float
        Share of the counts that lies evenly on the channels.
    """

    nuclides: tuple[str, ...]
    shield: str
    photons: Tensor
    attenuation_cm1: Tensor
    scattering_cm1: Tensor
    aslant_cm1: Tensor
    forwards: Tensor
    exciting_cm1: Tensor
    xray_cm1: Tensor
    line_response: Tensor
    bin_response: Tensor
    xray_response: Tensor
    stray: float


def shielded_sources(
    nuclides: Sequence[str], shield: str, channel_keV: Tensor, detector: Scintillator | None = None
) -> ShieldedSources:
    """Prepare the signatures of some nuclides behind a shield.

    Parameters
    ----------
    nuclides : sequence of str
        Names of `probspec.simulators.nuclides.LINES`.
    shield : str
        "lead", "iron" or "steel"; any of `probspec.simulators.attenuation.MATERIALS`.
    channel_keV : (channel,) Tensor
        Centres of the channels, ascending; its type is that of the signatures.
    detector : Scintillator, optional

    Raises
    ------
    SpecError
        If a nuclide or the material is not known, or the channels do not ascend.
    """
    check_nuclides(nuclides)
    detector = detector or Scintillator()
    energy, photons = _lines(nuclides, channel_keV)
    edges = deposit_edges_keV(energy, channel_keV)
    bins = (edges[1:] + edges[:-1]) / 2
    attenuation, at_bins = attenuation_cm1(shield, energy), attenuation_cm1(shield, bins)
    scattered = compton_cm1(shield, energy)
    cosine = scattering_cosine(energy[:, None], bins)
    xray_keV, yields = _xrays(shield, channel_keV)
    bin_response = detector_response(bins, channel_keV, detector)
    turned_back = scattered_shares(energy, edges, backward_of=-0.5) @ bin_response
    return ShieldedSources(
        nuclides=tuple(nuclides),
        shield=shield,
        photons=photons,
        attenuation_cm1=attenuation,
        scattering_cm1=scattered[:, None] * scattered_shares(energy, edges),
        aslant_cm1=at_bins / cosine.abs().clamp(min=1 / MOST_ASLANT),
        forwards=cosine > 0,
        exciting_cm1=_k_vacancies_cm1(shield, energy, attenuation - scattered)[:, None] * yields,
        xray_cm1=attenuation_cm1(shield, xray_keV),
        line_response=detector_response(energy, channel_keV, detector) + detector.backscatter * turned_back,
        bin_response=bin_response,
        xray_response=detector_response(xray_keV, channel_keV, detector) if len(xray_keV) else bin_response[:0],
        stray=detector.stray,
    )


def gamma_signatures(sources: ShieldedSources, thickness_cm: Tensor) -> Tensor:
    """Spectrum of each nuclide behind a shield, of unit sum over the channels.

    Parameters
    ----------
    sources : ShieldedSources
    thickness_cm : (...) Tensor
        Of the shield, not negative.

    Returns
    -------
    (..., nuclide, channel) Tensor
        Share of a nuclide's recorded photons per channel: positive, differentiable in the thickness.

    Examples
    --------
    Half a millimetre of lead stops most photons of Co57, and sends out its own X-rays near 75 keV.

    >>> energy_keV = torch.arange(0.75, 1536, 1.5)
    >>> sources = shielded_sources(["Co57", "Cs137"], "lead", energy_keV)
    >>> energy_keV[gamma_signatures(sources, torch.tensor([0.0, 0.05])).argmax(-1)]
    tensor([[122.2500, 662.2500],
            [ 75.7500, 662.2500]])
    """
    thickness = thickness_cm.to(sources.photons)[..., None]
    reached = torch.exp(-sources.attenuation_cm1 * thickness)
    counts = (sources.photons * reached[..., None, :]) @ sources.line_response
    counts = counts + _continuum(sources, thickness) @ sources.bin_response
    counts = counts + _fluorescence(sources, thickness) @ sources.xray_response
    signature = counts / counts.sum(-1, keepdim=True)
    return torch.lerp(signature, torch.full_like(signature, 1 / signature.shape[-1]), sources.stray)


def background_spectrum(channel_keV: Tensor, detector: Scintillator | None = None) -> Tensor:
    """Natural background of a room, of unit sum: lines over a continuum that falls with energy.

    Parameters
    ----------
    channel_keV : (channel,) Tensor
    detector : Scintillator, optional

    Returns
    -------
    (channel,) Tensor
        Representative; rooms differ.
    """
    detector = detector or Scintillator()
    energy, intensity = torch.tensor(BACKGROUND_LINES).to(channel_keV).T
    lines = intensity @ detector_response(energy, channel_keV, detector)
    recorded = torch.sigmoid((channel_keV - detector.threshold_keV) / detector.threshold_width_keV)
    scattered = recorded * torch.exp(-channel_keV / 250.0) / (1 + (50.0 / channel_keV.clamp(min=1.0)) ** 2)
    background = lines / lines.sum() + 2.5 * scattered / scattered.sum()
    return torch.lerp(background / background.sum(), torch.full_like(background, 1 / len(background)), detector.stray)


def _lines(nuclides: Sequence[str], like: Tensor) -> tuple[Tensor, Tensor]:
    """Energies of all lines, and which nuclide gives how many photons in each."""
    each = [torch.tensor(LINES[nuclide]).to(like) for nuclide in nuclides]
    return torch.cat([lines[:, 0] for lines in each]), torch.block_diag(*(lines[:, 1] for lines in each))


def _xrays(shield: str, like: Tensor) -> tuple[Tensor, Tensor]:
    energy, per_vacancy = torch.tensor(K_LINES.get(shield, ())).reshape(-1, 2).to(like).T
    return energy, per_vacancy


def _k_vacancies_cm1(shield: str, energy_keV: Tensor, absorption_cm1: Tensor) -> Tensor:
    """Holes in the K shell per path length."""
    if shield not in K_EDGE_KEV:
        return torch.zeros_like(energy_keV)
    return torch.where(energy_keV > K_EDGE_KEV[shield], K_SHARE[shield] * absorption_cm1.clamp(min=0), 0.0)


def _continuum(sources: ShieldedSources, thickness_cm: Tensor) -> Tensor:
    """Scattered photons that leave the shell, as (..., nuclide, bin) Tensor."""
    before, after = sources.attenuation_cm1[:, None], sources.aslant_cm1
    depth = thickness_cm[..., None]
    escaped = torch.where(sources.forwards, _outwards(before, after, depth), _across(before, after, depth))
    return sources.photons @ (sources.scattering_cm1 * escaped)


def _fluorescence(sources: ShieldedSources, thickness_cm: Tensor) -> Tensor:
    """X-rays of the shell, half of which start outwards, as (..., nuclide, X-ray) Tensor."""
    before, after = sources.attenuation_cm1[:, None], sources.xray_cm1
    depth = thickness_cm[..., None]
    escaped = (_outwards(before, after, depth) + _across(before, after, depth)) / 2
    return sources.photons @ (sources.exciting_cm1 * escaped)


def _outwards(before_cm1: Tensor, after_cm1: Tensor, depth_cm: Tensor) -> Tensor:
    """Integral over s of exp(-before s - after (depth - s)): photons made at depth s go on outwards."""
    reached = torch.exp(-torch.minimum(before_cm1, after_cm1) * depth_cm)
    return depth_cm * reached * _mean_decay((before_cm1 - after_cm1).abs() * depth_cm)


def _across(before_cm1: Tensor, after_cm1: Tensor, depth_cm: Tensor) -> Tensor:
    """Integral over s of exp(-before s - after (s + depth)): photons made at depth s go back, out on the far side."""
    return depth_cm * torch.exp(-after_cm1 * depth_cm) * _mean_decay((before_cm1 + after_cm1) * depth_cm)


def _mean_decay(x: Tensor) -> Tensor:
    """(1 - exp(-x)) / x, with its limit at zero."""
    small = x < 1e-3
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, 1 - x / 2 + x**2 / 6, -torch.expm1(-safe) / safe)
