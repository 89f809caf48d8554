"""Maps from parameters to the coordinates of a chart: splines over a grid where there is one, else radial ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from probspec.surrogates.coordinates import Coordinates
from probspec.surrogates.radial import RadialSpline, fit_radial
from probspec.surrogates.splines import TensorSpline, fit_tensor

Array = NDArray[np.float64]
Map = TensorSpline | RadialSpline


MAPS: dict[str, type[Map]] = {TensorSpline.kind: TensorSpline, RadialSpline.kind: RadialSpline}


def build_map(architecture: Mapping[str, Any]) -> Map:
    """Make a map of the given shape, without values."""
    return MAPS[architecture["kind"]].build(architecture)


def fit_map(parameters: Array, values: Array, weights: Array, bends: tuple[float, ...], smoothed: bool) -> Map:
    """Put splines through coordinates of taught rows, or near them.

    Parameters
    ----------
    parameters : (row, parameter) array
    values : (row, coordinate) array
    weights : (row,) array
        Inverse variances.
    bends : tuple of float
        Of each axis.
    smoothed : bool
        Let noise be smoothed away.
    """
    lower, upper = parameters.min(0), parameters.max(0)
    axes = Coordinates(*(torch.tensor(bound, dtype=torch.float64) for bound in (lower, upper, bends)))
    grid = grid_of(parameters)
    if grid is None:
        return fit_radial(axes, axes(torch.from_numpy(parameters)).numpy(), values, weights, smoothed)
    nodes, order = grid
    sizes = [len(axis) for axis in nodes]
    places = [_places(axes, axis, column) for axis, column in enumerate(nodes)]
    return fit_tensor(axes, places, values[order].reshape(*sizes, -1), weights[order], smoothed)


def _places(axes: Coordinates, axis: int, column: Array) -> Array:
    points = axes.lower.repeat(len(column), 1)
    points[:, axis] = torch.from_numpy(column)
    return axes(points)[:, axis].numpy()


def grid_of(parameters: Array) -> tuple[list[Array], NDArray[np.int64]] | None:
    """Nodes of each axis and the order that makes rows a grid, the last axis fastest; None if they are scattered."""
    if parameters.shape[1] == 1:
        order = np.argsort(parameters[:, 0])
        return [parameters[order, 0]], order
    nodes, places = [], []
    for column, span in zip(parameters.T, np.ptp(parameters, axis=0), strict=True):
        _, first, place = np.unique(np.round(column / span * 1e6), return_index=True, return_inverse=True)
        nodes.append(column[first])
        places.append(place.reshape(-1))
    sizes = [len(axis) for axis in nodes]
    if np.prod(sizes, dtype=float) != len(parameters):
        return None
    number = np.ravel_multi_index(places, sizes)
    order = np.argsort(number, kind="stable")
    return (nodes, order) if np.array_equal(number[order], np.arange(len(parameters))) else None
