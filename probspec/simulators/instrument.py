"""What an instrument does to light: it spreads each line over its channels, and sees some channels better than others.

Lines are integrated over the channels rather than sampled at their centres, so a line narrower than a channel is
never lost and its area stays what it was, whatever the number of channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probspec.errors import SpecError, explain


def channel_edges(axis: Tensor) -> Tensor:
    """Borders of the channels: half-way between neighbouring centres.

    Parameters
    ----------
    axis : (channel,) Tensor
        Channel centres, ascending.

    Returns
    -------
    (channel + 1,) Tensor

    Raises
    ------
    SpecError
        If the axis has fewer than two channels or does not ascend.

    Examples
    --------
    >>> channel_edges(torch.tensor([1.0, 2.0, 4.0]))
    tensor([0.5000, 1.5000, 3.0000, 5.0000])
    """
    if axis.dim() != 1 or len(axis) < 2 or not bool((axis.diff() > 0).all()):
        ends = axis.flatten()[[0, -1]].tolist() if axis.numel() else []
        problem = f"{axis.numel()} channels that begin and end at {ends}"
        raise SpecError(explain("axis", problem, expected="two or more channel centres, ascending"))
    middle = (axis[1:] + axis[:-1]) / 2
    return torch.cat([2 * axis[:1] - middle[:1], middle, 2 * axis[-1:] - middle[-1:]])


def voigt_shares(
    axis: Tensor, centre: Tensor, gauss_fwhm: Tensor | float, lorentz_fwhm: Tensor | float = 0.0
) -> Tensor:
    """Share of each line's light that falls into each channel.

    The profile is the pseudo-Voigt approximation of the convolution of a Gaussian (the instrument) with a Lorentzian
    (the line itself): Thompson, Cox and Hastings, J. Appl. Cryst. 20 (1987) 79. With another instrument's axis as
    `centre`, the same matrix blurs and resamples that instrument's spectra: ``spectrum @ voigt_shares(...)``.

    Parameters
    ----------
    axis : (channel,) Tensor
        Channel centres, ascending, in any unit.
    centre : (line,) Tensor
        Positions of the lines, in the unit of the axis.
    gauss_fwhm, lorentz_fwhm : Tensor that broadcasts with `centre`, or float
        Full widths at half maximum, in the unit of the axis; not both zero.

    Returns
    -------
    (line, channel) Tensor
        Rows sum to one but for the light that misses the axis at its ends.

    Examples
    --------
    >>> shares = voigt_shares(torch.linspace(0, 100, 51), torch.tensor([30.0, 71.0]), gauss_fwhm=0.5)
    >>> shares.sum(-1), shares.argmax(-1)
    (tensor([1., 1.]), tensor([15, 35]))
    """
    gauss, lorentz = (torch.as_tensor(w).to(centre).expand_as(centre) for w in (gauss_fwhm, lorentz_fwhm))
    width, mixing = _pseudo_voigt(gauss, lorentz)
    offset = (channel_edges(axis.to(centre)) - centre.unsqueeze(-1)) / width.unsqueeze(-1)
    gaussian = torch.erf(2 * math.sqrt(math.log(2)) * offset) / 2
    lorentzian = torch.atan(2 * offset) / math.pi
    return torch.lerp(gaussian, lorentzian, mixing.unsqueeze(-1).expand_as(offset)).diff(dim=-1)


def response(axis: Tensor, peak: float, width: float) -> Tensor:
    """Relative sensitivity of an instrument along its axis, one at its best channel.

    Parameters
    ----------
    axis : (channel,) Tensor
    peak, width : float
        Where the instrument sees best, and how far from there it sees half as well; in the unit of the axis.

    Returns
    -------
    (channel,) Tensor
    """
    return 1 / (1 + ((axis - peak) / width) ** 2)


def _pseudo_voigt(gauss: Tensor, lorentz: Tensor) -> tuple[Tensor, Tensor]:
    """Full width of the convolution, and the Lorentzian's share of the area."""
    powers = torch.stack([gauss**k * lorentz ** (5 - k) for k in range(6)], dim=-1)
    weights = torch.tensor([1.0, 0.07842, 4.47163, 2.42843, 2.69269, 1.0]).to(powers)
    width = (powers * weights).sum(-1) ** 0.2
    ratio = lorentz / width
    return width, 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
