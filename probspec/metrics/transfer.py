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
    return float(euclidean_distances(truth, transferred).mean())


def euclidean_distances(truth: ArrayLike, transferred: ArrayLike) -> NDArray[np.float64]:
    """|x - xhat| of each sample : (sample,), in the unit of the spectra.

    >>> euclidean_distances([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]])
    array([5., 0.])
    """
    x, xhat = _spectra(truth, transferred)
    return np.linalg.norm(x - xhat, axis=1)


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
    return float(cosine_distances(truth, transferred).mean() - 1)


def cosine_distances(truth: ArrayLike, transferred: ArrayLike) -> NDArray[np.float64]:
    """One minus the cosine of the angle between x and xhat, for each sample : (sample,); 0 is perfect.

    Raises
    ------
    DataError
        As `negative_cosine`.

    Examples
    --------
    >>> cosine_distances([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]])
    array([0., 1.])
    """
    x, xhat = _spectra(truth, transferred)
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(xhat, axis=1)
    if (length == 0).any():
        raise DataError(explain(f"row {int(length.argmin())}", "a spectrum of zeros has no direction"))
    return 1 - (x * xhat).sum(1) / length


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
    one, other = cluster_labels(truth, transferred, clusters, seed)
    return float((one == other).mean())


def cluster_labels(
    truth: ArrayLike, transferred: ArrayLike, clusters: int = CLUSTERS, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """K-means cluster of the true spectra that each true and each transferred spectrum falls into.

    Parameters
    ----------
    truth, transferred : (sample, channel) array
    clusters : int
    seed : int

    Returns
    -------
    truth, transferred : (sample,) int array
        Clusters are numbered from the largest on.

    Raises
    ------
    DataError
        If there are fewer samples than clusters, besides what the others refuse.
    """
    x, xhat = _spectra(truth, transferred)
    if not 1 <= clusters <= len(x):
        raise DataError(explain("clusters", f"{clusters} of {len(x)} spectra", expected="at most as many as spectra"))
    found = KMeans(clusters, n_init=10, random_state=seed).fit(x)
    place = np.argsort(np.argsort(-np.bincount(found.labels_, minlength=clusters), kind="stable"))
    return place[found.labels_], place[found.predict(xhat)]


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
