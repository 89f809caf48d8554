"""The law of Beer and Lambert by regression: pure spectra, what they leave, and how the law bends."""

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
    loadings, noise = factors(left_out, directions, max(min(directions, rows - columns - 1), 0))
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


class Curvature(NamedTuple):
    """What departs from the law of Beer and Lambert, by ridge regression on features of the concentrations.

    Parameters
    ----------
    weights : (feature, channel) Tensor
    left_out : (sample, channel) Tensor
        Residuals as of rows left out.
    """

    weights: Tensor
    left_out: Tensor


def bend(rest: Tensor, features: Tensor) -> Curvature:
    """Regress what the law leaves on features, each channel with the ridge that serves rows left out best.

    A channel that no ridge serves better than the law alone stays straight.

    Parameters
    ----------
    rest : (sample, channel) Tensor
    features : (sample, feature) Tensor
    """
    u, singular, basis = torch.linalg.svd(features, full_matrices=False)
    projected = u.T @ rest
    weights, best, error = rest.new_zeros(features.shape[1], rest.shape[1]), rest, rest.square().mean(0)
    for ridge in torch.logspace(-13, 1, 15, dtype=rest.dtype) * singular[0].square():
        shrunk = singular.square() / (singular.square() + ridge)
        leverage = (u.square() * shrunk).sum(1, keepdim=True)
        left_out = (rest - (u * shrunk) @ projected) / (1 - leverage).clamp_min(LEAST)
        better = (found := left_out.square().mean(0)) < error
        found_weights = basis.T @ ((shrunk / singular.clamp_min(1e-300))[:, None] * projected)
        weights, best = torch.where(better, found_weights, weights), torch.where(better, left_out, best)
        error = torch.minimum(error, found)
    return Curvature(weights, best)


def with_one(centred: Tensor) -> Tensor:
    """Concentrations with a column of ones, for the spectrum at the mean concentrations."""
    return torch.cat([centred, torch.ones_like(centred[..., :1])], -1)
