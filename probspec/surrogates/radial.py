"""Splines through scattered parameters: sums of powers of the distance to each taught point, and a polynomial.

These are polyharmonic splines (Duchon 1977), with the fifth power and quadratics, or, where points are few, the third
power and linear terms. With one parameter the latter is the natural cubic spline. There is no length to tune.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from math import comb
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from probspec.surrogates.coordinates import Coordinates
from probspec.surrogates.smoothing import fit_curve

Array = NDArray[np.float64]

TINY = 1e-30  # squared distance that keeps the root differentiable at a taught point


class RadialSpline(nn.Module):
    """Several coordinates as one spline of the parameters.

    Sums of large weights of either sign cancel, so they are taken in double precision whatever is asked for.

    Parameters
    ----------
    axes : Coordinates
    centres : (row, parameter) Tensor
        Taught points on the bent axes.
    weights : (row, coordinate) Tensor
    trend : (term, coordinate) Tensor
        Coefficients of the polynomial.
    """

    kind = "radial"

    def __init__(self, axes: Coordinates, centres: Tensor, weights: Tensor, trend: Tensor):
        super().__init__()
        self.axes = axes
        self.degree = 2 if len(trend) > centres.shape[1] + 1 else 1
        self.register_buffer("centres", centres)
        self.register_buffer("weights", weights)
        self.register_buffer("trend", trend)

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes a spline of the same shape."""
        parts = {"centres": self.centres, "weights": self.weights, "trend": self.trend}
        return {"kind": self.kind, **{name: list(part.shape) for name, part in parts.items()}}

    @classmethod
    def build(cls, architecture: Mapping[str, Any]) -> RadialSpline:
        """Make a spline of the given shape, without values."""
        shapes = [architecture[name] for name in ("centres", "weights", "trend")]
        axes = Coordinates.build(architecture["centres"][1])
        return cls(axes, *(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def forward(self, parameters: Tensor) -> Tensor:
        """Coordinates at the parameters, (..., coordinate)."""
        x = self.axes(parameters).double()
        bumps = _power(_squared(x, self.centres.double()), 2 * self.degree + 1)
        value = bumps @ self.weights.double() + _monomials(x, self.degree) @ self.trend.double()
        return value.to(parameters)

    def with_jacobian(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates, and their derivatives by the parameters, (..., parameter, coordinate)."""
        x, slope = (t.double() for t in self.axes.with_slope(parameters))
        centres, weights, power = self.centres.double(), self.weights.double(), 2 * self.degree + 1
        squared = _squared(x, centres)
        steep = power * _power(squared, power - 2)
        change = x.unsqueeze(-1) * (steep @ weights).unsqueeze(-2) - torch.stack(
            [(steep * column) @ weights for column in centres.T], -2
        )
        change = change + _slopes(x, self.degree) @ self.trend.double()
        value = _power(squared, power) @ weights + _monomials(x, self.degree) @ self.trend.double()
        return value.to(parameters), (change * slope.unsqueeze(-1)).to(parameters)


def fit_radial(axes: Coordinates, places: Array, values: Array, weights: Array, smoothed: bool) -> RadialSpline:
    """Put a spline through values at scattered points, or near them.

    Parameters
    ----------
    axes : Coordinates
    places : (row, parameter) array
        On the bent axes.
    values : (row, coordinate) array
    weights : (row,) array
        Inverse variances.
    smoothed : bool
    """
    points = torch.from_numpy(places)
    degree = 2 if len(places) >= 2 * comb(places.shape[1] + 2, 2) else 1
    kernel = (-1) ** (degree + 1) * _power(_squared(points, points), 2 * degree + 1).numpy()
    trend = _monomials(points, degree).numpy()
    if smoothed:
        bending, free = _bending(kernel, trend), trend.shape[1]
        values = fit_curve(values[:, None], weights, np.eye(len(places)), bending, free, smoothed)[:, 0]
    terms = trend.shape[1]
    system = np.block([[(-1) ** (degree + 1) * kernel, trend], [trend.T, np.zeros((terms, terms))]])
    solution = _solve(system, np.concatenate([values, np.zeros((terms, values.shape[1]))]))
    return RadialSpline(axes, points, *(torch.from_numpy(part) for part in np.split(solution, [len(places)])))


def _solve(system: Array, wanted: Array) -> Array:
    try:
        return np.linalg.solve(system, wanted)
    except np.linalg.LinAlgError:  # points on a line or a conic, which leave the polynomial undecided
        return np.linalg.lstsq(system, wanted, rcond=1e-14)[0]


def _bending(kernel: Array, trend: Array) -> Array:
    """Matrix whose squares are the roughness: a root of the kernel's inverse where the polynomial has no say."""
    rest = np.linalg.qr(trend, mode="complete")[0][:, trend.shape[1] :]
    inner = rest.T @ kernel @ rest
    share, basis = np.linalg.eigh((inner + inner.T) / 2)
    return ((rest @ basis) / np.sqrt(np.maximum(share, 1e-14 * share[-1]))).T


def _squared(x: Tensor, centres: Tensor) -> Tensor:
    """Squared distances, (..., row), summed over axes one by one, as a product would lose digits of small ones."""
    total = torch.full((*x.shape[:-1], len(centres)), TINY, dtype=x.dtype, device=x.device)
    for place, centre in zip(x.unbind(-1), centres.unbind(-1), strict=True):
        total = total + (place.unsqueeze(-1) - centre).square()
    return total


def _power(squared: Tensor, power: int) -> Tensor:
    """An odd power of the distance."""
    root = squared.sqrt()
    return root * squared ** ((power - 1) // 2) if power > 1 else root


def _exponents(parameters: int, degree: int) -> list[tuple[int, ...]]:
    return [axes for total in range(degree + 1) for axes in combinations_with_replacement(range(parameters), total)]


def _monomials(x: Tensor, degree: int) -> Tensor:
    """Terms of the polynomial, (..., term)."""
    one = torch.ones_like(x[..., 0])
    return torch.stack([_product(x, axes, one) for axes in _exponents(x.shape[-1], degree)], -1)


def _slopes(x: Tensor, degree: int) -> Tensor:
    """Derivatives of the terms by each axis, (..., parameter, term)."""
    one = torch.ones_like(x[..., 0])
    rows = []
    for axis in range(x.shape[-1]):
        row = []
        for axes in _exponents(x.shape[-1], degree):
            rest = list(axes)
            if axis in rest:
                rest.remove(axis)
            row.append(axes.count(axis) * _product(x, rest, one))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def _product(x: Tensor, axes: list[int] | tuple[int, ...], one: Tensor) -> Tensor:
    for axis in axes:
        one = one * x[..., axis]
    return one
