"""The law of Beer and Lambert by regression: pure spectra, and what they leave."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LOOSE = 1e-4
"""Ridge on pure spectra, per spectrum, where concentrations are of order one."""

LEAST = 0.2
"""Least share of a row's residual that its own leverage leaves."""


class Regression(NamedTuple):
    """Pure spectra by Bayesian linear regression, and what they leave.

    Parameters
    ----------
    pure : (component + 1, channel) Tensor
        Posterior means; the last row is the spectrum at the mean concentrations.
    root : (component + 1, component + 1) Tensor
        Lower triangular; `root` times its transpose is the posterior covariance of the rows of `pure`, in units of the
        covariance of one spectrum.
    directions : (direction, channel) Tensor
        Principal directions of the left-out residuals, scaled to a standard normal nuisance.
    noise : (channel,) Tensor
        Standard deviation of what the directions leave.
    """

    pure: Tensor
    root: Tensor
    directions: Tensor
    noise: Tensor


def regress(x: Tensor, centred: Tensor, directions: int) -> Regression:
    """Estimate pure spectra; noise and its directions come from residuals as of rows left out.

    Parameters
    ----------
    x : (sample, channel) Tensor
    centred : (sample, component) Tensor
        Concentrations of order one, their means taken off.
    directions : int

    Examples
    --------
    >>> c = torch.rand(30, 2) - 0.5
    >>> found = regress(c @ torch.rand(2, 50) + 1, c, directions=3)
    >>> found.pure.shape, bool(found.noise.max() < 1e-3)
    (torch.Size([3, 50]), True)
    """
    design, x = with_one(centred.double()), x.double()
    rows, columns = design.shape
    ridge = LOOSE * rows * torch.eye(columns, dtype=design.dtype)
    ridge[-1, -1] = 0.0
    inverse = torch.linalg.inv(design.T @ design + ridge)
    pure = inverse @ design.T @ x
    leverage = ((design @ inverse) * design).sum(1, keepdim=True)
    left_out = (x - design @ pure) / (1 - leverage).clamp_min(LEAST).sqrt()
    kept = max(min(directions, rows - columns - 1), 0)
    loadings, noise = factors(left_out, directions, kept)
    root = torch.linalg.cholesky(0.5 * (inverse + inverse.T))
    return Regression(*(part.float() for part in (pure, root, loadings, noise)))


def factors(residuals: Tensor, directions: int, kept: int) -> tuple[Tensor, Tensor]:
    """Principal directions of residuals (sample, channel), of which `kept` are not zero, and what noise they leave."""
    u, singular, basis = torch.linalg.svd(residuals, full_matrices=False)
    kept = min(kept, len(singular) - 1)
    loadings = residuals.new_zeros(directions, residuals.shape[1])
    loadings[:kept] = singular[:kept, None] * basis[:kept] / len(residuals) ** 0.5
    rest = residuals - (u[:, :kept] * singular[:kept]) @ basis[:kept]
    return loadings, (rest.square().sum(0) / max(len(residuals) - kept, 1)).sqrt()


def standing_out(residuals: Tensor) -> int:
    """How many principal directions of residuals (sample, channel) stand out from noise of equal size everywhere.

    Singular values above the optimal hard threshold, a multiple of the median one (Gavish & Donoho 2014, IEEE Trans.
    Inf. Theory 60, 5040, eq. 5).

    >>> waves = torch.sin(torch.outer(torch.arange(1.0, 4), torch.linspace(0, 6, 50)))
    >>> generator = torch.Generator().manual_seed(0)
    >>> noise, amounts = torch.randn(300, 50, generator=generator), torch.randn(300, 3, generator=generator)
    >>> standing_out(noise), standing_out(noise + amounts @ waves)
    (0, 3)
    """
    singular = torch.linalg.svdvals(residuals)
    shape = min(residuals.shape) / max(residuals.shape)
    threshold = 0.56 * shape**3 - 0.95 * shape**2 + 1.82 * shape + 1.43
    return int((singular > threshold * singular.median()).sum())


def with_one(centred: Tensor) -> Tensor:
    """Concentrations with a column of ones, for the spectrum at the mean concentrations."""
    return torch.cat([centred, torch.ones_like(centred[..., :1])], -1)
