"""Spectra, and their predictive bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from probspec.errors import QueryError, explain
from probspec.plots.style import PALETTE, TRUTH, finish, heading, percent, quantity_of, rows, styles, unit_of


def spectra_lines(
    ax: Axes,
    axis: ArrayLike,
    spectra: ArrayLike,
    names: Sequence[str],
    *,
    axis_name: str = "",
    axis_unit: str = "",
    quantity: str = "",
    unit: str = "",
) -> Axes:
    """Several spectra on one axis, a colour for each.

    Parameters
    ----------
    ax : Axes
    axis : (channel,)
        A DataArray brings its name and unit.
    spectra : (spectrum, channel)
        A DataArray brings its name and unit; NaN channels are left blank.
    names : sequence of str
        One for each spectrum.
    axis_name, axis_unit, quantity, unit : str
        Labels where the arrays carry none.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If lengths differ, or an axis has neither name nor unit.
    """
    x, table = np.asarray(axis, float), np.asarray(spectra, float)
    if table.shape != (len(names), *x.shape):
        problem = f"axis {x.shape}, spectra {table.shape}, {len(names)} names"
        raise QueryError(explain("spectra_lines", problem, expected="(spectrum, channel) and a name for each spectrum"))
    for style, values in zip(styles(names), table, strict=True):
        ax.plot(x, values, color=style.color, linewidth=0.9, label=style.name)
    ax.set_xlim(x.min(), x.max())
    ax.set_xlabel(heading(quantity_of(axis, axis_name), unit_of(axis, axis_unit)))
    ax.set_ylabel(heading(quantity_of(spectra, quantity), unit_of(spectra, unit)))
    return finish(ax)


def spectra_band(
    ax: Axes,
    axis: ArrayLike,
    draws: ArrayLike,
    observed: ArrayLike | None = None,
    *,
    axis_name: str = "",
    axis_unit: str = "",
    quantity: str = "",
    unit: str = "",
    prob: float = 0.9,
    color: str = PALETTE[0],
) -> Axes:
    """Predictive band and median of one spectrum, with the measured spectrum over it.

    Parameters
    ----------
    ax : Axes
    axis : (channel,)
        Wavelength, wavenumber, energy or channel number; a DataArray brings its name and unit.
    draws : (..., channel)
        Predictive draws of one spectrum; a DataArray brings its name and unit.
    observed : (channel,), optional
        The spectrum that was measured; NaN channels are left blank.
    axis_name, axis_unit, quantity, unit : str
        Labels where the arrays carry none, such as "Wavelength", "nm", "Absorbance", "a.u.".
    prob : float
        Probability of the equal-tailed band, channel by channel.
    color : str
        Of the band.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If lengths differ, or an axis has neither name nor unit.
    """
    x, table = np.asarray(axis, float), rows(draws)
    measured = np.full(x.shape, np.nan) if observed is None else np.asarray(observed, float)
    if x.shape != table.shape[1:] or measured.shape != x.shape:
        problem = f"axis {x.shape}, draws {np.shape(draws)}, observed {measured.shape}"
        raise QueryError(explain("spectra_band", problem, expected="the same channels, last"))
    lower, middle, upper = np.quantile(table, _tails(prob), axis=0)
    ax.fill_between(x, lower, upper, color=color, alpha=0.3, linewidth=0, label=f"{percent(prob)} predictive band")
    ax.plot(x, middle, color=color, linewidth=2, label="predictive median")
    if observed is not None:
        ax.plot(x, measured, color=TRUTH, linewidth=0.6, label="measured")
    ax.set_xlim(x.min(), x.max())
    ax.set_xlabel(heading(quantity_of(axis, axis_name), unit_of(axis, axis_unit)))
    ax.set_ylabel(heading(quantity_of(draws, quantity), unit_of(draws, unit)))
    return finish(ax)


def _tails(prob: float) -> tuple[float, float, float]:
    if not 0 < prob < 1:
        raise QueryError(explain("prob", str(prob), expected="a probability between 0 and 1"))
    return (1 - prob) / 2, 0.5, (1 + prob) / 2
