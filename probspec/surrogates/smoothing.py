"""Curves through noisy values, no rougher than the values' own scatter allows.

A curve f near values y, taken at its knots, is the posterior mean of a Gaussian process whose prior precision is a
roughness penalty. In the basis in which that penalty is diagonal, with roughness d, each coefficient of y shrinks by
1 / (1 + s d). The strength s is the one of largest restricted likelihood (REML; Wahba 1985, Ann. Statist. 13, 1378),
which unlike generalised cross-validation seldom takes noise for a curve. Values without noise get the least strength.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Array = NDArray[np.float64]

STRENGTHS = 97
"""Strengths to try, from one that leaves the roughest direction alone to one that allows free directions only."""

FAR = 1e8  # how far beyond either


def fit_curve(values: Array, weights: Array, design: Array, bending: Array, free: int, smoothed: bool) -> Array:
    """Find the values of curves at their knots.

    Parameters
    ----------
    values : (row, replicate, column) array
        Replicates of a column share its strength.
    weights : (row,) array
        Inverse variances, up to a common factor.
    design : (row, knot) array
        Values of a curve at the rows, of its values at the knots.
    bending : (place, knot) array
        Roughness of a curve is the sum of squares of ``bending @ f``.
    free : int
        Directions that do not bend, such as 2 for a constant and a slope.
    smoothed : bool
        Otherwise the strength is zero: least squares, or values as they are where each row is a knot.

    Returns
    -------
    (knot, replicate, column) array
    """
    root = np.linalg.cholesky(design.T @ (weights[:, None] * design))
    directions, roughness = _directions(solve_triangular(root, bending.T, lower=True).T, free)
    basis = solve_triangular(root, directions, lower=True, trans="T")
    found = np.tensordot(basis.T @ (design.T * weights), values, 1)
    if smoothed and len(roughness) > free:
        unexplained = np.tensordot(weights, values**2, 1).sum(0) - (found**2).sum((0, 1))
        strength = strengths(found[free:], roughness[free:], np.maximum(unexplained, 0), len(values) - free)
        found = found / (1 + strength * roughness[:, None, None])
    return np.tensordot(basis, found, 1)


def _directions(bending: Array, free: int) -> tuple[Array, Array]:
    """Directions in ascending order of roughness, as columns, and their roughness; the free ones first."""
    singular, rows = np.linalg.svd(bending)[1:]  # of the squares' matrix, eigenvectors would lose half the digits
    roughness = np.zeros(len(rows))
    roughness[: len(singular)] = singular**2
    roughness = np.maximum(roughness, np.finfo(float).eps ** 2 * roughness[0])[::-1].copy()
    roughness[:free] = 0
    return rows[::-1].T, roughness


def strengths(found: Array, roughness: Array, unexplained: Array, rows: int) -> Array:
    """Strength of largest restricted likelihood for each column.

    Parameters
    ----------
    found : (direction, replicate, column) array
        Values in the directions that are penalised.
    roughness : (direction,) array
        Ascending.
    unexplained : (column,) array
        Squares that no curve explains.
    rows : int
        Rows less free directions.

    Returns
    -------
    (column,) array
    """
    tried = np.geomspace(1 / FAR / roughness[-1], FAR / roughness[0], STRENGTHS)
    stiffness = tried[:, None] * roughness
    left = stiffness / (1 + stiffness)
    squares = (left @ (found**2).sum(1) + unexplained) / (rows * found.shape[1])
    misfit = rows * np.log(np.maximum(squares, np.finfo(float).tiny)) - np.log(left).sum(1)[:, None]
    return tried[misfit.argmin(0)]
