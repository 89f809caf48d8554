"""What unmixing found: a quantity by pixel with its doubt beside it, and the components of one spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from probspec.errors import QueryError, explain
from probspec.plots.maps import element_map
from probspec.plots.style import TRUTH, Array, finish, heading, percent, quantity_of, styles, unit_of


def posterior_map(
    axes: Sequence[Axes],
    draws: xr.DataArray,
    *,
    quantity: str = "",
    unit: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
) -> Sequence[Axes]:
    """Posterior mean of each pixel, and its standard deviation beside it.

    Parameters
    ----------
    axes : two Axes
    draws : DataArray (chain, draw, y, x)
        Such as ``posterior.draws["thermal.kT"]``, or a site's component.
    quantity, unit : str
        Where the draws carry none.
    vmin, vmax : float, optional
        Ends of the colours of the mean.

    Returns
    -------
    the two Axes

    Raises
    ------
    QueryError
        If these are no draws of one map, there are not two axes, or quantity or unit are missing.

    Examples
    --------
    >>> from probspec.plots import new_figure
    >>> draws = xr.DataArray(np.random.default_rng(0).normal(3, 0.2, (1, 50, 4, 5)), dims=("chain", "draw", "y", "x"))
    >>> _, axes = new_figure(1, 2)
    >>> [ax.get_title() for ax in posterior_map(axes[0], draws, quantity="temperature", unit="keV")]
    ['Posterior mean', 'Standard deviation']
    """
    if set(draws.dims) != {"chain", "draw", "y", "x"} or len(axes) != 2:
        problem = f"draws with dims {draws.dims} and {len(axes)} axes"
        fix = 'posterior.draws["amplitude"].sel(component="thermal")'
        raise QueryError(explain("posterior_map", problem, expected="(chain, draw, y, x) and two axes", fix=fix))
    name, measure = quantity_of(draws, quantity), unit_of(draws, unit)
    parts = {
        "Posterior mean": draws.mean(("chain", "draw")),
        "Standard deviation": draws.std(("chain", "draw"), ddof=1),
    }
    for ax, (title, values), colormap in zip(axes, parts.items(), ("viridis", "magma"), strict=True):
        element_map(ax, values.transpose("y", "x").values, colormap=colormap, quantity=name, unit=measure)
        ax.set_title(title)
    if vmin is not None or vmax is not None:
        axes[0].images[0].set_clim(vmin, vmax)
    return axes


def component_bands(
    ax: Axes,
    axis: ArrayLike,
    contributions: ArrayLike,
    names: Sequence[str],
    counts: ArrayLike | None = None,
    *,
    axis_name: str = "",
    axis_unit: str = "",
    prob: float = 0.9,
) -> Axes:
    """Expected counts of the components of one spectrum, with bands, over what was counted.

    Parameters
    ----------
    ax : Axes
    axis : (channel,)
        A DataArray brings its name and unit.
    contributions : (draw, component, channel), counts
        What `PoissonUnmixer.contributions` gives.
    names : sequence of str
        Of the components.
    counts : (channel,), counts, optional
    axis_name, axis_unit : str
        Labels where the axis carries none.
    prob : float
        Probability of the equal-tailed bands, channel by channel.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If lengths differ, `prob` is no probability, or the axis has neither name nor unit.
    """
    x, made = np.asarray(axis, float), np.asarray(contributions, float)
    seen = np.full(x.shape, np.nan) if counts is None else np.asarray(counts, float)
    if made.ndim != 3 or made.shape[1:] != (len(names), *x.shape) or seen.shape != x.shape or not 0 < prob < 1:
        problem = f"axis {x.shape}, contributions {made.shape}, counts {seen.shape}, {len(names)} names, prob {prob}"
        raise QueryError(explain("component_bands", problem, expected="(draw, component, channel), and 0 < prob < 1"))
    if counts is not None:
        ax.step(x, seen, where="mid", color="0.75", linewidth=0.8, label="counted")
    for style, of in zip(styles(names), made.transpose(1, 0, 2), strict=True):
        _band(ax, x, of, style.color, f"{style.name}, {percent(prob)} band", prob)
    ax.plot(x, made.sum(1).mean(0), color=TRUTH, linewidth=0.8, label="all")
    ax.set_xlim(x.min(), x.max())
    ax.set_xlabel(heading(quantity_of(axis, axis_name), unit_of(axis, axis_unit)))
    ax.set_ylabel("Counts per channel")
    return finish(ax)


def _band(ax: Axes, x: Array, draws: Array, color: str, label: str, prob: float) -> None:
    lower, upper = np.quantile(draws, ((1 - prob) / 2, (1 + prob) / 2), axis=0)
    ax.fill_between(x, lower, upper, color=color, alpha=0.35, linewidth=0, label=label)
    ax.plot(x, draws.mean(0), color=color, linewidth=1.0)
