"""Laws of the parameters and of the amplitudes of one spectrum, as distributions of Pyro."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint


class AsTaught(TorchDistribution):
    """A parameter that is as probable as it was taught often.

    The logarithm of the density is a broken line through the middles of the gaps between quantiles: examples on a
    logarithmic grid make a logarithmic law.

    Parameters
    ----------
    quantiles : (quantile,) Tensor, unit of the parameter
        Evenly spaced in probability, from the least to the largest value.
    batch_shape : torch.Size, optional
        Of independent parameters under the same law.

    Examples
    --------
    >>> law = AsTaught(torch.linspace(2.0, 4.0, 33))
    >>> bool(law.log_prob(torch.tensor(2.7)).exp().isclose(torch.tensor(0.5)))
    True
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, quantiles: Tensor, batch_shape: torch.Size | None = None, validate_args: bool | None = None):
        self.quantiles = quantiles
        values, taught = quantiles.unique(return_counts=True)
        gaps = values.diff()
        mass = (taught[1:] + taught[:-1]) / 2
        middles = (values[1:] + values[:-1]) / 2
        # Joined over neighbours: steps of a few examples are no features of the law.
        self._knots = torch.cat([values[:1], middles, values[-1:]])
        line = (mass / gaps).log()
        self._line = torch.cat([line[:1], line, line[-1:]])
        self._widths = self._knots.diff()
        self._rise = self._line.diff()
        self._mass = (self._line[:-1].exp() * self._widths * _grown(self._rise)).cumsum(0)
        super().__init__(torch.Size() if batch_shape is None else batch_shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """The taught range."""
        return constraints.interval(self.quantiles[0], self.quantiles[-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, (...); flat beyond the range, where nothing asks."""
        place = torch.searchsorted(self._knots, value.contiguous()).clamp(1, len(self._widths)) - 1
        share = ((value - self._knots[place]) / self._widths[place]).clamp(0, 1)
        return self._line[place] + share * self._rise[place] - self._mass[-1].log()

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw, by the inverse of the distribution function."""
        shape = torch.Size(sample_shape) + self.batch_shape
        reached = torch.rand(shape, dtype=self._mass.dtype, device=self._mass.device) * self._mass[-1]
        place = torch.searchsorted(self._mass, reached).clamp_max(len(self._widths) - 1)
        left = torch.cat([self._mass.new_zeros(1), self._mass])
        share = (reached - left[place]) / (left[place + 1] - left[place])
        rise = self._rise[place]
        steep = torch.where(rise.abs() < 1e-6, 1.0, rise)
        part = torch.where(rise.abs() < 1e-6, share, torch.log1p(share * torch.expm1(steep)) / steep)
        return self._knots[place] + part * self._widths[place]

    def expand(self, batch_shape: Any, _instance: Any = None) -> AsTaught:
        """Independent parameters under the same law."""
        return AsTaught(self.quantiles, torch.Size(batch_shape))


class Shared(TorchDistribution):
    r"""Amplitudes of the components that are present; of the others they are exactly zero.

    The sum S of the amplitudes is exponential about the usual total. The shares that the present components have in it
    follow a Dirichlet law, the same for all, times a normal factor for shares that are told,

    .. math:: p(A) \propto \frac{e^{-S/T}}{T} \, S^{1-k} \, \mathrm{Dir}\Big(\frac{A}{S}; c\Big) \,
              e^{-\frac12 |H A/S|^2},

    with k components present; the factor is there where k > 1. The density is that of the present amplitudes.

    Parameters
    ----------
    present : (..., component) Tensor
        1 = present.
    total : (...) Tensor, counts
    concentration : float
        Of the Dirichlet law.
    held : (direction, component) Tensor
        Of a share told as mean m and standard deviation s the row is ``(e - m) / s``.
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    support = constraints.independent(constraints.nonnegative, 1)  # pyright: ignore[reportAssignmentType]

    def __init__(
        self, present: Tensor, total: Tensor, concentration: float, held: Tensor, validate_args: bool | None = None
    ):
        self.present, self.total, self.held = present, total, held
        self.concentration = torch.as_tensor(concentration, dtype=present.dtype)
        shape = torch.broadcast_shapes(present.shape[:-1], total.shape)
        super().__init__(shape, present.shape[-1:], validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density (...) of amplitudes : (..., component), without the constant that belongs to what is held."""
        number, made = self.present.sum(-1), value.sum(-1).clamp_min(1e-12)
        shares = (value / made.unsqueeze(-1)).clamp_min(1e-12)
        law = torch.lgamma(self.concentration * number.clamp_min(1)) - number * torch.lgamma(self.concentration)
        law = law + (self.concentration - 1) * (self.present * shares.log()).sum(-1) - (number - 1) * made.log()
        deviation = (shares @ self.held.mT).square().sum(-1) / 2
        law = law - torch.where(number > 1, deviation, 0.0)
        return torch.where(number > 0, law - self.total.log() - made / self.total, 0.0)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw; shares are drawn anew until what is held admits them."""
        shape = torch.Size(sample_shape) + self.batch_shape
        present = self.present.expand(*shape, -1)
        total = -self.total.expand(shape) * torch.rand(shape, dtype=present.dtype).log()
        shares = self._shares(present)
        refused = self._refused(shares, present)
        while refused.any():
            shares = torch.where(refused.unsqueeze(-1), self._shares(present), shares)
            refused = refused & self._refused(shares, present)
        return total.unsqueeze(-1) * shares

    def expand(self, batch_shape: Any, _instance: Any = None) -> Shared:
        """Repeat along new leading dims."""
        present = self.present.expand(*batch_shape, -1)
        return Shared(present, self.total.expand(batch_shape), float(self.concentration), self.held)

    def _shares(self, present: Tensor) -> Tensor:
        drawn = torch.distributions.Gamma(self.concentration, torch.ones_like(self.concentration)).sample(present.shape)
        made = drawn.clamp_min(1e-30) * present
        return made / made.sum(-1, keepdim=True).clamp_min(1e-30)

    def _refused(self, shares: Tensor, present: Tensor) -> Tensor:
        deviation = (shares @ self.held.mT).square().sum(-1) / 2
        return (torch.rand(deviation.shape) > (-deviation).exp()) & (present.sum(-1) > 1)


def _grown(rise: Tensor) -> Tensor:
    """(exp(x) - 1) / x."""
    small = rise.abs() < 1e-6
    return torch.where(small, 1 + rise / 2, torch.expm1(rise) / torch.where(small, 1.0, rise))
