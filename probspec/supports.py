"""Where a latent quantity may lie, and the coordinates without bounds in which a guide works.

A prior says its support; everything else follows from it. `bijection` maps R^d onto the support, `Coordinates` adds
what a network needs (a flat vector, bounds that move with the module), and nobody else writes a transform by hand.
"""

from __future__ import annotations

from typing import Any

import pyro.distributions  # noqa: F401  (registers Pyro's own constraints with `biject_to`)
import torch
from torch import Tensor, nn
from torch.distributions import biject_to, constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import ComposeTransform, IndependentTransform, ReshapeTransform, Transform

from probspec.errors import GuideError, explain
from probspec.transforms import BoundedInterval, SmoothedSimplex

_INTERVALS = (constraints.interval, constraints.half_open_interval)
_ABOVE = (constraints.greater_than, constraints.greater_than_eq)
_BELOW = (constraints.less_than,)


def bijection(support: Constraint) -> Transform:
    """Map of unconstrained values onto a support.

    Parameters
    ----------
    support : Constraint
        Support of a continuous distribution.

    Raises
    ------
    GuideError
        The support is discrete, or has no smooth coordinates.

    Examples
    --------
    >>> bijection(constraints.simplex)(torch.zeros(3))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    base, dims = _unwrap(support)
    transform = _bijection(base)
    return IndependentTransform(transform, dims) if dims else transform


def _bijection(base: Constraint) -> Transform:
    if isinstance(base, type(constraints.simplex)):
        return SmoothedSimplex()
    if isinstance(base, _INTERVALS):
        return BoundedInterval(base.lower_bound, base.upper_bound)
    try:
        return biject_to(base)
    except NotImplementedError:
        fix = "give the site a continuous law on the reals, positive numbers, an interval or the simplex"
        raise GuideError(explain(f"support {describe(base)}", "has no unconstrained coordinates", fix=fix)) from None


def unconstrained_size(support: Constraint, event_shape: torch.Size | tuple[int, ...]) -> int:
    """Count the unconstrained coordinates of one value.

    >>> unconstrained_size(constraints.simplex, (23,))
    22
    """
    return bijection(support).inverse_shape(torch.Size(event_shape)).numel()


def same_support(a: Constraint, b: Constraint, shape: torch.Size | tuple[int, ...]) -> bool:
    """Tell whether values of one event shape lie in the same set under both supports (up to its boundary).

    Torch's own ``==`` compares identities: two ``Uniform(0, 1).support`` differ.

    >>> same_support(constraints.interval(0, torch.ones(3)), constraints.unit_interval, (3,))
    True
    """
    kind, first = _kind(a, shape)
    other, second = _kind(b, shape)
    return kind == other and all(bool(torch.allclose(x, y)) for x, y in zip(first, second, strict=True))


def describe(support: Constraint) -> str:
    """Say a support in words.

    >>> describe(constraints.interval(-1.5, 1.5))
    'between -1.5 and 1.5'
    """
    base, _ = _unwrap(support)
    bounds = [_range(bound) for bound in vars(base).values()] if isinstance(base, _INTERVALS + _ABOVE + _BELOW) else []
    if isinstance(base, _INTERVALS):
        return f"between {bounds[0]} and {bounds[1]}"
    if isinstance(base, _ABOVE):
        return "positive" if bounds == ["0"] else f"above {bounds[0]}"
    if isinstance(base, _BELOW):
        return f"below {bounds[0]}"
    return str(base).removesuffix("()").lower()


def _range(bound: float | Tensor) -> str:
    values = torch.as_tensor(bound)
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"[{low:g} to {high:g}]"


def settle(support: Constraint, event_shape: torch.Size | tuple[int, ...]) -> Constraint:
    """Take the batch dims out of a support's bounds, so that it holds for any number of samples.

    Raises
    ------
    GuideError
        The bounds differ from sample to sample.
    """
    base, dims = _unwrap(support)
    if isinstance(base, _INTERVALS + _ABOVE + _BELOW):
        bounds: dict[str, Any] = {name: _settle(bound, tuple(event_shape)) for name, bound in vars(base).items()}
        base = type(base)(**bounds)
    return constraints.independent(base, dims) if dims else base


def _settle(bound: float | Tensor, event_shape: tuple[int, ...]) -> float | Tensor:
    values = torch.as_tensor(bound).detach()
    if bool((values == values.flatten()[0]).all()):
        return values.flatten()[0].item()
    rows = values.expand(torch.broadcast_shapes(values.shape, event_shape)).reshape(-1, *event_shape)
    if not bool((rows == rows[0]).all()):
        fix = "give the site a support that does not depend on other sites, and scale its value in the model"
        raise GuideError(explain("support", "bounds differ from sample to sample", fix=fix))
    return rows[0].clone()


def _unwrap(support: Constraint) -> tuple[Constraint, int]:
    dims = 0
    while isinstance(support, constraints.independent):
        dims += support.reinterpreted_batch_ndims
        support = support.base_constraint
    return support, dims


def _kind(support: Constraint, shape: torch.Size | tuple[int, ...]) -> tuple[str, list[Tensor]]:
    """Kind of set, and its bounds for every element of a value."""
    base, _ = _unwrap(settle(support, shape))
    for name, kinds in (("interval", _INTERVALS), ("above", _ABOVE), ("below", _BELOW)):
        if isinstance(base, kinds):
            return name, [torch.as_tensor(bound, dtype=torch.float64).expand(shape) for bound in vars(base).values()]
    return str(base), []


class Coordinates(nn.Module):
    """Flat unconstrained coordinates of a value: R^d to the support and back.

    Parameters
    ----------
    support : Constraint
        Where the value lies.
    event_shape : tuple of int
        Shape of one value.

    Attributes
    ----------
    size : int
        d, the number of coordinates.

    Examples
    --------
    >>> coordinates = Coordinates(constraints.positive, (2, 3))
    >>> coordinates.size, coordinates.transform()(torch.zeros(7, 6)).shape
    (6, torch.Size([7, 2, 3]))
    """

    def __init__(self, support: Constraint, event_shape: torch.Size | tuple[int, ...]):
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.size = unconstrained_size(support, event_shape)
        self._base, self._dims = _unwrap(settle(support, event_shape))
        for name, bound in vars(self._base).items():
            if isinstance(bound, Tensor):
                self.register_buffer(name, bound, persistent=False)

    @property
    def support(self) -> Constraint:
        """The support, its bounds on the module's device."""
        base, bounds = self._base, dict(self.named_buffers())
        if bounds:
            base = type(base)(**{**vars(base), **bounds})
        return constraints.independent(base, self._dims) if self._dims else base

    def flat(self, value: Tensor) -> Tensor:
        """Coordinates (..., d) of a value."""
        inverse: Any = self.transform().inv
        return inverse(value)

    def transform(self) -> Transform:
        """Map of (..., d) coordinates to values of the site's own shape; it remembers its last point."""
        onto = bijection(self.support).with_cache()
        inner = onto.inverse_shape(self.event_shape)
        return ComposeTransform([ReshapeTransform(torch.Size((self.size,)), inner, cache_size=1), onto], cache_size=1)
