"""Draws of normal laws cut at zero, with their exact density (Geweke 1991, Hajivassiliou & Keane 1990: GHK).

Coordinates are drawn one after the other, each from its normal law given those before, cut at zero. That is not the
joint law cut at zero, but near it, and its density is known: what importance weights need.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FAR = 6.0  # standard deviations: beyond, a cut normal is drawn as the exponential that it then is


def draw_positive(
    mean: Tensor, covariance: Tensor, present: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw one vector of each law.

    Parameters
    ----------
    mean, present : (draw, component) Tensor
        Where `present` is 0 the value is exactly 0, and does not count in the density.
    covariance : (draw, component, component) Tensor
    generator : torch.Generator

    Returns
    -------
    value : (draw, component) Tensor
    log_density : (draw,) Tensor
    """
    factor = torch.linalg.cholesky(covariance)
    value, standard, log_density = torch.zeros_like(mean), torch.zeros_like(mean), mean.new_zeros(len(mean))
    for i in range(mean.shape[1]):
        on, width = present[:, i] > 0, factor[:, i, i]
        given = mean[:, i] + (factor[:, i, :i] * standard[:, :i]).sum(-1)
        z, log_q = _beyond(-given / width, generator)
        standard[:, i] = torch.where(on, z, 0.0)
        value[:, i] = torch.where(on, (given + width * z).clamp_min(0.0), 0.0)
        log_density += torch.where(on, log_q - width.log(), 0.0)
    return value, log_density


def _beyond(least: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw standard normals above `least`, with their log density there."""
    u = torch.rand(least.shape, generator=generator, dtype=least.dtype).clamp_min(1e-15)
    log_tail = torch.special.log_ndtr(-least)
    near = -torch.special.ndtri(u * log_tail.exp())
    steep = least.clamp_min(1.0)
    z = torch.where(least > FAR, least - u.log() / steep, torch.maximum(near, least))
    normal = -z.square() / 2 - math.log(2 * math.pi) / 2 - log_tail
    return z, torch.where(least > FAR, steep.log() - steep * (z - least), normal)
