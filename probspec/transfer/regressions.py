"""Closed-form regressions from features to scores: kernel ridge along a path of penalties, weighted rows, and sparse.

All take (training features or kernel, targets) and answer for new rows; targets are (sample, latent).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SWEEPS = 100
DEGREES = 1.0  # of freedom, of the law that doubts rows with large errors
NEIGHBOURHOOD = 0.2  # of the root of the median squared distance, over which noise is alike
CLIP = 1e12
SETTLED = 1e-4  # of a target's spread, by which coefficients of unit features still move


def linear(a: Array, b: Array) -> Array:
    """Linear kernel, (row of a, row of b)."""
    return a @ b.T


def quadratic(a: Array, b: Array) -> Array:
    """All products of two features besides the features themselves."""
    return (1 + 0.5 * a @ b.T) ** 2


KERNELS = {"linear": linear, "quadratic": quadratic}


def ridge_path(kernel: Array, towards: Array, targets: Array, penalties: Sequence[float]) -> Iterator[Array]:
    """Kernel ridge with an intercept, for each penalty in turn.

    Parameters
    ----------
    kernel : (sample, sample) array
    towards : (new row, sample) array
    targets : (sample, latent) array
    penalties : sequence of float, share of the centred kernel's trace

    Yields
    ------
    (new row, latent) array
    """
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdims=True) + kernel.mean()
    values, vectors = np.linalg.eigh(centred)
    values = values.clip(0)
    towards = towards - kernel.mean(0)
    seen = (towards - towards.mean(1, keepdims=True)) @ vectors
    mean = targets.mean(0)
    along = vectors.T @ (targets - mean)
    total = max(float(values.sum()), 1e-300)
    for penalty in penalties:
        yield mean + (seen / (values + penalty * total)) @ along


def weighted_ridge(
    kernel: Array, towards: Array, targets: Array, penalty: float, weights: Array
) -> tuple[Array, Array]:
    """Kernel ridge whose rows have noise of variance 1 / weight.

    Returns
    -------
    predicted : (new row, latent) array
    left_out : (sample, latent) array
        Error of each training row when it alone is left out.
    """
    count = len(kernel)
    trace = np.trace(kernel) - kernel.mean(0).sum()
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = kernel + np.diag(penalty * max(trace, 1e-300) / weights)
    system[count, count] = 0
    inverse = np.linalg.inv(system)
    solved = inverse[:, :count] @ targets
    left_out = solved[:count] / np.diag(inverse)[:count, None]
    return towards @ solved[:count] + solved[count], left_out


def doubting_weights(errors: Array) -> Array:
    """Weights of rows under a law with long tails (Student's t): those with large errors count less."""
    size = (errors**2).sum(1)
    scale = max(float(np.median(size)), 1e-300)
    for _ in range(20):
        weights = (DEGREES + 1) / (DEGREES + size / scale)
        scale = max(float((weights * size).mean()), 1e-300)
    return weights / weights.mean()


def noise_weights(errors: Array, places: Array) -> Array:
    """Weights of rows by how noisy their neighbours are.

    Parameters
    ----------
    errors : (sample, latent) array
        Of rows left out.
    places : (sample, feature) array
        Where rows with alike noise lie near each other.
    """
    log_size = np.log((errors**2).sum(1) + 1e-300)
    near = np.exp(-0.5 * distances(places, places) / (NEIGHBOURHOOD * median_distance(places)))
    level = near @ log_size / near.sum(1)
    weights = np.exp(-(level - level.mean()))
    return weights / weights.mean()


def distances(a: Array, b: Array) -> Array:
    """Squared distances, (row of a, row of b)."""
    return ((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T).clip(0)


def median_distance(places: Array) -> float:
    """Median squared distance of training rows, the yardstick of neighbourhoods."""
    return max(float(np.median(distances(places, places))), 1e-300)


def sparse(features: Array, targets: Array, new: Array) -> Array:
    """Linear regression whose coefficients have a width each, set by the evidence (MacKay 1992).

    Parameters
    ----------
    features : (sample, feature) array
    targets : (sample, latent) array
    new : (new row, feature) array
    """
    centre, mean = features.mean(0), targets.mean(0)
    coefficients = _relevant(features - centre, targets - mean)
    return mean + (new - centre) @ coefficients.T


def _relevant(features: Array, targets: Array) -> Array:
    """Coefficients, (latent, feature), for all latents at once."""
    gram, along = features.T @ features, targets.T @ features
    spread = np.maximum(targets.var(0), 1e-300)[:, None]
    precision, noise = np.tile(1 / spread, len(gram)), 0.1 * spread
    coefficients, own = np.zeros_like(along), np.arange(len(gram))
    moving = np.arange(len(along))  # latents whose coefficients do
    for _ in range(SWEEPS):
        system = gram / noise[moving, :, None]
        system[:, own, own] += precision[moving]
        covariance = np.linalg.inv(system)
        before, scale = coefficients[moving], spread[moving]
        after = (covariance @ (along[moving] / noise[moving])[..., None])[..., 0]
        counted = 1 - precision[moving] * covariance[:, own, own]
        precision[moving] = np.clip(counted / (after**2 + 1e-300), 1e-12 / scale, CLIP / scale)
        left = ((targets[:, moving] - features @ after.T) ** 2).sum(0)[:, None]
        free = np.maximum(len(targets) - 1 - counted.sum(1, keepdims=True), 1)
        noise[moving], coefficients[moving] = np.maximum(left / free, 1e-12 * scale), after
        moving = moving[(np.abs(after - before) > SETTLED * np.sqrt(scale)).any(1)]
        if not len(moving):
            break
    return coefficients
