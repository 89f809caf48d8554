"""Concentrations read off spectra by generalised least squares, and how far such readings are off."""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.nets.beer_lambert import regress

READ = 40
"""Most directions of the residuals that concentrations are read across."""

LEAST_NOISE = 1e-3
"""Least noise of a channel, as a share of how much the spectra vary."""

FOLDS = 8
MANY = 500
"""Spectra above which errors are no longer taken out of fold: a reading hardly depends on one of them."""


def reading(x: Tensor, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Find what spectra are multiplied by, and the spectrum that reads as zero.

    Parameters
    ----------
    x : (sample, channel) Tensor
        Of order one.
    centred : (sample, component) Tensor
        Concentrations of order one, their means taken off.

    Returns
    -------
    weights : (channel, component) Tensor
    offset : (channel,) Tensor

    Examples
    --------
    >>> c = torch.rand(30, 2) - 0.5
    >>> x = c @ torch.rand(2, 50) + 1
    >>> weights, offset = reading(x, c)
    >>> bool(((x - offset) @ weights - c).abs().max() < 0.01)
    True
    """
    found = regress(x, centred, min(max(len(x) // 10, 3), READ))
    pure, blank = found.pure[:-1].double(), found.pure[-1]
    least = LEAST_NOISE * (x - x.mean(0)).square().mean().sqrt()
    noise, directions = found.noise.clamp_min(least).double(), found.directions.double()
    covariance = torch.diag(noise.square()) + directions.T @ directions
    weighted = torch.linalg.solve(covariance, pure.T)
    inverse = torch.linalg.inv(pure @ weighted + 1e-2 * torch.eye(len(pure), dtype=pure.dtype))
    return (weighted @ inverse).to(blank), blank


def left_out_errors(x: Tensor, centred: Tensor, groups: Tensor) -> Tensor:
    """Take the errors of readings of spectra whose group was left out.

    Parameters
    ----------
    x : (sample, channel) Tensor
    centred : (sample, component) Tensor
    groups : (sample,) Tensor of int
        Numbered from zero.

    Returns
    -------
    (sample, component) Tensor, unit of `centred`
    """
    folds = min(FOLDS, int(groups.max()) + 1)
    if len(x) > MANY or folds < 2:
        return _errors(x, centred, x, centred)
    errors = torch.empty_like(centred)
    for fold in range(folds):
        aside = groups % folds == fold
        if aside.any():
            errors[aside] = _errors(x[~aside], centred[~aside], x[aside], centred[aside])
    return errors


def _errors(x: Tensor, centred: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    mean = centred.mean(0)
    weights, offset = (part.to(other) for part in reading(x, centred - mean))
    return (other - offset) @ weights + mean - truth
