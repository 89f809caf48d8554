"""Guides of absorption spectra: q(K) of pure spectra from a regression, and q(c | x) around a least squares reading."""

from __future__ import annotations

from typing import Any

import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from probspec.guides import ConditionalGuide, LowRank
from probspec.nets.beer_lambert import Regression
from probspec.seeding import seeded
from probspec.sites import Site

DRAWN = 300  # draws of a prior between whose extremes pure spectra start
NARROWEST = 1e-5
FAR = 1e4  # unconstrained coordinate at which a value is at the end of its support


class PureSpectra(nn.Module):
    """q(K) of the pure spectra of a whole set.

    Parameters
    ----------
    site : Site
        Of event shape (source, channel).
    directions : int
        Along which left-out residuals vary together; each source has as many common factors.
    """

    def __init__(self, site: Site, directions: int):
        super().__init__()
        self.site = site
        self.guide = LowRank([site], site.event_shape[0] * directions)

    def forward(self) -> Tensor:
        """Sample the site: (source, channel)."""
        return alone(self.guide()[self.site.name])

    def drawn(self) -> Tensor:
        """One draw, apart from any trace."""
        with poutine.block():
            return self()

    def middle(self) -> Tensor:
        """Median: (source, channel)."""
        (normal,) = self._normals
        return normal.coordinates.transform()(normal.centre)

    @property
    def _normals(self) -> Any:
        return self.guide.normals

    def place(self, found: Regression, law: TorchDistribution) -> None:
        """Start at the posterior of a regression, which is certain along no direction; `law` is the prior."""
        (normal,), (loading,) = self._normals, self.guide.loadings
        spread = found.root.square().sum(1, keepdim=True).sqrt() * found.noise
        low, high = _extremes(law)
        points = torch.stack([found.pure - spread, found.pure, found.pure + spread]).clamp(low, high)
        below, middle, above = normal.coordinates.flat(points)
        width = (0.5 * (above - below)).clamp_min(NARROWEST)
        normal.centre.data, normal.log_scale.data = middle, width.log()
        if len(middle) == found.pure.numel():
            common = torch.einsum("ij,dc->icjd", found.root, found.directions).reshape(len(middle), -1)
            loading.data = common * (width / spread.flatten().clamp_min(1e-12))[:, None]


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
