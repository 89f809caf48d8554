"""What all figures share: colours by place, axis labels with units, the legend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from probspec.errors import QueryError, explain

Array = NDArray[np.float64]
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TRUTH = "0.15"
GUIDE_LINE = {"color": "0.7", "linewidth": 0.8, "zorder": 0}
_PLACES = {
    "best": {"loc": "best"},
    "right": {"loc": "center left", "bbox_to_anchor": (1, 0.5)},
    "above": {"loc": "lower left", "bbox_to_anchor": (0, 1)},
}


class Style(NamedTuple):
    """How one of several named things is drawn."""

    name: str
    color: str
    marker: str


def styles(names: Sequence[str]) -> Iterator[Style]:
    """Colours by place; when they run out, markers tell the rounds apart."""
    for k, name in enumerate(names):
        yield Style(name, PALETTE[k % len(PALETTE)], MARKERS[(k + k // len(PALETTE)) % len(MARKERS)])


def rows(draws: ArrayLike) -> Array:
    """Draws with any leading dims (chain, draw) -> (draw, last dim)."""
    values = np.asarray(draws, float)
    if values.ndim < 2 or values.size == 0:
        raise QueryError(explain("draws", f"shape {values.shape}", expected="(draw, ...) of one spectrum"))
    return values.reshape(-1, values.shape[-1])


def percent(prob: float) -> str:
    """Write a probability for people: .9 -> "90 %"."""
    return f"{100 * prob:.3g} %"


def names_of(array: ArrayLike, names: Sequence[str] | None) -> tuple[str, ...]:
    """Names given, or those along the last dim of a labelled array."""
    size = np.shape(array)[-1]
    if names is None and isinstance(array, xr.DataArray) and array.dims[-1] in array.coords:
        names = [str(name) for name in array[array.dims[-1]].values]
    if names is None or len(names) != size:
        raise QueryError(explain("names", f"{names}", expected=f"{size} component names", fix="pass names=[...]"))
    return tuple(names)


def quantity_of(array: ArrayLike, given: str) -> str:
    """Take the quantity given, or the long name or the name of a labelled array."""
    name = given or (array.attrs.get("long_name", array.name) if isinstance(array, xr.DataArray) else "")
    if not name:
        raise QueryError(explain("axis label", "no quantity", fix="say what is drawn, such as quantity='absorbance'"))
    return str(name)


def unit_of(array: ArrayLike, given: str) -> str:
    """Take the unit given, or that of a labelled array."""
    unit = given or (array.attrs.get("unit", "") if isinstance(array, xr.DataArray) else "")
    if not unit:
        raise QueryError(explain("axis label", "no unit", fix="say the unit, such as unit='mass fraction'"))
    return str(unit)


def heading(quantity: str, unit: str) -> str:
    """Axis label "Absorbance (a.u.)"; symbols such as kT keep their case."""
    name = quantity[0].upper() + quantity[1:] if quantity.islower() and len(quantity) > 2 else quantity
    return f"{name} ({typeset(unit)})"


def typeset(unit: str) -> str:
    """Powers as superscripts: "cm^-1" -> cm with a raised -1."""
    return re.sub(r"\^(-?\d+)", r"$^{\1}$", unit)


def diagonal(ax: Axes, low: float, high: float) -> None:
    """Draw the line of perfect agreement, on equal scales."""
    ax.plot([low, high], [low, high], **GUIDE_LINE)
    ax.set_aspect("equal")


def finish(ax: Axes, title: str | None = None, place: str = "best") -> Axes:
    """Drop the idle sides of the frame and add the legend, each label once."""
    ax.spines[["top", "right"]].set_visible(False)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), frameon=False, title=title, ncols=1 + len(unique) // 14, **_PLACES[place])
    return ax
