"""The Poisson likelihood of a cube of counts by its maps: energy, gradient, and Fisher information by pixel.

Pixels are taken in blocks that stay in a processor's cache; what is summed over the cube is summed in double precision.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from probspec.counts import Counts
from probspec.fields.links import Links
from probspec.mixtures import Mixture

BLOCK = 2**18
"""Pixels times channels that are computed at once."""
LEAST = 1e-30


class Linearised(NamedTuple):
    """The likelihood near some maps.

    Parameters
    ----------
    energy : () Tensor, nats
    gradient : (map, pixel) Tensor
    fisher : (pixel, map, map) Tensor
    """

    energy: Tensor
    gradient: Tensor
    fisher: Tensor


class Poisson:
    """Negative log likelihood of counts but for a constant.

    Parameters
    ----------
    counts : (pixel, channel) Tensor
    """

    def __init__(self, counts: Tensor):
        self._counts = counts

    def value(self, rate: Tensor, at: slice) -> Tensor:
        """Sum over the pixels of a block, nats, in double precision."""
        return (rate - self._counts[at] * rate.log()).sum(dtype=torch.double)

    def slope(self, rate: Tensor, at: slice) -> Tensor:
        """Derivative by the rate."""
        return 1 - self._counts[at] / rate


class Roots:
    """Half the squared distance of 2 sqrt(rate), whose Fisher information is one, from given values.

    Parameters
    ----------
    wanted : (pixel, channel) Tensor
    """

    def __init__(self, wanted: Tensor):
        self._wanted = wanted

    def value(self, rate: Tensor, at: slice) -> Tensor:
        """Sum over the pixels of a block, in double precision."""
        return 0.5 * (2 * rate.sqrt() - self._wanted[at]).square().sum(dtype=torch.double)

    def slope(self, rate: Tensor, at: slice) -> Tensor:
        """Derivative by the rate."""
        root = rate.sqrt()
        return (2 * root - self._wanted[at]) / root


class PoissonMaps:
    """Counts of a cube, given maps (map, pixel).

    Parameters
    ----------
    mixture : Mixture
    counts : Counts
    """

    def __init__(self, mixture: Mixture, counts: Counts):
        self.mixture, self.links = mixture, Links(mixture)
        self.counts, self.exposure = counts.values.float(), counts.exposure.float()
        self.misfit = Poisson(self.counts)
        self.known = None if counts.known is None else counts.known.float().expand(len(self.counts), -1)
        self._pixels = max(BLOCK // mixture.channels, 1)

    def energy(self, maps: Tensor, misfit: Poisson | Roots | None = None) -> Tensor:
        """Misfit, by default to the counts, in double precision."""
        misfit = misfit or self.misfit
        parts = (
            misfit.value(self._rate(self.mixture.expected(*self.links(maps[:, at])), at), at) for at in self._blocks()
        )
        return sum(parts, start=maps.new_zeros((), dtype=torch.double))

    def linearised(self, maps: Tensor, misfit: Poisson | Roots | None = None) -> Linearised:
        """Misfit with its gradient, and the Fisher information."""
        parts = (self._linearised(maps[:, at], misfit or self.misfit, at) for at in self._blocks())
        energies, gradients, fishers = zip(*parts, strict=True)
        return Linearised(torch.stack(energies).sum(), torch.cat(gradients, 1), torch.cat(fishers))

    def roots(self, maps: Tensor) -> Tensor:
        """2 sqrt(rate), (pixel, channel): coordinates of the counts in which their noise is about one."""
        rates = (self._rate(self.mixture.expected(*self.links(maps[:, at])), at) for at in self._blocks())
        return 2 * torch.cat([rate.sqrt() for rate in rates])

    def pulled(self, maps: Tensor, noise: Tensor) -> Tensor:
        """Product (map, pixel) of the transposed Jacobian of `roots` with noise (pixel, channel)."""
        return torch.cat([self._pulled(maps[:, at], noise[at], at) for at in self._blocks()], 1)

    def _blocks(self) -> list[slice]:
        return [slice(start, start + self._pixels) for start in range(0, len(self.counts), self._pixels)]

    def _pulled(self, maps: Tensor, noise: Tensor, at: slice) -> Tensor:
        _, change, slopes = self._change(maps, at)
        return ((change @ noise.unsqueeze(-1)).squeeze(-1) * slopes).T

    def _linearised(self, maps: Tensor, misfit: Poisson | Roots, at: slice) -> tuple[Tensor, Tensor, Tensor]:
        rate, change, slopes = self._change(maps, at)
        gradient = (change @ (misfit.slope(rate, at) * rate.sqrt()).unsqueeze(-1)).squeeze(-1) * slopes
        fisher = (change @ change.transpose(1, 2)) * slopes.unsqueeze(1) * slopes.unsqueeze(2)
        return misfit.value(rate, at), gradient.T, fisher

    def _change(self, maps: Tensor, at: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Rate, derivatives (pixel, map, channel) of `roots` by amplitudes and parameters, and those by the maps."""
        expected, jacobian = self.mixture.expected_with_jacobian(*self.links(maps))
        rate = self._rate(expected, at)
        return rate, jacobian.mul_((self.exposure[at] / rate.sqrt()).unsqueeze(1)), self.links.slopes(maps)

    def _rate(self, expected: Tensor, at: slice) -> Tensor:
        rate = expected * self.exposure[at]
        return (rate if self.known is None else rate + self.known[at]).clamp_min(LEAST)
