"""Guides of absorption spectra: q(K) of pure spectra from a regression, and q(c | x) around a least squares reading."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from probspec.guides import ConditionalGuide, SiteGuide
from probspec.nets.beer_lambert import Regression
from probspec.seeding import seeded
from probspec.sites import Site
from probspec.transforms import MixedRows

DRAWN = 300  # draws of a prior between whose extremes pure spectra start
NARROWEST = 1e-5
STEP = 1e-3  # least one, of finite differences of coordinates
FAR = 1e4  # unconstrained coordinate at which a value is at the end of its support


class PureSpectra(SiteGuide):
    """q(K) of the pure spectra of a whole set: what a regression leaves open of them.

    Where their concentrations went together the pure spectra do: each is a mixture, by the root of the regression's
    covariance, of independent spectra with the noise of the channels and its common directions.

    Parameters
    ----------
    site : Site
        Of event shape (source, channel).
    directions : int
        Along which left-out residuals vary together.
    """

    root: Tensor
    slope: Tensor

    def __init__(self, site: Site, directions: int):
        super().__init__(site)
        sources = site.event_shape[0] if site.size == math.prod(site.event_shape) else 1  # of a simplex all as one
        self.centre = nn.Parameter(self.location.clone())
        self.log_noise = nn.Parameter(torch.full((site.size // sources,), -2.0))
        self.loading = nn.Parameter(0.01 * torch.randn(site.size // sources, directions))
        self.register_buffer("root", torch.eye(sources))
        self.register_buffer("slope", self.scale.clone())

    def forward(self) -> Tensor:
        """Sample the site: (source, channel)."""
        variance = (2 * self.log_noise).exp()
        row = dist.LowRankMultivariateNormal(torch.zeros_like(variance), self.loading, variance)
        rows = dist.Independent(row.expand(self.root.shape[:1]), 1)
        law = self.pushed(rows, MixedRows(self.centre, self.slope, self.root, cache_size=1))
        return alone(pyro.sample(self.site.name, law))

    def drawn(self) -> Tensor:
        """One draw, apart from any trace."""
        with poutine.block():
            return self()

    def middle(self) -> Tensor:
        """Median: (source, channel)."""
        return self.coordinates.transform()(self.centre)

    def place(self, found: Regression, law: TorchDistribution) -> None:
        """Start at the posterior of a regression; `law` is the prior, between whose extremes pure spectra lie."""
        spread = (found.root.square().sum(1, keepdim=True).sqrt() * found.noise).clamp_min(STEP)
        low, high = _extremes(law)
        points = torch.stack([found.pure - spread, found.pure, found.pure + spread]).clamp(low, high)
        below, self.centre.data, above = self.coordinates.flat(points)
        width = (0.5 * (above - below)).clamp_min(NARROWEST)
        if len(width) != spread.numel():
            self.slope, self.log_noise.data, self.loading.data = width, 0 * width, torch.zeros_like(self.loading)
            return
        self.root, self.slope = found.root.clone(), width / spread.flatten()
        self.log_noise.data = found.noise.clamp_min(NARROWEST).log()
        self.loading.data = found.directions.T.clone()


class Concentrations(nn.Module):
    """q(c | x) around what least squares read off a spectrum, moved to where the prior has support.

    Parameters
    ----------
    site : Site
    components : int
    """

    def __init__(self, site: Site, components: int):
        super().__init__()
        self.guide = ConditionalGuide(site, components, "gaussian")
        onto = self.guide.coordinates.transform()
        self.register_buffer("low", onto(torch.full((site.size,), -FAR)), persistent=False)
        self.register_buffer("high", onto(torch.full((site.size,), FAR)), persistent=False)

    def forward(self, found: Tensor, doubt: Tensor, context: Tensor) -> TorchDistribution:
        """Law of concentrations.

        Parameters
        ----------
        found : (..., sample, component) Tensor
            Reading, unit of the site.
        doubt : (component,) Tensor
            Its standard deviation.
        context : (..., sample, component) Tensor
            Reading of order one.
        """
        if self.guide.site.size != len(doubt):  # a simplex: its coordinates are not those of single components
            return self.guide(context)
        inset = torch.minimum(doubt, 0.25 * (self.high - self.low))  # where logarithms stay moderate
        middle = torch.minimum(torch.maximum(found, self.low + inset), self.high - inset)
        points = torch.stack([middle - 0.5 * inset, middle, middle + 0.5 * inset])
        low, centre, high = self.guide.coordinates.flat(points)
        return self.guide(context, centre, torch.diag_embed((high - low).clamp_min(1e-4)))


def alone(value: Tensor) -> Tensor:
    """Pure spectra without the dim of the plate, which draws in parallel leave."""
    return value.squeeze(-3) if value.dim() > 2 else value


def _extremes(law: TorchDistribution) -> tuple[Tensor, Tensor]:
    """Extremes, by element, of some draws of a law."""
    with seeded(0):
        drawn = law.sample(torch.Size((DRAWN,)))
    return drawn.amin(0), drawn.amax(0)
