"""Amplitudes given the parameters: the mode of a concave Poisson posterior, at many nodes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

LEAST = 1e-6  # counts: what an amplitude at its bound is given
DARK = 1e-12  # counts expected in a channel that no component reaches


class Counted(NamedTuple):
    """One spectrum of counts.

    Parameters
    ----------
    counts : (channel,) Tensor
    exposure : (channel,) Tensor
    known : (channel,) Tensor, counts
        Expected besides the components, exposure included.
    """

    counts: Tensor
    exposure: Tensor
    known: Tensor

    @property
    def total(self) -> Tensor:
        """Counts of the components that unit exposure would have given; one at least."""
        own = self.counts.sum() - self.known.sum()
        return (own / self.exposure.mean().clamp_min(1e-12)).clamp_min(1.0)

    def expected(self, made: Tensor) -> Tensor:
        """Expected counts (..., channel) where the components make so many per unit of exposure."""
        return (made * self.exposure + self.known).clamp_min(DARK)


@dataclass(frozen=True)
class Terms:
    """What the likelihood of a spectrum needs of given parameters: channels without counts count in their sums only.

    Parameters
    ----------
    counts : (counted,) Tensor
        Those above 0, times their weight.
    spectra : (node, component, counted) Tensor
        Of these channels, times the exposure.
    known : (counted,) Tensor
        Expected there besides.
    total : (node, component) Tensor
        Sum of a component over all channels, times the exposure and the weight.
    """

    counts: Tensor
    spectra: Tensor
    known: Tensor
    total: Tensor

    @classmethod
    def of(cls, counted: Counted, spectra: Tensor, weight: float = 1.0) -> Terms:
        """From a spectrum and spectra : (node, component, channel); the likelihood counts for `weight` of one."""
        seen, some = spectra * counted.exposure, counted.counts > 0
        return cls(weight * counted.counts[some], seen[..., some], counted.known[some], weight * seen.sum(-1))

    def expected(self, amplitude: Tensor) -> Tensor:
        """Counts expected in the counted channels, (node, counted), of amplitudes (node, component)."""
        return ((amplitude.unsqueeze(-2) @ self.spectra).squeeze(-2) + self.known).clamp_min(DARK)

    def log_likelihood(self, amplitude: Tensor) -> Tensor:
        """Log likelihood (node,), without the factorials of the counts."""
        return self.expected(amplitude).log() @ self.counts - (amplitude * self.total).sum(-1)

    def derivatives(self, amplitude: Tensor) -> tuple[Tensor, Tensor]:
        """Slope (node, component) of the log likelihood, and minus its second derivative."""
        expected = self.expected(amplitude)
        ratio = self.counts / expected
        slope = (self.spectra @ ratio.unsqueeze(-1)).squeeze(-1) - self.total
        return slope, (self.spectra * (ratio / expected).unsqueeze(-2)) @ self.spectra.mT


@dataclass(frozen=True)
class Conditional:
    """Log likelihood of amplitudes at each node, to second order about its mode under exponential laws.

    Parameters
    ----------
    mode : (node, component) Tensor, counts
    log_likelihood : (node,) Tensor, nats
        At the mode.
    slope : (node, component) Tensor
    curvature : (node, component, component) Tensor
        Minus the second derivative.
    """

    mode: Tensor
    log_likelihood: Tensor
    slope: Tensor
    curvature: Tensor


def conditional(terms: Terms, rate: Tensor, climbs: int = 10, newton: int = 6) -> Conditional:
    """Find the most probable amplitudes.

    Richardson-Lucy steps, which cannot fail, then Newton steps, each taken where it climbs.

    Parameters
    ----------
    terms : Terms
    rate : (component,) Tensor, 1/counts
        Of the exponential laws.
    climbs, newton : int
        Steps of each kind.
    """
    amplitude = (terms.counts.sum().clamp_min(1.0) / terms.total.shape[1]).expand_as(terms.total)
    for _ in range(climbs):
        amplitude = _climb(amplitude, terms, rate)
    height = _height(amplitude, terms, rate)
    for _ in range(newton):
        leap = _leap(amplitude, terms, rate)
        reached = _height(leap, terms, rate)
        fell = reached < height
        if fell.any():
            leap = torch.where(fell[:, None], _climb(amplitude, terms, rate), leap)
            reached = _height(leap, terms, rate)
        amplitude, height = leap, reached
    return Conditional(amplitude, terms.log_likelihood(amplitude), *terms.derivatives(amplitude))


def _height(amplitude: Tensor, terms: Terms, rate: Tensor) -> Tensor:
    return terms.log_likelihood(amplitude) - amplitude @ rate


def _climb(amplitude: Tensor, terms: Terms, rate: Tensor) -> Tensor:
    counted = (terms.spectra @ (terms.counts / terms.expected(amplitude)).unsqueeze(-1)).squeeze(-1)
    return (amplitude * counted / (terms.total + rate)).clamp_min(LEAST)


def _leap(amplitude: Tensor, terms: Terms, rate: Tensor) -> Tensor:
    """A Newton step of components off their bound, or that leave it; none goes further down than to a twentieth."""
    slope, curvature = terms.derivatives(amplitude)
    slope = slope - rate
    free = ((amplitude > 10 * LEAST) | (slope > 0)).to(amplitude)
    held = torch.diag_embed(1 - free + 1e-9)
    step = torch.linalg.solve(curvature * free.unsqueeze(-1) * free.unsqueeze(-2) + held, (slope * free).unsqueeze(-1))
    return torch.maximum(amplitude + step.squeeze(-1), amplitude / 20).clamp_min(LEAST)
