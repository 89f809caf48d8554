r"""A preconditioner that heeds both place and frequency: an approximate inverse of the metric, band by band.

Were the Fisher information the same everywhere, the metric would be inverted frequency by frequency; were the prior
white, pixel by pixel. Between the two, fields are cut into octaves of frequency. Within one the prior's power is taken
as constant, and the metric inverted at every place, with the Fisher information averaged over as wide a neighbourhood
as the octave's waves are long:

.. math:: D \approx \sum_j b_j \big(p_j^{-1} + F_j(x)\big)^{-1} b_j, \qquad \sum_j b_j^2 = 1

(the symbol calculus of pseudo-differential operators; Hoermander 1985, The Analysis of Linear Partial Differential
Operators III, chapter 18). Low octaves are computed on coarse grids, so that all of them together cost little more
than the highest. Where counts differ by decades between pixels, ten to twenty times fewer conjugate-gradient steps are
needed than with a circulant approximation.
"""

from __future__ import annotations

from math import log2, pi
from typing import NamedTuple

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from probspec.fields.grid import Grid

TOP = 0.25
"""Frequency, cycles per pixel, from which on everything is one band."""
WIDTH = 0.3
"""Standard deviation of the averaging in frequency, relative to the band's."""
COARSEST = 4
"""Waves of the lowest band along the grid, at least: below, everything is one band."""


class Band(NamedTuple):
    """A band of frequencies.

    Parameters
    ----------
    size : (int, int)
        Of the coarse grid on which it is computed.
    rows : (row,) Tensor
        Rows of coefficients that the coarse grid has.
    weight : (row, column) Tensor
        b, and the factor to coefficients as torch has them.
    back : (row, column) Tensor
        b, and the factor from them.
    inverse : (map, map, coarse y, coarse x) Tensor
    """

    size: tuple[int, int]
    rows: Tensor
    weight: Tensor
    back: Tensor
    inverse: Tensor


class BandPreconditioner:
    """Approximate inverse of a metric, for fields (..., map, row, column).

    Parameters
    ----------
    grid : Grid
    inverse : (map, row, column) Tensor
        Inverse power of the priors.
    fisher : (map, map, y, x) Tensor
        Fisher information of the pixels.
    """

    def __init__(self, grid: Grid, inverse: Tensor, fisher: Tensor):
        self._grid = grid
        below, right = (whole - part for whole, part in zip(grid.size, grid.shape, strict=True))
        padded = torch.nn.functional.pad(fisher, (0, right, 0, below))
        spectrum = torch.fft.rfft2(padded, norm="forward")
        windows, centres = _windows(grid)
        self._bands = [
            self._band(window, centre, inverse.double(), spectrum)
            for window, centre in zip(windows, centres, strict=True)
        ]

    def __call__(self, fields: Tensor) -> Tensor:
        """Approximate D v."""
        made = torch.zeros_like(fields)
        for band in self._bands:
            columns = slice(0, band.weight.shape[-1])
            part = torch.fft.irfft2(fields[..., band.rows, columns] * band.weight, s=band.size, norm="ortho")
            part = (band.inverse * part.unsqueeze(-4)).sum(-3)
            made[..., band.rows, columns] += torch.fft.rfft2(part, norm="ortho") * band.back
        return made

    def _band(self, window: Tensor, centre: float, inverse: Tensor, spectrum: Tensor) -> Band:
        grid = self._grid
        highest = float(grid.frequency[window > 0].max())
        size = tuple(min(whole, 2 * next_fast_len(int(highest * whole) + 1)) for whole in grid.size)
        rows = torch.arange(-(size[0] // 2), (size[0] + 1) // 2, device=window.device).roll(-(size[0] // 2))
        rows, columns = rows % grid.size[0], slice(0, size[1] // 2 + 1)
        average = (-0.5 * (grid.frequency / (centre * WIDTH)).square()).exp() if centre else grid.frequency == 0
        near = (spectrum * average.to(spectrum.real))[..., rows, :][..., columns]
        fisher = torch.fft.irfft2(near, s=size, norm="forward").permute(2, 3, 0, 1).double()
        weights = window * grid.held
        typical = ((weights * inverse.log()).sum((1, 2)) / weights.sum()).exp()
        root, b = grid.root[columns], window.sqrt().float()[rows][:, columns]
        solved = torch.linalg.inv(fisher + torch.diag(typical)).float().permute(2, 3, 0, 1).contiguous()
        return Band(size, rows, b / root, b * root, solved)


def _windows(grid: Grid) -> tuple[list[Tensor], list[float]]:
    """b^2 of each band by coefficient, and the frequency in its middle: zero for the lowest band."""
    octave = (grid.frequency / TOP).clamp_min(1e-9).log2()
    count = max(1, int(log2(TOP * min(grid.size) / COARSEST)) + 2)
    rising = [torch.sin(0.5 * pi * (octave + j + 1).clamp(0, 1)).square() for j in range(count)]
    # what lies above the middle of the band below, but for what the bands above take
    windows = [rising[0], *(low - high for high, low in zip(rising, rising[1:], strict=False))]
    windows[-1] = 1 - sum(windows[:-1], start=torch.zeros_like(octave))
    return windows, [*(TOP / 2**j for j in range(count - 1)), 0.0]
