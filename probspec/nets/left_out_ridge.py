"""Ridge regression of many channels at once, each with the penalty that serves groups of rows left out best."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SURE = 2.0
"""By how much a regression must lower a channel's left-out variance: this over the root of the number of groups."""

TINY = 1e-12
"""Least share of a residual that its own leverage leaves."""


class LeftOutRidge(NamedTuple):
    """A fitted regression.

    Parameters
    ----------
    weights : (feature, channel) Tensor
        Zero for channels that no penalty serves clearly better than none of the features.
    left_out : (sample, channel) Tensor
        Residuals as of groups left out.
    """

    weights: Tensor
    left_out: Tensor


def left_out_ridge(rest: Tensor, features: Tensor, root: Tensor, groups: Tensor | None = None) -> LeftOutRidge:
    """Regress what another fit left on features.

    Parameters
    ----------
    rest : (sample, channel) Tensor, float64
    features : (sample, feature) Tensor
        Orthogonal to what the other fit was made of.
    root : (sample, parameter) Tensor
        Of the other fit: `root` times its transpose makes fitted values of measured ones.
    groups : (sample,) Tensor of int, optional
        Numbered from zero; every row by itself where left out.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    >>> found = left_out_ridge(torch.cat([3 * x, 0 * x], 1), x, torch.full_like(x, 40**-0.5))
    >>> found.weights.round(decimals=3).tolist(), bool(found.left_out.abs().max() < 0.01)
    ([[3.0, 0.0]], True)
    """
    groups = torch.arange(len(rest)) if groups is None else groups
    u, singular, basis = torch.linalg.svd(features, full_matrices=False)
    projected, weights = u.T @ rest, rest.new_zeros(features.shape[1], rest.shape[1])
    best = _left_out(rest, root, groups)
    error = best.square().mean(0) * max(1 - SURE / float(groups.max() + 1) ** 0.5, 0.0)
    for ridge in torch.logspace(-9, 1, 11, dtype=rest.dtype) * singular[0].square():
        shrunk = singular.square() / (singular.square() + ridge)
        left_out = _left_out(rest - (u * shrunk) @ projected, torch.cat([root, u * shrunk.sqrt()], 1), groups)
        better = (found := left_out.square().mean(0)) < error
        found_weights = basis.T @ ((shrunk / singular.clamp_min(1e-300))[:, None] * projected)
        weights, best = torch.where(better, found_weights, weights), torch.where(better, left_out, best)
        error = torch.minimum(error, found)
    return LeftOutRidge(weights, best)


def _left_out(residuals: Tensor, root: Tensor, groups: Tensor) -> Tensor:
    """Residuals of each group of rows as if it had been left out, by the root of what makes fitted values."""
    if len(groups.unique()) == len(residuals):
        return residuals / (1 - root.square().sum(1, keepdim=True)).clamp_min(TINY)
    out = torch.empty_like(residuals)
    for group in groups.unique():
        rows = (groups == group).nonzero()[:, 0]
        values, vectors = torch.linalg.eigh(root[rows] @ root[rows].T)
        out[rows] = (vectors / (1 - values).clamp_min(TINY)) @ (vectors.T @ residuals[rows])
    return out
