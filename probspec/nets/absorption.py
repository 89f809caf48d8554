"""Decoders of absorption spectra, from concentrations c and a nuisance z.

`MixingDecoder` starts from the Beer-Lambert law and learns what departs from it; twenty spectra suffice. The
published decoders, of the VAE and of the conditional VAE, are plain networks (`NetworkDecoder`) and need hundreds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn

from probspec.nets.layers import mlp

LOOSE = 1e-4
"""Ridge on pure spectra, per spectrum, where concentrations are of order one."""

BELIEVED = 1000.0
"""Spectra that the Beer-Lambert law is worth where departures from it are learnt."""

LEAST = 0.2
"""Least share of a row's residual that its own leverage leaves."""

CURVED = 100
"""Spectra from which on departures from the law are learnt."""

FEATURES = 512

READ = 40
"""Most directions of the residuals that concentrations are read across."""

FLOOR = 1e-3
"""Least noise of a channel, as a share of the spread of the spectra."""


class Regression(NamedTuple):
    """Pure spectra by Bayesian linear regression, and what they leave.

    Parameters
    ----------
    pure : (component + 1, channel) Tensor
        Posterior means; the last row is the spectrum at the mean concentrations.
    root : (component + 1, component + 1) Tensor
        Lower triangular; `root` times its transpose is the posterior covariance of the rows of `pure`, in units of the
        covariance of one spectrum.
    directions : (direction, channel) Tensor
        Principal directions of the left-out residuals, scaled to a standard normal nuisance.
    noise : (channel,) Tensor
        Standard deviation of what the directions leave.
    """

    pure: Tensor
    root: Tensor
    directions: Tensor
    noise: Tensor


def regress(x: Tensor, centred: Tensor, directions: int) -> Regression:
    """Estimate pure spectra; noise and its directions come from residuals as of rows left out.

    Parameters
    ----------
    x : (sample, channel) Tensor
    centred : (sample, component) Tensor
        Concentrations of order one, their means taken off.
    directions : int

    Examples
    --------
    >>> c = torch.rand(30, 2) - 0.5
    >>> found = regress(c @ torch.rand(2, 50) + 1, c, directions=3)
    >>> found.pure.shape, bool(found.noise.max() < 1e-3)
    (torch.Size([3, 50]), True)
    """
    design, x = _with_one(centred.double()), x.double()
    rows, columns = design.shape
    ridge = LOOSE * rows * torch.eye(columns, dtype=design.dtype)
    ridge[-1, -1] = 0.0
    inverse = torch.linalg.inv(design.T @ design + ridge)
    pure = inverse @ design.T @ x
    leverage = ((design @ inverse) * design).sum(1, keepdim=True)
    left_out = (x - design @ pure) / (1 - leverage).clamp_min(LEAST).sqrt()
    loadings, noise = factors(left_out, directions, max(min(directions, rows - columns - 1), 0))
    root = torch.linalg.cholesky(0.5 * (inverse + inverse.T))
    return Regression(*(part.float() for part in (pure, root, loadings, noise)))


def factors(residuals: Tensor, directions: int, kept: int) -> tuple[Tensor, Tensor]:
    """Principal directions of residuals (sample, channel), of which `kept` are not zero, and what noise they leave."""
    u, singular, basis = torch.linalg.svd(residuals, full_matrices=False)
    kept = min(kept, len(singular) - 1)
    loadings = residuals.new_zeros(directions, residuals.shape[1])
    loadings[:kept] = singular[:kept, None] * basis[:kept] / len(residuals) ** 0.5
    rest = residuals - (u[:, :kept] * singular[:kept]) @ basis[:kept]
    return loadings, (rest.square().sum(0) / max(len(residuals) - kept, 1)).sqrt()


class Curvature(NamedTuple):
    """What departs from the law of Beer and Lambert, by ridge regression on features of the concentrations.

    Parameters
    ----------
    weights : (feature, channel) Tensor
    left_out : (sample, channel) Tensor
        Residuals as of rows left out.
    """

    weights: Tensor
    left_out: Tensor


def bend(rest: Tensor, features: Tensor) -> Curvature:
    """Regress what the law leaves on features, each channel with the ridge that serves rows left out best.

    A channel that no ridge serves better than the law alone stays straight.

    Parameters
    ----------
    rest : (sample, channel) Tensor
    features : (sample, feature) Tensor
    """
    u, singular, basis = torch.linalg.svd(features, full_matrices=False)
    projected = u.T @ rest
    weights, best, error = rest.new_zeros(features.shape[1], rest.shape[1]), rest, rest.square().mean(0)
    for ridge in torch.logspace(-13, 1, 15, dtype=rest.dtype) * singular[0].square():
        shrunk = singular.square() / (singular.square() + ridge)
        leverage = (u.square() * shrunk).sum(1, keepdim=True)
        left_out = (rest - (u * shrunk) @ projected) / (1 - leverage).clamp_min(LEAST)
        better = (found := left_out.square().mean(0)) < error
        found_weights = basis.T @ ((shrunk / singular.clamp_min(1e-300))[:, None] * projected)
        weights, best = torch.where(better, found_weights, weights), torch.where(better, left_out, best)
        error = torch.minimum(error, found)
    return Curvature(weights, best)


class AbsorptionDecoder(nn.Module, ABC):
    """From concentrations c : (..., sample, component) and nuisance z : (..., sample, direction) to spectra.

    Parameters
    ----------
    channels, components, directions : int
    """

    def __init__(self, channels: int, components: int, directions: int):
        super().__init__()
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("largest", torch.ones(components))
        self.register_buffer("mean", torch.zeros(components))
        self.log_noise = nn.Parameter(torch.zeros(channels))
        self.register_buffer("first_log_noise", torch.zeros(channels))
        self.register_buffer("reader", torch.zeros(channels, components))
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("doubt", torch.ones(components))

    @abstractmethod
    def forward(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Tensor:
        """Mean spectra, (..., sample, channel), in scaled units."""

    @abstractmethod
    def start(self, found: Regression, x: Tensor, centred: Tensor) -> Regression:
        """Take what closed forms give, and return what became of the regression."""

    def restraint(self, c: Tensor, z: Tensor) -> Tensor:
        """How far the decoder has departed from where it started, in nats."""
        return torch.zeros((), device=c.device)

    def fit(self, x: Tensor, c: Tensor) -> Regression:
        """Set scales and closed forms from spectra `x` : (sample, channel), their unit, and their concentrations."""
        self.spread = x.square().mean().sqrt().clamp_min(1e-12)
        self.largest = c.abs().amax(0).clamp_min(1e-12)
        self.mean = (c / self.largest).mean(0)
        found = self.start(regress(x / self.spread, self.centred(c), self.directions), x / self.spread, self.centred(c))
        self.first_log_noise = self.log_noise.detach().clone()
        self._set_reader(regress(x / self.spread, self.centred(c), min(max(len(x) // 10, 3), READ)))
        return found

    @property
    def directions(self) -> int:
        """Residual directions of the regression."""
        return 3

    def centred(self, c: Tensor) -> Tensor:
        """Concentrations of order one about their means."""
        return c / self.largest - self.mean

    def law(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Independent:
        """p(x | c, z) in scaled units."""
        mean = self(c, z, pure)
        return Normal(mean, self.noise(mean)).to_event(1)

    def noise(self, mean: Tensor) -> Tensor:
        """Standard deviation of channels whose mean is `mean`, in scaled units."""
        return self.log_noise.exp().clamp_min(0.1 * FLOOR)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Generalised least squares: concentrations (..., sample, component) in their unit, standard deviations."""
        return ((x / self.spread - self.offset) @ self.reader + self.mean) * self.largest, self.doubt * self.largest

    def _set_reader(self, found: Regression) -> None:
        pure, blank = found.pure[:-1].double(), found.pure[-1]
        noise = found.noise.clamp_min(FLOOR).double()
        directions = found.directions.double()
        covariance = torch.diag(noise.square()) + directions.T @ directions
        weighted = torch.linalg.solve(covariance, pure.T)
        inverse = torch.linalg.inv(pure @ weighted + 1e-2 * torch.eye(len(pure), dtype=pure.dtype))
        self.reader, self.offset = (weighted @ inverse).to(blank), blank
        self.doubt = inverse.diagonal().sqrt().to(blank)


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
        design, features = _with_one(centred).double(), self._features(centred).double()
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
        return _with_one(centred) @ pure + z @ self.loadings + self._shape(centred) @ self.bent

    def noise(self, mean: Tensor) -> Tensor:
        """Noise of a channel, which may grow with its mean."""
        return super().noise(mean) * (self.growth * (mean - self.level)).clamp(-3, 3).exp()

    def nuisance(self, x: Tensor, c: Tensor, pure: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale of p(z | x, c) at the mean noise: (..., sample, direction), (direction, direction)."""
        weighted = (self.loadings * (-2 * self.log_noise).exp()).detach()
        precision = torch.eye(len(weighted), device=x.device) + weighted @ self.loadings.detach().T
        covariance = torch.linalg.inv(precision)
        centred = self.centred(c)
        rest = x / self.spread - _with_one(centred) @ pure - self._shape(centred) @ self.bent.detach()
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
        return torch.cat([centred[..., one] * centred[..., other], torch.tanh(_with_one(centred) @ self.waves)], -1)

    def _shape(self, centred: Tensor) -> Tensor:
        """Features of concentrations, no further out than the training set, without what is linear in them."""
        inside = centred.clamp(-1, 1)
        return self._features(inside) - _with_one(inside) @ self.straight


class NetworkDecoder(AbsorptionDecoder):
    """The published decoders: one hidden layer, given z and, in the conditional VAE, c.

    Parameters
    ----------
    channels, components, directions, hidden : int
    conditional : bool
    """

    def __init__(self, channels: int, components: int, directions: int, hidden: int, conditional: bool):
        super().__init__(channels, components, directions)
        self.conditional = conditional
        self.net = mlp([directions + conditional * components, hidden, channels], nn.ReLU)

    def start(self, found: Regression, x: Tensor, centred: Tensor) -> Regression:
        """Start with noise about as wide as the spectra themselves vary."""
        self.log_noise.data = torch.full_like(self.log_noise, -0.5)
        return found

    def forward(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Tensor:
        """Mean spectra."""
        return self.offset + self.net(_joined(self.centred(c), z) if self.conditional else z)


def _with_one(centred: Tensor) -> Tensor:
    return torch.cat([centred, torch.ones_like(centred[..., :1])], -1)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return torch.cat([a.expand(*batch, -1), b.expand(*batch, -1)], -1)
