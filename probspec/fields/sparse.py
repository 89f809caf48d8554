r"""Maps whose starlet details are sparse: few large ones, at edges and knots, and nothing in between.

.. math:: \log p(s) = -\sum_j \sum_x \frac{|w_j(x)|}{b_j}
          - \tfrac12 \sum_x \frac{(c_J(x) - \bar s)^2}{\sigma^2} - \tfrac12 \frac{\bar s^2}{\sigma_0^2}
          + \text{constant}

with w the details and c the remainder of the starlet transform on the periodic grid (Starck, Murtagh & Bertero 2015).
A Laplace law is a mixture of Gaussians of all variances. Given the square root eta of the mean square of a detail under
the posterior, the best Gaussian bound of it has the precision 1/(b eta) (Figueiredo 2003, IEEE TPAMI 25, 1150), so that
the law is Gaussian again, though not stationary: sampling, Newton steps and learning b are those of any other law.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.errors import PriorError, explain
from probspec.fields.grid import Grid, squares
from probspec.fields.prior import FieldPrior, Law, check_positive

SMALLEST = 0.02
"""Least root mean square of a detail, relative to the mean: the bound of smaller ones would be needlessly sharp."""
TINY = 1e-4


@dataclass(frozen=True)
class StarletSparse(Law):
    """Maps that are smooth but for edges: Laplace laws of starlet details, whose scales are learnt.

    Parameters
    ----------
    std : float
        Mean absolute detail, before anything is learnt.
    scales : int
        Scales of details.
    coarse_std : float
        Of what is left beneath the details.
    mean_std : float
        Of the mean over the grid.
    """

    std: float = 0.2
    scales: int = 4
    coarse_std: float = 2.0
    mean_std: float = 3.0

    def __post_init__(self):
        check_positive(self, "std", "coarse_std", "mean_std")
        if self.scales < 1:
            raise PriorError(explain(f"StarletSparse(scales={self.scales})", "no details", expected="1 or more"))

    def on(self, grid: Grid) -> SparsePrior:
        """Put it on a grid."""
        return SparsePrior(grid, self, torch.full((self.scales, *grid.size), self.std, device=grid.frequency.device))


class SparsePrior(FieldPrior):
    """Laplace laws of starlet details on a grid, bounded by Gaussians.

    Parameters
    ----------
    grid : Grid
    law : StarletSparse
    size : (scale, grid y, grid x) Tensor
        Root mean square of each detail, at which the bounds touch; its mean makes b.
    """

    stationary = False

    def __init__(self, grid: Grid, law: StarletSparse, size: Tensor):
        self.grid, self.law = grid, law
        self._details, coarse = starlet_filters(grid, law.scales)
        whole = self._details.square().sum(0) + coarse.square()
        own = (self._details.square() / whole * grid.held).sum((1, 2)) / grid.pixels
        mean = size.mean((1, 2))
        self.scale = mean / own.float()
        least = (SMALLEST * mean).clamp_min(TINY)[:, None, None]
        self._precise = 1 / (self.scale.clamp_min(TINY)[:, None, None] * torch.maximum(size, least))
        self._low = (coarse / law.coarse_std).square()
        self._low[0, 0] = 1 / (law.mean_std**2 * grid.pixels)
        mean = self._precise.mean((-2, -1))[:, None, None]
        self.inverse = self._low + (mean * self._details.square()).sum(0)

    def log_prob(self, field: Tensor) -> Tensor:
        """Log density but for a constant, (...), of fields (..., grid y, grid x)."""
        coefficients = self.grid.coefficients(field)
        details = self._detailed(coefficients)
        sparse = (details.abs() / self.scale.to(field)[:, None, None]).sum((-3, -2, -1))
        return -sparse - 0.5 * (squares(coefficients) * self._low.to(field)).sum((-2, -1))

    def draw(self, draws: int, generator: torch.Generator) -> Tensor:
        """Refuse: details overlap, so that their Laplace laws are no recipe for a field."""
        raise PriorError(explain("StarletSparse", "fields cannot be drawn from it", fix="draw from GaussianField()"))

    def precision(self, coefficients: Tensor) -> Tensor:
        """Multiply with the inverse covariance of the bound."""
        weighed = self.grid.coefficients(self._detailed(coefficients) * self._precise)
        return coefficients * self._low + (weighed * self._details).sum(-3)

    def noise(self, draws: int, generator: torch.Generator) -> Tensor:
        """Draw white noise in details and remainder, and bring it together."""
        shape = (draws, self.law.scales)
        white = torch.randn(*shape, *self.grid.size, generator=generator, device=self.scale.device)
        details = self.grid.coefficients(white * self._precise.sqrt()) * self._details
        return details.sum(1) + self.grid.white((draws,), generator) * self._low.sqrt()

    def learned(self, mean: Tensor, around: Tensor) -> SparsePrior:
        """Let the bounds touch at the posterior's mean squares, and learn the scales."""
        size = self._detailed(mean + around).square().mean(0).sqrt()
        return SparsePrior(self.grid, self.law, size)

    def _detailed(self, coefficients: Tensor) -> Tensor:
        """Details (..., scale, grid y, grid x)."""
        return self.grid.field(coefficients.unsqueeze(-3) * self._details.to(coefficients.real))


def starlet_filters(grid: Grid, scales: int) -> tuple[Tensor, Tensor]:
    """Transfer functions of the starlet details, (scale, row, column), and of the remainder, (row, column)."""
    rows, columns = grid.size
    down, right = torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns)
    smooth = [torch.ones(grid.frequency.shape)]
    for scale in range(scales):
        smooth.append(smooth[-1] * _spline(down * 2**scale) * _spline(right * 2**scale))
    details = torch.stack([fine - coarse for fine, coarse in zip(smooth, smooth[1:], strict=False)])
    return details.to(grid.frequency.device), smooth[-1].to(grid.frequency.device)


def _spline(frequency: Tensor) -> Tensor:
    """Transfer function of the taps (1, 4, 6, 4, 1)/16: the fourth power of a cosine."""
    return (torch.pi * frequency).cos() ** 4
