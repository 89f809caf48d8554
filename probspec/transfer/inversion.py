r"""Inversion of what a secondary makes of the primary's scores, for instruments that count light.

.. math:: x = g\,(c + V z + U w) + e, \qquad z, w \sim N(0, 1), \quad g \sim N(1, s^2)

A spectrum x of the secondary is the primary's standardised scores z seen through loadings V, with a gain g of its own
and a few factors w that the primary does not see; the variance of e grows with the counts. Loadings of lines are
sparse and are shrunk as the channels themselves say (adaptive shrinkage: Stephens 2017): hundreds of channels that
say nothing would else, together, outvote the few that do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probspec.transfer.basis import varimax

Array = NDArray[np.float64]

READ = 36.0  # variance of a channel without light, counts^2: read noise of six
PRIVATE = 4  # factors of the secondary's own
ROUNDS, STEPS = 20, 6
WIDTHS = 16
NULL = 5.0  # channels' worth of belief that a loading is zero


@dataclass(frozen=True)
class Inversion:
    """A fitted forward model.

    Parameters
    ----------
    loadings : (1 + latent + private, channel) array
        Mean spectrum, V and U.
    noise : (channel,) array
        Variance at the mean counts.
    mean : (channel,) array, counts
    gain : float
        Spread of the gain.
    scores : (latent, channel of the primary) array
        The primary's deviation from its mean for a score of one.
    centre : (channel of the primary,) array
    """

    loadings: Array
    noise: Array
    mean: Array
    gain: float
    scores: Array
    centre: Array

    @classmethod
    def fit(cls, secondary: Array, primary: Array, latents: int) -> Inversion:
        """Learn from paired spectra.

        Parameters
        ----------
        secondary, primary : (sample, channel) array
        latents : int
        """
        centre = primary.mean(0)
        left, size, right = np.linalg.svd(primary - centre, full_matrices=False)
        latents = max(1, min(latents, int((size > 1e-9 * size[0]).sum()), len(primary) // 3))
        z = left[:, :latents] * np.sqrt(len(primary))
        scores = size[:latents, None] / np.sqrt(len(primary)) * right[:latents]
        loadings, noise, gain = _alternate(secondary, np.column_stack([np.ones(len(z)), z]))
        turn = varimax((loadings[1:] / np.sqrt(noise)).T)
        z, scores, turned = z @ turn, turn.T @ scores, turn.T @ loadings[1:]
        error = np.sqrt(np.diag(np.linalg.inv((z * gain[:, None] ** 2).T @ z)))
        sharp = [shrunk(row / np.sqrt(noise), width) * np.sqrt(noise) for row, width in zip(turned, error, strict=True)]
        loadings = np.vstack([loadings[:1], *sharp])
        private, noise = _private(secondary, np.column_stack([np.ones(len(z)), z]) @ loadings, noise)
        mean = np.clip(secondary.mean(0), 1, None)
        return cls(np.vstack([loadings, private]), noise, mean, float(gain.std()) + 1e-3, scores, centre)

    def primary(self, secondary: Array) -> Array:
        """Most probable spectra of the primary : (sample, channel)."""
        count = self.loadings.shape[0]
        gain = secondary.sum(1) / max(float(self.loadings[0].sum()), 1e-300)
        expected = gain[:, None] * self.loadings[0]
        state = np.zeros((len(secondary), count))
        for _ in range(STEPS):
            variance = self.noise * (np.clip(expected, 1, None) + READ) / (self.mean + READ)
            weighted = self.loadings / variance[:, None, :]
            precision = weighted @ self.loadings.T
            evidence = (weighted @ secondary[:, :, None])[..., 0]
            precision[:, 0, 0] += 1 / self.gain**2
            evidence[:, 0] += 1 / self.gain**2
            own = np.arange(1, count)
            precision[:, own, own] += (1 / np.clip(gain, 0.05, None) ** 2)[:, None]
            state = np.linalg.solve(precision, evidence[..., None])[..., 0]
            gain, expected = np.clip(state[:, 0], 0.05, None), state @ self.loadings
        latents = len(self.scores)
        return self.centre + state[:, 1 : latents + 1] / gain[:, None] @ self.scores


def _alternate(secondary: Array, design: Array) -> tuple[Array, Array, Array]:
    """Loadings, noise and gains, each given the others."""
    rows = len(secondary)
    gain = secondary.sum(1) / secondary.sum(1).mean()
    loadings, noise = np.zeros((design.shape[1], secondary.shape[1])), np.ones(secondary.shape[1])
    for turn in range(ROUNDS):
        scaled = design * gain[:, None]
        loadings = np.linalg.lstsq(scaled, secondary, rcond=None)[0]
        seen = design @ loadings
        left = ((secondary - gain[:, None] * seen) ** 2).sum(0) / max(rows - design.shape[1] - 1, 1)
        noise = np.clip(seen.mean(0), 1, None) + READ if turn == 0 else left + 1e-9 * (left.mean() + 1e-300)
        gain = (secondary * seen / noise).sum(1) / (seen * seen / noise).sum(1)
        gain = gain / gain.mean()
    return loadings, noise, gain


def shrunk(loadings: Array, error: float) -> Array:
    """Posterior mean of loadings whose law is a mixture of normals, some of width zero, found from all of them.

    Parameters
    ----------
    loadings : (channel,) array
    error : float
        Standard error of each.

    Examples
    --------
    >>> shrunk(np.r_[np.zeros(200) + 0.1, 5.0], 0.1).round(1)[[0, -1]]
    array([0., 5.])
    """
    noise = error**2
    widest = max(1.2 * float((loadings**2).max()), noise)
    widths = np.r_[0.0, np.geomspace(noise / 16, widest, WIDTHS - 1)]
    total = noise + widths
    log_like = -0.5 * np.log(total) - 0.5 * loadings[:, None] ** 2 / total
    like = np.exp(log_like - log_like.max(1, keepdims=True))
    share = np.full(len(widths), 1 / len(widths))
    for _ in range(200):
        belongs = share * like
        share = (belongs / belongs.sum(1, keepdims=True)).sum(0)
        share[0] += NULL
        share = share / share.sum()
    belongs = share * like
    belongs = belongs / belongs.sum(1, keepdims=True)
    return (belongs @ (widths / total)) * loadings


def _private(secondary: Array, seen: Array, noise: Array) -> tuple[Array, Array]:
    """Factors that the residuals share beyond what noise alone would, and the noise that is left."""
    gain = (secondary * seen / noise).sum(1) / (seen * seen / noise).sum(1)
    left = (secondary - gain[:, None] * seen) / gain[:, None]
    spread = np.sqrt((left**2).mean(0)) + 1e-300
    _, size, directions = np.linalg.svd(left / spread, full_matrices=False)
    count = min(PRIVATE, len(size) - 1)
    excess = np.clip(size[:count] ** 2 - size[count] ** 2, 0, None) / len(secondary)
    factors = np.sqrt(excess)[:, None] * directions[:count]
    return factors * spread, spread**2 * np.clip(1 - (factors**2).sum(0), 0.05, None)
