r"""How an instrument that counts light sees the spectra of another.

.. math:: x = d + g\, r \odot S y + e, \qquad \log g \sim N(0, s^2), \qquad \mathrm{var}\, e = a\, g\, r \odot S y + b

S puts the primary's spectrum y at the secondary's channels (`alignment`), r is the response of each, g a gain of each
spectrum, d what is read without light. Few pairs tell all of them: there is one response a channel, where a
regression would have a coefficient for each pair of channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from probspec.transfer.alignment import Alignment

Array = NDArray[np.float64]

ROUNDS = 4  # of gains and responses in turn
BELIEF = 10.0  # spectra's worth of belief that the noise of all channels follows one law
GAIN = 0.02  # added to the spread of gains, which is told by few
WEAKEST = 0.05  # gain
ROUNDING = 1e-9  # of the squared brightest mean, the least variance
LEAST = 1e-3  # of the brightest channel, below which a mean is taken for none


@dataclass(frozen=True)
class Optics:
    """A fitted instrument.

    Parameters
    ----------
    alignment : Alignment
    channels : (channel of the secondary,) array of bool
        Those that lie in the primary's range, which alone are used.
    response : (used channel,) array
    dark : float
        What is read without light, in the secondary's unit.
    gain : float
        Spread of the gains about one.
    mean, noise : (used channel,) array
        Mean without the dark, and the variance of a spectrum that has it.
    read : float
        Mean without the dark at which the variance is twice that without light.
    """

    alignment: Alignment
    channels: NDArray[np.bool_]
    response: Array
    dark: float
    gain: float
    mean: Array
    noise: Array
    read: float

    @classmethod
    def fit(cls, alignment: Alignment, secondary: Array, primary: Array) -> Self:
        """Learn from paired spectra, (sample, channel) each."""
        channels = alignment.inside(primary.shape[1])
        told, seen = secondary[:, channels], alignment.seen(primary)[:, channels]
        dark = _dark(told, seen)
        gain, expected = _explain(told - dark, seen)
        mean = expected.mean(0).clip(0)
        left = ((told - dark - expected) ** 2).sum(0) / (len(told) - 1) + ROUNDING * mean.max() ** 2
        slope, floor = _law(mean, left)
        noise = (BELIEF * (slope * mean + floor) + len(told) * left) / (BELIEF + len(told))
        response = expected.sum(0) / ((gain[:, None] * seen).sum(0) + 1e-300)
        return cls(alignment, channels, response, dark, float(np.log(gain).std()) + GAIN, mean, noise, floor / slope)

    def light(self, secondary: Array) -> Array:
        """Used channels of the secondary without the dark : (sample, used channel)."""
        return secondary[:, self.channels] - self.dark

    def seen(self, primary: Array) -> Array:
        """Light of spectra of the primary at a gain of one, without noise : (sample, used channel)."""
        return self.alignment.seen(primary)[:, self.channels] * self.response

    def certain(self, expected: Array) -> Array:
        """Inverse variance of so much light : (sample, used channel)."""
        return (self.mean + self.read) / self.noise / (expected.clip(0) + self.read)

    def simulated(self, primary: Array, rng: np.random.Generator) -> Array:
        """Light of spectra of the primary, with gains and noise : (sample, used channel)."""
        expected = rng.lognormal(-0.5 * self.gain**2, self.gain, (len(primary), 1)) * self.seen(primary)
        return expected + rng.standard_normal(expected.shape) / np.sqrt(self.certain(expected))


def _dark(told: Array, seen: Array) -> float:
    """What is read without light: with it taken off, gains and responses explain most."""
    mean = told.mean(0)
    weight = 1 / mean.clip(LEAST * mean.max())

    def left(dark: float) -> float:
        return float((((told - dark - _explain(told - dark, seen)[1]) ** 2).sum(0) * weight).sum())

    darkest = max(float(mean.min()), LEAST * float(mean.max()))
    return float(minimize_scalar(left, bounds=(0, 0.99 * darkest), method="bounded")["x"])


def _explain(light: Array, seen: Array) -> tuple[Array, Array]:
    """Gains, and light as they and the responses make it of what is seen."""
    mean = light.mean(0)
    weight, gain = 1 / mean.clip(LEAST * mean.max()), (light.sum(1) / light.sum(1).mean()).clip(WEAKEST)
    bright = seen
    for _ in range(ROUNDS):
        gained = gain[:, None] * seen
        bright = seen * ((gained * light).sum(0) / ((gained**2).sum(0) + 1e-300))
        gain = (bright * light) @ weight / (bright**2 @ weight)
        gain = (gain / gain.mean()).clip(WEAKEST)
    return gain, gain[:, None] * bright


def _law(mean: Array, variance: Array) -> tuple[float, float]:
    """Slope and floor of a variance that grows with the mean."""
    design, law = np.column_stack([mean, np.full_like(mean, mean.mean())]), np.full_like(mean, variance.mean())
    found = np.ones(2)
    for _ in range(5):
        found = nnls(design / law[:, None], variance / law)[0] + 1e-6 * variance.mean() / mean.mean()
        law = design @ found
    return float(found[0]), float(found[1] * mean.mean())
