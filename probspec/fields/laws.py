"""Laws of maps before anything is counted: stationary Gaussian fields, independent pixels, sparse details.

A law is a choice; `on` puts it on a grid, where it is a `FieldPrior`: Gaussian, given its own quantities, which are
learnt from draws of the posterior (expectation maximisation). All of them are laws of the whole periodic grid, and of
the deviation from a level; the mean over the grid has a wide law of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from probspec.fields.grid import Grid, squares
from probspec.fields.prior import FieldPrior, Law, check_positive
from probspec.fields.sparse import StarletSparse
from probspec.fields.spectrum import LEAST, SmoothSpectrum

__all__ = ["FieldPrior", "GaussianField", "Independent", "Law", "StarletSparse", "StationaryPrior"]


@dataclass(frozen=True)
class GaussianField(Law):
    """Maps whose neighbouring pixels go together: a Gaussian random field with a smooth spectrum that is learnt.

    Parameters
    ----------
    std : float
        Of a pixel, before anything is learnt.
    slope : float
        Of the logarithm of the power by that of the frequency, before anything is learnt.
    mean_std : float
        Of the mean over the grid.

    Examples
    --------
    >>> prior = GaussianField(std=0.5).on(Grid((12, 12)))
    >>> float(prior.field_variance.round(decimals=3))
    0.25
    """

    std: float = 1.0
    slope: float = -4.0
    mean_std: float = 3.0

    def __post_init__(self):
        check_positive(self, "std", "mean_std")

    def on(self, grid: Grid) -> StationaryPrior:
        """Put it on a grid."""
        spectrum = SmoothSpectrum(grid, self.slope)
        return StationaryPrior(grid, self.mean_std, spectrum, spectrum.power_law(self.std**2))


@dataclass(frozen=True)
class Independent(Law):
    """Maps every pixel of which is for itself; their variance is learnt.

    Parameters
    ----------
    std : float
        Of a pixel, before anything is learnt.
    mean_std : float
        Of the mean over the grid.
    """

    std: float = 1.0
    mean_std: float = 3.0

    def __post_init__(self):
        check_positive(self, "std", "mean_std")

    def on(self, grid: Grid) -> StationaryPrior:
        """Put it on a grid."""
        return StationaryPrior(grid, self.mean_std, _Flat(grid), torch.tensor(self.std, dtype=torch.float64).log() * 2)


class _Flat:
    """The spectrum of white noise: one number."""

    def __init__(self, grid: Grid):
        self.grid = grid

    def power(self, line: Tensor) -> Tensor:
        """Same power everywhere, given its logarithm."""
        return line.exp().clamp_min(LEAST).expand(self.grid.frequency.shape)

    def learn(self, line: Tensor, drawn: Tensor, spread: Tensor) -> Tensor:
        """Mean power of all coefficients but that of frequency zero."""
        return (drawn.double().flatten()[1:].sum() / self.grid.held.flatten()[1:].sum()).log()


class StationaryPrior(FieldPrior):
    """A stationary Gaussian law on a grid.

    Parameters
    ----------
    grid : Grid
    mean_std : float
        Of the mean over the grid.
    spectrum : SmoothSpectrum or _Flat
        What powers are like.
    line : Tensor
        The logarithm of the power, as `spectrum` holds it.
    """

    def __init__(self, grid: Grid, mean_std: float, spectrum: SmoothSpectrum | _Flat, line: Tensor):
        self.grid, self.mean_std, self.spectrum, self.line = grid, mean_std, spectrum, line
        power = spectrum.power(line).clone()
        power[0, 0] = mean_std**2 * grid.pixels
        self.power = power
        self.inverse = (1 / power).float()

    @property
    def field_variance(self) -> Tensor:
        """Variance of a pixel about the mean over the grid."""
        return (self.grid.held * self.power).flatten()[1:].sum() / self.grid.pixels

    def log_prob(self, field: Tensor) -> Tensor:
        """Log density, (...), of fields (..., grid y, grid x)."""
        misfit = (squares(self.grid.coefficients(field)) / self.power).flatten(-2).sum(-1)
        volume = (self.grid.held * self.power.log()).sum() + self.grid.pixels * log(2 * pi)
        return -0.5 * (misfit + volume)

    def draw(self, draws: int, generator: torch.Generator) -> Tensor:
        """Draw fields: white noise times the root of the power."""
        return self.grid.field(self.grid.white((draws,), generator) * self.power.sqrt().float())

    def precision(self, coefficients: Tensor) -> Tensor:
        """Divide by the power."""
        return coefficients * self.inverse

    def noise(self, draws: int, generator: torch.Generator) -> Tensor:
        """Draw white noise divided by the root of the power."""
        return self.grid.white((draws,), generator) * self.inverse.sqrt()

    def learned(self, mean: Tensor, around: Tensor) -> StationaryPrior:
        """Learn the spectrum from the power of the mean and of the draws about it."""
        line = self.spectrum.learn(self.line, squares(mean + around).mean(0), squares(around).mean(0))
        return StationaryPrior(self.grid, self.mean_std, self.spectrum, line)
