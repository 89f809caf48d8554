"""The decoder of absorption spectra that starts from the law of Beer and Lambert."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probspec.nets.absorption import FLOOR, AbsorptionDecoder
from probspec.nets.beer_lambert import Regression, bend, factors, with_one

BELIEVED = 1000.0
"""Spectra that the Beer-Lambert law is worth where departures from it are learnt."""

CURVED = 100
"""Spectra from which on departures from the law are learnt."""

FEATURES = 512


class MixingDecoder(AbsorptionDecoder):
    """x = (c - mean) K + blank + z W + d(c): pure spectra K, nuisance directions W, and a departure d.

    K and the blank, the spectrum at the mean concentrations, are handed in as one table, so that they may be
    uncertain. From a hundred spectra on, d is found by ridge regression on products and random waves of concentrations,
    apart from what is linear in them, and the noise of a channel may grow with its mean, as that of a dark channel
    does. Gradient steps move all of it little: where they started counts as much as `BELIEVED` spectra.

    Parameters
    ----------
    channels, components, directions : int
    """

    def __init__(self, channels: int, components: int, directions: int):
        super().__init__(channels, components, directions)
        generator = torch.Generator().manual_seed(0)
        products = components * (components + 1) // 2
        self.register_buffer("waves", 0.4 * torch.randn(components + 1, FEATURES, generator=generator))
        self.register_buffer("straight", torch.zeros(components + 1, products + FEATURES))
        self.loadings = nn.Parameter(torch.zeros(directions, channels))
        self.bent = nn.Parameter(torch.zeros(products + FEATURES, channels))
        self.growth = nn.Parameter(torch.zeros(channels))
        self.register_buffer("level", torch.zeros(channels))
        for name in ("loadings", "bent", "growth"):
            self.register_buffer(f"first_{name}", torch.zeros_like(getattr(self, name)))

    def start(self, found: Regression, x: Tensor, centred: Tensor) -> Regression:
        """Take departure, noise and directions in closed form."""
        if len(x) >= CURVED:
            found = self._bend(found, x, centred)
        self.loadings.data, self.first_loadings = found.directions.clone(), found.directions.clone()
        self.first_bent, self.first_growth = self.bent.detach().clone(), self.growth.detach().clone()
        self.log_noise.data = found.noise.clamp_min(FLOOR).log()
        return found

    def _bend(self, found: Regression, x: Tensor, centred: Tensor) -> Regression:
        design, features = with_one(centred).double(), self._features(centred).double()
        straight = torch.linalg.lstsq(design, features).solution
        curvature = bend(x.double() - design @ found.pure.double(), features - design @ straight)
        self.straight, self.bent.data = straight.float(), curvature.weights.float()
        level = curvature.left_out.square().mean(0).sqrt().clamp_min(1e-12)  # a dark channel must not hide the others
        directions, noise = (part * level for part in factors(curvature.left_out / level, *[self.directions] * 2))
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
        one, other = torch.triu_indices(*[centred.shape[-1]] * 2, device=centred.device)
        return torch.cat([centred[..., one] * centred[..., other], torch.tanh(with_one(centred) @ self.waves)], -1)

    def _shape(self, centred: Tensor) -> Tensor:
        """Features of concentrations, no further out than the training set, without what is linear in them."""
        inside = centred.clamp(-1, 1)
        return self._features(inside) - with_one(inside) @ self.straight
