r"""Inversion of what a secondary that counts light shows of the primary's scores.

.. math:: x = d + g\,(c + V z) + e, \qquad z \sim N(0, 1), \quad g \sim N(1, s^2)

A spectrum x of the secondary is the primary's standardised principal scores z seen through its optics (`optics`): c
and V are the mean and the directions of the primary as the secondary sees them, g is a gain of its own. The directions
are those of all spectra of the primary, with a partner or without.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from probspec.transfer.optics import WEAKEST, Optics

Array = NDArray[np.float64]

STEPS = 4  # the noise follows the light that is expected


@dataclass(frozen=True)
class Inversion:
    """A fitted forward model.

    Parameters
    ----------
    optics : Optics
        Its noise holds what the directions leave, too.
    loadings : (1 + latent, used channel of the secondary) array
        Mean spectrum and V.
    directions : (latent, channel of the primary) array
        The primary's deviation from its mean for a score of one.
    centre : (channel of the primary,) array
    """

    optics: Optics
    loadings: Array
    directions: Array
    centre: Array

    @classmethod
    def through(cls, optics: Optics, primary: Array, latents: int) -> Self:
        """Look through optics at spectra of the primary : (sample, channel), which tell what its spectra look like."""
        centre, seen = primary.mean(0), optics.seen(primary)
        values, vectors = np.linalg.eigh((primary - centre) @ (primary - centre).T)
        kept = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:latents]
        turn = vectors[:, kept].T / np.sqrt(len(primary))
        directions, loadings = turn @ (primary - centre), turn @ (seen - seen.mean(0))
        unseen = (seen.var(0) - (loadings**2).sum(0)).clip(0)
        optics = replace(optics, noise=optics.noise + unseen)
        return cls(optics, np.vstack([seen.mean(0), loadings]), directions, centre)

    def spectra(self, latent: Array) -> Array:
        """Of the primary : (sample, channel)."""
        return self.centre + latent @ self.directions

    def latent(self, primary: Array) -> Array:
        """Scores of spectra of the primary : (sample, latent)."""
        return (primary - self.centre) @ self.directions.T / (self.directions**2).sum(1)

    def told(self, light: Array) -> Array:
        """Most probable scores where the secondary counts so much light : (sample, latent)."""
        count, certain_gain = len(self.loadings), 1 / self.optics.gain**2
        gain = (light.sum(1) / self.loadings[0].sum()).clip(WEAKEST)
        expected = gain[:, None] * self.loadings[0]
        products = (self.loadings[:, None] * self.loadings).reshape(count**2, -1).T
        state, own = np.zeros((len(light), count)), np.arange(1, count)
        for _ in range(STEPS):
            certain = self.optics.certain(expected)
            precision = (certain @ products).reshape(-1, count, count)
            evidence = (certain * light) @ self.loadings.T
            precision[:, 0, 0] += certain_gain
            evidence[:, 0] += certain_gain
            precision[:, own, own] += 1 / gain[:, None] ** 2
            state = np.linalg.solve(precision, evidence[..., None])[..., 0]
            gain, expected = state[:, 0].clip(WEAKEST), state @ self.loadings
        return state[:, 1:] / gain[:, None]
