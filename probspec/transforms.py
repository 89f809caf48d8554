"""Maps from unconstrained values to where a quantity may lie, beyond those of torch.

Abundances get `SmoothedSimplex`, which unlike stick-breaking treats all components alike; intervals a logistic that
stays off their bounds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform
from torch.nn.functional import logsigmoid, softplus

from probspec.errors import GuideError, explain

_LINEAR_FROM = 40.0  # softplus(x) equals x to double precision from here on


class SmoothedSimplex(Transform):
    r"""Smoothed Euclidean projection of R^(K-1) onto the simplex of K components.

    The coordinates u are those of a point w on the plane of unit sum, and

    .. math:: y_i = s \, \mathrm{softplus}((w_i + \lambda) / s), \qquad \sum_i y_i = 1 .

    In the interior (y >> s) this is the identity, so that a Gaussian on u looks like a Gaussian on abundances; near a
    face it behaves like a logarithm. No component is special: permuting w permutes y. The inverse and the Jacobian
    are closed forms, with respect to the measure of torch's `Dirichlet` (the first K - 1 components).

    Parameters
    ----------
    softness : float, mass fraction
        Abundance s below which the coordinates turn logarithmic.

    Examples
    --------
    >>> y = torch.tensor([0.7, 0.3 - 1e-9, 1e-9])
    >>> transform = SmoothedSimplex()
    >>> torch.allclose(transform(transform.inv(y)), y, rtol=1e-4, atol=0)
    True
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def __init__(self, softness: float = 0.005, cache_size: int = 0):
        if not 0 < softness <= 1:
            raise GuideError(explain("SmoothedSimplex(softness)", f"{softness}", expected="a mass fraction above 0"))
        super().__init__(cache_size)
        self.softness = softness

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SmoothedSimplex) and other.softness == self.softness

    def __hash__(self) -> int:
        return hash((SmoothedSimplex, self.softness))

    def with_cache(self, cache_size: int = 1) -> SmoothedSimplex:
        """Return the same map, which remembers its last point."""
        return SmoothedSimplex(self.softness, cache_size)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        """Shape of abundances made from coordinates of the given shape."""
        return torch.Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        """Shape of the coordinates of abundances of the given shape."""
        if not shape or shape[-1] < 2:
            raise GuideError(explain("simplex", f"shape {tuple(shape)}", expected="at least two components"))
        return torch.Size((*shape[:-1], shape[-1] - 1))

    def _call(self, x: Tensor) -> Tensor:
        w = _onto_plane(x)
        w = w - w.amax(-1, keepdim=True).detach()  # the level absorbs it; float32 keeps its digits for far points
        y = self._softplus(w + self._level(w))
        return (y / y.sum(-1, keepdim=True)).clamp_min(torch.finfo(y.dtype).tiny)

    def _inverse(self, y: Tensor) -> Tensor:
        t = self._inverse_softplus(y)
        return _from_plane(t - t.mean(-1, keepdim=True))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log volume of the first K - 1 components per volume of coordinates."""
        w = _onto_plane(x)
        largest = w.argmax(-1, keepdim=True)  # its level is read off without loss, however far the others are
        level = self._inverse_softplus(y.gather(-1, largest)) - w.gather(-1, largest)
        log_slope = logsigmoid((w + level) / self.softness)
        components = w.shape[-1]
        log_mean_slope = log_slope.logsumexp(-1) - math.log(components)
        return log_slope.sum(-1) - log_mean_slope - 0.5 * math.log(components)

    @staticmethod
    def plane(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates before any softening, in which compositions are simply points of a plane.

        Parameters
        ----------
        y : (..., component) Tensor
            Need not be positive.

        Returns
        -------
        u : (..., coordinate) Tensor
            Coordinates of the nearest point of the plane.
        foot : (..., component) Tensor
            That point.
        slope : (component, coordinate) Tensor
            Change of the point with u.
        """
        w = y - y.mean(-1, keepdim=True)
        identity = torch.eye(y.shape[-1] - 1, dtype=y.dtype, device=y.device)
        return _from_plane(w), w + 1 / y.shape[-1], _onto_plane(identity).T

    def _level(self, w: Tensor) -> Tensor:
        """Solve for lambda by Newton's steps from above, which need no safeguard as the sum is convex and increasing.

        The last two steps carry the gradient: a Newton step at the solution has the derivative of the implicit
        function, and two have also its second.
        """
        fixed = w.detach()
        level = torch.minimum(self._sharp_level(fixed), self._equal_level(fixed))
        for _ in range(6):  # together eight: double precision up to 20,000 components
            level = self._newton(fixed, level)
        return self._newton(w, self._newton(w, level))

    @staticmethod
    def _sharp_level(w: Tensor) -> Tensor:
        """Upper bound of lambda: its value for the projection without smoothing."""
        count = torch.arange(1, w.shape[-1] + 1, dtype=w.dtype, device=w.device)
        return ((1 - w.sort(-1, descending=True).values.cumsum(-1)) / count).amin(-1, keepdim=True)

    def _equal_level(self, w: Tensor) -> Tensor:
        """Upper bound of lambda: its value if all components were equal (Jensen)."""
        share = torch.full_like(w[..., :1], 1 / w.shape[-1])
        return self._inverse_softplus(share) - w.mean(-1, keepdim=True)

    def _newton(self, w: Tensor, level: Tensor) -> Tensor:
        excess = self._softplus(w + level).sum(-1, keepdim=True) - 1
        return level - excess / torch.sigmoid((w + level) / self.softness).sum(-1, keepdim=True)

    def _softplus(self, t: Tensor) -> Tensor:
        return self.softness * softplus(t / self.softness, threshold=_LINEAR_FROM)

    def _inverse_softplus(self, y: Tensor) -> Tensor:
        z = y.clamp_min(torch.finfo(y.dtype).tiny) / self.softness
        return self.softness * (z + torch.log(-torch.expm1(-z)))


def _onto_plane(u: Tensor) -> Tensor:
    """Isometry of R^(K-1) onto the plane of zero sum: the reflection that takes the K-th axis to the diagonal."""
    root = math.sqrt(u.shape[-1] + 1)
    total = u.sum(-1, keepdim=True)
    return torch.cat([u - total / (root * (root - 1)), total / root], -1)


def _from_plane(w: Tensor) -> Tensor:
    root = math.sqrt(w.shape[-1])
    return w[..., :-1] + w[..., -1:] / (root - 1)


class BoundedInterval(Transform):
    """Logistic map of R to the inside of an interval; it never lands on a bound, where a uniform law has no density.

    Parameters
    ----------
    lower, upper : float or Tensor
        Bounds, in the unit of the quantity.
    """

    domain = constraints.real
    bijective = True
    sign = +1  # pyright: ignore[reportAssignmentType]

    def __init__(self, lower: float | Tensor, upper: float | Tensor, cache_size: int = 0):
        super().__init__(cache_size)
        self.lower, self.upper = lower, upper

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def codomain(self) -> Constraint:
        """Return the interval."""
        return constraints.interval(self.lower, self.upper)

    def with_cache(self, cache_size: int = 1) -> BoundedInterval:
        """Return the same map, which remembers its last point."""
        return BoundedInterval(self.lower, self.upper, cache_size)

    def _bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = (torch.as_tensor(b, dtype=like.dtype, device=like.device) for b in (self.lower, self.upper))
        return lower, upper

    def _call(self, x: Tensor) -> Tensor:
        lower, upper = self._bounds(x)
        return _inside(lower + (upper - lower) * torch.sigmoid(x), lower, upper)

    def _inverse(self, y: Tensor) -> Tensor:
        lower, upper = self._bounds(y)
        y = _inside(y, lower, upper)
        return torch.log(y - lower) - torch.log(upper - y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log slope of the logistic."""
        lower, upper = self._bounds(x)
        return torch.log(upper - lower) + logsigmoid(x) + logsigmoid(-x)


def _inside(y: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    return y.clamp(torch.nextafter(lower, upper), torch.nextafter(upper, lower))


class LowerAffine(Transform):
    """Affine map of R^d by a triangular matrix, in batches.

    Parameters
    ----------
    loc : (..., d) Tensor
    scale_tril : (..., d, d) Tensor
        Lower triangular, of positive diagonal.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, loc: Tensor, scale_tril: Tensor, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale_tril = loc, scale_tril

    def with_cache(self, cache_size: int = 1) -> LowerAffine:
        """Return the same map, which remembers its last point."""
        return LowerAffine(self.loc, self.scale_tril, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + (self.scale_tril * x.unsqueeze(-2)).sum(-1)  # a matrix product would lose digits in bf16

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.scale_tril, (y - self.loc).unsqueeze(-1), upper=False).squeeze(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log determinant of the matrix."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return log_det.expand(torch.broadcast_shapes(log_det.shape, x.shape[:-1]))


class MixedRows(Transform):
    """From a table of independent rows to a flat one whose rows go together: ``loc + scale * (root @ table)``.

    Parameters
    ----------
    loc, scale : (row * column,) Tensor
    root : (row, row) Tensor
        Lower triangular, of positive diagonal: `root` times its transpose is the covariance of the rows.
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, loc: Tensor, scale: Tensor, root: Tensor, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self.root = loc, scale, root

    def with_cache(self, cache_size: int = 1) -> MixedRows:
        """Return the same map, which remembers its last point."""
        return MixedRows(self.loc, self.scale, self.root, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * (self.root @ x).flatten(-2)

    def _inverse(self, y: Tensor) -> Tensor:
        table = ((y - self.loc) / self.scale).unflatten(-1, (len(self.root), -1))
        return torch.linalg.solve_triangular(self.root, table, upper=False)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log determinant: that of the root for each column, and of the scales."""
        log_det = x.shape[-1] * self.root.diagonal().log().sum() + self.scale.log().sum()
        return log_det.expand(x.shape[:-2])
