"""Views of a secondary's spectra from which maps read them, each of unit total variance over the training rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]
View = Callable[[Array, Array], Array]
"""(spectra, training spectra) -> features, (sample, feature)."""

SMOOTHING = 2.0  # channels, of derivatives
FLOOR = 1e-5  # principal scores below this share of the first are noise of rounding
TINY = 1e-300


def derivative(spectra: Array) -> Array:
    """Smoothed first derivative along the channels."""
    return gaussian_filter1d(spectra, SMOOTHING, axis=1, order=1)


def standard_variate(spectra: Array) -> Array:
    """Standard normal variate: each spectrum centred and divided by its own spread."""
    spread = spectra.std(1, keepdims=True)
    return (spectra - spectra.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def unit_sum(spectra: Array) -> Array:
    """Each spectrum divided by its mean, which takes a gain away."""
    mean = spectra.mean(1, keepdims=True)
    return spectra / np.where(mean > 0, mean, 1.0)


def block(spectra: Array, training: Array) -> Array:
    """Centred, and divided by one spread for all channels."""
    centre = training.mean(0)
    return (spectra - centre) / np.sqrt(max(((training - centre) ** 2).sum(1).mean(), TINY))


def with_derivative(spectra: Array, training: Array) -> Array:
    """Spectra and derivatives, as two blocks of equal weight."""
    return np.hstack([block(spectra, training), block(derivative(spectra), derivative(training))])


def autoscaled(spectra: Array, training: Array) -> Array:
    """Every channel of nearly the same spread."""
    spread = training.std(0)
    scale = spread + 1e-3 * spread.max() + TINY
    return (spectra - training.mean(0)) / scale / np.sqrt(spectra.shape[1])


def half_whitened(spectra: Array, training: Array) -> Array:
    """Principal scores, divided by the root of their spread: weak directions count for more."""
    scores, size = principal(spectra, training)
    known, _ = principal(training, training)
    weight = np.sqrt(size[0] / size)
    return scores * weight / np.sqrt(max(((known * weight) ** 2).sum(1).mean(), TINY))


def principal(spectra: Array, training: Array) -> tuple[Array, Array]:
    """Principal scores of spectra and the spread of each over the training rows."""
    centre = training.mean(0)
    _, size, directions = np.linalg.svd(training - centre, full_matrices=False)
    kept = size > max(FLOOR * size[0], TINY)
    kept[0] = True
    size = np.maximum(size[kept] / np.sqrt(len(training)), TINY)
    return (spectra - centre) @ directions[kept].T, size


def white(spectra: Array, training: Array, count: int) -> Array:
    """First principal scores, each of unit variance over the training rows."""
    scores, size = principal(spectra, training)
    return scores[:, :count] / size[:count]


VIEWS: dict[str, View] = {
    "raw": block,
    "half-whitened": half_whitened,
    "with derivative": with_derivative,
    "autoscaled": autoscaled,
}
