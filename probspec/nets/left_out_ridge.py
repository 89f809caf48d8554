"""Ridge regression of many channels at once, each with the penalty that serves rows left out best."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SURE = 2.0
"""By how much a regression must lower the left-out variance of a channel: this over the root of the number of rows."""

TINY = 1e-12
"""Least share of a row's residual that its own leverage leaves."""


class LeftOutRidge(NamedTuple):
    """A fitted regression.

    Parameters
    ----------
    weights : (feature, channel) Tensor
        Zero for channels that no penalty serves clearly better than none of the features.
    left_out : (sample, channel) Tensor
        Residuals as of rows left out.
    """

    weights: Tensor
    left_out: Tensor


def left_out_ridge(rest: Tensor, features: Tensor, leverage: Tensor) -> LeftOutRidge:
    """Regress what another fit left on features.

    Parameters
    ----------
    rest : (sample, channel) Tensor, float64
    features : (sample, feature) Tensor
        Orthogonal to what the other fit was made of.
    leverage : (sample, 1) Tensor
        Of the other fit: the share of each row that it was fitted to.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    >>> found = left_out_ridge(torch.cat([3 * x, 0 * x], 1), x, torch.full_like(x, 1 / 40))
    >>> found.weights.round(decimals=3).tolist(), bool(found.left_out.abs().max() < 0.01)
    ([[3.0, 0.0]], True)
    """
    u, singular, basis = torch.linalg.svd(features, full_matrices=False)
    projected, weights = u.T @ rest, rest.new_zeros(features.shape[1], rest.shape[1])
    best = rest / (1 - leverage).clamp_min(TINY)
    error = best.square().mean(0) * max(1 - SURE / len(rest) ** 0.5, 0.0)
    for ridge in torch.logspace(-9, 1, 11, dtype=rest.dtype) * singular[0].square():
        shrunk = singular.square() / (singular.square() + ridge)
        fitted = leverage + (u.square() * shrunk).sum(1, keepdim=True)
        left_out = (rest - (u * shrunk) @ projected) / (1 - fitted).clamp_min(TINY)
        better = (found := left_out.square().mean(0)) < error
        found_weights = basis.T @ ((shrunk / singular.clamp_min(1e-300))[:, None] * projected)
        weights, best = torch.where(better, found_weights, weights), torch.where(better, left_out, best)
        error = torch.minimum(error, found)
    return LeftOutRidge(weights, best)
