"""A polished section under the electron probe: grains as Voronoi cells, each with a composition of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from probspec.errors import SpecError, explain
from probspec.oxides import OXIDES
from probspec.simulate.minerals import draw_oxides
from probspec.simulators.minerals import SOLID_SOLUTIONS
from probspec.simulators.stoichiometry import check_minerals

MINERALS = ("Plagioclase", "Clinopyroxene", "Olivine", "Ilmenite")
"""Minerals of a gabbro."""


def simulate_section(
    shape: tuple[int, int] = (60, 80),
    minerals: Sequence[str] = MINERALS,
    seed: int = 0,
    *,
    grains: int = 40,
    pixel: float = 5.0,
    blur: float = 0.5,
    error_relative: float = 0.03,
    error_floor_wt: float = 0.15,
) -> xr.Dataset:
    """Simulate an element map by energy-dispersive analysis (EDS) of a section of single crystals.

    Parameters
    ----------
    shape : (y, x)
        Pixels.
    minerals : sequence of str
        Names of `SOLID_SOLUTIONS`; each grain is one of them, all equally likely.
    seed : int
        Same seed, same section; the global generators stay as they are.
    grains : int
        Voronoi cells.
    pixel : float, µm
        Step between pixels.
    blur : float, pixel
        Standard deviation of the volume that X-rays come from; pixels beside a grain boundary are mixtures.
    error_relative : float
        Standard deviation of the analytical error as a share of the value; EDS is less exact than a spectrometer.
    error_floor_wt : float, wt%
        Standard deviation of the analytical error where there is nothing; at most 0.3, so that no value is taken for
        an error of the table.

    Returns
    -------
    Dataset
        `oxides` (y, x, oxide) in wt%, as measured; `mineral` (y, x), the true code, a place in its attribute
        ``names``; `grain` (y, x). Coordinates y and x in µm.

    Raises
    ------
    SpecError
        If a mineral is not known, or a size is not positive.

    Examples
    --------
    >>> section = simulate_section((4, 6), ["Olivine", "Quartz"], grains=3)
    >>> dict(section["oxides"].sizes), section["mineral"].attrs["names"]
    ({'y': 4, 'x': 6, 'oxide': 10}, ['Olivine', 'Quartz'])
    """
    _check_sizes(shape, grains, pixel)
    _check_errors(blur, error_relative, error_floor_wt)
    if isinstance(minerals, str) or not len(minerals):
        raise SpecError(explain("minerals", f"{minerals!r}", expected="a list of names, such as ['Olivine', 'Quartz']"))
    check_minerals(minerals, SOLID_SOLUTIONS)
    rng = np.random.default_rng(seed)
    grain = _cells(shape, grains, rng)
    kind = rng.integers(len(minerals), size=grains)
    truth = gaussian_filter(_compositions(minerals, kind, rng)[grain], (blur, blur, 0), mode="nearest")
    error = np.hypot(error_relative * truth, error_floor_wt)
    measured = truth + error * rng.standard_normal(truth.shape)
    return _labelled(measured, kind[grain], grain, minerals, pixel)


def _check_sizes(shape: tuple[int, int], grains: int, pixel: float) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise SpecError(explain("shape", f"{shape}", expected="(y, x), one pixel or more each"))
    for name, value in {"grains": grains, "pixel": pixel}.items():
        if not value > 0:
            raise SpecError(explain(name, f"{value}", expected="more than 0"))


def _check_errors(blur: float, relative: float, floor: float) -> None:
    limits = {"blur": (blur, np.inf), "error_relative": (relative, 0.2), "error_floor_wt": (floor, 0.3)}
    for name, (value, most) in limits.items():
        if not 0 <= value <= most:
            raise SpecError(explain(name, f"{value}", expected=f"0 to {most:g}"))


def _cells(shape: tuple[int, int], grains: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Number of the nearest grain centre of each pixel, (y, x)."""
    centres = rng.uniform(size=(grains, 2)) * shape
    pixels = np.stack(np.indices(shape), -1) + 0.5
    return KDTree(centres).query(pixels)[1].astype(np.int64)


def _compositions(minerals: Sequence[str], kind: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Oxides of each grain : (grain, oxide), wt%."""
    found = np.empty((len(kind), len(OXIDES)))
    for code, mineral in enumerate(minerals):
        here = np.flatnonzero(kind == code)
        found[here] = draw_oxides(mineral, len(here), rng).numpy()
    return found


def _labelled(
    measured: NDArray[np.float64], code: NDArray[np.int64], grain: NDArray[np.int64], names: Sequence[str], pixel: float
) -> xr.Dataset:
    micrometres = {"unit": "µm"}
    coordinates = {
        "y": ("y", pixel * np.arange(len(code)), micrometres),
        "x": ("x", pixel * np.arange(code.shape[1]), micrometres),
        "oxide": list(OXIDES),
    }
    variables = {
        "oxides": (("y", "x", "oxide"), measured, {"unit": "wt%", "long_name": "mass fraction of oxide"}),
        "mineral": (("y", "x"), code, {"names": list(names), "long_name": "true mineral"}),
        "grain": (("y", "x"), grain, {"long_name": "number of the grain"}),
    }
    return xr.Dataset(variables, coordinates)
