"""Approximate posteriors, made from the supports of the priors.

What belongs to a spectrum is amortised: each site gets a conditional flow of the encoder's output, in unconstrained
coordinates, carried onto the site's support. What belongs to the whole set gets normals, independent or of low rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform, ComposeTransform, Transform

from probspec.distributions import PushedForward
from probspec.errors import GuideError, explain, known
from probspec.flows import ConditionalFlow
from probspec.sites import Site as Site
from probspec.sites import check_pair as check_pair
from probspec.sites import latent_sites as latent_sites
from probspec.supports import Coordinates, describe
from probspec.transforms import LowerAffine


class SiteGuide(nn.Module):
    """What every guide of a site has: its coordinates, and where its prior lies in them.

    Parameters
    ----------
    site : Site
    """

    location: Tensor
    scale: Tensor

    def __init__(self, site: Site):
        super().__init__()
        self.site = site
        self.coordinates = Coordinates(site.support, site.event_shape)
        # A standard normal on a simplex would put nearly everything into one component.
        width = 1 / site.event_shape[-1] if describe(site.support) == "simplex" else 1.0
        self.register_buffer("location", torch.tensor(site.location or (0.0,) * site.size), persistent=False)
        self.register_buffer("scale", torch.tensor(site.scale or (width,) * site.size), persistent=False)

    def pushed(self, base: TorchDistribution, *before: Transform) -> PushedForward:
        """Carry `base`, a law on R^d, through the transforms `before` and onto the support."""
        steps = ComposeTransform([*before, self.coordinates.transform()], cache_size=1)
        return PushedForward(base, steps, self.coordinates.support, self.coordinates.event_shape)


class ConditionalGuide(SiteGuide):
    """Law of one per-sample site given a context, for `pyro.sample` and as a density with ``obs=``.

    The unconstrained value is ``location + scale_tril @ u``, u from the flow; without a warm start, location and scale
    are those of the prior.

    Parameters
    ----------
    site : Site
    context : int
        Number of context features.
    flow : str
        Kind of `ConditionalFlow`.
    transforms, hidden
        As for `ConditionalFlow`.

    Examples
    --------
    >>> site = Site("abundance", torch.distributions.constraints.simplex, (3,))
    >>> guide = ConditionalGuide(site, context=5)
    >>> law = guide(torch.zeros(7, 5))
    >>> law.batch_shape, law.event_shape
    (torch.Size([7]), torch.Size([3]))
    """

    def __init__(
        self, site: Site, context: int, flow: str = "affine", transforms: int = 2, hidden: Sequence[int] = (64, 64)
    ):
        super().__init__(site)
        self.flow = ConditionalFlow(site.size, context, flow, transforms, hidden)

    def forward(
        self, context: Tensor, location: Tensor | None = None, scale_tril: Tensor | None = None
    ) -> TorchDistribution:
        """Law given a context.

        Parameters
        ----------
        context : (..., sample, context) Tensor
        location : (..., sample, d) Tensor, optional
            Warm start in unconstrained coordinates.
        scale_tril : (..., sample, d, d) Tensor, optional
            Lower triangular scale of the warm start.

        Returns
        -------
        TorchDistribution
            Over the site's own value: its support and event shape, batch shape (..., sample).
        """
        location = self.location if location is None else location
        if scale_tril is None:
            affine: Transform = AffineTransform(location, self.scale, event_dim=1, cache_size=1)
            batch = location.shape[:-1]
        else:
            affine = LowerAffine(location, scale_tril, cache_size=1)
            batch = torch.broadcast_shapes(location.shape[:-1], scale_tril.shape[:-2])
        base = self.flow(context)
        return self.pushed(base.expand(torch.broadcast_shapes(base.batch_shape, batch)), affine)

    def standardised(self, value: Tensor) -> Tensor:
        """Flat unconstrained coordinates of a value, of order one under the prior: (..., sample, d)."""
        return (self.coordinates.flat(value) - self.location) / self.scale


class AmortisedFlow(nn.Module):
    """Joint law of all per-sample sites given a context: a chain, each site conditional on the earlier ones.

    Call it inside the plate over samples; it makes the `pyro.sample` statements in the order of `sites`.

    Parameters
    ----------
    sites : sequence of Site
        Per-sample sites.
    context : int
        Number of context features.
    flow, transforms, hidden
        As for `ConditionalFlow`.

    Raises
    ------
    GuideError
        A site is global.

    Examples
    --------
    >>> abundance = Site("abundance", torch.distributions.constraints.simplex, (3,))
    >>> guide = AmortisedFlow([abundance], context=5)
    >>> with pyro.plate("sample", 7):
    ...     guide(torch.zeros(7, 5))["abundance"].shape
    torch.Size([7, 3])
    """

    def __init__(
        self,
        sites: Sequence[Site],
        context: int,
        flow: str = "affine",
        transforms: int = 2,
        hidden: Sequence[int] = (64, 64),
    ):
        super().__init__()
        _require(sites, per_sample=True)
        self.names = [site.name for site in sites]
        self.chain = nn.ModuleList()
        for site in sites:
            self.chain.append(ConditionalGuide(site, context, flow, transforms, hidden))
            context += site.size

    def forward(self, context: Tensor, **starts: tuple[Tensor | None, Tensor | None]) -> dict[str, Tensor]:
        """Sample the sites.

        Parameters
        ----------
        context : (..., sample, context) Tensor
        **starts : tuple of Tensor
            Warm start of a site, by its name: ``(location, scale_tril)``, each may be None.

        Returns
        -------
        dict of site -> Tensor

        Raises
        ------
        GuideError
            A warm start is misnamed.
        """
        _known("warm start", starts, self.names)
        values: dict[str, Tensor] = {}
        guide: Any
        for name, guide in zip(self.names, self.chain, strict=True):
            values[name] = pyro.sample(name, guide(context, *starts.get(name, ())))
            context = _joined(context, guide.standardised(values[name]))
        return values


class _Normal(SiteGuide):
    """Location and scale of a global site, in unconstrained coordinates."""

    def __init__(self, site: Site, start: Tensor | None, width: float):
        super().__init__(site)
        point = self.location if start is None else self.coordinates.flat(start)
        self.centre = nn.Parameter(point.detach().clone())
        self.log_scale = nn.Parameter((width * self.scale).log())


class MeanField(nn.Module):
    """Independent normals, in unconstrained coordinates, for sites of the whole set.

    Parameters
    ----------
    sites : sequence of Site
        Global sites.
    start : mapping of site -> Tensor, optional
        Values to start from, in the site's own unit; the prior's median where left out.
    width : float
        Scale to start from, as a share of the prior's.

    Raises
    ------
    GuideError
        A site belongs to a sample, or a start is misnamed.

    Examples
    --------
    >>> noise = Site("noise", torch.distributions.constraints.positive, (), per_sample=False)
    >>> guide = MeanField([noise], start={"noise": torch.tensor(0.1)})
    >>> bool(guide()["noise"] > 0)
    True
    """

    def __init__(self, sites: Sequence[Site], start: Mapping[str, Tensor] | None = None, width: float = 0.1):
        super().__init__()
        self.normals = nn.ModuleList(_normals(sites, start or {}, width))

    def forward(self) -> dict[str, Tensor]:
        """Sample the sites.

        Returns
        -------
        dict of site -> Tensor
        """
        values: dict[str, Tensor] = {}
        part: Any
        for part in self.normals:
            base = dist.Normal(part.centre, part.log_scale.exp()).to_event(1)
            values[part.site.name] = pyro.sample(part.site.name, part.pushed(base))
        return values


class LowRank(nn.Module):
    """Normals that share a few common factors, in unconstrained coordinates, for sites of the whole set.

    The unconstrained values are ``centre + loading @ factors + scale * noise``. Each site is drawn from its exact law
    given the sites before it, so that every site has a density of its own and there is no auxiliary one.

    Parameters
    ----------
    sites : sequence of Site
        Global sites.
    rank : int
        Number of common factors.
    start, width
        As for `MeanField`.

    Raises
    ------
    GuideError
        A site belongs to a sample, a start is misnamed, or the rank is not positive.
    """

    def __init__(self, sites: Sequence[Site], rank: int, start: Mapping[str, Tensor] | None = None, width: float = 0.1):
        super().__init__()
        if rank < 1:
            raise GuideError(explain("LowRank(rank)", f"{rank}", expected="at least 1", fix="or take MeanField"))
        self.rank = rank
        normals = _normals(sites, start or {}, width)
        self.normals = nn.ModuleList(normals)
        # Small and random: at zero the factors would have no gradient.
        self.loadings = nn.ParameterList(
            0.1 * width * part.scale.unsqueeze(-1) * torch.randn(len(part.scale), rank) for part in normals
        )

    def forward(self) -> dict[str, Tensor]:
        """Sample the sites.

        Returns
        -------
        dict of site -> Tensor
        """
        values: dict[str, Tensor] = {}
        factors = _Factors(torch.eye(self.rank).to(self.loadings[0]), torch.zeros(self.rank).to(self.loadings[0]))
        part: Any
        for part, loading in zip(self.normals, self.loadings, strict=True):
            variance = (2 * part.log_scale).exp()
            law = part.pushed(factors.law(part.centre, loading, variance))
            values[part.site.name] = value = pyro.sample(part.site.name, law)
            factors = factors.given(part.coordinates.flat(value) - part.centre, loading, variance)
        return values


class _Factors:
    """What the sites drawn so far say of the common factors: a normal of this precision, and precision @ mean."""

    def __init__(self, precision: Tensor, evidence: Tensor):
        self.precision, self.evidence = precision, evidence

    def law(self, centre: Tensor, loading: Tensor, variance: Tensor) -> TorchDistribution:
        root = torch.linalg.cholesky(self.precision)
        mean = torch.cholesky_solve(self.evidence.unsqueeze(-1), root).squeeze(-1)
        spread = torch.linalg.solve_triangular(root, loading.mT, upper=False).mT
        return dist.LowRankMultivariateNormal(centre + mean @ loading.mT, spread, variance)

    def given(self, residual: Tensor, loading: Tensor, variance: Tensor) -> _Factors:
        weighted = loading / variance.unsqueeze(-1)
        return _Factors(self.precision + loading.mT @ weighted, self.evidence + residual @ weighted)


def _require(sites: Sequence[Site], per_sample: bool) -> None:
    for site in sites:
        if site.per_sample != per_sample:
            problem = "has one value for the whole set" if per_sample else "has one value for each sample"
            fix = "give it to MeanField or LowRank" if per_sample else "give it to AmortisedFlow"
            raise GuideError(explain(f"site {site.name!r}", problem, fix=fix))


def _known(where: str, given: Iterable[str], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise GuideError(explain(where, f"no site {name!r}; {known(name, names)}"))


def _normals(sites: Sequence[Site], start: Mapping[str, Tensor], width: float) -> list[_Normal]:
    _require(sites, per_sample=False)
    _known("start", start, [site.name for site in sites])
    return [_Normal(site, start.get(site.name), width) for site in sites]


def _joined(context: Tensor, more: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(context.shape[:-1], more.shape[:-1])
    return torch.cat([context.expand(*batch, -1), more.expand(*batch, -1)], -1)
