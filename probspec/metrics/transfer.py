"""How far transferred spectra are from those that the primary measured (Vrabel et al. 2023)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans

from probspec.errors import DataError, explain
from probspec.metrics.compositions import _pair

CLUSTERS = 4


def relative_squared_error(truth: ArrayLike, transferred: ArrayLike) -> float:
    """RSE = sum (x - xhat)^2 / sum (xbar - xhat)^2, with xbar the mean of the true spectra; 0 is perfect.

    The denominator is the spread of the transferred spectra about xbar, as published, and not that of the true ones.

    Parameters
    ----------
    truth, transferred : (sample, channel) array, one unit

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or all transferred spectra equal the mean of the true ones.

    Examples
    --------
    >>> relative_squared_error([[0.0, 1.0], [2.0, 3.0]], [[0.0, 1.0], [2.0, 2.0]])
    0.3333333333333333
    """
    x, xhat = _spectra(truth, transferred)
    spread = float(((x.mean(0) - xhat) ** 2).sum())
    if spread == 0:
        raise DataError(explain("transferred", "every spectrum is the mean of the true ones"))
    return float(((x - xhat) ** 2).sum() / spread)


def mean_euclidean_distance(truth: ArrayLike, transferred: ArrayLike) -> float:
    """Mean over samples of |x - xhat|, in the unit of the spectra.

    >>> mean_euclidean_distance([[0.0, 0.0]], [[3.0, 4.0]])
    5.0
    """
    x, xhat = _spectra(truth, transferred)
    return float(np.linalg.norm(x - xhat, axis=1).mean())


def negative_cosine(truth: ArrayLike, transferred: ArrayLike) -> float:
    """Minus the mean cosine of the angle between x and xhat; -1 is perfect.

    Raises
    ------
    DataError
        If a spectrum is zero in every channel, besides what the others refuse.

    Examples
    --------
    >>> negative_cosine([[1.0, 0.0]], [[2.0, 0.0]])
    -1.0
    """
    x, xhat = _spectra(truth, transferred)
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(xhat, axis=1)
    if (length == 0).any():
        raise DataError(explain(f"row {int(length.argmin())}", "a spectrum of zeros has no direction"))
    return float(-((x * xhat).sum(1) / length).mean())


def k_score(truth: ArrayLike, transferred: ArrayLike, clusters: int = CLUSTERS, seed: int = 0) -> float:
    """Share of samples whose true and transferred spectrum fall into the same k-means cluster of the true ones.

    Parameters
    ----------
    truth, transferred : (sample, channel) array
    clusters : int
    seed : int

    Raises
    ------
    DataError
        If there are fewer samples than clusters, besides what the others refuse.

    Examples
    --------
    >>> x = np.repeat(np.eye(4), 3, axis=0)
    >>> k_score(x, x + 0.1)
    1.0
    """
    x, xhat = _spectra(truth, transferred)
    if not 1 <= clusters <= len(x):
        raise DataError(explain("clusters", f"{clusters} of {len(x)} spectra", expected="at most as many as spectra"))
    found = KMeans(clusters, n_init=10, random_state=seed).fit(x)
    return float((found.labels_ == found.predict(xhat)).mean())


def compression_ratio(spectra: int, channels: int, latents: int, parameters: int) -> float:
    """CR = M_X N / (M_L N + P): numbers of the spectra over those of their codes and of the decoder.

    Parameters
    ----------
    spectra, channels, latents : int
        N, M_X and M_L.
    parameters : int
        P, of the decoder.

    Examples
    --------
    >>> compression_ratio(spectra=1000, channels=100, latents=4, parameters=1000)
    20.0
    """
    return channels * spectra / (latents * spectra + parameters)


def _spectra(truth: ArrayLike, transferred: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, xhat = _pair(truth, transferred)
    if x.ndim != 2:
        raise DataError(explain("truth", f"shape {x.shape}", expected="(sample, channel)"))
    return x, xhat
