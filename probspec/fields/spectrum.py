r"""Power spectra that are smooth in the logarithm of the frequency, learnt from the power of given fields.

The logarithm of the power is a broken line over log k. Of all such lines the most probable one is found, given the
mean squares S of the coefficients (the M step of expectation maximisation):

.. math:: \max_p \; -\tfrac12 \sum_k \Big(\log p_k + \frac{S_k}{p_k}\Big)
          - \frac{1}{2 b^2} \sum_r \frac{(\Delta^2 \log p)_r^2}{\delta^3}
          - \frac{1}{2 c^2} \sum_r \delta\,\Big(\frac{\Delta \log p}{\delta} - a\Big)^2 / \textstyle\sum_r \delta

with delta the distance of its knots: the line may bend by b per root of an e-fold, and falls by about a, give or take
c, wherever the coefficients do not say otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.fields.grid import Grid

KNOTS = 20
BEND = 1.5
SLOPE_SCALE = 2.0
LEAST = 1e-8
"""Least power: single precision must hold its inverse beside one."""
LEAST_KNOWN = 0.3
FARTHEST = 1.0
"""Farthest step of a logarithm of the power."""


class SmoothSpectrum:
    """Spectra on the grid's coefficients but frequency zero, which has a law of its own.

    Parameters
    ----------
    grid : Grid
    slope : float
        Of the logarithm of the power by the logarithm of the frequency, where nothing is known.
    """

    def __init__(self, grid: Grid, slope: float):
        device = grid.frequency.device
        self.grid, self.slope = grid, slope
        log = grid.frequency.clamp_min(float(grid.frequency[grid.frequency > 0].min())).log()
        self.knots = torch.linspace(float(log.min()), float(log.max()), KNOTS, dtype=torch.float64, device=device)
        place = ((log - self.knots[0]) / (self.knots[1] - self.knots[0])).unsqueeze(-1)
        weights = (1 - (place - torch.arange(KNOTS, device=device)).abs()).clamp_min(0)
        self.weights = (weights * (grid.frequency > 0).unsqueeze(-1)).flatten(0, 1)
        self._rough, self._pull = self._roughness()

    def power_law(self, variance: float) -> Tensor:
        """Logarithm of the power at the knots that makes fields of a given variance by pixel."""
        line = self.slope * (self.knots - self.knots[0])
        total = (self.grid.held.flatten() * self.power(line).flatten())[1:].sum() / self.grid.pixels
        return line + (variance / total).log()

    def power(self, line: Tensor) -> Tensor:
        """Power of each coefficient, (row, column), of a line (knot,); at frequency zero it means nothing."""
        return (self.weights @ line).exp().clamp_min(LEAST).reshape(self.grid.frequency.shape)

    def learn(self, line: Tensor, drawn: Tensor, spread: Tensor) -> Tensor:
        """Take a step towards the most probable line.

        Parameters
        ----------
        line : (knot,) Tensor
            Where the posterior was found.
        drawn, spread : (row, column) Tensor
            Mean squared modulus of the coefficients of the draws, and of their deviations from the mean.
        """
        held, power = self.grid.held.flatten(), self.power(line).flatten()
        spread = spread.double().flatten() / power
        uphill = 0.5 * self.weights.T @ (drawn.double().flatten() / power - held)
        known = 1 - (self.weights.T @ spread) / (self.weights.T @ held).clamp_min(1e-6)  # knots may have no mode
        known = (self.weights @ known).clamp(LEAST_KNOWN, 1)
        # of a share of modes that are known exactly, or of modes all known to that share: about the information
        informed = known * (known / self.grid.filled).clamp_max(1)
        curvature = self.weights.T @ (0.5 * (held * informed).unsqueeze(-1) * self.weights) + self._rough
        move = torch.linalg.solve(curvature, uphill - self._rough @ line + self._pull)
        return line + move.clamp(-FARTHEST, FARTHEST)

    def _roughness(self) -> tuple[Tensor, Tensor]:
        step = float(self.knots[1] - self.knots[0])
        eye = torch.eye(KNOTS, dtype=torch.float64, device=self.knots.device)
        bends, slopes = eye.diff(n=2, dim=0) / (step**1.5 * BEND), eye.diff(dim=0) / step
        share = 1 / (SLOPE_SCALE**2 * (KNOTS - 1))
        pull = share * slopes.T @ torch.full((KNOTS - 1,), self.slope, dtype=torch.float64, device=self.knots.device)
        return bends.T @ bends + share * slopes.T @ slopes, pull
