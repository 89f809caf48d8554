"""The decoder of absorption spectra that starts from the law of Beer and Lambert."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb

import torch
from torch import Tensor, nn

from probspec.nets.absorption import AbsorptionDecoder
from probspec.nets.beer_lambert import Regression, factors, standing_out, with_one
from probspec.nets.left_out_ridge import left_out_ridge

BELIEVED = 1000.0
"""Spectra that the Beer-Lambert law is worth where departures from it are learnt."""

CURVED = 2
"""Groups of spectra for each pure one from which on departures from the law are looked for."""

WAVES = 512
DEGREE, PRODUCTS = 4, 512
"""Largest degree of products of concentrations, and how many there may be at most; squares there are always."""


class MixingDecoder(AbsorptionDecoder):
    """x = (c - mean) K + blank + z W + d(c): pure spectra K, nuisance directions W, and a departure d.

    K and the blank, the spectrum at the mean concentrations, are handed in as one table, so that they may be
    uncertain. In channels whose left-out residuals clearly shrink by it, d is found by ridge regression on products and
    random waves of concentrations, apart from what is linear in them. The nuisance has the directions in which the
    residuals stand out, and the noise of a channel may grow with its mean, as that of a dark channel does. Gradient
    steps move all of it little: where they started counts as much as `BELIEVED` spectra.

    Parameters
    ----------
    channels, components, directions : int
    """

    def __init__(self, channels: int, components: int, directions: int):
        super().__init__(channels, components, directions)
        generator = torch.Generator().manual_seed(0)
        self.degrees = [torch.tensor(factors) for factors in products(components)]
        features = sum(map(len, self.degrees)) + WAVES
        self.register_buffer("waves", 0.4 * torch.randn(components + 1, WAVES, generator=generator))
        self.register_buffer("straight", torch.zeros(components + 1, features))
        self.loadings = nn.Parameter(torch.zeros(directions, channels))
        self.bent = nn.Parameter(torch.zeros(features, channels))
        self.growth = nn.Parameter(torch.zeros(channels))
        self.register_buffer("level", torch.zeros(channels))
        for name in ("loadings", "bent", "growth"):
            self.register_buffer(f"first_{name}", torch.zeros_like(getattr(self, name)))

    def start(self, found: Regression, x: Tensor, centred: Tensor, groups: Tensor) -> Regression:
        """Take departure, noise and directions in closed form."""
        if groups.max() + 1 > CURVED * len(found.pure):
            found = self._bend(found, x, centred, groups)
        self.loadings.data, self.first_loadings = found.directions.clone(), found.directions.clone()
        self.first_bent, self.first_growth = self.bent.detach().clone(), self.growth.detach().clone()
        self.log_noise.data = found.noise.clamp_min(self.floor).log()
        return found

    def _bend(self, found: Regression, x: Tensor, centred: Tensor, groups: Tensor) -> Regression:
        design, features = with_one(centred).double(), self._features(centred).double()
        straight = torch.linalg.lstsq(design, features).solution
        rest = x.double() - design @ found.pure.double()
        curvature = left_out_ridge(rest, features - design @ straight, design @ found.root.double(), groups)
        self.straight, self.bent.data = straight.float(), curvature.weights.float()
        level = curvature.left_out.square().mean(0).sqrt().clamp_min(1e-12)  # a dark channel must not hide the others
        relative = curvature.left_out / level
        kept = min(standing_out(relative), self.directions)
        directions, noise = (part * level for part in factors(relative, self.directions, kept))
        self._set_growth(curvature.left_out, (x.double() - curvature.left_out))
        return found._replace(directions=directions.float(), noise=noise.float())

    def _set_growth(self, residuals: Tensor, mean: Tensor) -> None:
        """Slope of the logarithm of residuals against the mean of a channel, where it is sure to be positive."""
        self.level = mean.mean(0).float()
        apart, log = mean - mean.mean(0), residuals.abs().clamp_min(1e-12).log()
        spread = apart.square().sum(0).clamp_min(1e-12)
        slope = (apart * (log - log.mean(0))).sum(0) / spread
        error = (log.var(0) / spread).sqrt()
        self.growth.data = torch.where(slope > 4 * error, slope, 0.0).float()

    @property
    def directions(self) -> int:
        """As many as the nuisance has."""
        return len(self.loadings)

    def forward(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Tensor:
        """Mean spectra; `pure` is (..., component + 1, channel)."""
        centred = self.centred(c)
        return with_one(centred) @ pure + z @ self.loadings + self._shape(centred) @ self.bent

    def noise(self, mean: Tensor) -> Tensor:
        """Noise of a channel, which may grow with its mean."""
        return super().noise(mean) * (self.growth * (mean - self.level)).clamp(-3, 3).exp()

    def nuisance(self, x: Tensor, c: Tensor, pure: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale of p(z | x, c) at the mean noise: (..., sample, direction), (direction, direction)."""
        weighted = (self.loadings * (-2 * self.log_noise).exp()).detach()
        precision = torch.eye(len(weighted), device=x.device) + weighted @ self.loadings.detach().T
        covariance = torch.linalg.inv(precision)
        centred = self.centred(c)
        rest = x / self.spread - with_one(centred) @ pure - self._shape(centred) @ self.bent.detach()
        return rest @ weighted.T @ covariance, torch.linalg.cholesky(covariance)

    def restraint(self, c: Tensor, z: Tensor) -> Tensor:
        """Squared changes since the start, in units of the noise, as if of `BELIEVED` spectra."""
        first = self.first_log_noise.exp()
        bent = self._shape(self.centred(c)) @ (self.bent - self.first_bent) / first
        moved = (self.loadings - self.first_loadings) / first
        relative = (self.log_noise - self.first_log_noise).square().sum()
        grown = (self.growth - self.first_growth).square().sum()
        return BELIEVED * (0.5 * bent.square().sum(-1).mean() + 0.5 * moved.square().sum() + relative + grown)

    def _features(self, centred: Tensor) -> Tensor:
        found = [(2 * centred)[..., factors].prod(-1) for factors in self.degrees]
        return torch.cat([*found, torch.tanh(with_one(centred) @ self.waves)], -1)

    def _shape(self, centred: Tensor) -> Tensor:
        """Features of concentrations, no further out than the training set, without what is linear in them."""
        inside = centred.clamp(-1, 1)
        return self._features(inside) - with_one(inside) @ self.straight


def products(components: int) -> list[list[tuple[int, ...]]]:
    """Components that are multiplied, degree by degree from 2 on.

    >>> products(2)[:2]
    [[(0, 0), (0, 1), (1, 1)], [(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1)]]
    >>> [sum(map(len, products(components))) for components in (1, 8, 20)]
    [3, 486, 210]
    """
    counted, found = 0, []
    for degree in range(2, DEGREE + 1):
        counted += comb(components + degree - 1, degree)
        if degree == 2 or counted <= PRODUCTS:
            found.append([*combinations_with_replacement(range(components), degree)])
    return found
