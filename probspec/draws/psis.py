"""Pareto-smoothed importance sampling: how far a set of weights can be trusted, and how to tame its largest ones.

The largest weights are replaced by the quantiles of a generalised Pareto law fitted to them. Its shape, k-hat, says
whether the draws reach the target at all: below 0.5 they do, up to 0.7 they can still be used, above 0.7 they cannot.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72); the fit is that of Zhang & Stephens (2009),
Technometrics 51, 316-325.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from probspec.errors import QueryError, explain

Array = NDArray[np.float64]

TRUSTED = 0.7
"""Largest k-hat at which an importance-weighted answer can still be used (Vehtari et al. 2024, section 3.2.4)."""

FEWEST = 25
"""Fewest draws whose tail can be fitted."""

FLAT = 0.01
"""Range of tail log weights, in nats, below which only rounding distinguishes them: there is no tail to fit."""


@dataclass(frozen=True)
class Weights:
    """Smoothed importance weights of independent samples.

    Parameters
    ----------
    log : (draw, sample) array
        Log weights, each sample's normalised to a sum of one.
    khat : (sample,) array
        Shape of the generalised Pareto law of the largest weights.
    log_mean : (sample,) array
        Log of the mean ratio, which estimates the target's normalising constant.
    """

    log: Array
    khat: Array
    log_mean: Array

    @property
    def effective(self) -> Array:
        """Effective number of draws, one over the sum of squared weights : (sample,) array."""
        return np.exp(-np.asarray(logsumexp(2 * self.log, axis=0)))

    def select(self, index: NDArray[np.integer]) -> Weights:
        """Take some of the samples."""
        return Weights(self.log[:, index], self.khat[index], self.log_mean[index])


def smooth(log_ratio: NDArray[np.floating]) -> Weights:
    """Smooth the importance weights of each sample.

    Parameters
    ----------
    log_ratio : (draw, sample) array
        Log of target over proposal at draws from the proposal, up to a constant per sample.

    Returns
    -------
    Weights
        k-hat is infinite where a ratio is not a number, and 0 where all large ratios are the same.

    Raises
    ------
    QueryError
        With fewer than 25 draws.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(size=(1000, 1))
    >>> weights = smooth(0.1 * draws)
    >>> bool(weights.khat[0] < 0.5), bool(weights.effective[0] > 980)
    (True, True)
    """
    ratio = np.array(log_ratio, dtype=np.float64)
    if ratio.ndim != 2 or len(ratio) < FEWEST:
        problem = f"log ratios of shape {ratio.shape}"
        expected = f"(draw, sample) with at least {FEWEST} draws"
        raise QueryError(explain("k-hat", problem, expected=expected, fix="ask for more draws"))
    level = ratio.max(axis=0)
    broken = ~np.isfinite(level)
    ratio = np.where(broken, 0.0, ratio - np.where(broken, 0.0, level))
    khat = np.array([_smooth_tail(column) for column in ratio.T])
    total = logsumexp(ratio, axis=0)
    return Weights(ratio - total, np.where(broken, np.inf, khat), level + total - np.log(len(ratio)))


def _smooth_tail(log_weight: Array) -> float:
    """Smooth the largest of one sample's log weights, whose maximum is 0, in place; return k-hat."""
    size = int(np.ceil(min(len(log_weight) / 5, 3 * len(log_weight) ** 0.5)))
    order = np.argsort(log_weight, kind="stable")
    # Weights that underflow cannot be told apart: the tail ends above them.
    cutoff = max(log_weight[order[-size - 1]], np.log(np.finfo(float).tiny))
    if cutoff > -FLAT:
        return 0.0
    tail = order[-size:][log_weight[order[-size:]] > cutoff]
    if len(tail) < 5:
        return np.inf
    shape, scale = fit_pareto(np.exp(log_weight[tail]) - np.exp(cutoff))
    quantiles = pareto_quantiles((np.arange(len(tail)) + 0.5) / len(tail), shape, scale)
    log_weight[tail] = np.minimum(np.log(quantiles + np.exp(cutoff)), 0.0)
    return shape


def fit_pareto(excess: Array) -> tuple[float, float]:
    """Fit a generalised Pareto law to excesses over a threshold.

    Parameters
    ----------
    excess : (m,) array, ascending and positive

    Returns
    -------
    shape, scale : float
        The shape is drawn towards 0.5 with the weight of ten observations (Vehtari et al. 2024, appendix G).
    """
    m = len(excess)
    grid = 30 + int(m**0.5)
    quartile = excess[int(m / 4 + 0.5) - 1]
    b = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(grid) + 0.5))) / (3 * quartile)
    shape = np.log1p(-b[:, None] * excess).mean(axis=1)
    log_likelihood = m * (np.log(-b / shape) - shape - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    b_mean = posterior @ b / posterior.sum()
    shape_mean = np.log1p(-b_mean * excess).mean()
    return float((m * shape_mean + 10 * 0.5) / (m + 10)), float(-shape_mean / b_mean)


def pareto_quantiles(probability: Array, shape: float, scale: float) -> Array:
    """Quantiles of a generalised Pareto law that starts at zero."""
    if abs(shape) < 1e-12:
        return -scale * np.log1p(-probability)
    return scale * np.expm1(-shape * np.log1p(-probability)) / shape
