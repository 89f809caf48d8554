"""Cubic splines over a grid of parameters: tensor products, fitted with scipy and evaluated in torch.

Only the neighbouring nodes of a point enter its value, four along each axis, so that a map of thousands of pixels costs
little. Along an axis the weights of these four are cubics in the place within a cell; their tables are kept beside the
coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import factorial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_interp_spline
from torch import Tensor, nn

from probspec.surrogates.coordinates import Coordinates
from probspec.surrogates.smoothing import fit_curve

Array = NDArray[np.float64]

DEGREE = 3
CLOSEST = 1e-4  # of an axis: nodes nearer than this share a knot
MOST_KNOTS = 128
GAUSS = np.polynomial.legendre.leggauss(2)  # integrates products of two second derivatives of a cubic exactly


class TensorSpline(nn.Module):
    """Several coordinates as one spline of the parameters.

    Parameters
    ----------
    axes : Coordinates
    breaks : sequence of (break,) Tensor
        Ends of the cells of each axis, in bent coordinates.
    tables : sequence of (cell, power, basis) Tensor
        Weights of the basis functions of a cell, as polynomials of the place within it.
    coefficients : (basis, ..., basis, coordinate) Tensor
        One dim for each axis.
    """

    kind = "tensor"

    def __init__(self, axes: Coordinates, breaks: Sequence[Tensor], tables: Sequence[Tensor], coefficients: Tensor):
        super().__init__()
        self.axes, self.count = axes, len(breaks)
        for axis, (ends, table) in enumerate(zip(breaks, tables, strict=True)):
            self.register_buffer(f"breaks_{axis}", ends)
            self.register_buffer(f"table_{axis}", table)
        self.register_buffer("coefficients", coefficients)

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes a spline of the same shape."""
        cells = [self.get_buffer(f"table_{axis}").shape[0] for axis in range(self.count)]
        return {"kind": self.kind, "cells": cells, "coefficients": list(self.coefficients.shape)}

    @classmethod
    def build(cls, architecture: Mapping[str, Any]) -> TensorSpline:
        """Make a spline of the given shape, without values."""
        cells, sizes = architecture["cells"], architecture["coefficients"]
        breaks = [torch.zeros(count + 1, dtype=torch.float64) for count in cells]
        orders = [size - count + 1 for size, count in zip(sizes[:-1], cells, strict=True)]
        tables = [torch.zeros(n, order, order, dtype=torch.float64) for n, order in zip(cells, orders, strict=True)]
        return cls(Coordinates.build(len(cells)), breaks, tables, torch.zeros(sizes, dtype=torch.float64))

    def forward(self, parameters: Tensor) -> Tensor:
        """Coordinates at the parameters, (..., coordinate)."""
        cells = [self._cell(axis, x) for axis, x in enumerate(self.axes(parameters).unbind(-1))]
        weights = _outer([weights for _, weights, _ in cells])
        return (weights.unsqueeze(-2) @ self._nearby(cells, parameters)).squeeze(-2)

    def with_jacobian(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates, and their derivatives by the parameters, (..., parameter, coordinate)."""
        x, slope = self.axes.with_slope(parameters)
        cells = [self._cell(axis, place) for axis, place in enumerate(x.unbind(-1))]
        rows = [_outer([weights for _, weights, _ in cells])]
        for axis in range(self.count):
            rows.append(_outer([change if a == axis else weights for a, (_, weights, change) in enumerate(cells)]))
        found = torch.stack(rows, -2) @ self._nearby(cells, parameters)
        return found[..., 0, :], found[..., 1:, :] * slope.unsqueeze(-1)

    def _cell(self, axis: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cell of each place, the weights of its basis functions, and how these change with x."""
        breaks, table = (self.get_buffer(f"{name}_{axis}").to(x) for name in ("breaks", "table"))
        cell = (x.detach().unsqueeze(-1) >= breaks[1:-1]).sum(-1, keepdim=True)  # a search cannot be vmapped
        start, width = breaks[cell].squeeze(-1), breaks.diff()[cell].squeeze(-1)
        place = (x - start) / width
        powers = [torch.ones_like(place)]
        for _ in range(table.shape[1] - 1):
            powers.append(powers[-1] * place)
        slopes = [torch.zeros_like(place), *(n * power for n, power in enumerate(powers[:-1], 1))]
        rows = torch.stack([torch.stack(powers, -1), torch.stack(slopes, -1)], -2)
        weights, change = (rows @ table[cell].squeeze(-3)).unbind(-2)
        return cell, weights, change / width.unsqueeze(-1)

    def _nearby(self, cells: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> Tensor:
        """Coefficients of the basis functions that are not zero, (..., function, coordinate)."""
        sizes = self.coefficients.shape[:-1]
        orders = [torch.arange(weights.shape[-1], device=like.device) for _, weights, _ in cells]
        index = torch.zeros_like(cells[0][0])
        for (cell, _, _), size, order in zip(cells, sizes, orders, strict=True):
            index = (index.unsqueeze(-1) * size + cell.unsqueeze(-1) + order).flatten(-2)
        return self.coefficients.to(like).flatten(0, -2)[index]


def _outer(weights: list[Tensor]) -> Tensor:
    """Products of one weight of each axis, the last axis fastest."""
    made = weights[0]
    for other in weights[1:]:
        made = (made.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2)
    return made


def fit_tensor(
    axes: Coordinates, nodes: Sequence[Array], values: Array, weights: Array, smoothed: bool
) -> TensorSpline:
    """Put a spline through values on a grid, or near them.

    Parameters
    ----------
    axes : Coordinates
    nodes : sequence of (node,) array
        Places of the grid's nodes on each bent axis, ascending.
    values : (node, ..., node, coordinate) array
    weights : (node,) array
        Inverse variances, heeded where there is one axis.
    smoothed : bool
        Let each axis and coordinate be smoothed as far as its values ask for.
    """
    breaks, tables = [], []
    for axis, places in enumerate(nodes):
        knots = places[knots_among(places)]
        cardinal = make_interp_spline(knots, np.eye(len(knots)), k=min(DEGREE, len(knots) - 1))
        rows = weights if len(nodes) == 1 else np.ones(len(places))
        values = np.moveaxis(_along(np.moveaxis(values, axis, 0), places, cardinal, rows, smoothed), 0, axis)
        ends, table = _table(cardinal)
        breaks.append(torch.from_numpy(ends))
        tables.append(torch.from_numpy(table))
    return TensorSpline(axes, breaks, tables, torch.from_numpy(np.ascontiguousarray(values)))


def knots_among(places: Array) -> NDArray[np.int64]:
    """Choose the nodes that become knots: all, unless they are many or lie close; the ends always."""
    chosen = [0]
    for node in range(1, len(places)):
        if places[node] - places[chosen[-1]] > CLOSEST:
            chosen.append(node)
    chosen[-1 if len(chosen) > 1 else 1 :] = [len(places) - 1]
    return np.array(chosen)[np.unique(np.linspace(0, len(chosen) - 1, MOST_KNOTS).round().astype(int))]


def _along(values: Array, places: Array, cardinal: BSpline, weights: Array, smoothed: bool) -> Array:
    """Coefficients of the basis along the first dim of values at nodes."""
    flat = values.reshape(len(values), -1, values.shape[-1])
    smoothed = smoothed and cardinal.k == DEGREE and len(places) > DEGREE + 1
    if smoothed or len(cardinal.c) < len(places):
        flat = fit_curve(flat, weights, cardinal(places), _bending(cardinal), 2, smoothed)
    return np.tensordot(cardinal.c, flat, 1).reshape(-1, *values.shape[1:])


def _bending(cardinal: BSpline) -> Array:
    """Second derivatives, (place, knot), whose squares sum to their integral; of curves that are 1 at one knot."""
    ends = np.unique(cardinal.t)
    places, shares = GAUSS
    half = np.diff(ends)[:, None] / 2
    bend = cardinal(((ends[:-1] + ends[1:]) / 2)[:, None] + half * places, nu=2)
    return (bend * np.sqrt(half * shares)[..., None]).reshape(-1, bend.shape[-1])


def _table(cardinal: BSpline) -> tuple[Array, Array]:
    """Cells of a B-spline and, in each, its basis functions as polynomials of the place from 0 to 1."""
    degree, ends = cardinal.k, np.unique(cardinal.t)
    basis = BSpline(cardinal.t, np.eye(len(cardinal.c)), degree)
    width = np.diff(ends)[:, None]
    powers = [basis(ends[:-1], nu=n) * width**n / factorial(n) for n in range(degree + 1)]  # Taylor's, from the left
    present = np.arange(len(width))[:, None] + np.arange(degree + 1)  # basis functions that a cell has
    return ends, np.take_along_axis(np.stack(powers, 1), present[:, None], 2)
