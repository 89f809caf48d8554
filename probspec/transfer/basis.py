"""The latent space of the primary: its principal directions, turned towards single elements where it has lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPLAINED = 1 - 1e-7  # share of the variance; calibrations rest on directions of little variance
MOST = 30
NOISE = 0.01  # of the highest line, that a channel may lie below zero
LINES = 5.0  # how far the strongest channel stands over the median one where spectra are lines on a continuum


@dataclass(frozen=True)
class Basis:
    """Orthonormal directions of the primary's spectra.

    Parameters
    ----------
    centre : (channel,) array
        Mean spectrum.
    directions : (latent, channel) array
        In the order of their variance.
    """

    centre: Array
    directions: Array

    @classmethod
    def of(cls, spectra: Array, latents: int | None = None) -> Basis:
        """Find the directions of spectra : (sample, channel).

        Parameters
        ----------
        spectra : (sample, channel) array
        latents : int, optional
            As many as explain `EXPLAINED` of the variance where left out.
        """
        centre = spectra.mean(0)
        _, size, directions = np.linalg.svd(spectra - centre, full_matrices=False)
        share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
        enough = int(np.searchsorted(share, EXPLAINED)) + 1
        allowed = max(1, min(len(size) - 1, MOST))
        count = min(latents or min(enough, allowed), len(size))
        kept = directions[:count]
        if has_lines(spectra) and count > 1:
            kept = varimax((kept * size[:count, None]).T).T @ kept
            kept = kept[np.argsort(-((spectra - centre) @ kept.T).var(0))]
        return cls(centre, kept)

    def scores(self, spectra: Array) -> Array:
        """Coordinates of spectra : (sample, latent)."""
        return (spectra - self.centre) @ self.directions.T

    def spectra(self, scores: Array) -> Array:
        """Spectra of coordinates : (sample, channel)."""
        return self.centre + scores @ self.directions


def is_light(spectra: Array) -> bool:
    """Whether spectra are positive but for noise, as counts are."""
    return bool(spectra.min() >= -NOISE * spectra.mean(0).max())


def has_lines(spectra: Array) -> bool:
    """Whether spectra are light, with lines far above the usual channel, as in emission."""
    mean = spectra.mean(0)
    return is_light(spectra) and bool(mean.max() > LINES * max(float(np.median(mean)), 1e-300))


def varimax(loadings: Array, steps: int = 100) -> Array:
    """Rotation that makes loadings as sparse as it can (Kaiser 1958).

    Parameters
    ----------
    loadings : (channel, latent) array

    Returns
    -------
    (latent, latent) array
    """
    rotation, reached = np.eye(loadings.shape[1]), 0.0
    for _ in range(steps):
        turned = loadings @ rotation
        target = turned**3 - turned * (turned**2).mean(0)
        left, size, right = np.linalg.svd(loadings.T @ target)
        rotation = left @ right
        if size.sum() < reached * (1 + 1e-6):
            break
        reached = size.sum()
    return rotation
