"""Normal laws of rows in which some values are missing: their estimate, and the density of what is there.

Missing values are integrated out, never filled in: the density of a row is the marginal of its reported values. Rows
that report the same values share a pattern, and are dealt with together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Pattern(NamedTuple):
    """Rows that report the same values.

    Parameters
    ----------
    rows : (row,) int array
    reported : (feature,) bool array
    """

    rows: NDArray[np.int64]
    reported: NDArray[np.bool_]


class Normal(NamedTuple):
    """Mean and covariance of a normal law.

    Parameters
    ----------
    mean : (feature,) array
    covariance : (feature, feature) array
    """

    mean: Array
    covariance: Array


def patterns(X: Array) -> Iterator[Pattern]:
    """Sort rows by which of their values are reported.

    >>> [pattern.rows.tolist() for pattern in patterns(np.array([[1.0, np.nan], [2, 3], [4, np.nan]]))]
    [[0, 2], [1]]
    """
    kinds, of_row = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    for number, reported in enumerate(kinds):
        yield Pattern(np.flatnonzero(of_row.ravel() == number), reported)


def log_densities(X: Array, means: Array, covariances: Array) -> Array:
    """Log density of the reported values of each row under several normal laws.

    Parameters
    ----------
    X : (sample, feature) array
        NaN where not reported; a row that reports nothing has density 1.
    means : (law, feature) array
    covariances : (law, feature, feature) array
        Positive definite.

    Returns
    -------
    (sample, law) array

    Examples
    --------
    >>> log_densities(np.array([[0.0, np.nan]]), np.zeros((1, 2)), np.eye(2)[None]).round(4)
    array([[-0.9189]])
    """
    found = np.zeros((len(X), len(means)))
    for rows, reported in patterns(X):
        if not reported.any():
            continue
        scale = np.linalg.cholesky(covariances[:, reported][:, :, reported])
        away = X[rows][:, reported].T - means[:, reported, None]  # (law, feature, row)
        misfit = np.square(np.linalg.solve(scale, away)).sum(1)
        log_scale = np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(1)
        found[rows] = -(0.5 * misfit + (log_scale + 0.5 * reported.sum() * np.log(2 * np.pi))[:, None]).T
    return found


def estimate(
    X: Array, start: Normal, mean_rows: Array, covariance_rows: float, rounds: int = 100, tolerance: float = 1e-4
) -> Normal:
    """Mean and covariance of incomplete rows by expectation maximisation (Little & Rubin 2002, section 11.2).

    `start` is also what the estimate is drawn to, as if further rows had been seen there: it decides about values that
    no row reports, and keeps the covariance of few rows positive definite.

    Parameters
    ----------
    X : (sample, feature) array
        NaN where not reported.
    start : Normal
        Positive definite.
    mean_rows : (feature,) array
        How many rows the mean of `start` counts for, feature by feature; infinite keeps it.
    covariance_rows : float
        How many rows the covariance of `start` counts for.
    rounds : int
        At most.
    tolerance : float
        Stop when nothing changes by more than this share of the standard deviations of `start`.

    Returns
    -------
    Normal
    """
    sorted_rows = list(patterns(X))
    deviations = np.sqrt(np.diag(start.covariance))
    now = _first_guess(X, start, mean_rows)
    for _ in range(rounds):
        before = now
        filled, lost = _expect(X, sorted_rows, now)
        mean = _drawn(filled.sum(0), float(len(X)), start.mean, mean_rows)
        scatter = (filled - mean).T @ (filled - mean) + lost + covariance_rows * start.covariance
        now = Normal(mean, scatter / (len(X) + covariance_rows))
        change = np.abs(now.covariance - before.covariance) / np.outer(deviations, deviations)
        if max(change.max(), (np.abs(now.mean - before.mean) / deviations).max()) < tolerance:
            break
    return now


def _first_guess(X: Array, start: Normal, mean_rows: Array) -> Normal:
    reported = ~np.isnan(X)
    return Normal(_drawn(np.where(reported, X, 0).sum(0), reported.sum(0), start.mean, mean_rows), start.covariance)


def _drawn(total: Array, count: Array | float, towards: Array, rows: Array) -> Array:
    """Means of `count` values of sum `total`, drawn to `towards` as if that had been seen `rows` times."""
    share = np.where(np.isinf(rows), 1.0, rows / np.where(np.isinf(rows), 1.0, rows + count))
    return (1 - share) * total / np.maximum(count, 1) + share * towards


def _expect(X: Array, sorted_rows: list[Pattern], law: Normal) -> tuple[Array, Array]:
    """Rows with the expectation of what is missing, and the (summed) covariance that the expectation leaves out."""
    filled, lost = X.copy(), np.zeros_like(law.covariance)
    for rows, reported in sorted_rows:
        missing = ~reported
        if not missing.any():
            continue
        across = law.covariance[np.ix_(reported, missing)]
        slopes = np.linalg.solve(law.covariance[np.ix_(reported, reported)], across)
        away = X[np.ix_(rows, reported)] - law.mean[reported]
        filled[np.ix_(rows, missing)] = law.mean[missing] + away @ slopes
        lost[np.ix_(missing, missing)] += len(rows) * (law.covariance[np.ix_(missing, missing)] - across.T @ slopes)
    return filled, lost
