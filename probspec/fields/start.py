"""Where to start: amplitudes from smoothed counts, shapes in the middle of their range."""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.fields.grid import Grid
from probspec.fields.likelihood import PoissonMaps

WIDTHS = (1.5, 8.0)
"""Standard deviations of the smoothing kernels, pixels; the second, a tenth as heavy, fills what the first leaves."""
FAINTEST = 1e-3
"""Least amplitude to start from, beside the mean of the map."""


def start_fields(likelihood: PoissonMaps, grid: Grid) -> tuple[Tensor, Tensor]:
    """Find levels and fields to start from.

    Returns
    -------
    levels : (map, 1) Tensor
        Mean of the logarithm of each amplitude; zero for parameters.
    fields : (map, row, column) Tensor
        Coefficients of the deviation from the level.
    """
    light = _smooth_light(likelihood, grid).log()
    level = light[: grid.shape[0], : grid.shape[1]].mean()
    components, maps = likelihood.links.components, len(likelihood.links.names)
    levels = torch.zeros(maps, 1, device=light.device)
    levels[:components] = level - torch.tensor(float(components)).log()
    fields = torch.zeros(maps, *grid.size, device=light.device)
    fields[:components] = light - level
    return levels, grid.coefficients(fields)


def _smooth_light(likelihood: PoissonMaps, grid: Grid) -> Tensor:
    """Counts by exposure on the whole grid, above zero."""
    known = 0.0 if likelihood.known is None else likelihood.known.sum(1)
    counted = (likelihood.counts.sum(1) - known).clamp_min(0).reshape(grid.shape)
    # of channels that are masked or less exposed the mean spectrum says what they would have counted
    spectrum = likelihood.mixture.expected(*likelihood.links(torch.zeros(len(likelihood.links.names), 1)))
    exposed = (likelihood.exposure * (spectrum / spectrum.sum())).sum(1)
    if likelihood.exposure.shape[1] == 1:
        exposed = likelihood.exposure[:, 0]
    both = _smoothed(torch.stack([counted, exposed.reshape(grid.shape)]), grid)
    light = both[0].clamp_min(0) / both[1].clamp_min(1e-6 * float(exposed.max()))
    return light.clamp_min(FAINTEST * float(counted.sum() / exposed.sum()))


def _smoothed(maps: Tensor, grid: Grid) -> Tensor:
    narrow, wide = ((-2 * (torch.pi * grid.frequency * width) ** 2).exp() for width in WIDTHS)
    return grid.field(grid.spread(maps) * (narrow + 0.1 * wide).float())
