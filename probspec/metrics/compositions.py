"""How far predicted compositions are from the true ones.

The divergence is the mean of KL(true || predicted) in nats, with predictions clipped at 1e-6 and renormalised, so that
a component wrongly predicted absent costs much but not infinitely much. Rows that sum to 1 are expected there; the
absolute error and the coverage take any targets, in their own unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from probspec.errors import DataError, explain

FLOOR = 1e-6
"""Smallest predicted fraction or probability."""


def mean_kl(truth: ArrayLike, predicted: ArrayLike, floor: float = FLOOR) -> float:
    """Mean Kullback-Leibler divergence of predicted from true compositions.

    Parameters
    ----------
    truth : (sample, component), fraction
        True compositions; components that are absent are 0 and add nothing.
    predicted : (sample, component), fraction
        Predictions, clipped at `floor` and then closed to a sum of 1.
    floor : float
        Smallest predicted fraction.

    Returns
    -------
    float
        Nats per sample.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or the truth is no composition.

    Examples
    --------
    >>> round(mean_kl([[0.5, 0.5]], [[0.25, 0.75]]), 4)
    0.1438
    """
    t, p = _pair(truth, predicted)
    if t.min() < 0 or np.abs(t.sum(-1) - 1).max() > 0.01:
        raise DataError(explain("truth", "rows are no compositions", expected="fractions >= 0 that sum to 1"))
    p = np.clip(p, floor, None)
    return float(rel_entr(closed(t), closed(p)).sum(-1).mean())


def mean_absolute_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error over samples and components, in the unit of the targets.

    Parameters
    ----------
    truth, predicted : (sample, component), unit of the target

    Raises
    ------
    DataError
        If shapes differ or values are not finite.

    Examples
    --------
    >>> round(mean_absolute_error([[0.5, 0.5]], [[0.25, 0.75]]), 4)
    0.25
    """
    t, p = _pair(truth, predicted)
    return float(np.abs(t - p).mean())


def coverage(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Share of true values inside their intervals, the ends included.

    Parameters
    ----------
    truth, lower, upper : (sample, component), unit of the target

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or an interval ends before it begins.

    Examples
    --------
    >>> coverage([[0.2, 0.8]], [[0.1, 0.5]], [[0.3, 0.7]])
    0.5
    """
    t, low = _pair(truth, lower)
    _, high = _pair(truth, upper)
    if np.any(high < low):
        raise DataError(explain("upper", "lies below lower", fix="pass lower before upper"))
    return float(((low <= t) & (t <= high)).mean())


def _pair(truth: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t, o = np.asarray(truth, float), np.asarray(other, float)
    if t.shape != o.shape or t.size == 0:
        raise DataError(explain("truth and prediction", f"shapes {t.shape} and {o.shape}", expected="one shape"))
    if not (np.isfinite(t).all() and np.isfinite(o).all()):
        raise DataError(explain("truth and prediction", "NaN or infinity", fix="leave unlabelled rows out"))
    return t, o


def closed(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows to a sum of 1."""
    return fractions / fractions.sum(-1, keepdims=True)
