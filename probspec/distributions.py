"""Laws that Pyro lacks, with their supports.

`LogisticNormal` is the usual alternative to the Dirichlet for compositions: it can correlate components, and unlike
torch's law of that name it has no preferred last component. `LogUniform` spreads a positive quantity of unknown order
of magnitude, such as a thickness, evenly over its decades. `PushedForward` is what guides are made of.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

from probspec.errors import PriorError, explain


class LogisticNormal(TorchDistribution):
    r"""Softmax of a Gaussian in R^K, which has one entry for each component.

    The Gaussian has covariance diag(scale^2) + factor factor'. The part of it along the diagonal does not show in the
    composition and is integrated out, so no component is a reference (Aitchison & Shen 1980, with all K logs).

    Parameters
    ----------
    loc : (..., component) Tensor, natural log of mass fraction up to a constant
    scale : (..., component) Tensor, natural log of mass fraction
        Standard deviations, positive.
    factor : (..., component, rank) Tensor, optional
        Loadings of the correlated part.

    Raises
    ------
    PriorError
        Shapes disagree, or a scale is not positive.

    Examples
    --------
    >>> law = LogisticNormal(torch.zeros(3), torch.ones(3))
    >>> y = torch.tensor([0.7, 0.2, 0.1])
    >>> torch.allclose(law.log_prob(y), law.log_prob(y.flip(0)))
    True
    """

    arg_constraints = {  # pyright: ignore[reportAssignmentType]
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
        "factor": constraints.independent(constraints.real, 2),
    }
    support = constraints.simplex  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, factor: Tensor | None = None, validate_args: bool | None = None):
        loc, scale = torch.broadcast_tensors(loc, torch.as_tensor(scale, dtype=loc.dtype, device=loc.device))
        if loc.ndim == 0 or loc.shape[-1] < 2:
            problem = f"shape {tuple(loc.shape)}"
            raise PriorError(explain("LogisticNormal(loc)", problem, expected="two components or more"))
        if _checks(self, validate_args) and not bool((scale > 0).all()):
            raise PriorError(explain("LogisticNormal(scale)", "not positive", expected="standard deviations"))
        factor = loc.new_zeros(*loc.shape, 0) if factor is None else factor
        if factor.shape[-2] != loc.shape[-1]:
            problem = f"factor has {factor.shape[-2]} rows, loc {loc.shape[-1]} components"
            raise PriorError(explain("LogisticNormal", problem, fix="give factor the shape (component, rank)"))
        batch = torch.broadcast_shapes(loc.shape[:-1], factor.shape[:-2])
        self.loc, self.scale = loc.expand(*batch, -1), scale.expand(*batch, -1)
        self.factor = factor.expand(*batch, -1, -1)
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> LogisticNormal:
        """Repeat the law over a larger batch."""
        loc, scale = self.loc.expand(*batch_shape, -1), self.scale.expand(*batch_shape, -1)
        new = LogisticNormal(loc, scale, self.factor.expand(*batch_shape, -1, -1), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw compositions, differentiable in the parameters."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        common = torch.randn((*shape[:-1], self.factor.shape[-1]), dtype=self.loc.dtype, device=self.loc.device)
        logits = self.loc + self.scale * noise + (self.factor * common.unsqueeze(-2)).sum(-1)
        return logits.softmax(-1).clamp_min(torch.finfo(logits.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density with respect to the first K - 1 components, as that of `Dirichlet`."""
        if self._validate_args:
            self._validate_sample(value)
        weight, log_det = self._precision_of_ones()
        log_y = value.clamp_min(torch.finfo(value.dtype).tiny).log()
        residual = log_y - self.loc
        total = weight.sum(-1)
        residual = residual - ((weight * residual).sum(-1) / total).unsqueeze(-1)
        quadratic = (residual * self._solve(residual)).sum(-1)
        constant = (value.shape[-1] - 1) * math.log(2 * math.pi)
        return -0.5 * (quadratic + log_det + total.log() + constant) - log_y.sum(-1)

    def _precision_of_ones(self) -> tuple[Tensor, Tensor]:
        """Precision matrix times the vector of ones, and the log determinant of the covariance."""
        diagonal = self._capacitance().diagonal(dim1=-2, dim2=-1)
        log_det = 2 * (self.scale.log().sum(-1) + diagonal.log().sum(-1))
        return self._solve(torch.ones_like(self.loc)), log_det

    def _solve(self, vector: Tensor) -> Tensor:
        """Precision matrix times a vector (Woodbury)."""
        scaled = self.factor / self.scale.unsqueeze(-1)
        vector = vector / self.scale
        inner = (scaled * vector.unsqueeze(-1)).sum(-2, keepdim=True).mT
        correction = (scaled * torch.cholesky_solve(inner, self._capacitance()).mT).sum(-1)
        return (vector - correction) / self.scale

    def _capacitance(self) -> Tensor:
        scaled = self.factor / self.scale.unsqueeze(-1)
        identity = torch.eye(self.factor.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        return torch.linalg.cholesky(identity + scaled.mT @ scaled)


class LogUniform(TorchDistribution):
    """Uniform in the logarithm, between two positive bounds.

    Parameters
    ----------
    low, high : float or Tensor
        Bounds, in the unit of the quantity, ``0 < low < high``.

    Raises
    ------
    PriorError
        The bounds are not positive and ascending.

    Examples
    --------
    >>> LogUniform(0.1, 10.0).log_prob(torch.tensor([0.5, 5.0])).diff()  # -log 10
    tensor([-2.3026])
    """

    arg_constraints = {"low": constraints.positive, "high": constraints.positive}  # pyright: ignore
    has_rsample = True

    def __init__(self, low: float | Tensor, high: float | Tensor, validate_args: bool | None = None):
        self.low, self.high = torch.broadcast_tensors(*(torch.as_tensor(b, dtype=_float(b)) for b in (low, high)))
        if _checks(self, validate_args) and not bool(((self.low > 0) & (self.low < self.high)).all()):
            raise PriorError(explain("LogUniform", f"low {low}, high {high}", expected="0 < low < high"))
        super().__init__(self.low.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Constraint:
        """Return the interval between the bounds."""
        return constraints.interval(self.low, self.high)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> LogUniform:
        """Repeat the law over a larger batch."""
        new = LogUniform(self.low.expand(batch_shape), self.high.expand(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw values, differentiable in the bounds."""
        share = torch.rand(self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        value = self.low * (self.high / self.low) ** share
        return torch.minimum(torch.maximum(value, self.low), self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density; minus infinity outside the bounds."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value >= self.low) & (value <= self.high)
        density = -value.clamp_min(torch.finfo(value.dtype).tiny).log() - (self.high / self.low).log().log()
        return torch.where(inside, density, -torch.inf)


class PushedForward(TorchDistribution):
    """Law of a site's value: a law on R^d carried onto the support.

    Parameters
    ----------
    base : Distribution
        Law of event shape (d,).
    transform : Transform
        Map of (..., d) to values; remembers its last point, so that the density of a draw is exact.
    support : Constraint
    event_shape : tuple of int
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, base: TorchDistribution, transform: Transform, support: Constraint, event_shape: torch.Size):
        self.base, self._support = base, support
        self.transform: Any = transform  # torch types what a map returns as optional
        super().__init__(base.batch_shape, event_shape)

    @constraints.dependent_property
    def support(self) -> Constraint:
        """Return the support of the site."""
        return self._support

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> PushedForward:
        """Repeat the law over a larger batch."""
        return PushedForward(self.base.expand(batch_shape), self.transform, self._support, self.event_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw values, differentiable in the parameters."""
        return self.transform(self.base.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density."""
        if self._validate_args:
            self._validate_sample(value)
        point = self.transform.inv(value)
        return self.base.log_prob(point) - self.transform.log_abs_det_jacobian(point, value)


def _checks(law: TorchDistribution, validate_args: bool | None) -> bool:
    """Whether parameters are looked at, which costs a device sync (torch's own rule)."""
    return law._validate_args if validate_args is None else validate_args


def _float(bound: float | Tensor) -> torch.dtype:
    return bound.dtype if isinstance(bound, Tensor) and bound.is_floating_point() else torch.get_default_dtype()
