r"""The metric of the maps' posterior: what the priors and the counts know about a direction.

.. math:: D^{-1} = P + R^\top F R

with P the inverse covariance of the priors, F the Fisher information of a pixel, one small matrix over the maps, and R
the cut from grid to map. F is computed once per linearisation; a product then costs two Fourier transforms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probspec.fields.bands import BandPreconditioner
from probspec.fields.grid import Grid, inner
from probspec.fields.prior import FieldPrior


class Metric:
    """The metric on fields (..., map, row, column), held by coefficients.

    Parameters
    ----------
    grid : Grid
    priors : sequence of FieldPrior
        One for each map.
    fisher : (pixel, map, map) Tensor
    """

    def __init__(self, grid: Grid, priors: Sequence[FieldPrior], fisher: Tensor):
        self.grid, self.priors, self.fisher = grid, tuple(priors), fisher
        self._inverse = torch.stack([prior.inverse for prior in priors])
        self._by_map = fisher.permute(1, 2, 0).reshape(*fisher.shape[1:], *grid.shape).contiguous()

    def prior_product(self, fields: Tensor) -> Tensor:
        """P v."""
        made = fields * self._inverse
        for place, prior in enumerate(self.priors):
            if not prior.stationary:
                made[..., place, :, :] = prior.precision(fields[..., place, :, :])
        return made

    def product(self, fields: Tensor) -> Tensor:
        """D^-1 v."""
        maps = self.grid.cut(fields).unsqueeze(-4)
        return self.prior_product(fields) + self.grid.spread((self._by_map * maps).sum(-3))

    def prior_energy(self, fields: Tensor) -> Tensor:
        """Half of v P v, in double precision."""
        return 0.5 * inner(fields.to(torch.complex128), self.prior_product(fields).to(torch.complex128))

    def prior_noise(self, generator: torch.Generator) -> Tensor:
        """Draw fields (map, row, column) whose covariance is P."""
        return torch.cat([prior.noise(1, generator) for prior in self.priors])

    def preconditioner(self) -> BandPreconditioner:
        """Approximate inverse."""
        return BandPreconditioner(self.grid, self._inverse, self._by_map)
