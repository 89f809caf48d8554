"""Views of a secondary's spectra from which maps read them, each of unit total variance over the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Principal:
    """Principal directions of training rows, made once for all that is read from them.

    Parameters
    ----------
    centre : (channel,) array
    directions : (score, channel) array
    size : (score,) array
        Spread of each score over the training rows.
    """

    centre: Array
    directions: Array
    size: Array

    @classmethod
    def of(cls, training: Array) -> Principal:
        """Decompose training rows : (sample, channel)."""
        centre = training.mean(0)
        _, size, directions = np.linalg.svd(training - centre, full_matrices=False)
        kept = size > max(FLOOR * size[0], TINY)
        kept[0] = True
        return cls(centre, directions[kept], np.maximum(size[kept] / np.sqrt(len(training)), TINY))

    def white(self, spectra: Array, count: int) -> Array:
        """First scores, each of unit variance over the training rows."""
        return (spectra - self.centre) @ self.directions[:count].T / self.size[:count]

    def half_whitened(self, spectra: Array) -> Array:
        """Scores divided by the root of their spread: weak directions count for more."""
        total = np.sqrt(max(float(self.size.sum()), TINY))
        return (spectra - self.centre) @ self.directions.T / np.sqrt(self.size) / total


VIEWS: dict[str, View] = {
    "raw": block,
    "with derivative": with_derivative,
    "autoscaled": autoscaled,
}
